"""The recurrence with a backward pass of its own: the fast path.

Equal to :func:`mtgnn.ops.recurrence.recur`. No graph of small operations is recorded; a step is a
few batched products over all nodes; the weights' gradients, and those of the words, are products
over many steps at once; scores and tanh c are computed anew instead of stored; and what the
backward pass holds beside the stored states does not grow with the length.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .layout import Layout
from .pointwise import cell_backward, cell_forward
from .recurrence import NodeWeights
from .talk import Running, Talk
from .words import Words


def recur_fused(
    layout: Layout,
    words: Words,
    h: Tensor,
    c: Tensor,
    weights: NodeWeights,
    talk: Talk | None = None,
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Like :func:`~mtgnn.ops.recurrence.recur`; twice differentiable it is not.

    Args:
        layout: The slots.
        words: What they read.
        h: ``[S, H]``, and ``c`` alike: the states before the first step.
        c: See ``h``.
        weights: The nodes' parameters, without a gate.
        talk: The communication; ``None``: no messages.

    Returns:
        Hidden and cell states ``[L, H]``, and the attention weights in the form of ``talk``.

    Raises:
        ValueError: For weights with a gate.
    """
    if weights.gate is not None:
        raise ValueError("the fused recurrence has no gated fusion")
    matrices = weights.of_blocks(layout.block_row)
    tensors = (words.source, h, c, matrices.input, matrices.state, matrices.message, matrices.bias)
    dtype = matrices.state.dtype
    with torch.autocast(h.device.type, enabled=False):
        every = (*tensors, *(() if talk is None else talk.tensors))
        cast = [None if tensor is None else tensor.to(dtype) for tensor in every]
        return _Recurrence.apply(layout, words.index, talk, *cast)


class _Recurrence(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        layout: Layout,
        index: Tensor | None,
        talk: Talk | None,
        source: Tensor,
        h: Tensor,
        c: Tensor,
        w_input: Tensor,
        w_state: Tensor,
        w_message: Tensor | None,
        bias: Tensor,
        *spoken: Tensor | None,
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        tokens, size = layout.num_tokens, h.size(1)
        words = Words(source, index)
        hs, cs = h.new_empty(tokens, size), h.new_empty(tokens, size)
        gates = h.new_empty(tokens, 4 * size)
        running = None if talk is None else talk.run(spoken, layout)
        to_gates = [None if w is None else w.mT for w in (w_input, w_state, w_message)]
        bias = bias.unsqueeze(1)
        before = (
            h.view(layout.num_blocks, layout.width, size),
            c.view(layout.num_blocks, -1, size),
        )
        for t, (blocks, width, start, stop) in enumerate(layout.steps):
            h_t, c_t = (states[:blocks, :width] for states in before)
            z = gates[start:stop].view(blocks, width, -1)
            torch.baddbmm(bias[:blocks], words.at(layout, t), to_gates[0][:blocks], out=z)
            z.baddbmm_(h_t, to_gates[1][:blocks])
            if running is not None:
                z.baddbmm_(running.forward(t, h_t), to_gates[2][:blocks])
            before = tuple(states[start:stop].view(blocks, width, size) for states in (hs, cs))
            cell_forward(z, c_t, before[1], before[0])
        kept = () if running is None else running.kept()
        ctx.save_for_backward(
            source, h, c, w_input, w_state, w_message, hs, cs, gates, index, *kept, *spoken
        )
        ctx.layout, ctx.talk, ctx.num_kept = layout, talk, len(kept)
        ctx.set_materialize_grads(False)
        return hs, cs, None if running is None else running.alpha

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, grad_hs: Tensor | None, grad_cs: Tensor | None, grad_alpha: Tensor | None
    ) -> Any:
        source, h, c, *weights, hs, cs, gates, index = ctx.saved_tensors[:10]
        rest = ctx.saved_tensors[10:]
        layout: Layout = ctx.layout
        running = None
        if ctx.talk is not None:
            running = ctx.talk.run(rest[ctx.num_kept :], layout)
            running.resume(rest[: ctx.num_kept], grad_alpha)
        loop = _Backward(layout, Words(source, index), h, c, weights, hs, cs, gates, running)
        grads = loop(grad_hs, grad_cs)
        return (None, None, None, *grads, *(() if running is None else running.gradients()))


class _Backward:
    """The way back, chunk by chunk, and step by step in a chunk."""

    def __init__(
        self,
        layout: Layout,
        words: Words,
        h: Tensor,
        c: Tensor,
        weights: list[Tensor | None],
        hs: Tensor,
        cs: Tensor,
        gates: Tensor,
        running: Running | None,
    ) -> None:
        self.layout, self.words, self.running = layout, words, running
        self.h, self.c, self.hs, self.cs, self.gates = h, c, hs, cs, gates
        self.size = h.size(1)
        self.w_input, self.w_state, self.w_message = weights
        self.d_weights = [
            None if weight is None else torch.zeros_like(weight) for weight in weights
        ]
        self.d_bias = h.new_zeros(layout.num_blocks, 4 * self.size)
        self.d_source = torch.zeros_like(words.source)

    def __call__(self, grad_hs: Tensor | None, grad_cs: Tensor | None) -> tuple[Tensor | None, ...]:
        layout, size = self.layout, self.size
        columns = max(chunk.columns[-1] for chunk in layout.chunks)
        buffer = self.h.new_empty(layout.num_blocks, columns, 4 * size)
        dc = self.h.new_zeros(layout.num_blocks, layout.width, size)
        carry: Tensor | None = None
        for chunk in reversed(layout.chunks):
            dz = buffer[:, : chunk.columns[-1]]
            if layout.steps[chunk.last - 1].blocks < layout.num_blocks:
                dz.zero_()  # where blocks have no token
            for t in range(chunk.last - 1, chunk.first - 1, -1):
                blocks, width, start, stop = layout.steps[t]
                shape = (blocks, width, size)
                dh, dc_t = self._gradient(grad_hs, start, stop, shape), dc[:blocks, :width]
                if carry is not None:
                    dh[: carry.size(0), : carry.size(1)] += carry
                if grad_cs is not None:
                    dc_t += grad_cs[start:stop].view(shape)
                column = chunk.columns[t - chunk.first]
                here = dz[:blocks, column : column + width]
                h_before, c_before = self._before(t)
                after = self.cs[start:stop].view(shape)
                cell_backward(
                    self.gates[start:stop].view(*shape[:2], -1), c_before, after, dh, dc_t, here
                )
                carry = torch.bmm(here, self.w_state[:blocks])
                if self.running is not None:
                    d_message = torch.bmm(here, self.w_message[:blocks])
                    self.running.backward(t, h_before, d_message, carry)
            self._products(chunk, dz)
        assert carry is not None
        return self.d_source, carry.flatten(0, 1), dc.flatten(0, 1), *self.d_weights, self.d_bias

    def _gradient(
        self, grad: Tensor | None, start: int, stop: int, shape: tuple[int, ...]
    ) -> Tensor:
        """A copy of the gradient of a step's states."""
        return self.h.new_zeros(shape) if grad is None else grad[start:stop].clone().view(shape)

    def _before(self, t: int) -> tuple[Tensor, Tensor]:
        """The states that step t starts from."""
        layout = self.layout
        blocks, width, _, _ = layout.steps[t]
        if t == 0:
            states, shape = (self.h, self.c), (layout.num_blocks, layout.width, -1)
        else:
            last = layout.steps[t - 1]
            states = (self.hs[last.start : last.stop], self.cs[last.start : last.stop])
            shape = (last.blocks, last.width, -1)
        h, c = (part.view(shape)[:blocks, :width] for part in states)
        return h, c

    def _products(self, chunk: Any, dz: Tensor) -> None:
        """What a chunk adds to the gradients of weights, biases and words."""
        layout = self.layout
        parts = [self.words.of(layout, chunk), self._states_before(chunk)]
        if self.running is not None:
            parts.append(self.running.message[chunk.token])
        for grad, part in zip(self.d_weights, parts, strict=False):
            assert grad is not None
            grad.baddbmm_(dz.mT, part)
        self.d_bias += dz.sum(1)
        d_words = torch.bmm(dz, self.w_input)
        self.words.add_gradient(self.d_source, layout, chunk, d_words)

    def _states_before(self, chunk: Any) -> Tensor:
        """``[G, columns, H]``, the states that the tokens of a chunk started from."""
        layout = self.layout
        out = self.h.new_empty(layout.num_blocks, chunk.columns[-1], self.size)
        full = layout.steps[chunk.last - 1].blocks == layout.num_blocks
        if not full:
            out.zero_()
        for t in range(chunk.first, chunk.last):
            blocks, width, _, _ = layout.steps[t]
            column = chunk.columns[t - chunk.first]
            out[:blocks, column : column + width] = self._before(t)[0]
        return out
