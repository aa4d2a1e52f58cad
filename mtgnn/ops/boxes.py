"""Boxes of known states, for loops that run many steps by themselves: in C++, in Triton.

A box is what a token reads: the states of its senders, gathered for some steps at a time (edges),
or what its slot reads at every step (a mailbox). The loop leaves behind gradients of messages and
of scores; from them products over many tokens make those of the states and keys in the boxes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor

from .edges import EdgesRunning
from .layout import Chunk
from .mailbox import MailboxRunning
from .queries import times_vectors

Span = tuple[int, int]
"""The first step, and one more than the last."""


class Back(NamedTuple):
    """Where a loop on its way back leaves gradients. A row is a token of the open steps, or of a
    mailbox one of its steps.

    Attributes:
        sent: ``[*, C]``, of messages.
        keys: ``[*, J, P·A]``, of a box's keys, which is added to and still to be multiplied by the
            vector; of additive scores.
        scores: ``[*, J, P]``, of dot scores, or of fixed weights.
        queries: ``[*, P·A]``, the queries themselves; of dot scores.
    """

    sent: Tensor
    keys: Tensor | None
    scores: Tensor | None
    queries: Tensor | None


class Boxes(ABC):
    """The boxes of a run.

    Attributes:
        values: ``[*, J, H]``, states in the open boxes.
        keys: ``[*, J, P·A]``, or ``None``.
        first_token: Of edges, the token that the first open box belongs to.
        mask: ``[L, J]`` or, of mailboxes, ``[M, J]``: where a box has a state.
        fixed: ``[L, J, P]``, weights that depend on the edge alone, or ``None``.
        box: ``[S]``, the mailbox of each slot, as large as there are mailboxes where it has none;
            ``None``: a token has its own box.
        counts: For each step, how many mailboxes are still read.
        ends: For each step, how many positions of a mailbox are read at most.
    """

    values: Tensor
    keys: Tensor | None
    mask: Tensor
    first_token: int = 0
    fixed: Tensor | None = None
    box: Tensor | None = None
    counts: list[int] = []
    ends: list[int] = []

    def spans(self, chunk: Chunk) -> list[Span]:
        """The steps of a chunk, in the portions in which they are to be run."""
        return [(chunk.first, chunk.last)]

    @abstractmethod
    def open(self, span: Span) -> bool:
        """Have boxes for some steps; ``False``: those that were open."""

    @abstractmethod
    def open_backward(self, span: Span) -> Back:
        """On the way back, after :meth:`open`: where gradients of these steps go."""

    @abstractmethod
    def close_backward(self, span: Span) -> None:
        """After these steps on the way back."""


class EdgeBoxes(Boxes):
    """Boxes of tokens, gathered for about ``limit`` tokens at a time."""

    def __init__(self, running: EdgesRunning, limit: int) -> None:
        self.running, self.limit = running, limit
        self.mask, self.fixed = running.mask, running.fixed

    def spans(self, chunk: Chunk) -> list[Span]:
        spans, steps = [(chunk.first, chunk.first)], self.running.layout.steps
        for t in range(chunk.first, chunk.last):
            first, last = spans[-1]
            if last > first and steps[t].stop - steps[first].start > self.limit:
                spans.append((t, t + 1))
            else:
                spans[-1] = (first, t + 1)
        return spans

    def _here(self, span: Span) -> slice:
        steps = self.running.layout.steps
        return slice(steps[span[0]].start, steps[span[1] - 1].stop)

    def open(self, span: Span) -> bool:
        self.values, self.keys = self.running.senders(*span)
        self.first_token = self._here(span).start
        return True

    def open_backward(self, span: Span) -> Back:
        running, (count, places, _) = self.running, self.values.shape
        new = self.values.new_empty
        sent, keys, scores, queries = new(count, running.message.size(1)), None, None, None
        if running.att is not None and self.keys is not None:
            keys = torch.zeros_like(self.keys)
        else:
            scores = new(count, places, running.heads)
            queries = None if self.keys is None else new(count, self.keys.size(2))
        self.back = Back(sent, keys, scores, queries)
        return self.back

    def close_backward(self, span: Span) -> None:
        running, here, back = self.running, self._here(span), self.back
        used = running.alpha[here]
        if running.keep_alpha is not None:
            used = used * running.keep_alpha[here]
        d_values = torch.bmm(used, back.sent.unflatten(1, (running.heads, -1))).flatten(0, 1)
        if self.keys is not None:
            running.keys_backward(*span, self.values, self._keys_gradient(here), d_values)
        else:
            assert running.d_fixed is not None and back.scores is not None
            running.d_fixed[here] = back.scores
        running.d_values.index_add_(0, running.token[here].flatten(), d_values)

    def _keys_gradient(self, here: slice) -> Tensor:
        """``[n, J, P·A]``."""
        running, back = self.running, self.back
        if back.keys is not None:
            assert running.att is not None
            block = None if len(running.att) == 1 else running.block[here]
            return times_vectors(back.keys, running.att, block)
        assert back.scores is not None and back.queries is not None
        queries = back.queries.unflatten(1, (running.heads, -1)).unsqueeze(1)
        return (back.scores.unsqueeze(3) * queries).flatten(2)


class MailBoxes(Boxes):
    """Mailboxes, which are there from the start."""

    def __init__(self, running: MailboxRunning) -> None:
        self.running, talk = running, running.talk
        self.values, self.keys, self.mask = running.values, running.keys, talk.mask
        self.counts, self.ends, self._opened = talk.counts, running.ends, False
        slots = running.layout.slot[talk.place[0]]
        boxes = slots.new_full((running.layout.num_slots,), len(talk.mask))
        self.box = boxes.index_copy_(0, slots, torch.arange(len(slots), device=slots.device))

    def open(self, span: Span) -> bool:
        opened, self._opened = self._opened, True
        return not opened

    def open_backward(self, span: Span) -> Back:
        running = self.running
        assert running.d_sent is not None
        keys = None if running.att is None else running.d_keys
        return Back(running.d_sent, keys, running.d_logits, running.queries)

    def close_backward(self, span: Span) -> None:
        """Nothing: see :meth:`MailboxRunning.gradients`."""


def boxes_of(running: EdgesRunning | MailboxRunning, limit: int) -> Boxes:
    """The boxes of a run; of edges ``limit`` tokens' at a time, or those of one step."""
    return EdgeBoxes(running, limit) if isinstance(running, EdgesRunning) else MailBoxes(running)
