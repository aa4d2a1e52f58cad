"""Launches of the kernels that run many steps of LSTMs which hear each other."""

from collections.abc import Iterator
from typing import Any

import torch
import triton
from torch import Tensor

from ..gate import GatedRunning
from ..layout import Chunk, Layout
from ..pairs import PairBack, PairsRunning
from ..steps import Received, States
from . import pairs
from .attend import CHANNELS, PLACES
from .gate_launch import Gate
from .launch import check, check_contiguous, factor, interpreted, launch, precision, wide_type
from .tiles import DEPTH, ROWS, WARPS, columns_of
from .wait import APART


def programs_at_once(like: Tensor) -> int:
    """How many programs can wait for each other: one a multiprocessor, which is sure to fit; none
    in Triton before 3.3, which has no cooperative launches."""
    if tuple(map(int, triton.__version__.split(".")[:2])) < (3, 3):
        return 0
    if not like.is_cuda:
        return 64  # interpreted, none waits
    count: int = torch.cuda.get_device_properties(like.device).multi_processor_count
    return count


class PairProgram:
    """Launches over the slots of a run.

    Args:
        layout: The slots.
        states: Where results go, or where they are.
        running: The communication, prepared or resumed.
        gated: The gate before it, or ``None``.
    """

    def __init__(
        self, layout: Layout, states: States, running: PairsRunning, gated: GatedRunning | None
    ) -> None:
        self.gate = Gate(running, gated)
        if any(step.blocks < layout.num_blocks for step in layout.steps):
            raise ValueError("expected the same sequences for all nodes, which wait for each other")
        self.layout, self.states, self.running = layout, states, running
        self.like, self.tiles = states.h, triton.cdiv(layout.width, ROWS)
        self.asked = running.heads if running.pair is None else running.pair.size(1) // 2
        wide, slots = wide_type(self.like), layout.num_slots
        self.scratch = self.like.new_empty(slots, layout.num_blocks, dtype=wide)  # of one head
        given = running.pair, running.word, running.att, running.fixed, running.learns, running.mask
        self.pair, self.word, self.att, self.fixed, self.learns, self.mask = (
            None if tensor is None else tensor.contiguous() for tensor in given
        )
        #: ``[R, programs a node, P·A]``, for each program its part of the vectors' gradient.
        self.d_att: Tensor | None = None
        if running.att is not None:
            parts = layout.num_blocks, self.tiles, self.asked
            self.d_att = self.like.new_zeros(parts, dtype=wide)

    def forward(self, chunk: Chunk, projected: Tensor, received: Received) -> None:
        """The steps of a chunk; those before it are done.

        Args:
            chunk: The chunk.
            projected: ``[R, columns, 4H]``, what words and biases add to the gates.
            received: The weights.
        """
        self._check(chunk, "projected", projected)
        states, running = self.states, self.running
        spoken = self.like.new_empty(2, self.layout.num_slots, 2 * self.asked)  # of two steps
        tensors = (
            projected, *received, *states, *self.gate.forward(), self.pair, self.word,
            self.att, self.mask, self.fixed, running.alpha, running.keep_alpha,
            spoken, self.scratch,
        )  # fmt: skip
        self._launch(
            pairs.forward, chunk, tensors, LEARNS=states.gates is not None,
            OWN_WORDS=running.own_words, KEEPS=running.keeps_messages,
        )  # fmt: skip

    def backward(
        self, chunk: Chunk, joined: Tensor, back: PairBack,
        grads: tuple[Tensor | None, Tensor | None], carry: Tensor, dc: Tensor, dz: Tensor,
        d_opened: Tensor | None,
    ) -> None:  # fmt: skip
        """Back through the steps of a chunk; those after it are done.

        Args:
            chunk: The chunk.
            joined: ``[R, 4H, H + C]``, weights of states and messages.
            back: See there.
            grads: Of states ``[L, H]``, and of the cells ``[S, H]`` that slots end with.
            carry: ``[R, width, H]``, what comes back to the states; changed in place.
            dc: Alike, to the cells.
            dz: ``[R, columns, 4H]``, where gradients of the gates go.
            d_opened: ``[R, columns, C]``, where those of fusion gates go, or ``None``.
        """
        self._check(chunk, "dz", dz)
        running, given = self.running, self.gate.said.grad_message
        tensors = (
            joined, *self.states, *grads, carry, dc, dz, *self.gate.backward(d_opened), given,
            running.grad_alpha, *back, self.d_att, self.pair, self.att, self.mask,
            running.mask.t().contiguous(), self.learns, running.alpha, running.keep_alpha,
            self.scratch,
        )  # fmt: skip
        self._launch(
            pairs.backward, chunk, tensors, GIVEN=grads[0] is not None,
            ENDS=grads[1] is not None, SAID=given is not None,
            SHOWN=running.grad_alpha is not None, SOME=running.learns is not None,
        )  # fmt: skip

    def _check(self, chunk: Chunk, name: str, columns: Tensor) -> None:
        check(columns, name, (self.layout.num_blocks, chunk.columns[-1], 4 * self.like.size(1)))

    def _launch(
        self, kernel: Any, chunk: Chunk, tensors: tuple[Tensor | None, ...], **options: bool
    ) -> None:
        layout, running, size = self.layout, self.running, self.like.size(1)
        nodes = layout.num_blocks
        given = [self.like if tensor is None else tensor for tensor in tensors]
        check_contiguous(given)
        total = layout.num_tokens // nodes
        for first, last, part in self._parts(chunk, kernel is pairs.backward):
            for tile, tiles in self._tiles():
                arrived = self.like.new_zeros(tiles * APART.value, dtype=torch.int32)
                launch(
                    kernel, (nodes * tiles,), self.like, *given, arrived, layout.table,
                    layout.sizes, layout.reach, first, last, chunk.first, chunk.columns[-1],
                    layout.width, tile, tiles, nodes, total,
                    SIZE=size, HEADS=running.heads, ASKED=self.asked,
                    ASKS=running.pair is not None, ADDITIVE=running.att is not None,
                    THINS=running.keep_alpha is not None, **self.gate.options(), PART=part,
                    ROWS=ROWS, COLUMNS=columns_of(size), DEPTH=DEPTH,
                    PLACES=min(PLACES, triton.next_power_of_2(nodes)), CHANNELS=CHANNELS,
                    PRECISION=precision(self.like), FACTOR=factor(self.like), num_warps=WARPS,
                    **options, **({} if interpreted() else {"launch_cooperative_grid": True}),
                )  # fmt: skip

    def _tiles(self) -> Iterator[tuple[int, int]]:
        """First tile and number of tiles of each launch: sequences do not know of each other, so
        those whose programs do not fit beside the others wait for the next one."""
        fit = programs_at_once(self.like) // self.layout.num_blocks
        for tile in range(0, self.tiles, fit):
            yield tile, min(fit, self.tiles - tile)

    def _parts(self, chunk: Chunk, back: bool) -> Iterator[tuple[int, int, int]]:
        """First step, one more than the last, and part, of the launches for a chunk."""
        if not interpreted():
            yield chunk.first, chunk.last, 0
            return
        steps = range(chunk.first, chunk.last)
        for t in reversed(steps) if back else steps:
            yield t, t + 1, 1
            yield t, t + 1, 2
