"""How the runs of many nodes on many sequences lie in memory.

A *slot* is one node's run on one sequence. Slots stand in descending order of length, and states
are packed: the first ``widths[t]`` slots have a step t, and their tokens follow each other from
``offsets[t]`` on. So finished sequences cost nothing, and nothing is stored for padding.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from itertools import accumulate

import torch
from torch import Tensor


class Layout:
    """The slots of a stage.

    Args:
        rows: For each slot, the row (of R) that holds its node's weights.
        lengths: For each slot, its number of steps; never rises.
        device: Where index tensors live.

    Attributes:
        rows: As given.
        lengths: As given.
        num_rows: R.
        widths: For each step, how many slots have it.
        offsets: For each step, the number of its first token; one more for the end.
    """

    def __init__(
        self, rows: Sequence[int], lengths: Sequence[int], device: torch.device | str = "cpu"
    ) -> None:
        if any(a < b for a, b in zip(lengths, lengths[1:], strict=False)):
            raise ValueError(f"expected lengths that never rise, got {list(lengths)}")
        self.rows, self.lengths = list(rows), list(lengths)
        self.device = torch.device(device)
        self.num_rows = max(self.rows) + 1
        self.widths = _widths(self.lengths)
        self.offsets = [0, *accumulate(self.widths)]
        self._groups: dict[int, Groups] = {}

    @property
    def num_slots(self) -> int:
        """Number of slots S."""
        return len(self.rows)

    @property
    def num_tokens(self) -> int:
        """Number of tokens L, over all slots and steps."""
        return self.offsets[-1]

    def groups(self, width: int) -> Groups:
        """The first ``width`` slots by row, for products with each row's weights."""
        if width not in self._groups:
            self._groups[width] = Groups(self.rows[:width], self.num_rows, self.device)
        return self._groups[width]

    @cached_property
    def slot(self) -> Tensor:
        """``[L]``, the slot of each token."""
        return torch.cat([torch.arange(width) for width in self.widths]).to(self.device)

    @cached_property
    def time(self) -> Tensor:
        """``[L]``, the step of each token."""
        widths = torch.tensor(self.widths)
        return torch.arange(len(self.widths)).repeat_interleave(widths).to(self.device)

    @cached_property
    def start(self) -> Tensor:
        """``[T]``, ``offsets`` without the end, as a tensor."""
        return torch.tensor(self.offsets[:-1], device=self.device)

    @cached_property
    def row(self) -> Tensor:
        """``[S]``, ``rows`` as a tensor."""
        return torch.tensor(self.rows, device=self.device)

    @cached_property
    def length(self) -> Tensor:
        """``[S]``, ``lengths`` as a tensor."""
        return torch.tensor(self.lengths, device=self.device)

    @cached_property
    def final(self) -> Tensor:
        """``[S]``, the last token of each slot."""
        return self.start[self.length - 1] + torch.arange(self.num_slots, device=self.device)

    @cached_property
    def flip(self) -> Tensor:
        """``[L]``, for each token the one that stands there in the reversed sequence."""
        return self.start[self.length[self.slot] - 1 - self.time] + self.slot


class Groups:
    """Slots sorted by row.

    Args:
        rows: For each slot, its row.
        num_rows: R.
        device: Where index tensors live.
    """

    def __init__(self, rows: list[int], num_rows: int, device: torch.device) -> None:
        order = sorted(range(len(rows)), key=rows.__getitem__)
        self.sizes = [rows.count(row) for row in range(num_rows)]
        self.order: Tensor | None = None
        self.inverse: Tensor | None = None
        if order != list(range(len(rows))):
            self.order = torch.tensor(order, device=device)
            self.inverse = torch.argsort(self.order)

    def product(self, x: Tensor, weights: Sequence[Tensor], bias: Tensor | None = None) -> Tensor:
        """Each slot's vector times its row's weights: ``[S, F] → [S, G]``.

        Args:
            x: ``[S, F]``.
            weights: R matrices ``[F, G]``.
            bias: ``[R, G]``.
        """
        x = x if self.order is None else x.index_select(0, self.order)
        parts = [
            part @ weights[row] if bias is None else torch.addmm(bias[row], part, weights[row])
            for row, part in enumerate(x.split(self.sizes))
            if part.size(0)
        ]
        out = parts[0] if len(parts) == 1 else torch.cat(parts)
        return out if self.inverse is None else out.index_select(0, self.inverse)


def _widths(lengths: Sequence[int]) -> list[int]:
    ends = torch.tensor(lengths).bincount(minlength=lengths[0] + 1)
    return (len(lengths) - ends.cumsum(0))[: lengths[0]].tolist()
