"""How the assertions call a layer, and how they fail."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..nn.modes import evaluating


def call(layer: nn.Module, *arguments: Any) -> tuple[Tensor, Any]:
    """Run in evaluation mode, without gradients: ``(out, state)``."""
    with evaluating(layer), torch.no_grad():
        return layer(*arguments)


def outputs(layer: nn.Module, x: Tensor, lengths: Tensor | None, task: Tensor | None) -> Tensor:
    """What a layer puts out, in evaluation mode, without gradients."""
    return call(layer, x, lengths, task)[0]


def same(got: Any, expected: Any, message: str) -> None:
    """Fail with ``message`` unless both are equal within what their type allows."""
    torch.testing.assert_close(
        got, expected, equal_nan=False, msg=lambda details: f"{message}: {details}"
    )


def require(condition: bool, message: str) -> None:
    """Fail with ``message`` unless the condition holds."""
    if not condition:
        raise AssertionError(message)
