"""Attention of many receivers over their own padded sets of senders, in dense form.

Slots are laid out ``[R, M]``: R nodes (rows, each with weights of its own) with up to M sequences
each. J is the number of senders of a slot, padded; P heads; A score channels a head.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

SCORES = ("additive", "dot", "static", "uniform")


class ScoreWeights(NamedTuple):
    """Score parameters of the receivers; the first dimension is R, or 1 where they are shared.

    Attributes:
        score: One of ``"additive"``, ``"dot"``, ``"static"``, ``"uniform"``.
        query: ``[R or 1, H, P·A]``, ``None`` for static and uniform scores; so are the next ones.
        sender: ``[R or 1, H, P·A]``.
        context: ``[R or 1, E, P·A]``, ``None`` too where the score does not see the word.
        bias: ``[R or 1, 1, P·A]``, additive only.
        att: ``[R or 1, P, A]``, additive only.
        logit: ``[num_edges, P]``, static only.
        heads: P.
    """

    score: str
    query: Tensor | None
    sender: Tensor | None
    context: Tensor | None
    bias: Tensor | None
    att: Tensor | None
    logit: Tensor | None
    heads: int

    def project_context(self, x: Tensor) -> Tensor | None:
        """The query of the words alone: ``[T, R, M, E] → [T, R, M, P·A]``."""
        if self.context is None:
            return None if self.bias is None else self.bias.unsqueeze(0)
        projected = x @ self.context
        return projected if self.bias is None else projected + self.bias

    def project_query(self, h: Tensor, context: Tensor | None) -> Tensor | None:
        """Queries ``[R, M, P·A]`` of the receivers ``h [R, M, H]``."""
        if self.query is None:
            return None
        query = h @ self.query
        return query if context is None else query + context

    def project_senders(self, m: Tensor) -> Tensor | None:
        """Keys ``[..., R, M·J, P·A]`` of messages ``[..., R, M·J, H]``."""
        return None if self.sender is None else m @ self.sender


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
        query: ``[R, M, P·A]``.
        keys: ``[R, M, J, P·A]``.
        values: ``[R, M, J, H]``, the messages themselves.
        mask: ``[R, M, J]``, true where there is a sender.
        edge: Edge numbers ``[R, M, J]``, for static scores.
        dropout: Probability with which a weight is dropped.

    Returns:
        Messages ``[R, M, P·H]``, zero where a slot has no sender, and the weights
        ``[R, M, J, P]`` before dropout.
    """
    logits = _logits(weights, query, keys, mask, edge)
    logits = logits.masked_fill(~mask.unsqueeze(-1), torch.finfo(logits.dtype).min)
    alpha = logits.softmax(dim=-2) * mask.unsqueeze(-1)
    dropped = torch.nn.functional.dropout(alpha, dropout) if dropout > 0 else alpha
    message = dropped.to(values.dtype).transpose(-1, -2) @ values  # [R, M, P, H]
    return message.flatten(-2), alpha


def _logits(
    weights: ScoreWeights,
    query: Tensor | None,
    keys: Tensor | None,
    mask: Tensor,
    edge: Tensor | None,
) -> Tensor:
    """Scores ``[R, M, J, P]`` before the softmax."""
    if weights.score == "uniform":
        dtype = torch.get_default_dtype()
        return mask.new_zeros(*mask.shape, weights.heads, dtype=dtype)
    if weights.score == "static":
        assert weights.logit is not None and edge is not None
        return weights.logit[edge]
    assert query is not None and keys is not None
    query = query.unflatten(-1, (weights.heads, -1))  # [R, M, P, A]
    keys = keys.unflatten(-1, (weights.heads, -1))  # [R, M, J, P, A]
    if weights.score == "dot":
        # [R, M, P, J, A] @ [R, M, P, A, 1]
        products = keys.transpose(-2, -3) @ query.unsqueeze(-1)
        return products.squeeze(-1).transpose(-1, -2) / math.sqrt(query.size(-1))
    assert weights.att is not None
    hidden = torch.tanh(query.unsqueeze(-3) + keys)
    if weights.heads == 1 and weights.att.size(0) == 1:
        return hidden.squeeze(-2) @ weights.att[0].t()
    return (hidden * weights.att[:, None, None]).sum(-1)
