"""Tags of a test part, and what is known of a task by them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

import torch
from _examples import numbered_batches
from _tagging_scores import Counts, count, score

from mtgnn.data import EncodedSentences, TokenBatch
from mtgnn.metrics import TokenAccuracy
from mtgnn.nn import TaggingModel

Sides = Mapping[str, list[list[int]]]


class Answer(NamedTuple):
    """What is known of a task after its test sentences have been tagged."""

    tags: Sequence[str]
    predicted: list[list[int]]
    true: list[list[int]]
    unknown: list[list[int]]
    counts: Counts
    test: float
    unknown_words: float


@torch.no_grad()
def look(model: TaggingModel, batch: TokenBatch, *_: object) -> torch.Tensor:
    """The tags of a batch."""
    return model.predicted(model.read(batch), batch)


def tag(model: TaggingModel, data: EncodedSentences, batch_size: int) -> list[dict[str, Any]]:
    """Of each sentence in order: predicted and true tags ``[T, K]``, and unknown words ``[T]``."""
    rows: list[dict[str, Any]] = [{} for _ in range(len(data))]
    device = model.words.embedding.weight.device
    for numbers, batch in numbered_batches(data, batch_size):
        batch = batch.to(device)
        predicted = look(model, batch).cpu()
        assert batch.unknown is not None
        y, unknown = batch.y.cpu(), batch.unknown.cpu()
        for place, number in enumerate(numbers):
            real = slice(int(batch.lengths[place]))
            rows[number] = {
                "predicted": predicted[place, real],
                "true": y[place, real],
                "unknown": unknown[place, real],
            }
    return rows


def of_task(rows: list[dict[str, Any]], task: int) -> Sides:
    """Predicted and true tags of one task, and unknown words, as lists."""
    return {
        "predicted": [row["predicted"][:, task].tolist() for row in rows],
        "true": [row["true"][:, task].tolist() for row in rows],
        "unknown": [row["unknown"].int().tolist() for row in rows],
    }


def answer(tags: Sequence[str], sides: Sides, spans: Sequence[str] | None) -> Answer:
    counts = count(sides["predicted"], sides["true"], spans)
    flat = {name: torch.tensor([list(chain(*rows))]) for name, rows in sides.items()}
    accuracy = TokenAccuracy()
    accuracy.update(flat["predicted"], flat["true"], flat["unknown"].bool())
    test = float(score(counts.sum(0)))
    return Answer(tags, **sides, counts=counts, test=test, unknown_words=accuracy.compute()[1])
