"""What the fused recurrence asks of a communication."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from .layout import Chunk, Layout
from .room import Room


class Drop(NamedTuple):
    """Probabilities with which an attention weight, and an element of a message, is dropped."""

    attention: float = 0.0
    message: float = 0.0


class Talk(ABC):
    """A communication: who sends what to whom. One class each for pairs of nodes that run side by
    side, for edges between these, for edges from known states, and for mailboxes; and one that puts
    a gate before another.

    Attributes:
        tensors: What gradients flow into, in the order of :meth:`Running.gradients`.
        drop: Dropout.
    """

    tensors: tuple[Tensor | None, ...]
    drop: Drop

    def emptied(self) -> Talk:
        """The same without its tensors, which :meth:`run` is given: who keeps it does not keep
        these from being freed."""
        other = copy.copy(self)
        other.tensors = ()
        return other

    @abstractmethod
    def run(self, tensors: Sequence[Tensor | None], layout: Layout) -> Running:
        """Start a run over a layout, with the tensors as the kernel has them."""

    def by_token(self, alpha: Tensor, layout: Layout) -> Tensor:
        """Attention weights as the plain path has them: on edges ``[L, J, P]``, by receiver's token
        and place among its senders; of a mailbox as they are."""
        return alpha


class Running(ABC):
    """A talk on its way through the steps, forwards (:meth:`prepare`, then :meth:`forward`, from
    the first step on) or backwards (:meth:`resume`, then :meth:`backward`, from the last step on).

    Attributes:
        message: ``[L, C]`` (pairs: by sequence and step, or of one step alone), what was received,
            after dropout.
        alpha: The attention weights, before dropout; the form is the talk's.
        keep_message: Like ``message``, factors of the messages' dropout, or ``None``.
        keep_alpha: Like ``alpha``, factors of the weights' dropout, or ``None``.
        grad_alpha: Like ``alpha``, the gradient of the attention handed out, or ``None``.
        grad_message: Like ``message``, that of the messages handed out, or ``None``.
    """

    message: Tensor
    alpha: Tensor
    grad_alpha: Tensor | None = None
    grad_message: Tensor | None = None
    keep_message: Tensor | None = None
    keep_alpha: Tensor | None = None

    def __init__(self, layout: Layout, drop: Drop, like: Tensor) -> None:
        self.layout, self.drop = layout, drop
        self.room = Room(like)

    @abstractmethod
    def prepare(self, h: Tensor) -> None:
        """Call :meth:`allocate`, before the first step; ``h [S, H]`` is like the states."""

    def allocate(self, message: Tensor, alpha: Tensor) -> None:
        """Take the room for what is kept, and draw dropout."""
        self.message, self.alpha = message, alpha
        self.keep_message = _draw(message, self.drop.message)
        self.keep_alpha = _draw(alpha, self.drop.attention)

    def kept(self) -> tuple[Tensor | None, ...]:
        """What the way back needs; first the messages, if they are kept."""
        return self.message, self.alpha, self.keep_message, self.keep_alpha

    def resume(self, kept: Sequence[Tensor | None], grad_alpha: Tensor | None) -> None:
        """Take what was kept, and what comes back through the attention handed out."""
        message, alpha, self.keep_message, self.keep_alpha = kept[:4]
        assert alpha is not None
        self.alpha, self.grad_alpha = alpha, grad_alpha
        if message is not None:
            self.message = message

    @abstractmethod
    def forward(self, t: int, h: Tensor) -> Tensor:
        """What the slots of step t receive, ``[blocks, width, C]``; ``h`` are their states."""

    @abstractmethod
    def backward(self, t: int, h: Tensor, d_message: Tensor, d_h: Tensor) -> None:
        """Add to the gradient ``d_h [blocks, width, H]`` of the states that step t started from."""

    @abstractmethod
    def gradients(self) -> tuple[Tensor | None, ...]:
        """Those of :attr:`Talk.tensors`."""

    def messages(self, chunk: Chunk, states: Tensor) -> Tensor:
        """What tokens of a chunk, which started from ``states``, received: ``[G, columns, C]``."""
        return self.of_chunk(chunk, self.message)

    def of_chunk(self, chunk: Chunk, values: Tensor) -> Tensor:
        """A chunk of ``values``, which are kept like messages: ``[G, columns, C]``."""
        return values[chunk.token]

    def of_step(self, t: int, values: Tensor) -> Tensor:
        """Step t of ``values``, which are kept like messages: ``[blocks, width, C]``."""
        blocks, width, start, stop = self.layout.steps[t]
        return values[start:stop].view(blocks, width, -1)

    def add_given(self, t: int, d_message: Tensor) -> Tensor:
        """The gradient of a step's messages, with what comes back through those handed out."""
        if self.grad_message is None:
            return d_message
        return d_message + self.of_step(t, self.grad_message)

    def drop_message(self, here: slice) -> Tensor:
        """The messages of a step, after dropout."""
        message = self.message[here]
        return message if self.keep_message is None else message.mul_(self.keep_message[here])


def _draw(like: Tensor, probability: float) -> Tensor | None:
    if probability == 0:
        return None
    return torch.empty_like(like).bernoulli_(1 - probability).div_(1 - probability)
