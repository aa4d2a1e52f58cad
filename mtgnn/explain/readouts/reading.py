"""One sentence, and whom a task listens to at each word of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from torch_geometric.data import Data

from ...data import EncodedSentences, EncodedTexts
from ...nn import MultiTaskModel, TaggingModel
from ...nn.compiled import uncompiled
from ...nn.models.check_model import check_task_name
from .collect import collect_attention
from .readout import find_encoder
from .sentences import SentenceSample, SentenceWeights, words_of


def read_sentence(
    model: MultiTaskModel | TaggingModel, sentence: str | Sequence[str], task: str
) -> SentenceWeights:
    """Have a model read a sentence for a task, and say what it weighed at each word.

    Weights are means over heads, layers and directions.

    Args:
        model: The model; its encoder is a :class:`mtgnn.nn.GraphLSTM` over a graph with edges.
        sentence: Its words, for a model that tags; or a text, which is split at white space.
        task: Name of the task that reads.

    Returns:
        The sentence in its own words; see :meth:`SentenceWeights.strongest`, and
        :func:`plot_sentence` for a picture.

    Raises:
        ValueError: For an unknown task or one that listens to nobody, a sentence without words or
            of the other kind, or an encoder without attention.

    Example:
        >>> from mtgnn.data import Vocabulary
        >>> classes = {"books": ["bad", "good"], "dvd": ["bad", "good"], "toys": ["bad", "good"]}
        >>> model = MultiTaskModel(Vocabulary(["i", "like", "it"]), classes, "complete")
        >>> read = read_sentence(model, "i like books", "books")
        >>> read.words, read.senders, list(read.weights.shape)
        (['i', 'like', 'books'], ['dvd', 'toys'], [2, 3])
        >>> [(sender, weight)] = read.strongest()[1:2]  # at "like"
        >>> sender in read.senders and 0.5 <= weight <= 1
        True
    """
    model = uncompiled(model)
    encoder = find_encoder(model)
    check_task_name(task, model.tasks)
    number = model.tasks.index(task)
    if not encoder.graph.incoming(number):
        raise ValueError(f"task {task!r} listens to nobody")
    tags = isinstance(model, TaggingModel)
    if isinstance(sentence, str) == tags:
        reads = "tags reads a list of words" if tags else "classifies reads a text"
        raise ValueError(f"a model that {reads}, got {sentence!r:.60}")
    words = sentence.split() if isinstance(sentence, str) else list(sentence)
    if not words:
        raise ValueError("expected a sentence with at least one word, got none")
    vocabulary, characters = words_of(model)
    items: Any
    if isinstance(model, TaggingModel):
        items = EncodedSentences([Data(words=words, task=number)], model.sentences, by_task=True)
    else:
        items = EncodedTexts([Data(text=sentence, task=number)], vocabulary)
    mailbox = encoder.memory != "current"
    readout = SentenceSample(encoder.graph, vocabulary, 1, mailbox=mailbox, characters=characters)
    [[read]] = collect_attention(model, [items.collate(list(items))], [readout])
    return replace(read, words=words, senders=words if mailbox else read.senders)
