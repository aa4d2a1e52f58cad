"""Launches of the kernels that run many steps of LSTMs which hear known states."""

from typing import Any

import triton
from torch import Tensor

from ..boxes import Back, Boxes, Span
from ..edges import EdgesRunning
from ..gate import GatedRunning
from ..layout import Chunk, Layout
from ..mailbox import MailboxRunning
from ..steps import Received, States
from . import boxes
from .attend import CHANNELS, PLACES
from .gate_launch import Gate
from .launch import check, check_contiguous, factor, launch, precision, wide_type
from .tiles import DEPTH, ROWS, WARPS, columns_of

Heard = EdgesRunning | MailboxRunning


class Program:
    """Launches over the slots of a run.

    Args:
        layout: The slots.
        states: Where results go, or where they are.
        running: The communication, prepared or resumed.
        own: Its boxes; open, for the steps that are run.
        gated: The gate before it, or ``None``.
    """

    def __init__(
        self, layout: Layout, states: States, running: Heard, own: Boxes,
        gated: GatedRunning | None,
    ) -> None:  # fmt: skip
        self.gate = Gate(running, gated)
        self.layout, self.states, self.running, self.boxes = layout, states, running, own
        self.like, self.tiles = states.h, triton.cdiv(layout.width, ROWS)
        self.asked = 1 if running.query is None else running.query.size(2)
        wide = wide_type(self.like)
        places = own.mask.size(1)
        given = (running.query, running.word, running.att, own.mask, own.fixed, own.box)
        self.known = (
            *(None if tensor is None else tensor.contiguous() for tensor in given),
            running.alpha, running.keep_alpha,
            self.like.new_empty(layout.num_slots, self.asked, dtype=wide),  # a slot's query
            self.like.new_empty(layout.num_slots, places, dtype=wide),  # its scores of one head
        )  # fmt: skip
        #: ``[G, programs a block, P·A]``, for each program its part of the vectors' gradient.
        self.d_att: Tensor | None = None
        if running.d_att is not None:
            parts = layout.num_blocks, self.tiles, self.asked
            self.d_att = self.like.new_zeros(parts, dtype=wide)

    def forward(self, chunk: Chunk, span: Span, projected: Tensor, received: Received) -> None:
        """Some steps of a chunk; those before them are done.

        Args:
            chunk: The chunk.
            span: The steps.
            projected: ``[G, columns, 4H]``, what words and biases add to the gates of the chunk.
            received: The weights.
        """
        self._check(chunk, "projected", projected)
        assert received.message is not None
        states = self.states
        tensors = (projected, *received, *states, *self.gate.forward())
        self._launch(boxes.forward, chunk, span, tensors, LEARNS=states.gates is not None)

    def backward(
        self, chunk: Chunk, span: Span, joined: Tensor, back: Back,
        grads: tuple[Tensor | None, Tensor | None], carry: Tensor, dc: Tensor, dz: Tensor,
        d_asked: Tensor | None, d_opened: Tensor | None,
    ) -> None:  # fmt: skip
        """Back through some steps of a chunk; those after them are done.

        Args:
            chunk: The chunk.
            span: The steps.
            joined: ``[G, 4H, H + C]``, weights of states and messages.
            back: Where gradients go of what the boxes hold.
            grads: Of states ``[L, H]``, and of the cells ``[S, H]`` that slots end with.
            carry: ``[G, width, H]``, what comes back to the states; changed in place.
            dc: Alike, to the cells.
            dz: ``[G, columns, 4H]``, where gradients of the gates go.
            d_asked: ``[G, columns, P·A]``, where those of queries go, or ``None``.
            d_opened: ``[G, columns, C]``, where those of fusion gates go, or ``None``.
        """
        self._check(chunk, "dz", dz)
        running, given = self.running, self.gate.said.grad_message
        tensors = (
            joined, *self.states, *grads, carry, dc, dz, *self.gate.backward(d_opened), given,
            running.grad_alpha, *back, running.d_word, d_asked, self.d_att,
        )  # fmt: skip
        self._launch(
            boxes.backward, chunk, span, tensors, GIVEN=grads[0] is not None,
            ENDS=grads[1] is not None, LEFT=back.scores is not None, SAID=given is not None,
            SHOWN=running.grad_alpha is not None,
        )  # fmt: skip

    def _check(self, chunk: Chunk, name: str, columns: Tensor) -> None:
        check(columns, name, (self.layout.num_blocks, chunk.columns[-1], 4 * self.like.size(1)))

    def _launch(
        self, kernel: Any, chunk: Chunk, span: Span, tensors: tuple[Tensor | None, ...],
        **options: bool,
    ) -> None:  # fmt: skip
        layout, running, own = self.layout, self.running, self.boxes
        size, senders = self.like.size(1), own.values.size(1)
        few = own.box is None  # senders of an edge, which a graph has; mailboxes are long
        places = min(PLACES, triton.next_power_of_2(senders)) if few else PLACES
        every = (*tensors, own.values, own.keys, *self.known)
        given = [self.like if tensor is None else tensor for tensor in every]
        check_contiguous(given)
        launch(
            kernel, (layout.num_blocks * self.tiles,), self.like, *given, layout.table,
            layout.sizes, layout.reach, *span, chunk.first, chunk.columns[-1], layout.width,
            self.tiles, senders, len(own.ends), own.ends[0] if own.ends else senders,
            own.first_token,
            SIZE=size, HEADS=running.heads, ASKED=self.asked, ASKS=running.query is not None,
            ADDITIVE=running.att is not None, FIXED=own.fixed is not None,
            BOXED=own.box is not None, OWNED=running.query is not None and len(running.query) > 1,
            THINS=running.keep_alpha is not None, **self.gate.options(),
            ROWS=ROWS, COLUMNS=columns_of(size), DEPTH=DEPTH, PLACES=places, CHANNELS=CHANNELS,
            PRECISION=precision(self.like), FACTOR=factor(self.like),
            num_warps=WARPS, **options,
        )  # fmt: skip
