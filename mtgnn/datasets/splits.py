"""The parts of a data set; and how a dev set is split off labelled examples."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Collection, Hashable, Sequence

SPLITS = ("train", "dev", "test")


def check_split(split: str, allowed: Collection[str] = SPLITS) -> None:
    """Raise where there is no such part."""
    if split not in allowed:
        raise ValueError(f"expected split as one of {list(allowed)}, got {split!r}")


def stratified_groups(
    groups: Sequence[Hashable], labels: Sequence[int], size: int, seed: int | str
) -> set[int]:
    """Numbers of ``size`` examples, drawn by label, that keep equal groups together.

    Each label gets its share of ``size``. Groups are drawn in random order, and one that is too
    large for what is left of a share is passed over.

    Args:
        groups: Group of each example, such as its text.
        labels: Label of each example.
        size: How many to draw.
        seed: Seed of the draw.

    Raises:
        ValueError: If there are not more than ``size`` examples, or the groups are too large to
            meet the shares exactly.
    """
    if not 0 < size < len(labels):
        raise ValueError(f"expected more than {size} examples to draw {size}, got {len(labels)}")
    left = _shares(Counter(labels), size)
    members: dict[Hashable, list[int]] = {}
    for number, group in enumerate(groups):
        members.setdefault(group, []).append(number)
    order = list(members)
    random.Random(seed).shuffle(order)
    drawn: set[int] = set()
    for group in order:
        counts = Counter(labels[number] for number in members[group])
        if all(left[label] >= count for label, count in counts.items()):
            left.subtract(counts)
            drawn.update(members[group])
    if len(drawn) != size:
        raise ValueError(
            f"could draw only {len(drawn)} of {size} examples: equal texts come in too large groups"
        )
    return drawn


def _shares(counts: Counter[int], size: int) -> Counter[int]:
    """``size`` divided in proportion to ``counts``: largest remainders round up."""
    total = sum(counts.values())
    shares = Counter({label: size * count // total for label, count in counts.items()})
    by_remainder = sorted(counts, key=lambda label: (-(size * counts[label] % total), label))
    for label in by_remainder[: size - sum(shares.values())]:
        shares[label] += 1
    return shares
