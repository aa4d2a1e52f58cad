"""How good a model is, as the page of a report says it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..readouts.answers import LabelCounts


def shown_answers(
    counts: Mapping[str, LabelCounts], classes: Mapping[str, Sequence[str]], asked: Sequence[str]
) -> list[dict[str, Any]]:
    """For each task that is asked for how often the model is right, and what that is worth."""
    return [_row(task, counts[task], classes[task]) for task in asked]


def _row(task: str, counts: LabelCounts, names: Sequence[str]) -> dict[str, Any]:
    labelled = sum(counts.given)
    row: dict[str, Any] = {"task": task, "labelled": labelled, "says": _verdict(counts, names)}
    if labelled:
        row["right"] = sum(counts.right) / labelled
        row["usual"], row["share"] = names[counts.usual], counts.given[counts.usual] / labelled
    return row


def _verdict(counts: LabelCounts, names: Sequence[str]) -> str:
    """What a reader has to know before the rest; nothing where the model is good."""
    if not sum(counts.given):
        return "no labels: nothing is known of how good the model is here"
    always = f"always answering “{names[counts.usual]}”"
    if sum(counts.right) <= counts.given[counts.usual]:
        return f"no better than {always}: what follows says little"
    gain, error = counts.gain()
    if gain <= 2 * error:
        return (
            f"better than {always} by less than two standard errors, which may be chance: what "
            "follows may say little"
        )
    return ""
