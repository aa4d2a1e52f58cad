"""Mutual exchange on a dense graph: every node of a rectangular layout scores every other."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor

from . import score
from .layout import Chunk, Layout
from .mutual import MutualRunning, MutualTalk
from .queries import add_query
from .talk import Running


class Pairs(MutualTalk):
    """All pairs of nodes.

    Weights come as ``[P, W, R, R]``, receiver by sender, where a row of W = Σ width is a sequence
    at a step: steps follow each other, and in a step the sequences. Messages are kept alike.

    Args:
        mask: ``[R, R]``, receiver by sender: who is heard.
        hands_on: Whether messages are wanted. If not, they are computed anew on the way back
            instead of kept, unless dropout was drawn for them.
        *rest: See :class:`MutualTalk`; ``fixed`` is ``[P, R, R]``.
    """

    def __init__(self, mask: Tensor, hands_on: bool, *rest: Any) -> None:
        super().__init__(*rest)
        self.mask = mask
        self.keeps_messages = hands_on or self.drop.message > 0
        self.silent = bool((~mask).all(1).any()) if mask.device.type == "cpu" else True

    def run(self, tensors: Sequence[Tensor | None], layout: Layout) -> Running:
        """See :class:`Talk`."""
        return PairsRunning(self, tensors, layout)

    def by_token(self, alpha: Tensor, layout: Layout) -> Tensor:
        """See :class:`Talk`."""
        by_receiver = alpha.flatten(1, 2).movedim(0, 2)  # [W·R, R, P]
        return by_receiver.index_select(0, layout.blocks_last)


class PairBack(NamedTuple):
    """What a loop that runs many steps by itself reads on its way back, and where it leaves
    gradients.

    Attributes:
        sent: ``[R, columns, C]``, gradients of messages.
        scores: ``[P, columns, R, R]``, of scores, or of fixed weights.
        spoken: ``[R, columns, 2·P·A]``, queries and keys; ``None`` for fixed weights.
        d_spoken: Alike, their gradients.
    """

    sent: Tensor
    scores: Tensor
    spoken: Tensor | None
    d_spoken: Tensor | None


class PairsRunning(MutualRunning):
    """See :class:`Running`."""

    def __init__(self, talk: Pairs, tensors: Sequence[Tensor | None], layout: Layout) -> None:
        super().__init__(talk, tensors, layout)
        self.mask, self.silent, self.keeps_messages = talk.mask, talk.silent, talk.keeps_messages

    @cached_property
    def barred(self) -> Tensor:
        """``[width · R · R]``, what is added to the scores of sequences side by side."""
        assert self.pair is not None
        barred = torch.finfo(self.pair.dtype).min * (~self.mask).to(self.pair.dtype)
        return barred.repeat(self.layout.width, 1, 1).view(-1)

    @cached_property
    def word_pair(self) -> Tensor:
        """Queries of words, and beside them nothing for the keys."""
        assert self.word is not None
        return torch.nn.functional.pad(self.word, (0, self.word.size(1)))

    def prepare(self, h: Tensor) -> None:
        total, size = self.layout.num_tokens // self.rows, h.size(1)
        kept = total if self.keeps_messages else self.layout.width  # else those of one step
        self.allocate(
            h.new_empty(kept, self.rows, self.heads * size),
            h.new_empty(self.heads, total, self.rows, self.rows),
        )

    def forward(self, t: int, h: Tensor) -> Tensor:
        rows, width = self._sequences(t), h.size(1)
        both, states = self.project(t, h), h.transpose(0, 1)  # states [width, R, H]
        place = rows if self.keeps_messages else slice(0, width)
        for p in range(self.heads):
            self._weigh(p, both, self.alpha[p, rows])
        self._receive(rows, states, self.message[place])
        return self.drop_message(place).transpose(0, 1)

    def _receive(self, rows: slice, states: Tensor, out: Tensor) -> None:
        """Put the messages ``[n, R, C]`` of rows that read ``states [n, R, H]`` into ``out``."""
        for p in range(self.heads):
            weights = self.alpha[p, rows]
            if self.keep_alpha is not None:
                weights = weights * self.keep_alpha[p, rows]
            if self.heads == 1:
                torch.bmm(weights, states, out=out)
            else:
                out.chunk(self.heads, 2)[p].copy_(torch.bmm(weights, states))

    def backward(self, t: int, h: Tensor, d_message: Tensor, d_h: Tensor) -> None:
        rows = self._sequences(t)
        d_sent = d_message.transpose(0, 1)  # [width, R, P·H]
        if self.keep_message is not None:
            d_sent = d_sent * self.keep_message[rows]
        both, states = self.project(t, h), h.transpose(0, 1)
        d_both = None if both is None else torch.empty_like(both)
        for p, d_head in enumerate(d_sent.chunk(self.heads, 2)):
            alpha = used = self.alpha[p, rows]
            d_alpha = torch.bmm(d_head, states.mT)
            if self.keep_alpha is not None:
                keep = self.keep_alpha[p, rows]
                used, d_alpha = alpha * keep, d_alpha * keep
            if self.grad_alpha is not None:
                d_alpha = d_alpha + self.grad_alpha[p, rows]
            self._add(d_h, torch.bmm(used.mT, d_head).transpose(0, 1))
            if both is None or d_both is None:
                assert self.grads[3] is not None
                self.grads[3][p] += d_alpha.sum(0)
                continue
            self._score_backward(p, both, alpha, d_alpha, d_both)
        if d_both is not None:
            self.project_backward(t, h, d_both, d_h)

    def messages(self, chunk: Chunk, states: Tensor) -> Tensor:
        if self.keeps_messages:
            return self.of_chunk(chunk, self.message)
        rows = self._rows_of(chunk)
        out = states.new_empty(chunk.columns[-1], self.rows, self.heads * states.size(2))
        self._receive(rows, states.transpose(0, 1), out)
        return out.transpose(0, 1)

    def spoken(self, chunk: Chunk, states: Tensor) -> Tensor | None:
        """Queries and keys ``[R, columns, 2·P·A]`` of a chunk, whose tokens started from
        ``states``."""
        if self.pair is None or self.word is None:
            return None
        both = states @ self.pair
        both[..., : self.word.size(1)] += self.word[self._words_of(chunk)]
        return both

    def close(self, chunk: Chunk, states: Tensor, back: PairBack) -> None:
        """What is left to do of a chunk that a loop by itself went back through."""
        d_pair, d_word, _, d_fixed = self.grads
        if back.d_spoken is None or d_pair is None or d_word is None:
            assert d_fixed is not None
            d_fixed += back.scores.sum(1)
            return
        add_query(d_pair.unsqueeze(0), states, back.d_spoken)
        d_query = back.d_spoken[..., : d_word.size(1)]
        d_word[self._words_of(chunk)] = d_query if self.own_words else d_query.sum(0)

    def _words_of(self, chunk: Chunk) -> Tensor | slice:
        """The rows of ``word`` for a chunk, see :meth:`_words`."""
        return chunk.token if self.own_words else self._rows_of(chunk)

    def of_chunk(self, chunk: Chunk, values: Tensor) -> Tensor:
        """See :class:`Running`."""
        return values[self._rows_of(chunk)].transpose(0, 1)

    def _rows_of(self, chunk: Chunk) -> slice:
        """The rows of messages and weights of a chunk."""
        start = self.layout.steps[chunk.first].start // self.rows
        return slice(start, start + chunk.columns[-1])

    def kept(self) -> tuple[Tensor | None, ...]:
        return (self.message if self.keeps_messages else None, *super().kept()[1:])

    def of_step(self, t: int, values: Tensor) -> Tensor:
        """See :class:`Running`."""
        return values[self._sequences(t)].transpose(0, 1)

    def project(self, t: int, h: Tensor) -> Tensor | None:
        """Queries and keys ``[R, width, 2·P·A]`` of step t."""
        if self.pair is None or self.word is None:
            return super().project(t, h)
        word = self.word_pair[self._words(t)].view(-1, h.size(1), self.word_pair.size(1))
        return torch.baddbmm(word, h, self.pair.expand(self.rows, -1, -1))

    def _split(self, p: int, both: Tensor) -> tuple[Tensor, Tensor]:
        """Queries ``[width, R, A]`` and keys of one head."""
        query, keys = both.transpose(0, 1).chunk(2, -1)
        if self.heads == 1:
            return query, keys
        return query.chunk(self.heads, -1)[p], keys.chunk(self.heads, -1)[p]

    def _weigh(self, p: int, both: Tensor | None, out: Tensor) -> None:
        """Put the weights ``[width, R, R]`` of one head into ``out``."""
        if both is None:
            assert self.fixed is not None
            out.copy_(self.fixed[p])
            return
        query, keys = self._split(p, both)
        barred = self.barred[: out.numel()]
        if self.att is not None:
            rest = self.mask.unsqueeze(0), self.room, out, barred, self.silent
            score.additive_weights(query, keys, self.att[p], *rest)
            return
        logits = torch.baddbmm(barred.view(out.shape), query, keys.mT)
        torch.softmax(logits, -1, out=out)
        if self.silent:
            out *= self.mask

    def _score_backward(
        self, p: int, both: Tensor, alpha: Tensor, d_alpha: Tensor, d_both: Tensor
    ) -> None:
        query, keys = self._split(p, both)
        d_query, d_keys = self._split(p, d_both)
        if self.att is not None:
            assert self.grads[2] is not None
            back = alpha, d_alpha, d_query, d_keys, self.grads[2][p]
            score.additive_weights_backward(query, keys, self.att[p], *back, self.room)
            return
        d_logits = score.softmax_backward(alpha, d_alpha, -1)
        d_query.copy_(torch.bmm(d_logits, keys))
        d_keys.copy_(torch.bmm(d_logits.mT, query))

    def _add(self, d_h: Tensor, d_sent: Tensor) -> None:
        """Add what comes back through the messages, where senders learn."""
        if self.learns is not None:
            d_sent = d_sent * self.learns[:, None, None]
        d_h += d_sent
