"""Gradients that accumulate."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .calling import evaluating, require, same


def assert_gradients_accumulate(
    layer: nn.Module, x: Tensor, lengths: Tensor | None = None, task: Tensor | None = None
) -> None:
    """Two backward passes add up, and every parameter has a gradient to itself.

    Autograd adds to a gradient in place, and so do clipping and accumulation over batches. Where
    two parameters' gradients are views of one tensor, each such step happens twice.

    Args:
        layer: The layer; its gradients are ``None`` afterwards.
        x: ``[B, T, E]`` or ``[B, T, N, E]``, B at least 2.
        lengths: ``[B]``.
        task: ``[B]``, boolean ``[B, K]``, or ``None``.

    Raises:
        AssertionError: If gradients do not add up, or share memory.
        ValueError: If there is only one sequence.
    """
    if x.size(0) < 2:
        raise ValueError(f"expected at least 2 sequences, got {x.size(0)}")
    parameters = dict(layer.named_parameters())

    def add(rows: list[int]) -> None:
        chosen = [None if part is None else part[rows] for part in (lengths, task)]
        with evaluating(layer):
            layer(x[rows], *chosen)[0].square().sum().backward()

    def gradients() -> dict[str, Tensor]:
        return {n: p.grad.clone() for n, p in parameters.items() if p.grad is not None}

    halves = [list(range(x.size(0)))[half::2] for half in (0, 1)]
    alone = []
    for half in halves:
        layer.zero_grad()
        add(half)
        alone.append(gradients())
    layer.zero_grad()
    add(halves[0])
    places: dict[int, str] = {}
    for name, parameter in parameters.items():
        if parameter.grad is not None and parameter.grad.numel():
            other = places.setdefault(parameter.grad.data_ptr(), name)
            require(other == name, f"the gradients of {other} and {name} share memory")
    add(halves[1])
    for name, total in gradients().items():
        parts = [one[name] for one in alone if name in one]
        same(total, torch.stack(parts).sum(0), f"gradients of {name} do not add up")
    layer.zero_grad()
