"""Gated fusion: a gate of a node's own opens what it receives."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .layout import Chunk, Layout, first
from .pairs import Pairs
from .talk import Drop, Running, Talk


class Gated(Talk):
    """Another communication, whose messages r become σ(W [h; r] + b) ⊙ r.

    Args:
        talk: The communication; the dropout of its messages comes after the gate.
        gate: W of each block, ``[G, C, H + C]``.
        bias: b of each block, ``[G, C]``.
    """

    def __init__(self, talk: Talk, gate: Tensor, bias: Tensor) -> None:
        self.drop = Drop(message=talk.drop.message)
        self.talk = talk.emptied()
        self.talk.drop = Drop(attention=talk.drop.attention)
        if isinstance(self.talk, Pairs):
            self.talk.keeps_messages = True
        self.tensors = (gate, bias, *talk.tensors)

    def run(self, tensors: Sequence[Tensor | None], layout: Layout) -> Running:
        """See :class:`Talk`."""
        return GatedRunning(self, tensors, layout)


class GatedRunning(Running):
    """See :class:`Running`. Messages and gates lie as the messages of the communication do."""

    opened: Tensor

    def __init__(self, talk: Gated, tensors: Sequence[Tensor | None], layout: Layout) -> None:
        gate, bias = tensors[:2]
        assert gate is not None and bias is not None
        super().__init__(layout, talk.drop, gate)
        self.gate, self.bias = gate, bias
        self.inner = talk.talk.run(tensors[2:], layout)

    def prepare(self, h: Tensor) -> None:
        self.inner.prepare(h)
        self.allocate(torch.empty_like(self.inner.message), self.inner.alpha)
        self.opened = torch.empty_like(self.message)

    def forward(self, t: int, h: Tensor) -> Tensor:
        message = self.inner.forward(t, h)
        opened = self._open(h, message)
        self.of_step(t, self.opened).copy_(opened)
        message = opened * message
        if self.keep_message is not None:
            message *= self.of_step(t, self.keep_message)
        self.of_step(t, self.message).copy_(message)
        return message

    def kept(self) -> tuple[Tensor | None, ...]:
        return self.message, self.keep_message, self.opened, *self.inner.kept()

    def resume(self, kept: Sequence[Tensor | None], grad_alpha: Tensor | None) -> None:
        message, self.keep_message, opened = kept[:3]
        assert message is not None and opened is not None
        self.message, self.opened = message, opened
        self.inner.resume(kept[3:], grad_alpha)
        self.d_gate, self.d_bias = torch.zeros_like(self.gate), torch.zeros_like(self.bias)

    def backward(self, t: int, h: Tensor, d_message: Tensor, d_h: Tensor) -> None:
        if self.keep_message is not None:
            d_message = d_message * self.of_step(t, self.keep_message)
        message, opened = self.of_step(t, self.inner.message), self.of_step(t, self.opened)
        d_opened = d_message * message * opened * (1 - opened)
        first(self.d_bias, len(h)).add_(d_opened.sum(1))
        both = torch.cat([h, message], 2)
        first(self.d_gate, len(h)).baddbmm_(d_opened.mT, both)
        d_both = torch.bmm(d_opened, first(self.gate, len(h)))
        d_h += d_both[..., : h.size(2)]
        self.inner.backward(t, h, d_message * opened + d_both[..., h.size(2) :], d_h)

    def add_products(self, states: Tensor, message: Tensor, d_opened: Tensor) -> None:
        """Add to the gradients of weights and biases what many steps have.

        Args:
            states: ``[G, n, H]``, the states that they started from.
            message: ``[G, n, C]``, what was received.
            d_opened: ``[G, n, C]``, gradients of the gates before their function.
        """
        self.d_bias += d_opened.sum(1)
        self.d_gate.baddbmm_(d_opened.mT, torch.cat([states, message], 2))

    def gradients(self) -> tuple[Tensor | None, ...]:
        return self.d_gate, self.d_bias, *self.inner.gradients()

    def of_chunk(self, chunk: Chunk, values: Tensor) -> Tensor:
        return self.inner.of_chunk(chunk, values)

    def of_step(self, t: int, values: Tensor) -> Tensor:
        return self.inner.of_step(t, values)

    def _open(self, h: Tensor, message: Tensor) -> Tensor:
        """The gates of a step."""
        both, gate = torch.cat([h, message], 2), first(self.gate, len(h))
        return torch.baddbmm(first(self.bias, len(h)).unsqueeze(1), both, gate.mT).sigmoid_()
