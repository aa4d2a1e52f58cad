"""Communications as the loops in C++ take them: the same tensors, and what is left for products."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..boxes import Span, boxes_of
from ..edges import EdgesRunning
from ..gate import GatedRunning
from ..layout import Chunk
from ..mailbox import MailboxRunning
from ..pairs import PairsRunning
from ..queries import add_query
from ..sparse import SparseRunning
from ..talk import Running
from .build import loops, pack

TOKENS = 512
"""Tokens whose boxes are gathered at once: few enough to stay in a cache."""


def translate(running: Running, shape: Any, low: torch.dtype) -> NativeTalk:
    """The communication for the loops.

    Args:
        running: Prepared, or resumed.
        shape: The loops' ``Shape``.
        low: See :func:`pack`.
    """
    if isinstance(running, PairsRunning | SparseRunning):
        return NativeMutual(running, shape, low)
    if isinstance(running, GatedRunning):
        return NativeGated(running, shape, low)
    assert isinstance(running, EdgesRunning | MailboxRunning)
    return NativeBoxes(running, shape, low)


class NativeTalk:
    """A communication in C++.

    Attributes:
        made: The C++ object.
        spoken: Width of the gradients of queries (and keys), 0 where there are none.
        d_spoken: Gradient of the matrix ``[H, spoken]`` that makes these of states, or of the
            matrices ``[Q, H, spoken]`` of one owner or each block; or ``None``.
    """

    made: Any
    spoken: int = 0
    d_spoken: Tensor | None = None

    def spans(self, chunk: Chunk) -> list[Span]:
        """The steps of a chunk, in the portions in which they are to be run."""
        return [(chunk.first, chunk.last)]

    def open(self, span: Span) -> None:
        """Before some steps, on the way there."""

    def open_backward(self, span: Span) -> None:
        """Before some steps, on the way back."""

    def close_backward(self, span: Span) -> None:
        """After some steps, on the way back."""

    def close(self, states: Tensor, spoken: Tensor | None) -> None:
        """After a chunk on the way back: what a product over many steps can do.

        Args:
            states: ``[G, columns, H]``, the states that its tokens started from.
            spoken: ``[G, columns, spoken]``, gradients of queries (and keys).
        """
        if spoken is None:
            return
        assert self.d_spoken is not None
        add_query(self.d_spoken.view(-1, *self.d_spoken.shape[-2:]), states, spoken)


class NativeMutual(NativeTalk):
    """Pairs and sparse edges."""

    def __init__(self, running: PairsRunning | SparseRunning, shape: Any, low: torch.dtype) -> None:
        own = loops(running.alpha.dtype)
        tensors, rows = own.mutual_tensors(), running.rows
        if isinstance(running, PairsRunning):
            if not running.keeps_messages:  # room for a step
                size = running.layout.width, rows, shape.heard
                running.message = running.alpha.new_empty(size)
            tensors.keeps_messages = running.keeps_messages
            tensors.sender = torch.arange(rows).expand(rows, -1).contiguous()
            mask = running.mask
        else:
            tensors.sender, mask = running.talk.senders.contiguous(), running.talk.mask
            tensors.first = running.talk.firsts
        tensors.dense = isinstance(running, PairsRunning)
        if running.pair is not None:
            self.spoken = running.pair.size(1)
            tensors.pair, tensors.pair_back = _pack_both(running.pair.unsqueeze(0), low)
        if running.learns is not None:
            tensors.learns = running.learns.to(running.alpha.dtype).contiguous()
        self.d_spoken, tensors.d_word, tensors.d_att, tensors.d_fixed = running.grads
        _share(tensors, running, self.spoken // 2, mask, running.fixed)
        self.made = own.mutual(shape, tensors)


class NativeBoxes(NativeTalk):
    """Boxes of known states: edges and mailboxes."""

    def __init__(
        self, running: EdgesRunning | MailboxRunning, shape: Any, low: torch.dtype
    ) -> None:
        self.boxes = boxes_of(running, TOKENS)
        built = loops(running.message.dtype)
        tensors = built.box_tensors()
        tensors.box, tensors.counts = self.boxes.box, self.boxes.counts
        tensors.ends, tensors.steps = self.boxes.ends, len(self.boxes.counts)
        if running.query is not None:
            self.spoken = running.query.size(2)
            tensors.query, tensors.query_back = _pack_both(running.query, low)
        self.d_spoken = running.d_query
        tensors.d_word, tensors.d_att = running.d_word, running.d_att
        _share(tensors, running, self.spoken, self.boxes.mask, self.boxes.fixed)
        self.made = built.boxes(shape, tensors)

    def spans(self, chunk: Chunk) -> list[Span]:
        return self.boxes.spans(chunk)

    def open(self, span: Span) -> None:
        if self.boxes.open(span):
            self.made.open(self.boxes.first_token, self.boxes.values, self.boxes.keys)

    def open_backward(self, span: Span) -> None:
        self.open(span)
        self.made.open_backward(*self.boxes.open_backward(span))

    def close_backward(self, span: Span) -> None:
        self.boxes.close_backward(span)


class NativeGated(NativeTalk):
    """A gate before another communication."""

    def __init__(self, running: GatedRunning, shape: Any, low: torch.dtype) -> None:
        self.running, self.other = running, translate(running.inner, shape, low)
        own = loops(running.message.dtype)
        tensors, gate = own.gate_tensors(), running.gate
        size = gate.size(2) - shape.heard
        tensors.state, tensors.other = (pack(w.mT, low) for w in gate.tensor_split([size], 2))
        tensors.back = pack(gate, low)
        tensors.bias = running.bias.contiguous()
        tensors.received, tensors.message = running.inner.message, running.message
        tensors.opened, tensors.keep_message = running.opened, running.keep_message
        given = running.grad_message
        tensors.grad_message = None if given is None else given.contiguous()
        tensors.spoken = self.other.spoken
        self.spoken = self.other.spoken + 2 * shape.heard
        self.made = own.gate(shape, tensors, self.other.made)

    def spans(self, chunk: Chunk) -> list[Span]:
        return self.other.spans(chunk)

    def open(self, span: Span) -> None:
        self.other.open(span)

    def open_backward(self, span: Span) -> None:
        self.other.open_backward(span)

    def close_backward(self, span: Span) -> None:
        self.other.close_backward(span)

    def close(self, states: Tensor, spoken: Tensor | None) -> None:
        assert spoken is not None
        width = self.other.spoken
        self.other.close(states, spoken[..., :width] if width else None)
        d_opened, message = spoken[..., width:].chunk(2, -1)
        self.running.add_products(states, message, d_opened)


def _pack_both(matrix: Tensor, low: torch.dtype) -> tuple[Tensor, Tensor]:
    """Matrices for the way there, and transposed for the way back."""
    return pack(matrix, low), pack(matrix.mT, low)


def _share(
    tensors: Any,
    running: PairsRunning | SparseRunning | EdgesRunning | MailboxRunning,
    spoken: int,
    mask: Tensor,
    fixed: Tensor | None,
) -> None:
    """Hand over what all communications have; ``spoken`` is the width of a query."""
    tensors.heads, tensors.channels = running.heads, spoken // running.heads
    kept = ("message", "alpha", "keep_message", "keep_alpha", "grad_message", "grad_alpha")
    given = {name: getattr(running, name) for name in (*kept, "word", "att")}
    for name, tensor in {**given, "mask": mask, "fixed": fixed}.items():
        setattr(tensors, name, None if tensor is None else tensor.contiguous())
