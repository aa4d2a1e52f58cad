"""Mutual exchange on a sparse graph: every edge between nodes of a rectangular layout is scored."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor
from torch_geometric.typing import WITH_TORCH_SCATTER

from . import score
from .device import to_device
from .layout import Layout
from .mutual import MutualRunning, MutualTalk
from .room import Room
from .talk import Running

if WITH_TORCH_SCATTER:
    from torch_scatter import segment_csr


class Sparse(MutualTalk):
    """Edges alone, in O(edges) memory. Weights come as ``[W, E, P]``, where a row of W = Σ width is
    a sequence at a step, as in :class:`Pairs`, and the E edges stand in order of their receivers.

    Args:
        senders: ``[R, J]``, rows of the senders of each row, padded.
        degree: How many senders each row has.
        *rest: See :class:`MutualTalk`; ``fixed`` is ``[P, R, J]``.
    """

    def __init__(self, senders: Tensor, degree: Sequence[int], *rest: Any) -> None:
        super().__init__(*rest)
        self.senders = senders
        rows, places = senders.shape
        mask = torch.arange(places) < torch.tensor(degree).unsqueeze(1)
        receiver, place = mask.nonzero(as_tuple=True)  # edges, sorted by receiver
        padded, self.firsts = receiver * places + place, [0, *accumulate(degree)]
        self.mask, self.receiver, self.padded, self.ends = (
            to_device(values, senders.device) for values in (mask, receiver, padded, self.firsts)
        )
        self.sender = senders.flatten()[self.padded]  # from the edge's place in [R·J]
        self.num_edges = len(padded)
        self.regular = self.num_edges == rows * places  # every row has J senders

    def run(self, tensors: Sequence[Tensor | None], layout: Layout) -> Running:
        """See :class:`Talk`."""
        return SparseRunning(self, tensors, layout)

    def by_token(self, alpha: Tensor, layout: Layout) -> Tensor:
        """See :class:`Talk`."""
        rows, places = self.mask.shape
        padded = alpha.new_zeros(len(alpha), rows * places, alpha.size(2))
        by_receiver = padded.index_copy(1, self.padded, alpha).unflatten(1, (rows, places))
        return by_receiver.flatten(0, 1).index_select(0, layout.blocks_last)

    # Edges stand as [E, …] or, where all rows have equally many senders, as [R, J, …].

    def of_receivers(self, nodes: Tensor) -> Tensor:
        """What edges see of their receivers ``[R, …]``, in a shape that broadcasts to edges."""
        return nodes.unsqueeze(1) if self.regular else nodes.index_select(0, self.receiver)

    def of_senders(self, nodes: Tensor) -> Tensor:
        """What edges see of their senders ``[R, …]``."""
        edges = nodes.index_select(0, self.sender)
        return edges.unflatten(0, self.mask.shape) if self.regular else edges

    def to_receivers(self, edges: Tensor) -> Tensor:
        """Sums ``[R, …]`` of what edges bring."""
        if self.regular:
            return edges.sum(1)
        if WITH_TORCH_SCATTER:
            return segment_csr(edges, self.ends, reduce="sum")
        rows = self.mask.size(0)
        return edges.new_zeros(rows, *edges.shape[1:]).index_add_(0, self.receiver, edges)

    def add_to_senders(self, nodes: Tensor, edges: Tensor) -> None:
        """Add what edges take back to ``nodes [R, …]``."""
        flat = edges.flatten(0, 1) if self.regular else edges
        nodes.index_add_(0, self.sender, flat)

    def unpadded(self, values: Tensor) -> Tensor:
        """Edges' values from ``[R, J, …]``."""
        if self.regular:
            return values
        return values.flatten(0, 1).index_select(0, self.padded)

    def softmax(self, logits: Tensor) -> Tensor:
        """Over the edges into each receiver."""
        if self.regular:
            return torch.softmax(logits, 1)
        if WITH_TORCH_SCATTER:
            top = segment_csr(logits, self.ends, reduce="max")
        else:
            top = logits.new_full((self.mask.size(0), *logits.shape[1:]), -torch.inf)
            place = self.receiver.unsqueeze(1).expand_as(logits)
            top.scatter_reduce_(0, place, logits, "amax")
        raised = (logits - self.of_receivers(top)).exp_()
        return raised.div_(self.of_receivers(self.to_receivers(raised)))


class SparseRunning(MutualRunning):
    """See :class:`Running`."""

    def __init__(self, talk: Sparse, tensors: Sequence[Tensor | None], layout: Layout) -> None:
        super().__init__(talk, tensors, layout)
        self.talk, self.places = talk, talk.mask.size(1)
        self.sent = Room(next(tensor for tensor in tensors if tensor is not None))

    def prepare(self, h: Tensor) -> None:
        tokens, edges = self.layout.num_tokens, self.talk.num_edges
        self.allocate(
            h.new_empty(tokens, self.heads * h.size(1)),
            h.new_empty(tokens // self.rows, edges, self.heads),
        )

    def forward(self, t: int, h: Tensor) -> Tensor:
        _, width, start, stop = self.layout.steps[t]
        here, sequences = slice(start, stop), self._sequences(t)
        message = self.message[here].view(self.rows, width, self.heads, -1)
        both, states = self.project(t, h), self.talk.of_senders(h)
        for p in range(self.heads):
            used = self._weights(p, both, width)
            self.alpha[sequences, :, p] = used.reshape(-1, width).t()
            if self.keep_alpha is not None:
                used = used * self._of_head(self.keep_alpha, p, sequences)
            sent = self.sent.take(*states.shape)
            torch.mul(used.unsqueeze(-1), states, out=sent)
            message[:, :, p] = self.talk.to_receivers(sent)
        return self.drop_message(here).view(self.rows, width, -1)

    def backward(self, t: int, h: Tensor, d_message: Tensor, d_h: Tensor) -> None:
        _, _, start, stop = self.layout.steps[t]
        here, sequences, talk = slice(start, stop), self._sequences(t), self.talk
        if self.keep_message is not None:
            d_message = d_message * self.keep_message[here].view_as(d_message)
        d_heads = d_message.unflatten(2, (self.heads, -1))
        both, states = self.project(t, h), talk.of_senders(h)
        d_both = None if both is None else torch.empty_like(both)
        sent = self.sent.take(*states.shape)
        for p in range(self.heads):
            alpha = used = self._of_head(self.alpha, p, sequences)
            d_sent = talk.of_receivers(d_heads[:, :, p])
            d_alpha = torch.mul(d_sent, states, out=sent).sum(-1)
            if self.keep_alpha is not None:
                keep = self._of_head(self.keep_alpha, p, sequences)
                used, d_alpha = alpha * keep, d_alpha * keep
            if self.grad_alpha is not None:
                d_alpha = d_alpha + self._of_head(self.grad_alpha, p, sequences)
            self._to_senders(d_h, torch.mul(d_sent, used.unsqueeze(-1), out=sent))
            if both is None or d_both is None:
                assert self.grads[3] is not None
                by_edge = d_alpha.sum(-1).flatten()
                self.grads[3][p].view(-1).index_add_(0, talk.padded, by_edge)
                continue
            mean = talk.of_receivers(talk.to_receivers(alpha * d_alpha))
            self._score_backward(p, both, alpha * (d_alpha - mean), d_both)
        if d_both is not None:
            self.project_backward(t, h, d_both, d_h)

    def _on_edges(self, p: int, both: Tensor) -> tuple[Tensor, Tensor]:
        """Queries and keys of one head on edges, ``[…, width, A]``."""
        query, keys = (part.chunk(self.heads, -1)[p] for part in both.chunk(2, -1))
        return self.talk.of_receivers(query), self.talk.of_senders(keys)

    def _weights(self, p: int, both: Tensor | None, width: int) -> Tensor:
        """Weights of one head on edges, ``[…, width]``."""
        if both is None:
            assert self.fixed is not None
            own = self.talk.unpadded(self.fixed[p].unsqueeze(2))
            return own.expand(*own.shape[:-1], width)
        query, keys = self._on_edges(p, both)
        if self.att is None:
            logits = (query * keys).sum(-1)
        else:
            logits = score.additive(score.bend(query, keys, self.room), self.att[p])
        return self.talk.softmax(logits)

    def _of_head(self, weights: Tensor, p: int, sequences: slice) -> Tensor:
        """One head's weights of a step on edges, ``[…, width]``."""
        own = weights[sequences, :, p].t().contiguous()
        return own.unflatten(0, self.talk.mask.shape) if self.talk.regular else own

    def _to_senders(self, d_h: Tensor, d_sent: Tensor) -> None:
        """Add the gradients of the edges' messages to their senders', where these learn."""
        if self.learns is not None:
            d_sent = d_sent * self.talk.of_senders(self.learns)[..., None, None]
        self.talk.add_to_senders(d_h, d_sent)

    def _score_backward(self, p: int, both: Tensor, d_logits: Tensor, d_both: Tensor) -> None:
        query, keys = self._on_edges(p, both)
        d_query, d_keys = (part.chunk(self.heads, -1)[p] for part in d_both.chunk(2, -1))
        if self.att is None:
            grad = d_logits.unsqueeze(-1)
            to_query, to_keys = keys * grad, query * grad
        else:
            assert self.grads[2] is not None
            bent = score.bend(query, keys, self.room)
            d_bent = score.additive_backward(bent, d_logits, self.grads[2][p])
            to_query = to_keys = d_bent.mul_(self.att[p])
        d_query.copy_(self.talk.to_receivers(to_query))
        to_nodes = torch.zeros(d_keys.shape, dtype=d_keys.dtype, device=d_keys.device)
        self.talk.add_to_senders(to_nodes, to_keys)
        d_keys.copy_(to_nodes)
