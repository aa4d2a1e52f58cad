"""Precision, recall and F1 of spans, as the official scorer of CoNLL-2000 gives them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ..data.batch import NO_LABEL
from ..data.schemes import OUTSIDE, read_spans, split_tag


class SpanScore(NamedTuple):
    """Scores from 0 to 1, and the numbers of spans they come from.

    Attributes:
        precision: Share of the predicted spans that are right; 0 where there is none.
        recall: Share of the true spans that are predicted; 0 where there is none.
        f1: Harmonic mean of both; 0 where both are.
        correct: Predicted spans with the same place and type as a true one.
        predicted: Predicted spans.
        true: True spans.
    """

    precision: float
    recall: float
    f1: float
    correct: int
    predicted: int
    true: int


class SpanScores(NamedTuple):
    """The score over all spans (the micro average), and that of each type of span."""

    overall: SpanScore
    per_type: dict[str, SpanScore]


def score_spans(predicted: Iterable[Sequence[str]], true: Iterable[Sequence[str]]) -> SpanScores:
    """Precision, recall and F1 of tagged sentences, of IOB tags exactly as by ``conlleval``.

    A predicted span is right where a true one has the same first word, last word and type. Ill-
    formed tags are read as the official scorer reads them, see :func:`~mtgnn.data.read_spans`, and
    so IOB1, IOB2, IOBES and BILOU give the same scores. (``conlleval`` itself takes ``E-X B-X`` for
    one span.)

    Args:
        predicted: Predicted tags of each sentence.
        true: True tags of each sentence.

    Returns:
        The scores, with the types that occur on either side, sorted.

    Raises:
        ValueError: If numbers of sentences or of tags differ, or something is no tag.

    Example:
        >>> scores = score_spans([["B-NP", "I-NP", "B-VP"]], [["B-NP", "I-NP", "O"]])
        >>> scores.overall
        SpanScore(precision=0.5, recall=1.0, f1=0.666..., correct=1, predicted=2, true=1)
        >>> list(scores.per_type)
        ['NP', 'VP']
    """
    counts = _Counts()
    guesses, truths = list(predicted), list(true)
    if len(guesses) != len(truths):
        raise ValueError(f"expected {len(truths)} predicted sentences, got {len(guesses)}")
    for number, (guess, truth) in enumerate(zip(guesses, truths, strict=True)):
        if len(guess) != len(truth):
            raise ValueError(
                f"sentence {number}: expected {len(truth)} predicted tags, got {len(guess)}"
            )
        counts.add(guess, truth)
    types = sorted(counts.predicted.keys() | counts.true.keys())
    return counts.scores(types)


def span_f1(predicted: Iterable[Sequence[str]], true: Iterable[Sequence[str]]) -> float:
    """F1 over all spans, see :func:`score_spans`; a score for :func:`mtgnn.lightning.fit`.

    Example:
        >>> span_f1([["B-NP", "I-NP", "B-VP"]], [["B-NP", "I-NP", "O"]])
        0.666...
    """
    return score_spans(predicted, true).overall.f1


class SpanF1:
    """:func:`score_spans` over batches of tag numbers.

    Args:
        classes: The tags of the task, in the order of their numbers.

    Shapes:
        - **update:** predicted and true numbers :math:`(B, T)`

    Raises:
        ValueError: If a class is no tag of spans.

    Example:
        >>> f1 = SpanF1(["O", "B-PER", "I-PER"])
        >>> f1.update(torch.tensor([[1, 2, 0], [1, 0, 0]]), torch.tensor([[1, 2, 0], [2, 0, -100]]))
        >>> f1.compute().overall.f1
        1.0
    """

    def __init__(self, classes: Sequence[str]) -> None:
        self.classes = list(classes)
        self.types = sorted({split_tag(tag)[1] for tag in self.classes if tag != OUTSIDE})
        self._counts = _Counts()

    def update(self, predicted: Tensor, true: Tensor) -> None:
        """Add the sentences of a batch.

        Args:
            predicted: Predicted class of each word ``[B, T]``; whatever stands where there is no
                label does not count.
            true: Its true class ``[B, T]``, −100 for "no label" and for padding. A word without a
                label ends the spans on both sides.

        Raises:
            ValueError: If the shapes differ, or a number is none of the classes.
        """
        real = check_labels(predicted, true, len(self.classes))
        # One list of tags for each side: what is no label becomes O, as does a sentence's end.
        numbers = torch.stack([predicted, true]).masked_fill(~real, -1)
        numbers = torch.nn.functional.pad(numbers, (0, 1), value=-1).flatten(1)
        tags = [*self.classes, OUTSIDE]
        guess, truth = ([tags[number] for number in row] for row in numbers.tolist())
        self._counts.add(guess, truth)

    def compute(self) -> SpanScores:
        """The scores of all sentences so far; ``per_type`` has every type of the classes."""
        return self._counts.scores(self.types)

    def reset(self) -> None:
        """Forget all sentences."""
        self._counts = _Counts()

    def counts(self) -> Tensor:
        """Correct, predicted and true spans of each type ``[types, 3]``, to sum over processes."""
        columns = (self._counts.correct, self._counts.predicted, self._counts.true)
        rows = [[column[kind] for column in columns] for kind in self.types]
        return torch.tensor(rows, dtype=torch.long).reshape(-1, 3)

    def load_counts(self, counts: Tensor) -> None:
        """Take ``counts`` ``[types, 3]`` in place of what was counted."""
        if counts.shape != (len(self.types), 3):
            raise ValueError(f"expected counts [{len(self.types)}, 3], got {list(counts.shape)}")
        columns = [dict(zip(self.types, column, strict=True)) for column in counts.T.tolist()]
        self._counts = _Counts(*columns)

    def __repr__(self) -> str:
        return f"SpanF1({len(self.types)} types)"


class _Counts:
    """Correct, predicted and true spans by type."""

    def __init__(self, *counts: dict[str, int]) -> None:
        self.correct, self.predicted, self.true = map(Counter, counts or ({}, {}, {}))

    def add(self, predicted: Sequence[str], true: Sequence[str]) -> None:
        guess, truth = set(read_spans(predicted)), set(read_spans(true))
        self.correct.update(span.type for span in guess & truth)
        self.predicted.update(span.type for span in guess)
        self.true.update(span.type for span in truth)

    def scores(self, types: Sequence[str]) -> SpanScores:
        columns = (self.correct, self.predicted, self.true)
        return score_counts({kind: tuple(column[kind] for column in columns) for kind in types})


def score_counts(counts: Mapping[str, tuple[int, ...]]) -> SpanScores:
    """Scores from what is correct, predicted and true of each type."""
    per_type = {kind: _score(*own) for kind, own in counts.items()}
    return SpanScores(_score(*(sum(own[i] for own in counts.values()) for i in range(3))), per_type)


def _score(correct: int, predicted: int, true: int) -> SpanScore:
    precision = correct / predicted if predicted else 0.0
    recall = correct / true if true else 0.0
    f1 = 2 * correct / (predicted + true) if correct else 0.0
    return SpanScore(precision, recall, f1, correct, predicted, true)


def check_labels(predicted: Tensor, true: Tensor, num_classes: int | None) -> Tensor:
    """Where there are labels ``[B, T]``, or ``ValueError`` if shapes or numbers are wrong."""
    if predicted.shape != true.shape or true.dim() != 2:
        raise ValueError(
            f"expected predicted and true classes [B, T], got {list(predicted.shape)} and "
            f"{list(true.shape)}"
        )
    if predicted.is_floating_point() or true.is_floating_point():
        raise ValueError("expected predicted and true classes as integers, got floats")
    real = true != NO_LABEL
    if num_classes is not None:
        for name, numbers in (("predicted", predicted[real]), ("true", true[real])):
            wrong = numbers[(numbers < 0) | (numbers >= num_classes)]
            if len(wrong):
                raise ValueError(
                    f"expected {name} classes from 0 to {num_classes - 1}, got {int(wrong[0])}"
                )
    return real
