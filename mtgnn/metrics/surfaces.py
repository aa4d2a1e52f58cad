"""Scores of different names: each counts once, however often it stands in the text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..data.schemes import Span, read_spans
from .spans import SpanScores, score_counts

Surface = tuple[str, tuple[str, ...]]


def score_surfaces(
    words: Iterable[Sequence[str]],
    predicted: Iterable[Sequence[str]],
    true: Iterable[Sequence[str]],
) -> SpanScores:
    """Precision, recall and F1 of surface forms, the second score of `WNUT-17
    <https://aclanthology.org/W17-4418>`_: how many different names are found.

    A surface form is the words of a span, as they are spelt, with its type. It is right if one of
    its spans is predicted where it stands. Spans are those of :func:`score_spans`.

    Args:
        words: The words of each sentence.
        predicted: Predicted tags of each sentence.
        true: True tags of each sentence.

    Returns:
        The scores over all types, and of each type that occurs on either side, sorted; counts are
        those of different surface forms.

    Raises:
        ValueError: If numbers of sentences, words or tags differ, or something is no tag.

    Example:
        >>> words = [["Rome", "!"], ["in", "Rome"], ["Bob"]]
        >>> true = [["B-LOC", "O"], ["O", "B-LOC"], ["B-PER"]]
        >>> predicted = [["B-LOC", "O"], ["O", "O"], ["O"]]
        >>> scores = score_surfaces(words, predicted, true)
        >>> scores.overall.recall, scores.overall.precision  # Rome is found, Bob is not
        (0.5, 1.0)
    """
    found: dict[str, set[Surface]] = {"correct": set(), "predicted": set(), "true": set()}
    sides = [list(words), list(predicted), list(true)]
    if len({len(side) for side in sides}) > 1:
        raise ValueError(f"expected as many sentences, got {[len(side) for side in sides]}")
    for number, (said, guess, truth) in enumerate(zip(*sides, strict=True)):
        if not len(said) == len(guess) == len(truth):
            raise ValueError(
                f"sentence {number}: expected a predicted and a true tag for each word, got "
                f"{len(said)} words and {len(guess)} and {len(truth)} tags"
            )
        spans = {"predicted": set(read_spans(guess)), "true": set(read_spans(truth))}
        spans["correct"] = spans["predicted"] & spans["true"]
        for side, own in spans.items():
            found[side].update(_surface(said, span) for span in own)
    types = sorted({kind for kind, _ in found["predicted"] | found["true"]})
    return score_counts(
        {
            kind: tuple(sum(own == kind for own, _ in found[side]) for side in found)
            for kind in types
        }
    )


def _surface(words: Sequence[str], span: Span) -> Surface:
    return span.type, tuple(words[span.start : span.end])
