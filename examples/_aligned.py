"""Tagged sentences for a person: words, their tags, and which message was the strongest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from _batches import numbered_batches
from torch import Tensor
from torch_geometric.data import Data

from mtgnn.data import EncodedSentences
from mtgnn.nn import GraphLSTM, TaggingModel

Rows = list[tuple[str, list[str]]]
Messages = dict[str, list[tuple[str, float]]]


@dataclass(frozen=True)
class Tagged:
    """A sentence.

    Attributes:
        words: Its words.
        tags: For each task, their tags.
        messages: For each task that may choose whom it hears, and each word: who sent the strongest
            message (a task, or a word of the star's mailbox), and its weight from 0 to 1.
    """

    words: list[str]
    tags: dict[str, list[str]]
    messages: Messages


def tag(model: TaggingModel, sentences: Sequence[list[str]], batch_size: int) -> list[Tagged]:
    """Tag sentences for all tasks."""
    tags = model.predict(sentences, batch_size=batch_size)
    heard = messages(model, sentences, batch_size)
    return [Tagged(*parts) for parts in zip(sentences, tags, heard, strict=True)]


@torch.no_grad()
def messages(
    model: TaggingModel, sentences: Sequence[list[str]], batch_size: int
) -> list[Messages]:
    """The strongest messages of each sentence, by task; weights are means over both directions.

    What :func:`mtgnn.explain.read_sentence` says of one sentence and one task, but of many at once:
    a file of some thousand lines would take minutes one by one.
    """
    heard: list[Messages] = [{} for _ in sentences]
    if not isinstance(model.encoder, GraphLSTM) or not model.graph.num_edges:
        return heard
    encoded = EncodedSentences((Data(words=words) for words in sentences), model.sentences)
    model.eval()
    for numbers, batch in numbered_batches(encoded, batch_size):
        given = batch.tokens, batch.characters, batch.lengths
        _, attention = model(*given, return_attention_weights=True)
        weights = torch.stack([alpha.mean(-1) for _, alpha in attention]).mean(0)
        for row, number in enumerate(numbers):
            heard[number] = strongest(model, sentences[number], weights[row])
    return heard


def strongest(model: TaggingModel, words: list[str], weights: Tensor) -> Messages:
    """The heaviest message of each task at each word.

    Args:
        model: The model.
        words: The sentence, T words.
        weights: On edges ``[T, num_edges]``, or in a mailbox ``[K, T, T]``; padding may follow.
    """
    heard = {}
    for k, task in enumerate(model.tasks):
        if weights.dim() == 3:
            names, own = words, weights[k, : len(words), : len(words)]
        else:
            edges = model.graph.incoming(k)
            if len(edges) < 2:  # nobody, or always the same one
                continue
            names = [model.graph.nodes[sender] for _, sender in edges]
            own = weights[: len(words), [edge for edge, _ in edges]]
        best = own.max(1)
        pairs = zip(best.indices.tolist(), best.values.tolist(), strict=True)
        heard[task] = [(names[place], weight) for place, weight in pairs]
    return heard


def only_senders(model: TaggingModel) -> str:
    """Which tasks hear one sender alone, whose message is the strongest at every word."""
    if not isinstance(model.encoder, GraphLSTM) or model.encoder.memory != "current":
        return ""
    told = []
    for k, task in enumerate(model.tasks):
        senders = [model.graph.nodes[sender] for _, sender in model.graph.incoming(k)]
        if len(senders) == 1:
            told.append(f"{task} hears {senders[0]}")
    return f"At every word {', '.join(told)}, and nobody else." if told else ""


def show(sentence: Tagged, number: int, width: int) -> str:
    """Words beside the number of the sentence, above their tags, and below these the strongest
    messages."""
    rows: Rows = [(f"{number}.", sentence.words)]
    for task, tags in sentence.tags.items():
        rows.append((task, tags))
        if task in sentence.messages:
            heard = sentence.messages[task]
            rows.append(("  hears", [f"{name} {weight:.0%}" for name, weight in heard]))
    return align(rows, width)


def align(rows: Rows, width: int) -> str:
    """Rows below each other, column by column; what would be wider goes on below."""
    margin = max(len(name) for name, _ in rows) + 2
    columns = list(zip(*(cells for _, cells in rows), strict=True))
    sizes = [max(map(len, column)) + 2 for column in columns]
    blocks, start = [], 0
    while start < len(columns):
        end, room = start + 1, width - margin - sizes[start]
        while end < len(columns) and sizes[end] <= room:
            room -= sizes[end]
            end += 1
        lines = (
            name.ljust(margin) + "".join(map(str.ljust, cells[start:end], sizes[start:end]))
            for name, cells in rows
        )
        blocks.append("\n".join(line.rstrip() for line in lines))
        start = end
    return "\n\n".join(blocks)
