"""Mailboxes: at every step a slot reads all states, so far or at all, of one sender."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import torch
from torch import Tensor

from . import score
from .device import to_device
from .layout import Layout
from .queries import add_vector, ask, ask_backward, times_vectors, vector_of
from .talk import Drop, Running, Talk


class Mailbox(Talk):
    """Every slot has a mailbox: states of a sender that has run already, or a mean of several.

    Mailboxes stand in an order of their own, that of ``place``: longest sequence first, so that
    those still in use are always the first ones. Weights are ``[M, T, T', P]`` in that order.

    Args:
        place: ``[T, M]``, at each step the token that reads a mailbox (any beyond its length).
        counts: For each step, how many mailboxes are still read.
        mask: ``[M, T']``, the real positions.
        past: ``None``, or how many positions the first step reads; each later one reads one more.
        heads: P.
        query: ``[Q, H, P·A]``, the query of a state, of one owner or of each block; ``None``: all
            positions weigh the same.
        word: ``[L, P·A]``, that of the word.
        att: ``[Q, P, A]`` for additive scores, else ``None``.
        values: ``[M, T', H]``.
        keys: ``[M, T', P·A]``; ``None`` with ``query``.
        drop: Dropout.
    """

    def __init__(
        self,
        place: Tensor,
        counts: list[int],
        mask: Tensor,
        past: int | None,
        heads: int,
        query: Tensor | None,
        word: Tensor | None,
        att: Tensor | None,
        values: Tensor,
        keys: Tensor | None,
        drop: Drop,
    ) -> None:
        self.tensors = (query, word, att, values, keys)
        self.place, self.counts, self.mask, self.past = place, counts, mask, past
        self.heads, self.drop = heads, drop

    def run(self, tensors: Sequence[Tensor | None], layout: Layout) -> Running:
        """See :class:`Talk`."""
        return MailboxRunning(self, tensors, layout)


class MailboxRunning(Running):
    """See :class:`Running`."""

    d_sent: Tensor | None = None
    d_query: Tensor | None = None
    d_word: Tensor | None = None
    d_att: Tensor | None = None
    d_keys: Tensor | None = None
    d_logits: Tensor | None = None
    queries: Tensor | None = None

    def __init__(self, talk: Mailbox, tensors: Sequence[Tensor | None], layout: Layout) -> None:
        self.query, self.word, self.att, values, self.keys = tensors
        assert values is not None
        super().__init__(layout, talk.drop, values)
        # Contiguous: they are read at every step, in C++ by their pointers.
        self.values = values.contiguous()
        self.keys = None if self.keys is None else self.keys.contiguous()
        self.talk, self.heads = talk, talk.heads
        starts = to_device([step.start for step in layout.steps], talk.place.device)
        self.within = talk.place - starts.unsqueeze(1)  # token of a mailbox within its step
        positions = talk.mask.size(1)
        self.ends = [
            positions if talk.past is None else min(talk.past + t, positions)
            for t in range(len(layout.steps))
        ]

    def forward(self, t: int, h: Tensor) -> Tensor:
        _, _, start, stop = self.layout.steps[t]
        here = slice(start, stop)
        box = _Open(self, t)
        query = self._queries(t, here, h)
        received = h.new_empty(box.count, self.heads, h.size(2))
        for p in range(self.heads):
            alpha = self._weights(p, box, query)
            self.alpha[: box.count, t, : box.end, p] = alpha
            if self.keep_alpha is not None:
                alpha = alpha * self.keep_alpha[: box.count, t, : box.end, p]
            received[:, p] = torch.bmm(alpha.unsqueeze(1), box.values).squeeze(1)
        self.message[here].index_copy_(0, box.within, received.flatten(1))
        return self.drop_message(here).view(*h.shape[:2], -1)

    def prepare(self, h: Tensor) -> None:
        steps, boxes = self.talk.place.shape
        shape = (self.layout.num_tokens, self.heads * h.size(1))
        message = h.new_empty(shape) if self.layout.exact else h.new_zeros(shape)
        self.allocate(message, h.new_zeros(boxes, steps, self.values.size(1), self.heads))

    def resume(self, kept: Sequence[Tensor | None], grad_alpha: Tensor | None) -> None:
        super().resume(kept, grad_alpha)
        steps, boxes = self.talk.place.shape
        new, size = self.values.new_zeros, self.values.size(2)
        self.d_sent = new(boxes, steps, self.heads * size)
        self.d_word = None if self.word is None else torch.zeros_like(self.word)
        self.d_query = None if self.query is None else torch.zeros_like(self.query)
        self.d_att = None if self.att is None else torch.zeros_like(self.att)
        self.d_keys = None if self.keys is None else torch.zeros_like(self.keys)
        if self.word is not None and self.att is None:  # products over all steps, at the end
            self.d_logits = torch.zeros_like(self.alpha)
            self.queries = new(boxes, steps, self.word.size(1))

    def backward(self, t: int, h: Tensor, d_message: Tensor, d_h: Tensor) -> None:
        _, _, start, stop = self.layout.steps[t]
        here, box = slice(start, stop), _Open(self, t)
        d_message = d_message.flatten(0, 1)
        if self.keep_message is not None:
            d_message = d_message * self.keep_message[here]
        assert self.d_sent is not None
        d_sent = self.d_sent[: box.count, t]
        d_sent.copy_(d_message.index_select(0, box.within))
        query = self._queries(t, here, h)
        if query is None:
            return
        d_heads = d_sent.unflatten(1, (self.heads, -1))
        alpha = self.alpha[: box.count, t, : box.end]
        d_alpha = torch.bmm(box.values, d_heads.mT)  # [n, end, P]
        if self.keep_alpha is not None:
            d_alpha = d_alpha * self.keep_alpha[: box.count, t, : box.end]
        if self.grad_alpha is not None:
            d_alpha = d_alpha + self.grad_alpha[: box.count, t, : box.end]
        d_query = torch.empty_like(query)
        for p in range(self.heads):
            self._score_backward(p, t, box, query, alpha[..., p], d_alpha[..., p], d_query)
        self._project_backward(here, box, h, d_query, d_h)

    def gradients(self) -> tuple[Tensor | None, ...]:
        alpha = self.alpha if self.keep_alpha is None else self.alpha * self.keep_alpha
        d_values = torch.zeros_like(self.values)
        assert self.d_sent is not None
        for p, part in enumerate(self.d_sent.chunk(self.heads, -1)):
            d_values.baddbmm_(alpha[..., p].mT, part)
        if self.queries is not None and self.d_logits is not None:
            queries = self.queries.chunk(self.heads, -1)
            d_keys = [self.d_logits[..., p].mT @ queries[p] for p in range(self.heads)]
            self.d_keys = torch.cat(d_keys, -1)
        elif self.d_keys is not None and self.att is not None:
            block = self._block(len(self.d_keys))
            times_vectors(self.d_keys, self.att, block)  # once for all steps
        return self.d_query, self.d_word, self.d_att, d_values, self.d_keys

    def _block(self, count: int) -> Tensor | None:
        """The block whose slot reads each of the first mailboxes; ``None`` where score parameters
        have one owner."""
        assert self.att is not None
        return None if len(self.att) == 1 else self.block[:count]

    @cached_property
    def block(self) -> Tensor:
        """``[M]``, the block whose slot reads a mailbox."""
        return self.layout.slot[self.talk.place[0]] // self.layout.width

    def _queries(self, t: int, here: slice, h: Tensor) -> Tensor | None:
        """Queries ``[n, P·A]`` of step t, in the mailboxes' order."""
        if self.query is None or self.word is None:
            return None
        query = ask(self.query, self.word[here], h)
        return query.index_select(0, self.within[t, : self.talk.counts[t]])

    def _weights(self, p: int, box: _Open, query: Tensor | None) -> Tensor:
        """Weights ``[n, end]`` of one head."""
        if query is None:
            logits = box.values.new_zeros(box.mask.shape)
        elif self.att is None:
            own = query.chunk(self.heads, -1)[p].unsqueeze(2)
            logits = torch.bmm(box.keys_of(p), own).squeeze(2)
        else:
            own, mask = query.chunk(self.heads, -1)[p].unsqueeze(1), box.mask.unsqueeze(1)
            keys, att = box.keys_of(p), vector_of(self.att, p, self._block(box.count))
            return score.additive_weights(own, keys, att, mask, self.room).squeeze(1)
        return score.softmax(logits, box.mask, 1)

    def _score_backward(
        self,
        p: int,
        t: int,
        box: _Open,
        query: Tensor,
        alpha: Tensor,
        d_alpha: Tensor,
        d_query: Tensor,
    ) -> None:
        own, d_own = query.chunk(self.heads, -1)[p], d_query.chunk(self.heads, -1)[p]
        if self.att is not None:
            assert self.d_att is not None and self.d_keys is not None
            d_keys = self.d_keys[: box.count, : box.end].chunk(self.heads, -1)[p]
            block = self._block(box.count)
            mine = own.unsqueeze(1), box.keys_of(p), vector_of(self.att, p, block)
            back = alpha.unsqueeze(1), d_alpha.unsqueeze(1), d_own.unsqueeze(1), d_keys

            def add(d_att: Tensor) -> None:
                score.additive_weights_backward(*mine, *back, d_att, self.room, add=True)

            add_vector(self.d_att, p, block, add)
            return
        d_logits = score.softmax_backward(alpha, d_alpha, 1)
        d_own.copy_(torch.bmm(d_logits.unsqueeze(1), box.keys_of(p)).squeeze(1))
        assert self.d_logits is not None and self.queries is not None
        self.d_logits[: box.count, t, : box.end, p] = d_logits
        self.queries[: box.count, t].chunk(self.heads, -1)[p].copy_(own)

    def _project_backward(
        self, here: slice, box: _Open, h: Tensor, d_query: Tensor, d_h: Tensor
    ) -> None:
        assert self.d_word is not None and self.d_query is not None and self.query is not None
        d_word = self.d_word[here]
        d_word.index_copy_(0, box.within, d_query)
        ask_backward(self.query, h, d_word, self.d_query, d_h)


class _Open:
    """What is read at a step: the first ``count`` mailboxes up to position ``end``."""

    def __init__(self, running: MailboxRunning, t: int) -> None:
        self.count, self.end = running.talk.counts[t], running.ends[t]
        self.values = running.values[: self.count, : self.end]
        self.mask = running.talk.mask[: self.count, : self.end]
        self.within = running.within[t, : self.count]
        self._keys, self._heads = running.keys, running.heads

    def keys_of(self, p: int) -> Tensor:
        """Keys ``[n, end, A]`` of one head."""
        assert self._keys is not None
        return self._keys[: self.count, : self.end].chunk(self._heads, -1)[p]
