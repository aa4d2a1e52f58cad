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

from . import gpu
from .attention import ScoreWeights
from .room import Room


def prepare(
    weights: ScoreWeights, size: int
) -> tuple[Tensor, Tensor, Tensor, Tensor | None, Tensor | None]:
    """Parameters of additive or dot scores, scaled for the functions below.

    Args:
        weights: Score parameters of Q owners.
        size: H.

    Returns:
        ``query [Q, H, P·A]`` and ``sender [Q, H, P·A]`` of states; what a word adds to the query,
        ``[Q, E, P·A]``; what every query gets, ``[Q, P·A]``, or ``None``; and of additive scores
        the vector, ``[Q, P, A]``.
    """
    query, sender = weights.query, weights.sender
    assert query is not None and sender is not None
    if weights.score == "additive":
        query, sender = 2 * query, 2 * sender
    else:
        query = query / math.sqrt(query.size(2) // weights.heads)
    split = query.size(1) - size
    bias, att = (None if part is None else 2 * part for part in (weights.bias, weights.att))
    return query[:, split:], sender, query[:, :split], bias, att


def bend(query: Tensor, keys: Tensor, room: Room) -> Tensor:
    """σ(q + k), the inside of an additive score, contiguous in the shape both broadcast to."""
    out = room.take(*map(max, zip(query.shape, keys.shape, strict=True)))  # broadcast
    return torch.add(query, keys, out=out).sigmoid_()


def additive(bent: Tensor, att: Tensor) -> Tensor:
    """Scores ``[…]`` of ``bent […, A]`` and ``att [A]``, or ``att [n, A]`` along the first one."""
    if att.dim() == 2:
        return (bent.flatten(1, -2) @ att.unsqueeze(2)).view(bent.shape[:-1])
    return torch.mv(bent.view(-1, att.size(0)), att).view(bent.shape[:-1])


def additive_backward(bent: Tensor, d_logits: Tensor, d_att: Tensor) -> Tensor:
    """Add to ``d_att``, which is like ``att``; turn ``bent […, A]`` in place into ``d_logits`` ·
    σ', and return it.

    Times ``att`` this is the gradient of q + k.
    """
    if d_att.dim() == 2:
        d_att += (d_logits.flatten(1).unsqueeze(1) @ bent.flatten(1, -2)).squeeze(1)
    else:
        d_att.addmv_(bent.view(-1, d_att.size(0)).t(), d_logits.reshape(-1))
    grad = d_logits.unsqueeze(-1)
    return torch.ops.aten.sigmoid_backward.grad_input(grad, bent, grad_input=bent)


def additive_weights(
    query: Tensor,
    keys: Tensor,
    att: Tensor,
    mask: Tensor | None,
    room: Room,
    out: Tensor | None = None,
    barred: Tensor | None = None,
    silent: bool = True,
) -> Tensor:
    """Softmax over the senders of additive scores.

    Args:
        query: ``[n, Q, A]``.
        keys: ``[n, J, A]``.
        att: ``[A]``, or each receiver's own ``[n, A]``.
        mask: ``[n, Q, J]``, or 1 in the place of n or Q: where there is a sender; ``None``: all.
        room: For the inside of the scores.
        out: ``[n, Q, J]``, where the weights go; ``None``: into a new tensor.
        barred: ``[n · Q · J]``, the mask once more, as what it adds to scores; or ``None``.
        silent: With ``barred``: whether some receivers may have no sender.

    Returns:
        ``[n, Q, J]``, zeros where there is no sender.
    """
    if gpu.serves(query) and att.dim() == 1:
        out = query.new_empty(*query.shape[:2], keys.size(1)) if out is None else out
        gpu.additive_weights(query, keys, att, mask, out)
        return out
    bent = bend(query.unsqueeze(2), keys.unsqueeze(1), room)
    if barred is None:
        return softmax(additive(bent, att), mask, -1, out)
    logits = torch.addmv(barred, bent.view(-1, att.size(0)), att).view(bent.shape[:-1])
    alpha = torch.softmax(logits, -1, out=out)
    return alpha.mul_(mask) if mask is not None and silent else alpha


def additive_weights_backward(
    query: Tensor,
    keys: Tensor,
    att: Tensor,
    alpha: Tensor,
    d_alpha: Tensor,
    d_query: Tensor,
    d_keys: Tensor,
    d_att: Tensor,
    room: Room,
    add: bool = False,
) -> None:
    """Gradients of these weights.

    Args:
        query: ``[n, Q, A]``.
        keys: ``[n, J, A]``.
        att: ``[A]``, or each receiver's own ``[n, A]``.
        alpha: ``[n, Q, J]``, the weights.
        d_alpha: ``[n, Q, J]``, their gradient.
        d_query: ``[n, Q, A]``, where the queries' gradient goes.
        d_keys: ``[n, J, A]``, where the keys' gradient goes.
        d_att: Like ``att``, to which the vector's is added.
        room: For the inside of the scores.
        add: The keys' gradient is added to what is there, and lacks its factor ``att``: where many
            steps add to it, that is multiplied once, at the end.
    """
    if gpu.serves(query) and att.dim() == 1:
        gpu.additive_backward(query, keys, att, alpha, d_alpha, d_query, d_keys, d_att, add)
        return
    d_logits = softmax_backward(alpha, d_alpha, -1)
    bent = bend(query.unsqueeze(2), keys.unsqueeze(1), room)
    d_bent = additive_backward(bent, d_logits, d_att)
    att = att if att.dim() == 1 else att.unsqueeze(1)
    torch.mul(d_bent.sum(2), att, out=d_query)
    d_sent = d_bent.squeeze(1) if d_bent.size(1) == 1 else d_bent.sum(1)
    if add:
        d_keys += d_sent
    else:
        torch.mul(d_sent, att, out=d_keys)


def softmax(logits: Tensor, mask: Tensor | None, dim: int, out: Tensor | None = None) -> Tensor:
    """Softmax over the senders in ``mask`` (``None``: all); zeros where there is none."""
    if mask is None:
        return torch.softmax(logits, dim, out=out)
    logits.masked_fill_(~mask, torch.finfo(logits.dtype).min)
    return torch.softmax(logits, dim, out=out).mul_(mask)


def softmax_backward(alpha: Tensor, d_alpha: Tensor, dim: int) -> Tensor:
    """The gradient of the logits."""
    return alpha * (d_alpha - (alpha * d_alpha).sum(dim, keepdim=True))
