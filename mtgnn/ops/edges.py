"""Edges from senders whose states are known: at each step a slot reads tokens of that step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from . import score
from .layout import Layout
from .queries import add_vector, ask, ask_backward, keys_backward, keys_of, vector_of
from .talk import Drop, Running, Talk


class Edges(Talk):
    """Every token has up to J senders among tokens that are known. Weights are ``[L, J, P]``.

    Args:
        token: ``[L, J]``, the senders' rows in ``values``.
        mask: ``[L, J]``, where there is a sender.
        heads: P.
        query: ``[Q, H, P·A]``, the query of a state, of one owner or of each block; ``None`` for
            fixed weights.
        word: ``[L, P·A]``, that of the word.
        att: ``[Q, P, A]`` for additive scores, else ``None``.
        values: ``[*, H]``.
        keys: ``[*, P·A]``, or ``None``.
        sender: ``[Q, H, P·A]``, which makes keys of values: instead of ``keys`` where most tokens
            are read once, or by receivers with matrices of their own, so that no keys need be
            stored; ``None`` for fixed weights.
        fixed: ``[L, J, P]``, weights that depend on the edge alone; else ``None``.
        drop: Dropout.
    """

    def __init__(
        self,
        token: Tensor,
        mask: Tensor,
        heads: int,
        query: Tensor | None,
        word: Tensor | None,
        att: Tensor | None,
        values: Tensor,
        keys: Tensor | None,
        sender: Tensor | None,
        fixed: Tensor | None,
        drop: Drop,
    ) -> None:
        self.tensors = (query, word, att, values, keys, sender, fixed)
        self.token, self.mask, self.heads, self.drop = token, mask, heads, drop

    def run(self, tensors: Sequence[Tensor | None], layout: Layout) -> Running:
        """See :class:`Talk`."""
        return EdgesRunning(self, tensors, layout)


class EdgesRunning(Running):
    """See :class:`Running`."""

    d_query: Tensor | None = None
    d_word: Tensor | None = None
    d_att: Tensor | None = None
    d_fixed: Tensor | None = None

    def __init__(self, talk: Edges, tensors: Sequence[Tensor | None], layout: Layout) -> None:
        query, self.word, self.att, values, self.keys, self.sender, self.fixed = tensors
        assert values is not None
        super().__init__(layout, talk.drop, values)
        self.query, self.values = query, values
        self.token, self.mask, self.heads = talk.token, talk.mask, talk.heads
        self.all_there = bool(talk.mask.all()) if talk.mask.device.type == "cpu" else False

    def prepare(self, h: Tensor) -> None:
        tokens, senders = self.token.shape
        self.allocate(
            h.new_empty(tokens, self.heads * h.size(1)),
            h.new_empty(tokens, senders, self.heads),
        )

    def forward(self, t: int, h: Tensor) -> Tensor:
        _, _, start, stop = self.layout.steps[t]
        here = slice(start, stop)
        (values, keys), query = self.senders(t, t + 1), self._queries(here, h)
        message = self.message[here].view(stop - start, self.heads, -1)
        for p in range(self.heads):
            alpha = self._weights(p, here, query, keys)
            self.alpha[here, :, p] = alpha
            if self.keep_alpha is not None:
                alpha = alpha * self.keep_alpha[here, :, p]
            message[:, p] = torch.bmm(alpha.unsqueeze(1), values).squeeze(1)
        return self.drop_message(here).view(*h.shape[:2], -1)

    def resume(self, kept: Sequence[Tensor | None], grad_alpha: Tensor | None) -> None:
        super().resume(kept, grad_alpha)
        self.d_values = torch.zeros_like(self.values)
        self.d_keys = None if self.keys is None else torch.zeros_like(self.keys)
        self.d_sender = None if self.sender is None else torch.zeros_like(self.sender)
        self.d_word = None if self.word is None else torch.empty_like(self.word)
        self.d_query = None if self.query is None else torch.zeros_like(self.query)
        self.d_att = None if self.att is None else torch.zeros_like(self.att)
        self.d_fixed = None if self.fixed is None else torch.empty_like(self.fixed)

    def backward(self, t: int, h: Tensor, d_message: Tensor, d_h: Tensor) -> None:
        _, _, start, stop = self.layout.steps[t]
        here = slice(start, stop)
        d_message = d_message.flatten(0, 1)
        if self.keep_message is not None:
            d_message = d_message * self.keep_message[here]
        d_heads = d_message.unflatten(1, (self.heads, -1))
        (values, keys), query = self.senders(t, t + 1), self._queries(here, h)
        alpha = self.alpha[here]
        used, d_alpha = alpha, torch.bmm(values, d_heads.mT)  # [s, J, P]
        if self.keep_alpha is not None:
            keep = self.keep_alpha[here]
            used, d_alpha = alpha * keep, d_alpha * keep
        if self.grad_alpha is not None:
            d_alpha = d_alpha + self.grad_alpha[here]
        d_values = torch.bmm(used, d_heads).flatten(0, 1)
        if query is None or keys is None:
            assert self.d_fixed is not None
            self.d_fixed[here] = d_alpha
        else:
            d_query, d_keys = torch.empty_like(query), torch.empty_like(keys)
            for p in range(self.heads):
                back = alpha[..., p], d_alpha[..., p]
                self._score_backward(p, here, query, keys, *back, d_query, d_keys)
            assert self.query is not None and self.d_query is not None and self.d_word is not None
            self.d_word[here] = d_query
            ask_backward(self.query, h, d_query, self.d_query, d_h)
            self.keys_backward(t, t + 1, values, d_keys, d_values)
        self.d_values.index_add_(0, self.token[here].flatten(), d_values)

    def keys_backward(
        self, first: int, last: int, values: Tensor, d_keys: Tensor, d_values: Tensor
    ) -> None:
        """Hand on the keys' gradient ``[n, J, P·A]`` of some steps; may add to that of values,
        ``[n · J, H]``."""
        if self.d_keys is not None:
            token = self.token[self._tokens(first, last)].flatten()
            self.d_keys.index_add_(0, token, d_keys.flatten(0, 1))
            return
        assert self.sender is not None and self.d_sender is not None
        by_token = d_values.view_as(values)
        for part, blocks in self._portions(first, last):
            mine = values[part].unflatten(0, (blocks, -1))
            keys_backward(self.sender, mine, d_keys[part], self.d_sender, by_token[part])

    def gradients(self) -> tuple[Tensor | None, ...]:
        return (
            self.d_query,
            self.d_word,
            self.d_att,
            self.d_values,
            self.d_keys,
            self.d_sender,
            self.d_fixed,
        )

    def senders(self, first: int, last: int) -> tuple[Tensor, Tensor | None]:
        """Values ``[n, J, H]`` and keys ``[n, J, P·A]`` that the tokens of some steps read."""
        token = self.token[self._tokens(first, last)]
        values = self.values.index_select(0, token.flatten()).unflatten(0, token.shape)
        if self.query is None:
            return values, None
        if self.keys is not None:
            return values, self.keys.index_select(0, token.flatten()).unflatten(0, token.shape)
        assert self.sender is not None
        parts = [
            keys_of(self.sender, values[part].unflatten(0, (blocks, -1)))
            for part, blocks in self._portions(first, last)
        ]
        return values, parts[0] if len(parts) == 1 else torch.cat(parts)

    def _tokens(self, first: int, last: int) -> slice:
        steps = self.layout.steps
        return slice(steps[first].start, steps[last - 1].stop)

    def _portions(self, first: int, last: int) -> Iterator[tuple[slice, int]]:
        """Tokens of some steps, counted from the first one, that share a product: all where there
        is one owner, else those of a step; and in how many blocks they stand."""
        begin = self.layout.steps[first].start
        assert self.sender is not None
        if len(self.sender) == 1:
            yield slice(0, self.layout.steps[last - 1].stop - begin), 1
            return
        for blocks, _, start, stop in self.layout.steps[first:last]:
            yield slice(start - begin, stop - begin), blocks

    def _block(self, here: slice) -> Tensor | None:
        """The block of each token; ``None`` where score parameters have one owner."""
        assert self.att is not None
        return None if len(self.att) == 1 else self.block[here]

    @property
    def block(self) -> Tensor:
        """``[L]``, the block of each token."""
        return self.layout.block

    def _queries(self, here: slice, h: Tensor) -> Tensor | None:
        """Queries ``[s, P·A]`` of a step."""
        if self.query is None or self.word is None:
            return None
        return ask(self.query, self.word[here], h)

    def _weights(self, p: int, here: slice, query: Tensor | None, keys: Tensor | None) -> Tensor:
        """Weights ``[s, J]`` of one head."""
        if query is None or keys is None:
            assert self.fixed is not None
            return self.fixed[here, :, p]
        query, keys = query.chunk(self.heads, -1)[p], keys.chunk(self.heads, -1)[p]
        if self.att is None:
            logits = torch.bmm(keys, query.unsqueeze(2)).squeeze(2)
        else:
            heard = None if self.all_there else self.mask[here].unsqueeze(1)
            query, att = query.unsqueeze(1), vector_of(self.att, p, self._block(here))
            return score.additive_weights(query, keys, att, heard, self.room).squeeze(1)
        return score.softmax(logits, None if self.all_there else self.mask[here], 1)

    def _score_backward(
        self,
        p: int,
        here: slice,
        query: Tensor,
        keys: Tensor,
        alpha: Tensor,
        d_alpha: Tensor,
        d_query: Tensor,
        d_keys: Tensor,
    ) -> None:
        query, keys, d_query, d_keys = (
            part.chunk(self.heads, -1)[p] for part in (query, keys, d_query, d_keys)
        )
        if self.att is not None:
            assert self.d_att is not None
            block = self._block(here)
            mine = query.unsqueeze(1), keys, vector_of(self.att, p, block)
            back = alpha.unsqueeze(1), d_alpha.unsqueeze(1), d_query.unsqueeze(1), d_keys

            def add(d_att: Tensor) -> None:
                score.additive_weights_backward(*mine, *back, d_att, self.room)

            add_vector(self.d_att, p, block, add)
            return
        d_logits = score.softmax_backward(alpha, d_alpha, 1)
        d_query.copy_(torch.bmm(d_logits.unsqueeze(1), keys).squeeze(1))
        torch.mul(d_logits.unsqueeze(2), query.unsqueeze(1), out=d_keys)
