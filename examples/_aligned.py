"""Tagged sentences for a person: words, their tags, and which message was the strongest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch_geometric.data import Data

from mtgnn.data import BucketBatchSampler, EncodedSentences
from mtgnn.nn import GraphLSTM, TaggingModel

Rows = list[tuple[str, list[str]]]


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
    messages: dict[str, list[tuple[str, float]]]


@torch.no_grad()
def tag(model: TaggingModel, sentences: Sequence[list[str]], batch_size: int) -> list[Tagged]:
    """Tag sentences for all tasks; weights are means over both directions."""
    encoded = EncodedSentences((Data(words=words) for words in sentences), model.sentences)
    hears = isinstance(model.encoder, GraphLSTM) and model.graph.num_edges > 0
    tagged: dict[int, Tagged] = {}
    model.eval()
    for numbers in BucketBatchSampler(encoded.lengths, batch_size, shuffle=False):
        batch = encoded.collate([encoded[i] for i in numbers])
        given = batch.tokens, batch.characters, batch.lengths
        weights = None
        if hears:
            logits, attention = model(*given, return_attention_weights=True)
            weights = torch.stack([alpha.mean(-1) for _, alpha in attention]).mean(0)
        else:
            logits = model(*given)
        found = model.heads.decode(logits, batch.lengths)
        for row, number in enumerate(numbers):
            words = sentences[number]
            tags = {
                task: model.sentences.decode_tags(found[row, : len(words), k], task)
                for k, task in enumerate(model.tasks)
            }
            heard = {} if weights is None else strongest(model, words, weights[row])
            tagged[number] = Tagged(words, tags, heard)
    return [tagged[number] for number in range(len(sentences))]


def strongest(
    model: TaggingModel, words: list[str], weights: Tensor
) -> dict[str, list[tuple[str, float]]]:
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
