"""Mutual exchange on a dense graph: every node of a rectangular layout scores every other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from . import score
from .layout import Layout
from .mutual import MutualRunning, MutualTalk
from .talk import Running


class Pairs(MutualTalk):
    """All pairs of nodes. Weights come as ``[L, R, P]``, by receiver's token and sender's row.

    Args:
        mask: ``[R, R]``, receiver by sender: who is heard.
        *rest: See :class:`MutualTalk`; ``fixed`` is ``[P, R, R]``.
    """

    def __init__(self, mask: Tensor, *rest: Any) -> None:
        super().__init__(*rest)
        self.mask = mask

    def run(self, tensors: Sequence[Tensor | None], layout: Layout) -> Running:
        """See :class:`Talk`."""
        return _Running(self, tensors, layout)


class _Running(MutualRunning):
    def __init__(self, talk: Pairs, tensors: Sequence[Tensor | None], layout: Layout) -> None:
        super().__init__(talk, tensors, layout)
        self.mask = talk.mask

    def forward(self, t: int, h: Tensor) -> Tensor:
        _, width, start, stop = self.layout.steps[t]
        if t == 0:
            tokens, heads = self.layout.num_tokens, self.heads
            self.allocate(
                h.new_empty(tokens, heads * h.size(2)), h.new_empty(tokens, self.rows, heads)
            )
        here = slice(start, stop)
        alpha = self.alpha[here].view(self.rows, width, self.rows, self.heads)
        message = self.message[here].view(self.rows, width, self.heads, -1)
        both = self.project(t, h)
        states = h.transpose(0, 1)  # [width, R, H]
        for p in range(self.heads):
            weights = self._weights(p, both, width)
            alpha[..., p] = weights.transpose(0, 1)
            if self.keep_alpha is not None:
                weights = weights * self._of_head(self.keep_alpha, p, here)
            message[:, :, p] = torch.bmm(weights, states).transpose(0, 1)
        return self.drop_message(here).view(self.rows, width, -1)

    def backward(self, t: int, h: Tensor, d_message: Tensor, d_h: Tensor) -> None:
        _, width, start, stop = self.layout.steps[t]
        here = slice(start, stop)
        if self.keep_message is not None:
            d_message = d_message * self.keep_message[here].view_as(d_message)
        d_heads = d_message.unflatten(2, (self.heads, -1))
        states = h.transpose(0, 1)
        both = self.project(t, h)
        d_both = None if both is None else torch.empty_like(both)
        for p in range(self.heads):
            alpha, d_sent = self._of_head(self.alpha, p, here), d_heads[:, :, p].transpose(0, 1)
            d_alpha = torch.bmm(d_sent, states.mT)
            used = alpha
            if self.keep_alpha is not None:
                keep = self._of_head(self.keep_alpha, p, here)
                used, d_alpha = alpha * keep, d_alpha * keep
            if self.grad_alpha is not None:
                d_alpha = d_alpha + self._of_head(self.grad_alpha, p, here)
            self._add(d_h, torch.bmm(used.mT, d_sent).transpose(0, 1))
            if both is None or d_both is None:
                assert self.grads[3] is not None
                self.grads[3][p] += d_alpha.sum(0)
                continue
            d_logits = score.softmax_backward(alpha, d_alpha, -1)
            self._score_backward(p, both, d_logits, d_both)
        if d_both is not None:
            self.project_backward(t, h, d_both, d_h)

    def _split(self, p: int, both: Tensor) -> tuple[Tensor, Tensor]:
        """Queries ``[width, R, A]`` and keys of one head."""
        query, keys = both.chunk(2, -1)
        size = query.size(-1) // self.heads
        own = slice(p * size, (p + 1) * size)
        return query[..., own].transpose(0, 1), keys[..., own].transpose(0, 1)

    def _weights(self, p: int, both: Tensor | None, width: int) -> Tensor:
        """Weights ``[width, R, R]`` of one head."""
        if both is None:
            assert self.fixed is not None
            return self.fixed[p].expand(width, -1, -1)
        query, keys = self._split(p, both)
        if self.att is None:
            logits = torch.bmm(query, keys.mT)
        else:
            logits = score.additive(
                score.bend(query.unsqueeze(2), keys.unsqueeze(1), self.room), self.att[p]
            )
        return score.softmax(logits, self.mask, -1)

    def _score_backward(self, p: int, both: Tensor, d_logits: Tensor, d_both: Tensor) -> None:
        query, keys = self._split(p, both)
        d_query, d_keys = self._split(p, d_both)
        if self.att is None:
            d_query.copy_(torch.bmm(d_logits, keys))
            d_keys.copy_(torch.bmm(d_logits.mT, query))
            return
        assert self.grads[2] is not None
        bent = score.bend(query.unsqueeze(2), keys.unsqueeze(1), self.room)
        d_bent = score.additive_backward(bent, d_logits, self.grads[2][p])
        torch.mul(d_bent.sum(2), self.att[p], out=d_query)
        torch.mul(d_bent.sum(1), self.att[p], out=d_keys)

    def _add(self, d_h: Tensor, d_sent: Tensor) -> None:
        """Add what comes back through the messages, where senders learn."""
        if self.learns is not None:
            d_sent = d_sent * self.learns[:, None, None]
        d_h += d_sent

    def _of_head(self, weights: Tensor, p: int, here: slice) -> Tensor:
        """One head's weights of a step, ``[width, R, R]``."""
        return weights[here].view(self.rows, -1, self.rows, self.heads)[..., p].transpose(0, 1)
