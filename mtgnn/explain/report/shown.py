"""Sentences as the page of a report shows them: of models that classify, and of models that tag."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ...nn import MultiTaskModel, TaggingModel
from ...nn.modes import evaluating
from ..readouts.sentences import SentenceWeights


def shown(
    model: MultiTaskModel | TaggingModel, sentence: SentenceWeights, mailbox: bool
) -> dict[str, Any]:
    """A sentence with its weights, and with what the model says of it: a label, or tags."""
    answer = _tags(model, sentence) if isinstance(model, TaggingModel) else _label(model, sentence)
    return {
        "task": sentence.task,
        "words": sentence.words,
        "senders": None if mailbox else sentence.senders,
        "weights": [rounded(row) for row in sentence.weights],
        **answer,
    }


# What follows reads a sentence's arguments, for words that are shown need not be all that the model
# has read, and other words may be found in them.


def _label(model: MultiTaskModel, sentence: SentenceWeights) -> dict[str, Any]:
    with evaluating(model), torch.no_grad():
        probability, number = model(*sentence.arguments)[0].softmax(0).max(0)
    names, label = model.classes[sentence.task], sentence.label
    assert not isinstance(label, list)
    return {
        "label": None if label is None else names[label],
        "prediction": names[int(number)],
        "probability": float(f"{float(probability):.4g}"),
    }


def _tags(model: TaggingModel, sentence: SentenceWeights) -> dict[str, Any]:
    *_, lengths, task = sentence.arguments
    with evaluating(model), torch.no_grad():
        numbers = model.heads.decode(model(*sentence.arguments), lengths, task)[0]
    names, labels = model.classes[sentence.task], sentence.label
    assert isinstance(labels, list)
    return {
        "tags": model.sentences.decode_tags(numbers.cpu(), sentence.task),
        "labels": [None if label is None else names[label] for label in labels],
    }


def rounded(values: Tensor) -> list[float]:
    """Four digits are enough for a picture, and keep the page small."""
    return [float(f"{value:.4g}") for value in values.tolist()]
