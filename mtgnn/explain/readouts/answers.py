"""How often a model is right."""

from __future__ import annotations

from collections import Counter
from math import sqrt
from typing import NamedTuple

from torch import Tensor

from ...nn import MultiTaskModel, TaggingModel
from ...nn.models.trainable import Output, hits
from .readout import ANSWER, Batch


class LabelCounts(NamedTuple):
    """How a model does on the labels of a task; a label has a place in both lists.

    Attributes:
        given: How often each label stands in the data.
        right: How often the model gives it where it does.
    """

    given: list[int]
    right: list[int]

    @property
    def usual(self) -> int:
        """The most frequent label."""
        return self.given.index(max(self.given))

    def gain(self) -> tuple[float, float]:
        """By how much the model is right more often than always giving the most frequent label
        would be, as a share, and the standard error of that over at least two labels."""
        number, usual = sum(self.given), self.usual
        won = sum(self.right) - self.right[usual]
        lost = self.given[usual] - self.right[usual]
        mean = (won - lost) / number
        return mean, sqrt(((won + lost) / number - mean**2) / (number - 1))


class AnswerCount:
    """Readout: for each task and label, how often it is given, and how often the model says so.

    Args:
        model: The model, which turns what it returns into classes.
    """

    reads = ANSWER

    def __init__(self, model: MultiTaskModel | TaggingModel) -> None:
        self._model = model
        self._given: Counter[tuple[int, int]] = Counter()
        self._right: Counter[tuple[int, int]] = Counter()

    def update(self, batch: Batch, answer: Tensor) -> None:
        """Take a batch, see :class:`Readout`."""
        predicted = self._model.predicted(Output(answer), batch)
        right, task, labelled = (part.cpu() for part in hits(predicted, batch.y, batch.task))
        label = batch.y.flatten().cpu()
        for counter, rows in ((self._given, labelled), (self._right, labelled & right)):
            counter.update(zip(task[rows].tolist(), label[rows].tolist(), strict=True))

    def compute(self) -> dict[str, LabelCounts]:
        """The counts of each task, by its name."""
        return {
            task: LabelCounts(
                *(
                    [counter[k, label] for label in range(len(names))]
                    for counter in (self._given, self._right)
                )
            )
            for k, (task, names) in enumerate(self._model.classes.items())
        }
