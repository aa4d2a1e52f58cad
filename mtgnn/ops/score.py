"""Scores of senders and their gradients, one head at a time, without a graph of operations.

Additive scores :math:`\\mathbf{u}^\\top \\tanh(\\mathbf{q} + \\mathbf{k})` are taken as
:math:`2 \\mathbf{u}^\\top \\sigma(2\\mathbf{q} + 2\\mathbf{k})`. That differs by
:math:`\\sum_a u_a`, which a softmax over the senders does not see, and on a CPU torch's sigmoid
takes a sixth of the time of its tanh. So queries, keys and vector come in already doubled, see
:func:`prepare`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .attention import ScoreWeights
from .room import Room


def prepare(
    weights: ScoreWeights, size: int
) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
    """Shared parameters of additive or dot scores, scaled for the functions below.

    Args:
        weights: Score parameters with one owner.
        size: H.

    Returns:
        ``query [H, P·A]`` and ``sender [H, P·A]`` of states; what a word adds to the query,
        ``[E, P·A]``, or ``None``; what every query gets, ``[P·A]``, or ``None``.
    """
    assert weights.query is not None and weights.sender is not None
    query, sender = weights.query[0], weights.sender[0]
    if weights.score == "additive":
        query, sender = 2 * query, 2 * sender
    else:
        query = query / math.sqrt(query.size(1) // weights.heads)
    word = query[: query.size(0) - size] if weights.sees_word else None
    bias = None if weights.bias is None else 2 * weights.bias[0]
    return query[query.size(0) - size :], sender, word, bias


def bend(query: Tensor, keys: Tensor, room: Room) -> Tensor:
    """σ(q + k), the inside of an additive score, contiguous in the shape both broadcast to."""
    out = room.take(*map(max, zip(query.shape, keys.shape, strict=True)))  # broadcast
    return torch.add(query, keys, out=out).sigmoid_()


def additive(bent: Tensor, att: Tensor) -> Tensor:
    """Scores ``[…]`` of ``bent […, A]`` and ``att [A]``."""
    return torch.mv(bent.view(-1, att.size(0)), att).view(bent.shape[:-1])


def additive_backward(bent: Tensor, d_logits: Tensor, d_att: Tensor) -> Tensor:
    """Add to ``d_att [A]``; turn ``bent […, A]`` in place into ``d_logits`` · σ', and return it.

    Times ``att`` this is the gradient of q + k.
    """
    d_att.addmv_(bent.view(-1, d_att.size(0)).t(), d_logits.reshape(-1))
    grad = d_logits.unsqueeze(-1)
    return torch.ops.aten.sigmoid_backward.grad_input(grad, bent, grad_input=bent)


def softmax(logits: Tensor, mask: Tensor | None, dim: int) -> Tensor:
    """Softmax over the senders in ``mask`` (``None``: all); zeros where there is none."""
    if mask is None:
        return logits.softmax(dim)
    return logits.masked_fill_(~mask, torch.finfo(logits.dtype).min).softmax(dim).mul_(mask)


def softmax_backward(alpha: Tensor, d_alpha: Tensor, dim: int) -> Tensor:
    """The gradient of the logits."""
    return alpha * (d_alpha - (alpha * d_alpha).sum(dim, keepdim=True))
