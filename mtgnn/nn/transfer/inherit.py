"""What a module with one task more has of the one without it."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor, nn

Module = TypeVar("Module", bound=nn.Module)

# Parameters with rows for each edge, each task and token, or each task.
GROWING = (".logit", "embedding.weight", "discriminator.weight", "discriminator.bias")
GROWING_ALL = "edge_logits."


@torch.no_grad()
def inherit(old: Module, new: Module) -> Module:
    """Copy all parameters, buffers and modes of ``old`` by name; returns ``new``.

    Raises:
        ValueError: If ``new`` lacks one, or has it in another size.
    """
    first = next(old.parameters())
    new.to(first.device)
    names = dict(old.named_parameters())
    of_old = names | dict(old.named_buffers())
    for name, tensor in (*new.named_parameters(), *new.named_buffers()):
        if tensor.is_floating_point():
            tensor.data = tensor.data.to(_like(name, of_old, first).dtype)
    values = new.state_dict()
    for name, value in old.state_dict().items():
        if name not in values:
            raise ValueError(f"cannot add a task to this module: there is no new {name!r}")
        place = values[name]
        if place.shape != value.shape:
            # The new task's rows come last.
            grows = name.endswith(GROWING) or GROWING_ALL in name
            if not grows or place.shape[1:] != value.shape[1:]:
                raise ValueError(
                    f"cannot add a task to this module: {name!r} is {list(value.shape)}, "
                    f"with the new task {list(place.shape)}"
                )
            place = place[: len(value)]
        place.copy_(value)
    for name, parameter in new.named_parameters():
        if name in names:
            parameter.requires_grad_(names[name].requires_grad)
    modes = {name: part.training for name, part in old.named_modules()}
    for name, part in new.named_modules():
        part.training = modes.get(name, old.training)
    return new


def _like(name: str, old: dict[str, Tensor], otherwise: Tensor) -> Tensor:
    """The tensor of this name, or one of another task: whose name differs in one part."""
    parts = name.split(".")
    for other, tensor in ((name, old.get(name)), *old.items()):
        theirs = other.split(".")
        if tensor is None or len(theirs) != len(parts):
            continue
        if sum(a != b for a, b in zip(parts, theirs, strict=True)) <= 1:
            return tensor
    return otherwise
