"""Padding, companions in a batch, and streaming."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .calling import call, evaluating, outputs, require, same


def assert_padding_invariant(
    layer: nn.Module, x: Tensor, lengths: Tensor, task: Tensor | None = None
) -> None:
    """Steps beyond the lengths influence nothing and come out as exact zeros.

    Holds of outputs and final state whatever stands in the padding, NaN included, and however
    much padding there is; and padding receives no gradient.

    Args:
        layer: The layer.
        x: ``[B, T, E]`` or ``[B, T, N, E]``.
        lengths: ``[B]``, at least one of them below T.
        task: ``[B]``, boolean ``[B, K]``, or ``None``.

    Raises:
        AssertionError: If padding matters.
        ValueError: If no sequence is padded.
    """
    steps = x.size(1)
    padding = torch.arange(steps) >= lengths.cpu()[:, None]
    padding = padding.to(x.device)
    if not bool(padding.any()):
        raise ValueError(f"expected a sequence shorter than {steps} steps, got none")
    out, state = call(layer, x, lengths, task)
    require(not bool(out[padding].any()), "steps beyond the lengths do not come out as zeros")
    dirty = x.detach().clone()
    dirty[padding] = torch.nan
    same(call(layer, dirty, lengths, task), (out, state), "what stands in the padding matters")
    longer = torch.cat([dirty, torch.full_like(dirty[:, :2], torch.nan)], 1)
    more, end = call(layer, longer, lengths, task)
    same(more[:, :steps], out, "the amount of padding matters")
    same(end[:2], state[:2], "the amount of padding changes the final state")
    leaf = x.detach().clone().requires_grad_()
    with evaluating(layer):
        loss = layer(leaf, lengths, task)[0].square().sum()
    (gradient,) = torch.autograd.grad(loss, leaf)
    require(bool(gradient[~padding].any()), "real steps receive no gradient")
    require(not bool(gradient[padding].any()), "padding receives a gradient")


def assert_batch_invariant(
    layer: nn.Module, x: Tensor, lengths: Tensor | None = None, task: Tensor | None = None
) -> None:
    """A sequence gives the same result alone, in a batch, and in a batch of another order.

    Args:
        layer: The layer.
        x: ``[B, T, E]`` or ``[B, T, N, E]``, B at least 2.
        lengths: ``[B]``.
        task: ``[B]``, boolean ``[B, K]``, or ``None``.

    Raises:
        AssertionError: If its companions matter to a sequence.
        ValueError: If there is only one sequence.
    """
    if x.size(0) < 2:
        raise ValueError(f"expected at least 2 sequences, got {x.size(0)}")
    out = outputs(layer, x, lengths, task)

    def rows(index: Tensor) -> Tensor:
        chosen = [None if part is None else part[index.to(part.device)] for part in (lengths, task)]
        return outputs(layer, x[index.to(x.device)], *chosen)

    for b in range(x.size(0)):
        same(rows(torch.tensor([b]))[0], out[b], f"sequence {b} is another one alone")
    order = torch.arange(x.size(0)).flip(0)
    same(rows(order).flip(0), out, "the order of the sequences matters")


def assert_streams(
    layer: nn.Module,
    x: Tensor,
    task: Tensor | None = None,
    *,
    lengths: Tensor | None = None,
    split: int | None = None,
) -> None:
    """Two parts, the second begun with the state after the first, equal the whole.

    The final states may be stored differently, but what follows them must be the same.

    Args:
        layer: The layer.
        x: ``[B, T, E]`` or ``[B, T, N, E]``, T at least 2.
        task: ``[B]``, boolean ``[B, K]``, or ``None``.
        lengths: ``[B]``, all above ``split``.
        split: Number of steps of the first part; by default every one that the lengths allow.

    Raises:
        AssertionError: If a part, or what follows, differs.
        ValueError: If the lengths leave nothing to split.
    """
    whole, end = call(layer, x, lengths, task)
    shortest = x.size(1) if lengths is None else int(lengths.min())
    splits = range(1, shortest) if split is None else [split]
    if not splits or not 0 < splits[0] < shortest:
        raise ValueError(f"expected a split in 1…{shortest - 1}, got {split}")
    for at in splits:
        first, state = call(layer, x[:, :at], None, task)
        rest = None if lengths is None else lengths - at
        second, last = call(layer, x[:, at:], rest, task, state)
        same(torch.cat([first, second], 1), whole, f"parts split at {at} differ from the whole")
        onwards, expected = (call(layer, x, None, task, start)[0] for start in (last, end))
        same(onwards, expected, f"what follows differs after a split at {at}")
