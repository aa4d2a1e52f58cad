"""The loop over words by torch's operations: a few batched products a step, and pointwise work."""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from .layout import Chunk, Layout, first
from .pointwise import cell_backward, cell_forward
from .room import Room
from .talk import Running


class States(NamedTuple):
    """What the steps of a layout start from, and what they leave behind.

    Attributes:
        h: ``[S, H]``, before the first step.
        c: Alike.
        hs: ``[L, H]``, after every step.
        cs: Cells, alike; where no backward pass will need them ``[S, H]``, those of now.
        gates: ``[L, 4H]``, after their functions; ``None`` where no backward pass will need them.
    """

    h: Tensor
    c: Tensor
    hs: Tensor
    cs: Tensor
    gates: Tensor | None


class Received(NamedTuple):
    """Weights of blocks for what comes from the step before.

    Attributes:
        state: ``[G, 4H, H]``.
        message: ``[G, 4H, C]``, or ``None``.
    """

    state: Tensor
    message: Tensor | None

    def joined(self) -> Tensor:
        """Side by side, ``[G, 4H, H + C]``: one product back for both."""
        return torch.cat([weight for weight in self if weight is not None], 2)


class Steps:
    """Chunks of steps one after the other: forwards, first to last (:meth:`forward`), or backwards,
    last to first (:meth:`resume`, then :meth:`backward`).

    Args:
        layout: The slots.
        states: Where results go, or where they are.
        received: The weights.
        running: The communication; ``None``: no messages.
        low: A type of lower precision that products may have. Here, step by step, none has.

    Attributes:
        columns: How many columns of a block a chunk has, which share one product for the weights'
            gradients.
    """

    columns = 256

    def __init__(
        self,
        layout: Layout,
        states: States,
        received: Received,
        running: Running | None,
        low: torch.dtype,
    ) -> None:
        self.layout, self.states, self.received, self.running = layout, states, received, running
        self.low, self.size = low, states.h.size(1)
        self.room = Room(states.h)
        self._ended: list[tuple[Tensor, Tensor]] = []  # slots, and the cells they ended with

    @cached_property
    def hs(self) -> list[Tensor]:
        """States of each step, ``[blocks, width, H]``."""
        return self.layout.split(self.states.hs)

    @cached_property
    def cs(self) -> list[Tensor]:
        """Cells, alike."""
        if self.states.gates is not None:
            return self.layout.split(self.states.cs)
        now = self.states.cs.view(self.layout.num_blocks, self.layout.width, self.size)
        return [first(now, blocks, width) for blocks, width, _, _ in self.layout.steps]

    @cached_property
    def gates(self) -> list[Tensor] | None:
        """Gates, alike."""
        return None if self.states.gates is None else self.layout.split(self.states.gates)

    def forward(self, chunk: Chunk, projected: Tensor) -> None:
        """Run a chunk.

        Args:
            chunk: Its steps.
            projected: ``[G, columns, 4H]``, what words and biases add to the gates.
        """
        to_gates = self.received.state.mT
        from_message = None if self.received.message is None else self.received.message.mT
        for t in range(chunk.first, chunk.last):
            blocks, width, _, _ = self.layout.steps[t]
            if self.gates is None:
                z = self.room.take(blocks, width, 4 * self.size)
            else:
                z = self.gates[t]
            h_before, c_before = self._before(t)
            column = chunk.columns[t - chunk.first]
            words = projected[:blocks, column : column + width]
            torch.baddbmm(words, h_before, first(to_gates, blocks), out=z)
            if self.running is not None and from_message is not None:
                z.baddbmm_(self.running.forward(t, h_before), first(from_message, blocks))
            cell_forward(z, c_before, self.cs[t], self.hs[t])
            if self.gates is None and not self.layout.exact and t in self.layout.ending:
                slots = self.layout.ending[t]  # fillers will go on from there
                self._ended.append((slots, self.states.cs[slots]))

    def ends(self) -> Tensor:
        """After the last chunk: the cells ``[S, H]`` that slots end with."""
        if self.gates is not None:
            return self.states.cs[self.layout.final]
        for slots, cells in self._ended:
            self.states.cs[slots] = cells
        return self.states.cs

    def resume(self, grad_hs: Tensor | None, grad_end: Tensor | None) -> None:
        """Start on the way back, with the gradients of the states, and of the cells that slots end
        with."""
        shape = self.layout.num_blocks, self.layout.width, self.size
        self.d_hs = None if grad_hs is None else self.layout.split(grad_hs)
        self.d_end = grad_end
        self.joined = self.received.joined()
        self.dc = self.states.h.new_zeros(shape)
        self.carry = self.dc.new_zeros(0, 0, self.size)

    def backward(self, chunk: Chunk, dz: Tensor) -> None:
        """Go back through a chunk; :meth:`resume` was called, and later chunks are done.

        Args:
            chunk: Its steps.
            dz: ``[G, columns, 4H]``, where the gradients of the gates go.
        """
        assert self.gates is not None
        for t in range(chunk.last - 1, chunk.first - 1, -1):
            blocks, width, _, _ = self.layout.steps[t]
            h_before, c_before = self._before(t)
            dc = first(self.dc, blocks, width)
            if self.d_end is not None and t in self.layout.ending:
                slots = self.layout.ending[t]
                self.dc.view(self.d_end.shape)[slots] += self.d_end[slots]
            dh = _add_first(self.carry, None if self.d_hs is None else self.d_hs[t], self.hs[t])
            column = chunk.columns[t - chunk.first]
            here = dz[:blocks, column : column + width]
            cell_backward(self.gates[t], c_before, self.cs[t], dh, dc, here)
            carry = torch.bmm(here, first(self.joined, blocks))
            if self.running is not None:
                carry, d_message = carry[..., : self.size].contiguous(), carry[..., self.size :]
                d_message = self.running.add_given(t, d_message)
                self.running.backward(t, h_before, d_message, carry)
            self.carry = carry

    def started(self, chunk: Chunk) -> Tensor:
        """``[G, columns, H]``, the states that a chunk's tokens started from; others of the block
        where it has no token."""
        layout = self.layout
        states = self.states.hs[layout.before[chunk.token]]
        if chunk.first == 0:
            shape = layout.num_blocks, layout.width, self.size
            states[:, : layout.width] = self.states.h.view(shape)
        return states

    def heard_by(self, chunk: Chunk) -> Tensor:
        """``[G, columns, H + C]``, these states and messages. The chunk is the last that went
        back."""
        states = self.started(chunk)
        if self.running is None:
            return states
        return torch.cat([states, self.running.messages(chunk, states)], 2)

    def close(self, states: Tensor) -> None:
        """What is left to do of that chunk; ``states`` are those of :meth:`heard_by`."""

    def start(self) -> tuple[Tensor, Tensor]:
        """Gradients ``[S, H]`` of the states and cells before the first step."""
        return self.carry.flatten(0, 1), self.dc.flatten(0, 1)

    def _before(self, t: int) -> tuple[Tensor, Tensor]:
        """The states and cells that step t starts from, ``[blocks, width, H]``."""
        blocks, width, _, _ = self.layout.steps[t]
        if t:
            both = self.hs[t - 1], self.cs[t - 1]
        else:
            shape = self.layout.num_blocks, self.layout.width, self.size
            both = self.states.h.view(shape), self.states.c.view(shape)
        return first(both[0], blocks, width), first(both[1], blocks, width)


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
