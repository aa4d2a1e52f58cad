"""Attention of slots over their senders: padded sets of states, in dense form.

S slots of :mod:`mtgnn.ops.layout` receive; J is the number of a slot's senders, padded; P heads;
A score channels a head.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

CONTEXTUAL = ("additive", "dot")
"""Scores that see states and words; the others are the same at every word."""
SCORES = (*CONTEXTUAL, "static", "uniform")


class ScoreWeights(NamedTuple):
    """Score parameters, for Q owners: 1 where they are shared, else the receivers' rows.

    Attributes:
        score: One of ``"additive"``, ``"dot"``, ``"static"``, ``"uniform"``.
        query: ``[Q, E + H, P·A]``, of the word and the receiver's state; ``None`` for static and
            uniform scores; so are the next ones.
        sender: ``[Q, H, P·A]``.
        bias: ``[Q, P·A]``, additive only.
        att: ``[Q, P, A]``, additive only.
        logit: ``[num_edges, P]``, static only.
        heads: P.
    """

    score: str
    query: Tensor | None
    sender: Tensor | None
    bias: Tensor | None
    att: Tensor | None
    logit: Tensor | None
    heads: int

    def of(self, owner: Tensor) -> ScoreWeights:
        """Parameters of slots whose owners are ``owner [S]``; shared ones stay as they are."""

        def own(value: Tensor | None) -> Tensor | None:
            return value if value is None or value.size(0) == 1 else value[owner]

        return self._replace(
            query=own(self.query), sender=own(self.sender), bias=own(self.bias), att=own(self.att)
        )

    def project_query(self, h: Tensor, word: Tensor) -> Tensor | None:
        """Queries ``[S, P·A]`` of the receivers ``h [S, H]`` that read ``word [S, E]``."""
        if self.query is None:
            return None
        query = _product(torch.cat([word, h], -1).unsqueeze(1), self.query).squeeze(1)
        return query if self.bias is None else query + self.bias

    def project_senders(self, messages: Tensor) -> Tensor | None:
        """Keys ``[S, J, P·A]`` of messages ``[S, J, H]``."""
        return None if self.sender is None else _product(messages, self.sender)


def attend(
    weights: ScoreWeights,
    query: Tensor | None,
    keys: Tensor | None,
    values: Tensor,
    mask: Tensor,
    edge: Tensor | None = None,
    dropout: float = 0.0,
) -> tuple[Tensor, Tensor]:
    """Weigh senders and sum their messages.

    Args:
        weights: Score parameters.
        query: ``[S, P·A]``.
        keys: ``[S, J, P·A]``.
        values: ``[S, J, H]``, the messages themselves.
        mask: ``[S, J]``, true where there is a sender.
        edge: Edge numbers ``[S, J]``, for static scores.
        dropout: Probability with which a weight is dropped.

    Returns:
        Messages ``[S, P·H]``, zero where a slot has no sender, and the weights ``[S, J, P]``
        before dropout.
    """
    alpha = normalise(_logits(weights, query, keys, values, edge), mask)
    dropped = torch.nn.functional.dropout(alpha, dropout) if dropout > 0 else alpha
    message = dropped.to(values.dtype).transpose(-1, -2) @ values  # [S, P, H]
    return message.flatten(-2), alpha


def normalise(logits: Tensor, mask: Tensor) -> Tensor:
    """Softmax of ``logits [S, J, P]`` over the senders in ``mask [S, J]``; zeros where none is."""
    mask = mask.unsqueeze(-1)
    logits = logits.masked_fill(~mask, torch.finfo(logits.dtype).min)
    return logits.softmax(dim=-2) * mask


def _product(x: Tensor, weight: Tensor) -> Tensor:
    """``[S, J, F]`` times ``[1 or S, F, G]``."""
    return x @ weight[0] if weight.size(0) == 1 else x @ weight


def _logits(
    weights: ScoreWeights,
    query: Tensor | None,
    keys: Tensor | None,
    values: Tensor,
    edge: Tensor | None,
) -> Tensor:
    """Scores ``[S, J, P]`` before the softmax."""
    if weights.score == "uniform":
        return values.new_zeros(*values.shape[:2], weights.heads)
    if weights.score == "static":
        assert weights.logit is not None and edge is not None
        return weights.logit[edge]
    assert query is not None and keys is not None
    query = query.unflatten(-1, (1, weights.heads, -1))  # [S, 1, P, A]
    keys = keys.unflatten(-1, (weights.heads, -1))  # [S, J, P, A]
    if weights.score == "dot":
        return (query * keys).sum(-1) / math.sqrt(query.size(-1))
    assert weights.att is not None
    return (torch.tanh(query + keys) * weights.att.unsqueeze(1)).sum(-1)
