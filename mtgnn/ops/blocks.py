"""How many slots of a row stand in a block."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

# What a block costs beside its slots, in slots (``benchmarks/primitives.py``: products of 4 slots a
# block run at half the rate of those of 64).
OVERHEAD = 4.0


def fill_blocks(lengths: Sequence[Sequence[int]]) -> list[tuple[int, slice]]:
    """Deal the slots of every row out to blocks of one width.

    Wide blocks leave fillers where rows differ, narrow ones read a row's weights more often, and
    leave fillers where the last slots of a row outlive others' blocks. A step costs its slots,
    fillers included, and for each block ``OVERHEAD`` slots more.

    Args:
        lengths: For each row, the steps of its slots in descending order.

    Returns:
        For each block its row and which of the row's slots it holds; longest first.
    """
    every = padded(lengths)
    longest, active = every.size(1), active_slots(every)

    def cost(width: int) -> float:
        blocks = (active + (width - 1)).div(width, rounding_mode="floor").sum(0)
        return float((blocks * (active.amax(0).clamp(max=width) + OVERHEAD)).sum())

    widths = {longest, *(len(own) for own in lengths), *(2**i for i in range(1, 7))}
    best = min((w for w in widths if w <= longest), key=lambda w: (cost(w), -w))
    dealt = [
        (row, slice(start, start + best))
        for row, own in enumerate(lengths)
        for start in range(0, len(own), best)
    ]
    return sorted(dealt, key=lambda block: -lengths[block[0]][block[1].start])


def padded(lengths: Sequence[Sequence[int]]) -> Tensor:
    """``[G, width]``, 0 where there is no sequence."""
    width = max(len(own) for own in lengths)
    return torch.tensor([[*own, *[0] * (width - len(own))] for own in lengths])


def active_slots(lengths: Tensor) -> Tensor:
    """``[G, T]``, how many of the slots ``[G, width]`` have step t."""
    ends = lengths.new_zeros(lengths.size(0), int(lengths.max()) + 1)
    ends.scatter_add_(1, lengths, torch.ones_like(lengths))
    return lengths.size(1) - ends.cumsum(1)[:, :-1]
