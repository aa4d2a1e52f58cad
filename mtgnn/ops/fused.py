"""The recurrence with a backward pass of its own: the fast path.

Equal to :func:`mtgnn.ops.recurrence.recur`. No graph of small operations is recorded; a step is a
few batched products over all nodes; the weights' gradients, and those of the words, are products
over many steps at once; scores and tanh c are computed anew instead of stored; and what the
backward pass holds beside the stored states does not grow with the length.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from .layout import Chunk, Layout, first
from .pointwise import cell_backward, cell_forward
from .ran import note
from .recurrence import NodeWeights
from .room import Room
from .talk import Running, Talk
from .words import Words


def recur_fused(
    layout: Layout,
    words: Words,
    h: Tensor,
    c: Tensor,
    weights: NodeWeights,
    talk: Talk | None = None,
) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
    """Like :func:`~mtgnn.ops.recurrence.recur`, but differentiable once only.

    A backward pass with ``create_graph=True`` raises a ``RuntimeError``.

    Args:
        layout: The slots.
        words: What they read.
        h: ``[S, H]``, and ``c`` alike: the states before the first step.
        c: See ``h``.
        weights: The nodes' parameters, without a gate.
        talk: The communication; ``None``: no messages.

    Returns:
        Hidden and cell states ``[L, H]``, and messages and attention weights in the form of
        ``talk``.

    Raises:
        ValueError: For weights with a gate.
    """
    if weights.gate is not None:
        raise ValueError("the fused recurrence has no gated fusion")
    note("fused" if talk is None else f"fused {type(talk).__name__.lower()}")
    matrices = weights.of_blocks(layout.block_row)
    tensors = (words.source, h.contiguous(), c.contiguous(), *matrices[:4])
    dtype = matrices.state.dtype
    with torch.autocast(h.device.type, enabled=False):
        every = (*tensors, *(() if talk is None else talk.tensors))
        cast = [None if tensor is None else tensor.to(dtype) for tensor in every]
        keep = torch.is_grad_enabled()  # within a Function it never is
        return _Recurrence.apply(layout, words.index, talk, keep, *cast)


class _Recurrence(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        layout: Layout,
        index: Tensor | None,
        talk: Talk | None,
        keep: bool,
        source: Tensor,
        h: Tensor,
        c: Tensor,
        w_input: Tensor,
        w_state: Tensor,
        w_message: Tensor | None,
        bias: Tensor,
        *spoken: Tensor | None,
    ) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
        size = h.size(1)
        running = None if talk is None else talk.run(spoken, layout)
        hs, cs = h.new_empty(layout.num_tokens, size), h.new_empty(layout.num_tokens, size)
        # For a backward pass the gates of all steps are kept; else they share the room of one.
        gates = h.new_empty(layout.num_tokens if keep else 0, 4 * size)
        to_gates, from_message = w_state.mT, None if w_message is None else w_message.mT
        before = [state.view(layout.num_blocks, layout.width, size) for state in (h, c)]
        room = Room(h)
        rooms = (room.take(step.blocks, step.width, 4 * size) for step in layout.steps)
        zs = layout.split(gates) if keep else rooms
        places = zip(zs, layout.split(hs), layout.split(cs), strict=True)
        projections = _project(layout, Words(source, index), w_input, bias)
        for t, ((z, h_t, c_t), projected) in enumerate(zip(places, projections, strict=True)):
            blocks, width = z.shape[:2]
            h_before, c_before = (first(state, blocks, width) for state in before)
            torch.baddbmm(projected, h_before, first(to_gates, blocks), out=z)
            if running is not None and from_message is not None:
                z.baddbmm_(running.forward(t, h_before), first(from_message, blocks))
            cell_forward(z, c_before, c_t, h_t)
            before = [h_t, c_t]
        kept = () if running is None else running.kept()
        ctx.save_for_backward(
            source, h, c, w_input, w_state, w_message, hs, cs, gates, index, *kept, *spoken
        )
        ctx.layout, ctx.talk, ctx.num_kept = layout, talk, len(kept)
        ctx.set_materialize_grads(False)
        return (hs, cs, None, None) if running is None else (hs, cs, running.message, running.alpha)

    @staticmethod
    def backward(
        ctx: Any,
        grad_hs: Tensor | None,
        grad_cs: Tensor | None,
        grad_message: Tensor | None,
        grad_alpha: Tensor | None,
    ) -> Any:
        if torch.is_grad_enabled():  # create_graph=True
            raise RuntimeError(
                'the fused recurrence has no second derivative: use kernel="reference"'
            )
        source, h, c, *weights, hs, cs, gates, index = ctx.saved_tensors[:10]
        rest = ctx.saved_tensors[10:]
        layout: Layout = ctx.layout
        running = None
        if ctx.talk is not None:
            running = ctx.talk.run(rest[ctx.num_kept :], layout)
            running.resume(rest[: ctx.num_kept], grad_alpha)
            running.grad_message = grad_message
        states, learns = (h, c, weights, hs, cs, gates), ctx.needs_input_grad[4]
        backward = _Backward(layout, Words(source, index), *states, running, learns)
        with torch.autocast(h.device.type, enabled=False):  # as on the way there
            grads = backward(grad_hs, grad_cs)
        return (None, None, None, None, *grads, *(() if running is None else running.gradients()))


def _project(layout: Layout, words: Words, weight: Tensor, bias: Tensor) -> Iterator[Tensor]:
    """For each step what words and biases add to the gates, ``[blocks, width, 4H]``.

    Taken chunk by chunk: the weights are read once for many steps, and the room is used again.
    """
    weight, bias = weight.mT, bias.unsqueeze(1)
    room = Room(weight)
    for chunk in layout.chunks:
        out = room.take(layout.num_blocks, chunk.columns[-1], weight.size(2))
        torch.baddbmm(bias, words.of(layout, chunk), weight, out=out)
        for t in range(chunk.first, chunk.last):
            step, column = layout.steps[t], chunk.columns[t - chunk.first]
            yield out[: step.blocks, column : column + step.width]


class _Backward:
    """The way back, chunk by chunk, and step by step in a chunk."""

    def __init__(
        self,
        layout: Layout,
        words: Words,
        h: Tensor,
        c: Tensor,
        weights: list[Any],
        hs: Tensor,
        cs: Tensor,
        gates: Tensor,
        running: Running | None,
        words_learn: bool,
    ) -> None:
        self.layout, self.words, self.running = layout, words, running
        self.h, self.c, self.hs, self.cs, self.gates = h, c, hs, cs, gates
        self.size = h.size(1)
        self.w_input, *received = weights
        # States and messages side by side: one product for both, and their gradients.
        self.w_received = torch.cat([weight for weight in received if weight is not None], 2)
        self.d_input = torch.zeros_like(self.w_input)
        self.d_received = torch.zeros_like(self.w_received)
        self.d_bias = h.new_zeros(layout.num_blocks, 4 * self.size)
        self.d_source = torch.zeros_like(words.source) if words_learn else None

    def __call__(self, grad_hs: Tensor | None, grad_cs: Tensor | None) -> tuple[Tensor | None, ...]:
        layout, size = self.layout, self.size
        gates, hs, cs = (layout.split(part) for part in (self.gates, self.hs, self.cs))
        d_hs, d_cs = (None if g is None else layout.split(g) for g in (grad_hs, grad_cs))
        start = [part.view(layout.num_blocks, layout.width, size) for part in (self.h, self.c)]
        room = Room(self.h)
        dc = self.h.new_zeros(layout.num_blocks, layout.width, size)
        carry = dc.new_zeros(0, 0, size)
        for chunk in reversed(layout.chunks):
            dz = room.take(layout.num_blocks, chunk.columns[-1], 4 * size)
            if layout.steps[chunk.last - 1].blocks < layout.num_blocks:
                dz.zero_()  # where blocks have no token
            for t in range(chunk.last - 1, chunk.first - 1, -1):
                blocks, width, _, _ = layout.steps[t]
                h_before, c_before = (hs[t - 1], cs[t - 1]) if t else start
                h_before, c_before = (first(s, blocks, width) for s in (h_before, c_before))
                dc_t = first(dc, blocks, width)
                if d_cs is not None:
                    dc_t += d_cs[t]
                dh = _add_first(carry, None if d_hs is None else d_hs[t], hs[t])
                column = chunk.columns[t - chunk.first]
                here = dz[:blocks, column : column + width]
                cell_backward(gates[t], c_before, cs[t], dh, dc_t, here)
                carry = torch.bmm(here, first(self.w_received, blocks))
                if self.running is not None:
                    carry, d_message = carry[..., :size].contiguous(), carry[..., size:]
                    d_message = self.running.add_given(t, d_message)
                    self.running.backward(t, h_before, d_message, carry)
            self._products(chunk, dz)
        heard = None if self.running is None else self.d_received[..., size:]
        d_weights = (self.d_input, self.d_received[..., :size], heard, self.d_bias)
        return self.d_source, carry.flatten(0, 1), dc.flatten(0, 1), *d_weights

    def _products(self, chunk: Chunk, dz: Tensor) -> None:
        """What a chunk adds to the gradients of weights, biases and words."""
        self.d_input.baddbmm_(dz.mT, self.words.of(self.layout, chunk))
        self.d_received.baddbmm_(dz.mT, self._received(chunk))
        self.d_bias += dz.sum(1)
        if self.d_source is not None:
            d_words = torch.bmm(dz, self.w_input)
            self.words.add_gradient(self.d_source, self.layout, chunk, d_words)

    def _received(self, chunk: Chunk) -> Tensor:
        """``[G, columns, H + C]``, the states that a chunk's tokens started from, and messages."""
        states = self.hs[self.layout.before[chunk.token].clamp(min=0)]
        if chunk.first == 0:
            width = self.layout.width
            states[:, :width] = self.h.view(self.layout.num_blocks, width, self.size)
        if self.running is None:
            return states
        return torch.cat([states, self.running.messages(chunk)], 2)


def _add_first(carry: Tensor, grad: Tensor | None, like: Tensor) -> Tensor:
    """What comes back to the states of a step: from later steps, and from outside."""
    if carry.shape == like.shape:
        return carry if grad is None else carry.add_(grad)
    if grad is None:
        dh = torch.zeros_like(like)
    else:
        dh = grad.clone(memory_format=torch.contiguous_format)
    dh[: carry.size(0), : carry.size(1)] += carry
    return dh
