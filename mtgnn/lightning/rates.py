"""Learning rates of groups of parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from torch import nn

from ..nn import Trainable
from ..nn.transfer.freezing import find_groups


def check_rates(model: Trainable, learning_rate: float, rates: Mapping[str, float]) -> None:
    """Raise where a rate is not positive, or the model has no such group of parameters."""
    for rate in (learning_rate, *rates.values()):
        if not 0 < rate < float("inf"):
            raise ValueError(f"expected a positive learning rate, got {rate}")
    if rates:
        find_groups(cast(nn.Module, model), rates)


def rate_groups(
    trained: nn.Module, model: Trainable, learning_rate: float, rates: Mapping[str, float]
) -> list[dict[str, Any]]:
    """All parameters as optimisers take them, those that a rate of their own holds for together.

    Args:
        trained: What has the parameters: the model and, where it learns, the loss.
        model: What has the groups.
        learning_rate: Of all that are in no group.
        rates: By the groups' names; of two that hold for a parameter the later counts.
    """
    group: dict[int, str] = {}
    for name in rates:
        for parameters in find_groups(cast(nn.Module, model), [name]).values():
            group |= {id(parameter): name for parameter in parameters.values()}
    names = dict.fromkeys(group.get(id(parameter)) for parameter in trained.parameters())
    return [
        {
            "params": [p for p in trained.parameters() if group.get(id(p)) == name],
            "lr": learning_rate if name is None else rates[name],
        }
        for name in names
    ]
