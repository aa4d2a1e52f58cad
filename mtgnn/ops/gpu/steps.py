"""The loop over words in Triton, many steps a launch."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from .. import gpu
from ..boxes import boxes_of
from ..edges import EdgesRunning
from ..gate import GatedRunning
from ..layout import Chunk
from ..mailbox import MailboxRunning
from ..pairs import PairBack, PairsRunning
from ..queries import add_query
from ..room import Room
from ..steps import Steps

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


class TritonHearingSteps(TritonSteps):
    """The same where slots hear somebody, perhaps through a gate."""

    def __init__(self, *run: Any) -> None:
        super().__init__(*run)
        running = self.running
        assert running is not None
        self.said = running
        self.gated = running if isinstance(running, GatedRunning) else None
        self.heard = running.inner if isinstance(running, GatedRunning) else running
        self.chunk: Chunk | None = None
        self.opened_room = Room(self.states.h)
        self.d_opened: Tensor | None = None

    def resume(self, grad_hs: Tensor | None, grad_end: Tensor | None) -> None:
        super().resume(grad_hs, grad_end)
        self.said.grad_message = _contiguous(self.said.grad_message)
        self.heard.grad_alpha = _contiguous(self.heard.grad_alpha)

    def backward(self, chunk: Chunk, dz: Tensor) -> None:
        self.chunk = chunk
        if self.gated is not None:
            self.d_opened = self._columns(self.opened_room, dz, self.gated.bias.size(1))

    def _columns(self, room: Room, dz: Tensor, width: int) -> Tensor:
        """Room beside ``dz``; zeros where blocks have no token."""
        assert self.chunk is not None
        columns = room.take(*dz.shape[:2], width)
        if self.layout.steps[self.chunk.last - 1].blocks < self.layout.num_blocks:
            columns.zero_()
        return columns

    def close(self, states: Tensor) -> None:
        if self.gated is not None:
            assert self.chunk is not None and self.d_opened is not None
            message = self.heard.of_chunk(self.chunk, self.heard.message)
            self.gated.add_products(states, message, self.d_opened)


class TritonBoxSteps(TritonHearingSteps):
    """The same where slots read known states."""

    def __init__(self, *run: Any) -> None:
        super().__init__(*run)
        assert isinstance(self.heard, EdgesRunning | MailboxRunning)
        self.mine, self.boxes = self.heard, boxes_of(self.heard, TOKENS)
        self.program = gpu.box_program(self.layout, self.states, self.mine, self.boxes, self.gated)
        self.asked_room = Room(self.states.h)
        self.d_asked: Tensor | None = None

    def forward(self, chunk: Chunk, projected: Tensor) -> None:
        for span in self.boxes.spans(chunk):
            self.boxes.open(span)
            self.program.forward(chunk, span, projected, self.received)

    def backward(self, chunk: Chunk, dz: Tensor) -> None:
        super().backward(chunk, dz)
        if self.mine.query is not None:
            self.d_asked = self._columns(self.asked_room, dz, self.mine.query.size(2))
        slots = self.grads, self.carry, self.dc
        columns = dz, self.d_asked, self.d_opened
        for span in reversed(self.boxes.spans(chunk)):
            self.boxes.open(span)
            back = self.boxes.open_backward(span)
            self.program.backward(chunk, span, self.joined, back, *slots, *columns)
            self.boxes.close_backward(span)

    def close(self, states: Tensor) -> None:
        super().close(states)
        if self.d_asked is not None:
            assert self.mine.d_query is not None
            add_query(self.mine.d_query, states, self.d_asked)

    def start(self) -> tuple[Tensor, Tensor]:
        if self.mine.d_att is not None:
            parts = self.program.d_att.sum(1).view(-1, *self.mine.d_att.shape[1:])
            self.mine.d_att += parts if len(self.mine.d_att) > 1 else parts.sum(0)
        return super().start()


class TritonPairSteps(TritonHearingSteps):
    """The same where slots hear each other."""

    def __init__(self, *run: Any) -> None:
        super().__init__(*run)
        assert isinstance(self.heard, PairsRunning)
        self.mine = self.heard
        self.program = gpu.pair_program(self.layout, self.states, self.mine, self.gated)
        self.rooms = [Room(self.states.h) for _ in range(3)]

    def forward(self, chunk: Chunk, projected: Tensor) -> None:
        self.program.forward(chunk, projected, self.received)

    def backward(self, chunk: Chunk, dz: Tensor) -> None:
        super().backward(chunk, dz)
        (nodes, columns), (sent, scores, d_spoken) = dz.shape[:2], self.rooms
        spoken = self.mine.spoken(chunk, self.started(chunk))
        self.back = PairBack(
            sent.take(nodes, columns, self.mine.heads * self.size),
            scores.take(self.mine.heads, columns, nodes, nodes),
            spoken,
            None if spoken is None else d_spoken.take(*spoken.shape),
        )
        slots = self.grads, self.carry, self.dc
        self.program.backward(chunk, self.joined, self.back, *slots, dz, self.d_opened)

    def close(self, states: Tensor) -> None:
        super().close(states)
        assert self.chunk is not None
        self.mine.close(self.chunk, states, self.back)

    def start(self) -> tuple[Tensor, Tensor]:
        if self.program.d_att is not None:
            d_att = self.mine.grads[2]
            assert d_att is not None
            d_att += self.program.d_att.sum((0, 1)).view_as(d_att)
        return super().start()


def _contiguous(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.contiguous()
