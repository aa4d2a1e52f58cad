"""The loop over words in C++."""

from __future__ import annotations

import torch
from torch import Tensor

from ..boxes import Span
from ..layout import Chunk, Layout
from ..room import Room
from ..steps import Received, States, Steps
from ..talk import Running
from .build import loops, pack
from .talks import translate


class NativeSteps(Steps):
    """See :class:`~mtgnn.ops.steps.Steps`; the same, a chunk of steps a call."""

    def __init__(
        self,
        layout: Layout,
        states: States,
        received: Received,
        running: Running | None,
        low: torch.dtype,
    ) -> None:
        super().__init__(layout, states, received, running, low)
        heard = 0 if received.message is None else received.message.size(2)
        steps = [(blocks, width, start) for blocks, width, start, _ in layout.steps]
        built = loops(states.h.dtype)
        sizes = layout.num_blocks, layout.width, self.size, heard
        shape = built.shape(*sizes, steps, layout.lengths)
        self.talk = None if running is None else translate(running, shape, low)
        self.loop = built.loop(shape, *states, None if self.talk is None else self.talk.made)
        self.spoken_room = Room(states.h)
        self._forward: tuple[Tensor, Tensor | None] | None = None

    def forward(self, chunk: Chunk, projected: Tensor) -> None:
        if self._forward is None:
            state, message = self.received
            packed = None if message is None else pack(message.mT, self.low)
            self._forward = pack(state.mT, self.low), packed
        for span in self._spans(chunk):
            if self.talk is not None:
                self.talk.open(span)
            columns = chunk.columns[span[0] - chunk.first :]
            self.loop.forward(*span, projected, columns, *self._forward)

    def resume(self, grad_hs: Tensor | None, grad_end: Tensor | None) -> None:
        self.joined = self.received.joined()
        self.back = pack(self.joined, self.low)
        self.grads = [None if g is None else g.contiguous() for g in (grad_hs, grad_end)]
        shape = self.layout.num_blocks, self.layout.width
        self.carry = self.joined.new_zeros(*shape, self.joined.size(2))
        self.dc = self.joined.new_zeros(*shape, self.size)
        self.spoken: Tensor | None = None

    def backward(self, chunk: Chunk, dz: Tensor) -> None:
        blocks, columns = dz.shape[:2]
        ends_early = self.layout.steps[chunk.last - 1].blocks < blocks
        self.heard = self.room.take(blocks, columns, self.joined.size(2))
        if self.talk is not None and self.talk.spoken:
            self.spoken = self.spoken_room.take(blocks, columns, self.talk.spoken)
        if ends_early:  # where blocks have no token
            for part in (self.heard, self.spoken):
                if part is not None:
                    part.zero_()
        rest = self.carry, self.dc, dz, self.heard, self.spoken
        for span in reversed(self._spans(chunk)):
            if self.talk is not None:
                self.talk.open_backward(span)
            there = chunk.columns[span[0] - chunk.first :]
            self.loop.backward(*span, there, self.back, *self.grads, *rest)
            if self.talk is not None:
                self.talk.close_backward(span)

    def heard_by(self, chunk: Chunk) -> Tensor:
        return self.heard

    def close(self, states: Tensor) -> None:
        if self.talk is not None:
            self.talk.close(states, self.spoken)

    def _spans(self, chunk: Chunk) -> list[Span]:
        return [(chunk.first, chunk.last)] if self.talk is None else self.talk.spans(chunk)

    def start(self) -> tuple[Tensor, Tensor]:
        return self.carry[..., : self.size].flatten(0, 1), self.dc.flatten(0, 1)
