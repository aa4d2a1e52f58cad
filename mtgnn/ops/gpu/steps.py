"""The loop over words in Triton, many steps a launch."""

from __future__ import annotations

import torch
from torch import Tensor

from .. import gpu
from ..boxes import boxes_of
from ..edges import EdgesRunning
from ..layout import Chunk, Layout
from ..mailbox import MailboxRunning
from ..pairs import PairBack, PairsRunning
from ..queries import add_query
from ..room import Room
from ..steps import Received, States, Steps
from ..talk import Running

LARGEST = 128
"""States up to which a program may find all weights in caches. A guess: nothing was measured."""
TOKENS = 8192
"""Tokens whose senders' states are gathered at once. A guess too: many, for few launches; of 15
senders with H = 100 they take 50 MB."""


class TritonSteps(Steps):
    """See :class:`~mtgnn.ops.steps.Steps`; without messages."""

    columns = 2048  # few launches, and no cache that they have to fit

    def forward(self, chunk: Chunk, projected: Tensor) -> None:
        gpu.lstm_forward(self.layout, chunk, projected, self.received.state, *self.states)

    def resume(self, grad_hs: Tensor | None, grad_end: Tensor | None) -> None:
        self.joined = self.received.joined()
        self.grads = tuple(map(_contiguous, (grad_hs, grad_end)))
        shape = self.layout.num_blocks, self.layout.width, self.size
        self.carry, self.dc = self.joined.new_zeros(shape), self.joined.new_zeros(shape)

    def backward(self, chunk: Chunk, dz: Tensor) -> None:
        _, c, _, cs, gates = self.states
        given = self.joined, c, cs, gates, *self.grads
        gpu.lstm_backward(self.layout, chunk, *given, self.carry, self.dc, dz)


class TritonBoxSteps(TritonSteps):
    """The same where slots read known states."""

    def __init__(
        self,
        layout: Layout,
        states: States,
        received: Received,
        running: Running | None,
        low: torch.dtype,
    ) -> None:
        super().__init__(layout, states, received, running, low)
        assert isinstance(running, EdgesRunning | MailboxRunning)
        self.heard, self.boxes = running, boxes_of(running, TOKENS)
        self.program = gpu.box_program(layout, states, running, self.boxes)

    def forward(self, chunk: Chunk, projected: Tensor) -> None:
        for span in self.boxes.spans(chunk):
            self.boxes.open(span)
            self.program.forward(chunk, span, projected, self.received)

    def resume(self, grad_hs: Tensor | None, grad_end: Tensor | None) -> None:
        super().resume(grad_hs, grad_end)
        self.heard.grad_message = _contiguous(self.heard.grad_message)
        self.heard.grad_alpha = _contiguous(self.heard.grad_alpha)
        self.asked_room = Room(self.states.h)
        self.d_asked: Tensor | None = None

    def backward(self, chunk: Chunk, dz: Tensor) -> None:
        if self.heard.query is not None:
            self.d_asked = self.asked_room.take(*dz.shape[:2], self.heard.query.size(2))
            if self.layout.steps[chunk.last - 1].blocks < self.layout.num_blocks:
                self.d_asked.zero_()  # where blocks have no token
        for span in reversed(self.boxes.spans(chunk)):
            self.boxes.open(span)
            back = self.boxes.open_backward(span)
            self.program.backward(
                chunk, span, self.joined, back, self.grads, self.carry, self.dc, dz, self.d_asked
            )
            self.boxes.close_backward(span)

    def close(self, states: Tensor) -> None:
        if self.d_asked is not None:
            assert self.heard.d_query is not None
            add_query(self.heard.d_query, states, self.d_asked)

    def start(self) -> tuple[Tensor, Tensor]:
        if self.heard.d_att is not None:
            parts = self.program.d_att.sum(1).view(-1, *self.heard.d_att.shape[1:])
            self.heard.d_att += parts if len(self.heard.d_att) > 1 else parts.sum(0)
        return super().start()


class TritonPairSteps(TritonSteps):
    """The same where slots hear each other."""

    def __init__(
        self,
        layout: Layout,
        states: States,
        received: Received,
        running: Running | None,
        low: torch.dtype,
    ) -> None:
        super().__init__(layout, states, received, running, low)
        assert isinstance(running, PairsRunning)
        self.heard = running
        self.program = gpu.pair_program(layout, states, running)

    def forward(self, chunk: Chunk, projected: Tensor) -> None:
        self.program.forward(chunk, projected, self.received)

    def resume(self, grad_hs: Tensor | None, grad_end: Tensor | None) -> None:
        super().resume(grad_hs, grad_end)
        self.heard.grad_message = _contiguous(self.heard.grad_message)
        self.heard.grad_alpha = _contiguous(self.heard.grad_alpha)
        self.rooms = [Room(self.states.h) for _ in range(3)]

    def backward(self, chunk: Chunk, dz: Tensor) -> None:
        (nodes, columns), (sent, scores, d_spoken) = dz.shape[:2], self.rooms
        spoken = self.heard.spoken(chunk, self.started(chunk))
        self.back = PairBack(
            sent.take(nodes, columns, self.heard.heads * self.size),
            scores.take(self.heard.heads, columns, nodes, nodes),
            spoken,
            None if spoken is None else d_spoken.take(*spoken.shape),
        )
        self.chunk = chunk
        self.program.backward(chunk, self.joined, self.back, self.grads, self.carry, self.dc, dz)

    def close(self, states: Tensor) -> None:
        self.heard.close(self.chunk, states, self.back)

    def start(self) -> tuple[Tensor, Tensor]:
        if self.program.d_att is not None:
            d_att = self.heard.grads[2]
            assert d_att is not None
            d_att += self.program.d_att.sum((0, 1)).view_as(d_att)
        return super().start()


def _contiguous(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.contiguous()
