"""Which tag may follow which in a tag scheme."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ...data import NO_LABEL
from ...data.schemes import OUTSIDE, check_scheme, split_tag

# Of each scheme: what may begin a span, end one, and go on with one.
_FIRST = {"IOB1": "I", "IOB2": "B", "IOBES": "BS", "BILOU": "BU"}
_LAST = {"IOB1": "BI", "IOB2": "BI", "IOBES": "ES", "BILOU": "LU"}
_NEXT = {"IOB1": "BI", "IOB2": "I", "IOBES": "IE", "BILOU": "IL"}


class AllowedTransitions(NamedTuple):
    """Which tags may follow each other, as booleans.

    Attributes:
        between: ``[C, C]``, from row to column.
        start: ``[C]``, which may stand first.
        end: ``[C]``, which may stand last.
    """

    between: Tensor
    start: Tensor
    end: Tensor


def allowed_transitions(tags: Sequence[str], scheme: str) -> AllowedTransitions:
    """The transitions that a tag scheme allows.

    Args:
        tags: Names in the order of their numbers: ``O``, or a prefix and a type, ``B-NP``.
        scheme: ``"IOB1"``, ``"IOB2"``, ``"IOBES"`` or ``"BILOU"``.

    Raises:
        ValueError: For an unknown scheme, or a tag that is none of the scheme.

    Example:
        >>> allowed = allowed_transitions(["O", "B-NP", "I-NP", "I-VP"], "IOB2")
        >>> allowed.between[1]  # B-NP
        tensor([ True,  True,  True, False])
        >>> allowed.start
        tensor([ True,  True, False, False])
    """
    check_scheme(scheme)
    parts = [_split(tag, scheme) for tag in tags]
    starts = [prefix in _FIRST[scheme] + OUTSIDE for prefix, _ in parts]
    ends = [prefix in _LAST[scheme] + OUTSIDE for prefix, _ in parts]
    inner = [prefix in _NEXT[scheme] for prefix, _ in parts]
    rows = []
    for (prefix, kind), may_end in zip(parts, ends, strict=True):
        # Within a span is what began and is not over: in IOB a B or I, else a B or I and no other.
        is_open = prefix in "BI"
        rows.append(
            [
                (may_end and may_start) or (is_open and goes_on and kind == other)
                for (_, other), may_start, goes_on in zip(parts, starts, inner, strict=True)
            ]
        )
    between = torch.tensor(rows, dtype=torch.bool).view(len(parts), len(parts))
    return AllowedTransitions(between, torch.tensor(starts), torch.tensor(ends))


def task_transitions(task: str, tags: Sequence[str], scheme: str) -> AllowedTransitions:
    """The same for a task that a CRF is to tag.

    Raises:
        ValueError: Also if no sequence has some tag, as where tags are of another scheme.
    """
    try:
        allowed = allowed_transitions(tags, scheme)
    except ValueError as error:
        raise ValueError(f"task {task!r}: {error}") from error
    lost = [tags[number] for number in on_no_path(allowed)]
    if lost:
        raise ValueError(
            f"task {task!r}: no sequence of its tags in {scheme} has {lost[:5]}; are they of "
            "another scheme? (a dataset's schemes say of which)"
        )
    return allowed


def first_not_allowed(
    allowed: AllowedTransitions, sequences: Sequence[Tensor]
) -> tuple[int, int] | None:
    """The first of labels ``[T]``, −100 where there is none, that may not stand where it does:
    first, last, or after its neighbour. The number of its sequence, and its place there; ``None``
    if all may."""
    sizes = torch.tensor([len(labels) for labels in sequences])
    y, ends = torch.cat(list(sequences)), sizes.cumsum(0)
    there, label = y != NO_LABEL, y.clamp(min=0)
    first, last = ends - sizes, ends - 1
    wrong = torch.zeros_like(there)
    wrong[1:] = there[1:] & there[:-1] & ~allowed.between[label[:-1], label[1:]]
    wrong[first] = there[first] & ~allowed.start[label[first]]
    wrong[last] |= there[last] & ~allowed.end[label[last]]
    if not bool(wrong.any()):
        return None
    place = int(wrong.nonzero()[0])
    number = int(torch.searchsorted(ends, place, right=True))
    return number, place - int(first[number])


def on_no_path(allowed: AllowedTransitions) -> list[int]:
    """Numbers of the tags that no allowed path from start to end has."""
    ways = ((allowed.start, allowed.between), (allowed.end, allowed.between.T))
    lost = torch.zeros_like(allowed.start)
    for first, between in ways:
        reached = first.clone()
        for _ in range(len(first)):
            reached |= (reached.unsqueeze(1) & between).any(0)
        lost |= ~reached
    return [int(number) for number in lost.nonzero()]


def _split(tag: str, scheme: str) -> tuple[str, str]:
    """Prefix and type of a tag, ``O`` included."""
    if tag == OUTSIDE:
        return OUTSIDE, ""
    prefix, kind = split_tag(tag)
    if prefix not in _FIRST[scheme] + _LAST[scheme] + _NEXT[scheme]:
        raise ValueError(f"expected tags of {scheme}, got {tag!r}")
    return prefix, kind
