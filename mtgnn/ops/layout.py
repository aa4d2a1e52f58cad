"""How the runs of many nodes on many sequences lie in memory.

A *slot* is one node's run on one sequence. Slots of nodes with the same matrices, mostly one node,
are a *row*, and stand in *blocks* of equal width, so
that a step of all nodes is one batched product ``[blocks, width, F] × [blocks, F, 4H]``. Within a
block slots stand in descending order of length, and blocks in descending order of their longest;
so at each step the slots that have it are the first ones of the first blocks, states are packed
step after step, and finished sequences cost next to nothing.

Where blocks are not equally full, *fillers* make up the difference. A filler's token is a copy of
one of its own sequence (its last one), or, in a place without a sequence, of the block's first
slot. Nobody reads fillers, so no gradient flows into them.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from itertools import accumulate
from typing import NamedTuple

import torch
from torch import Tensor

from .blocks import active_slots, padded
from .device import to_device


class Step(NamedTuple):
    """The tokens of a step: ``width`` slots in each of ``blocks`` blocks, from ``start`` on."""

    blocks: int
    width: int
    start: int
    stop: int


class Chunk(NamedTuple):
    """Consecutive steps ``first`` to ``last - 1``, whose tokens stand side by side in each block.

    Attributes:
        first: The first step.
        last: One more than the last step.
        columns: For each of its steps, the first of its columns; one more for the end.
        token: ``[G, columns]``, the token there; any token where a block has none.
    """

    first: int
    last: int
    columns: list[int]
    token: Tensor


class Layout:
    """The slots of a stage.

    Args:
        rows: For each block, the row (of R) that holds its weights.
        lengths: For each block, the number of steps of each of its slots, in descending order.
        device: Where index tensors live.

    Attributes:
        rows: As given.
        num_blocks: G.
        width: Places in a block; there are S = G · width slots, ``block · width + place``.
        steps: The tokens of each step.

    Raises:
        ValueError: If lengths within a block, or those of blocks, rise.
    """

    def __init__(
        self,
        rows: Sequence[int],
        lengths: Sequence[Sequence[int]],
        device: torch.device | str = "cpu",
    ) -> None:
        firsts = [own[0] for own in lengths]
        for own in [firsts, *lengths]:
            if any(a < b for a, b in zip(own, own[1:], strict=False)):
                raise ValueError(f"expected lengths that never rise, got {list(own)}")
        self.rows, self.device = list(rows), torch.device(device)
        self._lengths = padded(lengths)
        self._chunks: dict[int, list[Chunk]] = {}
        self.num_blocks, self.width = self._lengths.shape
        self.steps = _steps(self._lengths)

    @property
    def num_slots(self) -> int:
        """Number of slots S, places without a sequence included."""
        return self.num_blocks * self.width

    @property
    def num_tokens(self) -> int:
        """Number of tokens L, over all slots and steps, fillers included."""
        return self.steps[-1].stop

    def split(self, packed: Tensor) -> list[Tensor]:
        """Packed ``[L, F]`` as one ``[blocks, width, F]`` a step."""
        parts = packed.split([step.stop - step.start for step in self.steps])
        return [
            part.view(step.blocks, step.width, -1)
            for part, step in zip(parts, self.steps, strict=True)
        ]

    def _there(self, values: Tensor | Sequence[int]) -> Tensor:
        return to_device(values, self.device)

    @cached_property
    def exact(self) -> bool:
        """Whether there are no fillers."""
        return int(self._lengths.sum()) == self.num_tokens

    @cached_property
    def _grid(self) -> tuple[Tensor, Tensor, Tensor]:
        """Step, block and place in it of each token, ``[L]`` each, on the CPU."""
        _, widths, starts, stops = torch.tensor(self.steps).unbind(1)
        step = torch.arange(len(self.steps)).repeat_interleave(stops - starts)
        within = torch.arange(self.num_tokens) - starts[step]
        return step, within // widths[step], within % widths[step]

    @cached_property
    def _tokens(self) -> tuple[Tensor, Tensor, Tensor]:
        """Slot, step and realness of each token, ``[L]`` each, on the CPU."""
        step, block, place = self._grid
        length = self._lengths[block, place]
        real = length > step
        place = torch.where(length > 0, place, 0)
        time = step.minimum(self._lengths[block, place] - 1)
        return block * self.width + place, time, real

    @cached_property
    def block(self) -> Tensor:
        """``[L]``, the block of each token."""
        return self._there(self._grid[1])

    @cached_property
    def slot(self) -> Tensor:
        """``[L]``, the slot of each token; a filler's is the one it copies."""
        return self._there(self._tokens[0])

    @cached_property
    def time(self) -> Tensor:
        """``[L]``, the step of each token; a filler's is the one it copies."""
        return self._there(self._tokens[1])

    @cached_property
    def real(self) -> Tensor | None:
        """``[*]``, the tokens that are no fillers; ``None``: all."""
        return None if self.exact else self._there(self._tokens[2].nonzero().squeeze(1))

    @cached_property
    def first_block(self) -> Tensor:
        """``[Σ width]``, the tokens of the first block, step after step."""
        parts = [torch.arange(step.start, step.start + step.width) for step in self.steps]
        return self._there(torch.cat(parts))

    @cached_property
    def blocks_last(self) -> Tensor:
        """``[L]``, the place of each token in the order (step, place, block), where all blocks
        have all steps."""
        step, block, place = self._grid
        starts = torch.tensor(self.steps)[:, 2]
        return self._there(starts[step] + place * self.num_blocks + block)

    @cached_property
    def filled(self) -> list[int]:
        """The slots that hold a sequence."""
        filled: list[int] = (self._lengths.flatten() > 0).nonzero().flatten().tolist()
        return filled

    @cached_property
    def exists(self) -> Tensor:
        """The same, ``[*]``."""
        return self._there(self.filled)

    @cached_property
    def counts(self) -> list[int]:
        """How many sequences have each step."""
        steps = torch.arange(len(self.steps))
        counts: list[int] = (self._lengths.flatten().unsqueeze(1) > steps).sum(0).tolist()
        return counts

    def tokens_of(self, slots: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
        """Of the tokens of some slots that are no fillers: each one itself, the place of its slot
        in ``slots``, and its step, ``[*]`` each."""
        place = torch.full((self.num_slots,), -1)
        place[torch.tensor(slots, dtype=torch.long)] = torch.arange(len(slots))
        slot, time, real = self._tokens
        token = ((place[slot] >= 0) & real).nonzero().squeeze(1)
        return self._there(token), self._there(place[slot[token]]), self._there(time[token])

    @cached_property
    def length(self) -> Tensor:
        """``[S]``, number of steps; of a place without a sequence, that of the block's first."""
        lengths = torch.where(self._lengths > 0, self._lengths, self._lengths[:, :1])
        return self._there(lengths.flatten())

    @cached_property
    def place(self) -> Tensor:
        """``[T, S]``, the token of each slot at each step; beyond its length, its last one."""
        blocks, widths, starts, _ = torch.tensor(self.steps).unbind(1)
        block = torch.arange(self.num_blocks).repeat_interleave(self.width)
        own = self._lengths.flatten()
        place = torch.where(own > 0, torch.arange(self.num_slots) % self.width, 0)
        last = torch.where(own > 0, own, self._lengths[block, 0]) - 1
        step = torch.arange(len(self.steps)).unsqueeze(1).minimum(last)
        return self._there(starts[step] + block * widths[step] + place)

    @cached_property
    def final(self) -> Tensor:
        """``[S]``, the last token of each slot."""
        return self.place[-1]

    @cached_property
    def lengths(self) -> list[int]:
        """The number of steps of each slot, 0 in a place without a sequence."""
        lengths: list[int] = self._lengths.flatten().tolist()
        return lengths

    @cached_property
    def table(self) -> Tensor:
        """``[T, 3]``, of each step its width, its first token, and the sum of widths before it."""
        _, widths, starts, _ = torch.tensor(self.steps).unbind(1)
        return self._there(torch.stack([widths, starts, widths.cumsum(0) - widths], 1))

    @cached_property
    def sizes(self) -> Tensor:
        """``[S]``, :attr:`lengths` where the device can read them."""
        return self._there(self._lengths.flatten())

    @cached_property
    def reach(self) -> Tensor:
        """``[width]``, how many steps are wide enough for each place of a block."""
        return self._there(self._lengths.amax(0))

    @cached_property
    def ending(self) -> dict[int, Tensor]:
        """For each step that is the last one of some sequences, their slots ``[*]``."""
        lengths, order = self._lengths.flatten().sort(stable=True)
        there = int((lengths == 0).sum())
        steps, counts = (lengths[there:] - 1).unique_consecutive(return_counts=True)
        slots = self._there(order[there:]).split(counts.tolist())
        return dict(zip(steps.tolist(), slots, strict=True))

    @cached_property
    def flip(self) -> Tensor:
        """``[L]``, for each token the one that stands there in the reversed sequence."""
        return self.place[self.length[self.slot] - 1 - self.time, self.slot]

    @cached_property
    def block_row(self) -> Tensor | None:
        """``[G]``, the row of each block; ``None`` where that is its own number."""
        same = self.rows == list(range(self.num_blocks))
        return None if same else self._there(self.rows)

    @cached_property
    def by_row(self) -> tuple[Tensor, Tensor, list[int]]:
        """The tokens sorted by their row ``[L]``, where each went ``[L]``, and how many a row
        has."""
        row = torch.tensor(self.rows)[self._grid[1]]
        order = torch.argsort(row, stable=True)
        counts = torch.bincount(row, minlength=max(self.rows) + 1).tolist()
        return self._there(order), self._there(torch.argsort(order)), counts

    @cached_property
    def before(self) -> Tensor:
        """``[L]``, the token of the step before in the same place; at the first step its own."""
        step, block, place = self._grid
        _, widths, starts, _ = torch.tensor(self.steps).unbind(1)
        last = (step - 1).clamp(min=0)
        return self._there(starts[last] + block * widths[last] + place)

    def chunks(self, columns: int) -> list[Chunk]:
        """All steps in chunks of about so many columns; the same list every time."""
        if columns not in self._chunks:
            self._chunks[columns] = self._make_chunks(columns)
        return self._chunks[columns]

    def _make_chunks(self, limit: int) -> list[Chunk]:
        chunks: list[Chunk] = []
        first = 0
        while first < len(self.steps):
            columns, last = [0], first
            while last < len(self.steps) and columns[-1] < limit:
                columns.append(columns[-1] + self.steps[last].width)
                last += 1
            # Where a block has no token its own first one stands: a product that has zeros beside
            # it then meets no NaN of other blocks.
            own = torch.arange(self.num_blocks) * self.steps[0].width
            token = own.unsqueeze(1).repeat(1, columns[-1])
            for column, (blocks, width, start, stop) in zip(
                columns, self.steps[first:last], strict=False
            ):
                tokens = torch.arange(start, stop).view(blocks, width)
                token[:blocks, column : column + width] = tokens
            chunks.append(Chunk(first, last, columns, self._there(token)))
            first = last
        return chunks


def first(values: Tensor, blocks: int, width: int | None = None) -> Tensor:
    """The first blocks of ``[G, …]``, and the first places of each."""
    if values.size(0) != blocks:
        values = values[:blocks]
    return values if width is None or values.size(1) == width else values[:, :width]


def _steps(lengths: Tensor) -> list[Step]:
    """The extent of every step from lengths ``[G, width]``."""
    active = active_slots(lengths)
    blocks, widths = (active > 0).sum(0).tolist(), active.amax(0).tolist()
    sizes = [b * w for b, w in zip(blocks, widths, strict=True)]
    starts = [0, *accumulate(sizes)]
    return [
        Step(b, w, start, start + size)
        for b, w, start, size in zip(blocks, widths, starts, sizes, strict=False)
    ]
