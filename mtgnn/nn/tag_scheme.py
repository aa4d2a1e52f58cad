"""Which tag may follow which in a tag scheme."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from .check import check_option

SCHEMES = ("IOB2", "IOBES")

_STARTS = {"IOB2": "OB", "IOBES": "OBS"}  # may stand first, and after whatever ended
_ENDS = {"IOB2": "OBI", "IOBES": "OES"}  # may stand last
_INSIDE = {"IOB2": {"B": "I", "I": "I"}, "IOBES": {"B": "IE", "I": "IE"}}  # in the same span


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
        scheme: ``"IOB2"``: every span begins with B, and I continues one of its type; ``"IOBES"``:
            spans of one word are S, longer ones B, I …, E.

    Raises:
        ValueError: For an unknown scheme, or a tag that is none of the scheme.

    Example:
        >>> allowed = allowed_transitions(["O", "B-NP", "I-NP", "I-VP"], "IOB2")
        >>> allowed.between[1]  # B-NP
        tensor([ True,  True,  True, False])
        >>> allowed.start
        tensor([ True,  True, False, False])
    """
    check_option("scheme", scheme, SCHEMES)
    parts = [_split(tag, scheme) for tag in tags]
    starts = [prefix in _STARTS[scheme] for prefix, _ in parts]
    ends = [prefix in _ENDS[scheme] for prefix, _ in parts]
    rows = []
    for (prefix, kind), may_end in zip(parts, ends, strict=True):
        inside = _INSIDE[scheme].get(prefix, "")
        rows.append(
            [
                (may_end and may_start) or (other in inside and kind == other_kind)
                for (other, other_kind), may_start in zip(parts, starts, strict=True)
            ]
        )
    between = torch.tensor(rows, dtype=torch.bool).view(len(parts), len(parts))
    return AllowedTransitions(between, torch.tensor(starts), torch.tensor(ends))


def _split(tag: str, scheme: str) -> tuple[str, str]:
    """Prefix and type; that of ``O`` is empty."""
    prefix, line, kind = tag.partition("-")
    if tag == "O" or (line and kind and prefix in set(scheme.rstrip("2")) - {"O"}):
        return prefix, kind
    raise ValueError(f"expected tags of {scheme}, such as O and B-NP, got {tag!r}")
