"""The loop over words in Triton, where nobody hears anybody: a chunk of steps a launch."""

from __future__ import annotations

from torch import Tensor

from .. import gpu
from ..layout import Chunk
from ..steps import Steps

LARGEST = 128
"""States up to which a program may find all weights in caches. A guess: nothing was measured."""


class TritonSteps(Steps):
    """See :class:`~mtgnn.ops.steps.Steps`; without messages."""

    columns = 2048  # few launches, and no cache that they have to fit

    def forward(self, chunk: Chunk, projected: Tensor) -> None:
        gpu.lstm_forward(self.layout, chunk, projected, self.received.state, *self.states)

    def resume(self, grad_hs: Tensor | None, grad_end: Tensor | None) -> None:
        self.joined = self.received.joined()
        self.grads = [None if g is None else g.contiguous() for g in (grad_hs, grad_end)]
        shape = self.layout.num_blocks, self.layout.width, self.size
        self.carry, self.dc = self.joined.new_zeros(shape), self.joined.new_zeros(shape)

    def backward(self, chunk: Chunk, dz: Tensor) -> None:
        _, c, _, cs, gates = self.states
        given = self.joined, c, cs, gates, *self.grads
        gpu.lstm_backward(self.layout, chunk, *given, self.carry, self.dc, dz)
