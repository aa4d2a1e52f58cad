"""Mutual exchange on a sparse graph: every edge between nodes of a rectangular layout is scored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch_geometric.typing import WITH_TORCH_SCATTER

from . import score
from .layout import Layout
from .mutual import MutualRunning, MutualTalk
from .talk import Running

if WITH_TORCH_SCATTER:
    from torch_scatter import segment_csr


class Sparse(MutualTalk):
    """Edges alone, in O(edges) memory. Weights come as ``[L, J, P]``, by receiver's token and place
    among its senders, of which the receiver with most has J.

    Args:
        senders: ``[R, J]``, rows of the senders of each row, padded.
        mask: ``[R, J]``, where there is a sender.
        *rest: See :class:`MutualTalk`; ``fixed`` is ``[P, R, J]``.
    """

    def __init__(self, senders: Tensor, mask: Tensor, *rest: Any) -> None:
        super().__init__(*rest)
        self.mask = mask
        self.receiver, place = mask.nonzero(as_tuple=True)  # edges, sorted by receiver
        self.sender = senders[self.receiver, place]
        self.padded = self.receiver * mask.size(1) + place  # the edge's place in [R·J]
        self.ends = torch.nn.functional.pad(mask.sum(1).cumsum(0), (1, 0))

    def run(self, tensors: Sequence[Tensor | None], layout: Layout) -> Running:
        """See :class:`Talk`."""
        return _Running(self, tensors, layout)

    def received(self, sent: Tensor) -> Tensor:
        """Sums ``[R, …]`` of what the edges ``[E, …]`` bring."""
        if WITH_TORCH_SCATTER:
            return segment_csr(sent, self.ends, reduce="sum")
        rows = self.mask.size(0)
        return sent.new_zeros(rows, *sent.shape[1:]).index_add_(0, self.receiver, sent)


class _Running(MutualRunning):
    def __init__(self, talk: Sparse, tensors: Sequence[Tensor | None], layout: Layout) -> None:
        super().__init__(talk, tensors, layout)
        self.talk, self.places = talk, talk.mask.size(1)

    def forward(self, t: int, h: Tensor) -> Tensor:
        _, width, start, stop = self.layout.steps[t]
        if t == 0:
            tokens, heads = self.layout.num_tokens, self.heads
            self.allocate(
                h.new_empty(tokens, heads * h.size(2)), h.new_empty(tokens, self.places, heads)
            )
        here = slice(start, stop)
        alpha = self.alpha[here].view(self.rows, width, self.places, self.heads)
        message = self.message[here].view(self.rows, width, self.heads, -1)
        both, states = self.project(t, h), h.index_select(0, self.talk.sender)
        for p in range(self.heads):
            weights = self._weights(p, both, width)  # [R, J, width]
            alpha[..., p] = weights.transpose(1, 2)
            used = self._on_edges(weights)
            if self.keep_alpha is not None:
                used = used * self._of_head(self.keep_alpha, p, here)
            message[:, :, p] = self.talk.received(used.unsqueeze(2) * states)
        return self.drop_message(here).view(self.rows, width, -1)

    def backward(self, t: int, h: Tensor, d_message: Tensor, d_h: Tensor) -> None:
        _, _, start, stop = self.layout.steps[t]
        here = slice(start, stop)
        if self.keep_message is not None:
            d_message = d_message * self.keep_message[here].view_as(d_message)
        d_heads = d_message.unflatten(2, (self.heads, -1))
        both, states = self.project(t, h), h.index_select(0, self.talk.sender)
        d_both = None if both is None else torch.empty_like(both)
        for p in range(self.heads):
            alpha = self._of_head(self.alpha, p, here)  # [E, width]
            d_sent = d_heads[:, :, p].index_select(0, self.talk.receiver)
            d_alpha = (d_sent * states).sum(2)
            used = alpha
            if self.keep_alpha is not None:
                keep = self._of_head(self.keep_alpha, p, here)
                used, d_alpha = alpha * keep, d_alpha * keep
            if self.grad_alpha is not None:
                d_alpha = d_alpha + self._of_head(self.grad_alpha, p, here)
            self._to_senders(d_h, d_sent.mul_(used.unsqueeze(2)))
            if both is None or d_both is None:
                assert self.grads[3] is not None
                self.grads[3][p].view(-1).index_add_(0, self.talk.padded, d_alpha.sum(1))
                continue
            mean = self.talk.received(alpha * d_alpha).index_select(0, self.talk.receiver)
            self._score_backward(p, both, alpha * (d_alpha - mean), d_both)
        if d_both is not None:
            self.project_backward(t, h, d_both, d_h)

    def _on_edges_of(self, p: int, both: Tensor) -> tuple[Tensor, Tensor]:
        """Queries and keys ``[E, width, A]`` of one head."""
        query, keys = (part.chunk(self.heads, -1)[p] for part in both.chunk(2, -1))
        return query.index_select(0, self.talk.receiver), keys.index_select(0, self.talk.sender)

    def _weights(self, p: int, both: Tensor | None, width: int) -> Tensor:
        """Weights ``[R, J, width]`` of one head."""
        if both is None:
            assert self.fixed is not None
            return self.fixed[p].unsqueeze(2).expand(-1, -1, width)
        query, keys = self._on_edges_of(p, both)
        if self.att is None:
            logits = (query * keys).sum(2)
        else:
            logits = score.additive(score.bend(query, keys, self.room), self.att[p])
        padded = logits.new_zeros(self.rows * self.places, width)
        padded.index_copy_(0, self.talk.padded, logits)
        return score.softmax(
            padded.view(self.rows, self.places, width), self.talk.mask.unsqueeze(2), 1
        )

    def _on_edges(self, weights: Tensor) -> Tensor:
        """``[R, J, width]`` as ``[E, width]``."""
        return weights.flatten(0, 1).index_select(0, self.talk.padded)

    def _of_head(self, weights: Tensor, p: int, here: slice) -> Tensor:
        """One head's weights of a step, ``[E, width]``."""
        own = weights[here].view(self.rows, -1, self.places, self.heads)[..., p]
        return self._on_edges(own.transpose(1, 2).contiguous())

    def _to_senders(self, d_h: Tensor, d_sent: Tensor) -> None:
        """Add the gradients of the edges' messages to their senders', where these learn."""
        if self.talk.learns is not None:
            d_sent = d_sent * self.talk.learns[self.talk.sender][:, None, None]
        d_h.index_add_(0, self.talk.sender, d_sent)

    def _score_backward(self, p: int, both: Tensor, d_logits: Tensor, d_both: Tensor) -> None:
        query, keys = self._on_edges_of(p, both)
        d_query, d_keys = (part.chunk(self.heads, -1)[p] for part in d_both.chunk(2, -1))
        if self.att is None:
            to_query, to_keys = keys.mul_(d_logits.unsqueeze(2)), query.mul_(d_logits.unsqueeze(2))
        else:
            assert self.grads[2] is not None
            bent = score.bend(query, keys, self.room)
            d_bent = score.additive_backward(bent, d_logits, self.grads[2][p])
            to_query = to_keys = d_bent.mul_(self.att[p])
        d_query.copy_(self.talk.received(to_query))
        d_keys.copy_(torch.zeros_like(d_keys).index_add_(0, self.talk.sender, to_keys))
