"""Sentences as the page of a report shows them: of models that classify, and of models that tag."""

from __future__ import annotations

from math import isnan
from typing import Any

import torch
from torch import Tensor

from ..data import Vocabulary
from ..nn import MultiTaskModel, TaggingModel
from ..nn.modes import evaluating
from .sentences import SentenceWeights


def words_of(model: MultiTaskModel | TaggingModel) -> tuple[Vocabulary, Vocabulary | None]:
    """The words that a model knows, and the characters if it reads them."""
    if isinstance(model, TaggingModel):
        return model.sentences.words, model.sentences.characters
    return model.vocabulary, None


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


def _label(model: MultiTaskModel, sentence: SentenceWeights) -> dict[str, Any]:
    [prediction] = model.predict([" ".join(sentence.words)], sentence.task)
    label = sentence.label
    assert not isinstance(label, list)
    return {
        "label": None if label is None else model.classes[sentence.task][label],
        "prediction": prediction.label,
        "probability": float(f"{prediction.probability:.4g}"),
    }


def _tags(model: TaggingModel, sentence: SentenceWeights) -> dict[str, Any]:
    # Not by the words that are shown, which need not be all that the model has read.
    *_, lengths, task = sentence.arguments
    with evaluating(model), torch.no_grad():
        numbers = model.heads.decode(model(*sentence.arguments), lengths, task)[0]
    names, labels = model.classes[sentence.task], sentence.label
    assert isinstance(labels, list)
    return {
        "tags": model.sentences.decode_tags(numbers.cpu(), sentence.task),
        "labels": [None if label is None else names[label] for label in labels],
    }


def rounded(values: Tensor) -> list[float | None]:
    """Four digits are enough for a picture, and keep the page small; NaN, unknown, is ``None``."""
    return [None if isnan(value) else float(f"{value:.4g}") for value in values.tolist()]
