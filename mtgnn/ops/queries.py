"""Queries of slots that read known states, with score parameters of all or of each block's own.

Parameters have Q owners, as first dimension: one for all blocks, or each block itself.
"""

from __future__ import annotations

from collections.abc import Callable

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


def add_query(d_query: Tensor, states: Tensor, d_asked: Tensor) -> None:
    """Add to the gradient ``d_query [Q, H, P·A]`` what many steps have: ``states [G, n, H]`` and
    the queries' gradient ``[G, n, P·A]``."""
    if len(d_query) > 1:
        d_query.baddbmm_(states.mT, d_asked)
    else:
        d_query[0].addmm_(states.flatten(0, 1).t(), d_asked.flatten(0, 1))


def keys_of(sender: Tensor, values: Tensor) -> Tensor:
    """Keys ``[blocks · width, J, P·A]`` of values ``[blocks, width, J, H]`` of a step, by matrices
    ``[Q, H, P·A]``."""
    if len(sender) == 1:
        return values.flatten(0, 1) @ sender[0]
    keys = torch.bmm(values.flatten(1, 2), first(sender, len(values)))
    return keys.view(-1, values.size(2), keys.size(2))


def keys_backward(
    sender: Tensor, values: Tensor, d_keys: Tensor, d_sender: Tensor, d_values: Tensor
) -> None:
    """Add the gradient ``d_keys`` of :func:`keys_of` to those of ``sender`` and ``values``."""
    if len(sender) == 1:
        d_keys = d_keys.flatten(0, 1)
        d_sender[0].addmm_(values.flatten(0, 2).t(), d_keys)
        d_values.view(-1, d_values.size(-1)).addmm_(d_keys, sender[0].t())
        return
    blocks = len(values)
    by_block = d_keys.view(blocks, -1, d_keys.size(2))
    first(d_sender, blocks).baddbmm_(values.flatten(1, 2).mT, by_block)
    d_values.view(blocks, -1, d_values.size(-1)).baddbmm_(by_block, first(sender, blocks).mT)


def vector_of(att: Tensor, p: int, block: Tensor | None) -> Tensor:
    """The vector of one head: ``[A]``, or of slots in some blocks ``[n, A]``.

    Args:
        att: ``[Q, P, A]``.
        p: The head.
        block: ``[n]``, the block of each slot; ``None`` where one owner has all.
    """
    return att[0, p] if block is None else att[:, p].index_select(0, block)


def add_vector(d_att: Tensor, p: int, block: Tensor | None, add: Callable[[Tensor], None]) -> None:
    """Let ``add`` add to the gradient of :func:`vector_of`."""
    if block is None:
        add(d_att[0, p])
        return
    grad = d_att.new_zeros(len(block), d_att.size(2))
    add(grad)
    d_att[:, p].index_add_(0, block, grad)


def times_vectors(d_keys: Tensor, att: Tensor, block: Tensor | None) -> Tensor:
    """Multiply gradients of keys ``[n, J, P·A]`` by the vectors of the slots that read them."""
    if block is None:
        return d_keys.mul_(att.flatten())
    return d_keys.mul_(att.flatten(1).index_select(0, block).unsqueeze(1))
