"""The recurrence with a backward pass of its own: the fast path.

Equal to :func:`mtgnn.ops.recurrence.recur`. No graph of small operations is recorded; a step is a
few batched products over all nodes; the weights' gradients, and those of the words, are products
over many steps at once; scores and tanh c are computed anew instead of stored; and beside the
stored states the backward pass holds gradients of what is read and, of a mailbox, of what it says.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from . import gpu, native
from .device import no_autocast
from .edges import EdgesRunning
from .gate import Gated, GatedRunning
from .gpu.steps import LARGEST, TritonBoxSteps, TritonPairSteps, TritonSteps
from .layout import Chunk, Layout
from .mailbox import MailboxRunning
from .pairs import PairsRunning
from .ran import note
from .recurrence import NodeWeights
from .room import Room
from .steps import Received, States, Steps
from .talk import Running, Talk
from .words import Words

PLAIN = 'a GraphLSTM with kernel="reference" serves'


def recur_fused(
    layout: Layout,
    words: Words,
    h: Tensor,
    c: Tensor,
    weights: NodeWeights,
    talk: Talk | None = None,
) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
    """Like :func:`~mtgnn.ops.recurrence.recur`, but differentiable once only.

    A backward pass with ``create_graph=True``, or a transform of ``torch.func``, raises a
    ``RuntimeError``.

    Args:
        layout: The slots.
        words: What they read.
        h: ``[S, H]``, and ``c`` alike: the states before the first step.
        c: See ``h``.
        weights: The nodes' parameters.
        talk: The communication; ``None``: no messages.

    Returns:
        Hidden states ``[L, H]``; the cells ``[S, H]`` that slots end with, anything finite in a
        place without a sequence; messages, where kept, and attention weights in the form of
        ``talk``.
    """
    matrices = weights.of_blocks(layout.block_row)
    if talk is not None and matrices.gate is not None and matrices.gate_bias is not None:
        talk = Gated(talk, matrices.gate, matrices.gate_bias)
    tensors = (words.source, h.contiguous(), c.contiguous(), *matrices[:4])
    dtype = matrices.state.dtype
    if torch._C._are_functorch_transforms_active():
        raise RuntimeError(f"torch.func cannot go through the fused recurrence; {PLAIN}")
    kernel = "native" if _in_native(matrices.state) else "fused"
    note(kernel if talk is None else f"{kernel} {type(talk).__name__.lower()}")
    low = _low_precision(h.device.type, dtype)
    with no_autocast(h.device.type):
        every = (*tensors, *(() if talk is None else talk.tensors))
        cast = [None if tensor is None else tensor.to(dtype) for tensor in every]
        # Within a Function gradients are never on.
        keep = torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in cast)
        by_slot = weights.by_slot
        return _Recurrence.apply(layout, words.index, talk, by_slot, keep, low, *cast)


class _Recurrence(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        layout: Layout,
        index: Tensor | None,
        talk: Talk | None,
        by_slot: bool,
        keep: bool,
        low: torch.dtype,
        source: Tensor,
        h: Tensor,
        c: Tensor,
        w_input: Tensor,
        w_state: Tensor,
        w_message: Tensor | None,
        bias: Tensor,
        *spoken: Tensor | None,
    ) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
        running = None if talk is None else talk.run(spoken, layout)
        if running is not None:
            running.prepare(h)
        hs = h.new_empty(layout.num_tokens, h.size(1))
        cs = torch.empty_like(hs) if keep else c.clone()
        gates = h.new_empty(layout.num_tokens, 4 * h.size(1)) if keep else None
        states = States(h, c, hs, cs, gates)
        received = Received(w_state, w_message)
        steps = _steps(layout, states, received, running, low)
        words = Words(source, index)
        for chunk, projected in _project(steps, words, w_input, bias, by_slot, low):
            steps.forward(chunk, projected)
        kept = () if running is None else running.kept()
        ctx.save_for_backward(*states, source, w_input, w_state, w_message, index, *kept, *spoken)
        ctx.layout, ctx.num_kept, ctx.low = layout, len(kept), low
        ctx.by_slot = by_slot
        ctx.talk = None if talk is None else talk.emptied()
        ctx.set_materialize_grads(False)
        given = (None, None) if running is None else (kept[0], running.alpha)
        return hs, steps.ends(), *given

    @staticmethod
    def backward(
        ctx: Any,
        grad_hs: Tensor | None,
        grad_end: Tensor | None,
        grad_message: Tensor | None,
        grad_alpha: Tensor | None,
    ) -> Any:
        if torch.is_grad_enabled():  # create_graph=True
            raise RuntimeError(f"the fused recurrence has no second derivative; {PLAIN}")
        # Who hooks into saved tensors may give them back with other strides.
        saved: list[Any] = [None if t is None else t.contiguous() for t in ctx.saved_tensors]
        states, rest = States(*saved[:5]), saved[10:]
        source, w_input, w_state, w_message, index = saved[5:10]
        layout: Layout = ctx.layout
        running = None
        if ctx.talk is not None:
            running = ctx.talk.run(rest[ctx.num_kept :], layout)
            running.resume(rest[: ctx.num_kept], grad_alpha)
            running.grad_message = grad_message
        with no_autocast(source.device.type):  # as on the way there
            received = Received(w_state, w_message)
            steps = _steps(layout, states, received, running, ctx.low)
            steps.resume(grad_hs, grad_end)
            words, learns = Words(source, index), ctx.needs_input_grad[6]
            grads = _Backward(layout, words, w_input, steps, learns, ctx.by_slot, ctx.low)()
        return (*[None] * 6, *grads, *(() if running is None else running.gradients()))


def _steps(
    layout: Layout,
    states: States,
    received: Received,
    running: Running | None,
    low: torch.dtype,
) -> Steps:
    """The loop over words: in C++, where that is there; in Triton, many steps a launch, but for
    large states, sparse edges between those that run side by side, and too many of these."""
    kind: type[Steps] = native.NativeSteps if _in_native(states.h) else Steps
    if gpu.serves(states.h) and states.h.size(1) <= LARGEST:
        heard = running.inner if isinstance(running, GatedRunning) else running
        if heard is None:
            kind = TritonSteps
        elif isinstance(heard, EdgesRunning | MailboxRunning):
            kind = TritonBoxSteps
        elif isinstance(heard, PairsRunning) and heard.rows <= gpu.programs_at_once(states.h):
            kind = TritonPairSteps
    return kind(layout, states, received, running, low)


def _low_precision(device: str, dtype: torch.dtype) -> torch.dtype:
    """The type of products over many steps: that of autocast, for parameters in float32."""
    there = dtype == torch.float32 and torch.amp.is_autocast_available(device)
    if there and torch.is_autocast_enabled(device):
        return torch.get_autocast_dtype(device)
    return dtype


def _in_native(like: Tensor) -> bool:
    """Whether the loop runs in C++: not where Triton was asked for on a CPU too."""
    return native.serves(like) and not gpu.serves(like)


def _project(
    steps: Steps,
    words: Words,
    weight: Tensor,
    bias: Tensor,
    by_slot: bool,
    low: torch.dtype,
) -> Iterator[tuple[Chunk, Tensor]]:
    """For each chunk what words and biases add to the gates, ``[G, columns, 4H]``.

    The weights are read once for many steps, and the room is used again.
    """
    words, weight = words.to(low), weight.mT
    low_weight = weight.to(low)
    room, low_room, layout = Room(weight), Room(low_weight), steps.layout
    for chunk in layout.chunks(steps.columns):
        shape = layout.num_blocks, chunk.columns[-1], weight.size(2)
        out, read = room.take(*shape), words.of(layout, chunk)
        own = bias[layout.slot[chunk.token]] if by_slot else bias.unsqueeze(1)
        if low == weight.dtype:
            torch.baddbmm(own, read, weight, out=out)
        else:
            torch.add(torch.bmm(read, low_weight, out=low_room.take(*shape)), own, out=out)
        yield chunk, out


class _Backward:
    """The way back, chunk by chunk."""

    def __init__(
        self,
        layout: Layout,
        words: Words,
        w_input: Tensor,
        steps: Steps,
        words_learn: bool,
        by_slot: bool,
        low: torch.dtype,
    ) -> None:
        self.layout, self.steps, self.low = layout, steps, low
        self.words, self.w_input = words.to(low), w_input.to(low)
        self.size, self.running = steps.size, steps.running
        self.d_input = torch.empty_like(w_input)  # written by the first products
        self.d_received = torch.empty_like(steps.joined)
        self.by_slot = by_slot
        owners = layout.num_slots if by_slot else layout.num_blocks
        self.d_bias = w_input.new_zeros(owners, 4 * self.size)
        self.d_source = torch.zeros_like(words.source) if words_learn else None

    def __call__(self) -> tuple[Tensor | None, ...]:
        room = Room(self.d_input)
        for chunk in reversed(self.layout.chunks(self.steps.columns)):
            dz = room.take(self.layout.num_blocks, chunk.columns[-1], 4 * self.size)
            if self.layout.steps[chunk.last - 1].blocks < self.layout.num_blocks:
                dz.zero_()  # where blocks have no token
            self.steps.backward(chunk, dz)
            self._products(chunk, dz)
        heard = None if self.running is None else self.d_received[..., self.size :]
        d_weights = (self.d_input, self.d_received[..., : self.size], heard, self.d_bias)
        return self.d_source, *self.steps.start(), *d_weights

    def _products(self, chunk: Chunk, dz: Tensor) -> None:
        """What a chunk adds to the gradients of weights, biases and words."""
        received = self.steps.heard_by(chunk)
        self.steps.close(received[..., : self.size])
        if self.by_slot:
            slot = self.layout.slot[chunk.token].flatten()
            self.d_bias.index_add_(0, slot, dz.flatten(0, 1))
        else:
            self.d_bias += dz.sum(1)
        dz, received = dz.to(self.low), received.to(self.low)
        keep = chunk.last < len(self.layout.steps)  # what later chunks have added
        _add_product(self.d_input, keep, dz.mT, self.words.of(self.layout, chunk))
        _add_product(self.d_received, keep, dz.mT, received)
        if self.d_source is not None:
            d_words = torch.bmm(dz, self.w_input).to(self.d_source.dtype)
            self.words.add_gradient(self.d_source, self.layout, chunk, d_words)


def _add_product(total: Tensor, keep: bool, left: Tensor, right: Tensor) -> None:
    """Add a product to a total, or put it in its place."""
    if left.dtype == total.dtype:
        total.baddbmm_(left, right, beta=int(keep))
    elif keep:
        total += torch.bmm(left, right)
    else:
        total.copy_(torch.bmm(left, right))
