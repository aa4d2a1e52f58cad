"""Queries of slots that read known states, with score parameters of all or of each block's own.

Parameters have Q owners, as first dimension: one for all blocks, or each block itself.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .layout import first


def ask(query: Tensor, word: Tensor, h: Tensor) -> Tensor:
    """Queries ``[blocks · width, P·A]`` of a step.

    Args:
        query: ``[Q, H, P·A]``.
        word: ``[blocks · width, P·A]``, the part of the words.
        h: ``[blocks, width, H]``, states.
    """
    if len(query) == 1:
        return torch.addmm(word, h.flatten(0, 1), query[0])
    by_block = word.view(*h.shape[:2], -1)
    return torch.baddbmm(by_block, h, first(query, len(h))).flatten(0, 1)


def ask_backward(query: Tensor, h: Tensor, d_asked: Tensor, d_query: Tensor, d_h: Tensor) -> None:
    """Add the gradient ``d_asked`` of :func:`ask` to those of ``query`` and ``h``."""
    if len(query) == 1:
        d_query[0].addmm_(h.flatten(0, 1).t(), d_asked)
        d_h.flatten(0, 1).addmm_(d_asked, query[0].t())
        return
    by_block = d_asked.view(*h.shape[:2], -1)
    first(d_query, len(h)).baddbmm_(h.mT, by_block)
    d_h.baddbmm_(by_block, first(query, len(h)).mT)


def vector_of(att: Tensor, p: int, block: Tensor) -> Tensor:
    """The vector of one head: ``[A]``, or of slots in some blocks ``[n, A]``.

    Args:
        att: ``[Q, P, A]``.
        p: The head.
        block: ``[n]``, the block of each slot.
    """
    return att[0, p] if len(att) == 1 else att[:, p].index_select(0, block)


def add_vector(d_att: Tensor, p: int, block: Tensor, grad: Tensor) -> None:
    """Add the gradient of :func:`vector_of`."""
    if len(d_att) == 1:
        d_att[0, p] += grad
    else:
        d_att[:, p].index_add_(0, block, grad)


def times_vectors(d_keys: Tensor, att: Tensor, block: Tensor) -> Tensor:
    """Multiply gradients of keys ``[n, J, P·A]`` by the vectors of the slots that read them."""
    if len(att) == 1:
        return d_keys.mul_(att.flatten())
    return d_keys.mul_(att.flatten(1).index_select(0, block).unsqueeze(1))
