"""Scores over an epoch and over all processes, each task by a function of predicted and true."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from itertools import repeat
from typing import Any, Protocol

import torch
from torch import Tensor

from ..data import NO_LABEL
from ..nn.tasks import has_one_task


class TaskScore(Protocol):
    """A score of predicted and true labels, more is better: names of texts' labels, or of sentences
    lists of tags.

    They are given by name: scikit-learn's functions take the true ones first, others last. A
    function that has an argument ``probability`` is also given, of texts, the probabilities of each
    one's classes in their order, as for an area under a curve:
    ``lambda predicted, true, probability: roc_auc_score(true, [row[1] for row in probability])``.
    """

    def __call__(self, *, predicted: list[Any], true: list[Any]) -> float: ...


class TaskScores:
    """Keeps predicted and true labels, and scores all of them at the end.

    So a score that is no mean over texts or sentences, such as F1, is exact, on several processes
    too. A word without a label ends a sequence of tags: its neighbours stand in different ones.

    Args:
        classes: The label names of each task, in the order of their numbers.
        scores: A function for each task that is to be scored, with arguments ``predicted`` and
            ``true``: of texts two lists of label names, of sentences two lists of sequences of
            tags; and ``probability``, of texts, where it has that.

    Attributes:
        wants_probability: Whether a function has that.

    Raises:
        ValueError: For an unknown task, or a function without these arguments.

    Example:
        >>> def share(predicted, true):
        ...     return sum(map(list.__eq__, predicted, true)) / len(true)
        >>> scores = TaskScores({"pos": ["N", "V"], "ner": ["O", "B"]}, {"ner": share})
        >>> y = torch.tensor([[1, 0, -100], [1, 1, 1]])
        >>> scores.update(torch.tensor([[1, 0, 0], [1, 1, 0]]), y, torch.tensor([1, 1]))
        >>> scores.compute()
        {'ner': 0.5}
    """

    def __init__(
        self, classes: Mapping[str, Sequence[str]], scores: Mapping[str, TaskScore]
    ) -> None:
        check_scores(scores)
        if not scores.keys() <= classes.keys():
            raise ValueError(f"expected scores of tasks {list(classes)}, got {list(scores)}")
        self._wanting = {task for task, score in scores.items() if _check_score(task, score)}
        self.wants_probability = bool(self._wanting)
        self.tasks, self.classes, self.scores = list(classes), classes, dict(scores)
        self.reset()

    def reset(self) -> None:
        """Forget all labels."""
        self._kept: dict[str, list[tuple[Any, ...]]] = {task: [] for task in self.scores}

    def update(
        self,
        predicted: Tensor,
        y: Tensor,
        task: Tensor | None,
        probability: Tensor | None = None,
    ) -> None:
        """Add texts or sentences.

        Args:
            predicted: Numbers of labels: of texts ``[B]``, of words ``[B, T]``; or in several
                tasks ``[B, K]``, ``[B, T, K]``.
            y: The true ones, −100 where there is no label.
            task: ``[B]``, task of each text or sentence; ``[B, K]`` or ``None``: several.
            probability: Of texts, the probabilities of all classes, ``[B, C]`` or ``[B, K, C]``.

        Raises:
            ValueError: If there is a task to be scored, and labels are of another shape, or a score
                wants probabilities of texts and has none.
        """
        if not self.scores:
            return
        one = has_one_task(task)
        fits = y.dim() in (1, 2) if one else y.dim() in (2, 3) and y.size(-1) == len(self.tasks)
        if not fits:
            raise ValueError(
                "expected labels [B] of texts or [B, T] of words with a task each, or of all tasks "
                f"[B, {len(self.tasks)}] or [B, T, {len(self.tasks)}], got {list(y.shape)}"
                f"{' with a task each' * one}"
            )
        if not has_one_task(task):
            task = torch.arange(y.size(-1)).repeat(len(y))
            predicted, y = (each.movedim(-1, 1).flatten(0, 1) for each in (predicted, y))
            probability = None if probability is None else probability.flatten(0, 1)
        if self._wanting and (probability is None or y.dim() == 2):
            raise ValueError(
                f"the scores of {sorted(self._wanting)} take probabilities, which there are of the "
                "labels of a MultiTaskModel's texts"
            )
        shares = repeat(None, len(y)) if probability is None else probability.tolist()
        rows = zip(task.tolist(), predicted.tolist(), y.tolist(), shares, strict=True)
        for number, found, true, own in rows:
            name = self.tasks[number]
            if name not in self._kept:
                continue
            if y.dim() == 2:
                self._kept[name] += _pieces(found, true)
            elif true != NO_LABEL:
                classes = own[: len(self.classes[name])] if name in self._wanting else None
                self._kept[name].append((found, true, classes))

    def compute(self) -> dict[str, float]:
        """The score of each task that has labels, over all processes."""
        answers = {}
        for task, score in self.scores.items():
            kept = _over_ranks(self._kept[task])
            names = self.classes[task]
            predicted, true = ([_named(pair[side], names) for pair in kept] for side in (0, 1))
            more = {"probability": [pair[2] for pair in kept]} if task in self._wanting else {}
            if true:
                answers[task] = float(score(predicted=predicted, true=true, **more))
        return answers


def check_scores(scores: object) -> None:
    """Raise where scores are not by task."""
    if not isinstance(scores, Mapping):
        raise ValueError(f"expected scores as a dict, functions by task, got {scores!r:.60}")


def _check_score(task: str, score: TaskScore) -> bool:
    """Whether a score wants probabilities, too; raise where it is none."""
    try:
        signature = inspect.signature(score)
        wants = "probability" in signature.parameters
        signature.bind(predicted=[], true=[], **({"probability": []} if wants else {}))
    except TypeError as error:
        raise ValueError(
            f"expected the score of {task!r} to be a function f(predicted, true), {error}"
        ) from error
    return wants


def _named(numbers: int | list[int], names: Sequence[str]) -> str | list[str]:
    return names[numbers] if isinstance(numbers, int) else [names[i] for i in numbers]


def _pieces(predicted: list[int], true: list[int]) -> list[tuple[list[int], list[int]]]:
    """Predicted and true tags of each stretch of labelled words."""
    pieces: list[tuple[list[int], list[int]]] = []
    is_open = False
    for found, label in zip(predicted, true, strict=True):
        if label != NO_LABEL and not is_open:
            pieces.append(([], []))
        is_open = label != NO_LABEL
        if is_open:
            pieces[-1][0].append(found)
            pieces[-1][1].append(label)
    return pieces


def _over_ranks(kept: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Those of all processes."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return kept
    every: list[list[tuple[Any, ...]]] = [[]] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(every, kept)
    return [pair for own in every for pair in own]
