"""What ``task`` says: one task of each sequence ``[B]``, several ``[B, K]``, or all (``None``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeGuard

import torch
from torch import Tensor

from ..ops.device import to_device

Wanted = Sequence[int] | Sequence[tuple[int, ...]] | None
"""The task of each sequence, or its tasks; or ``None``, all tasks of each."""


def has_one_task(task: Tensor | None) -> TypeGuard[Tensor]:
    """Whether ``task`` says one task of each sequence, ``[B]``, and not several or all."""
    return task is not None and task.dim() == 1


def task_mask(task: Tensor | None, batch_size: int, num_tasks: int) -> Tensor:
    """Which tasks each sequence has ``[B, K]``, boolean, on the CPU."""
    if task is None:
        return torch.ones(batch_size, num_tasks, dtype=torch.bool)
    task = task.cpu()
    return task.unsqueeze(1) == torch.arange(num_tasks) if has_one_task(task) else task


def wanted_tasks(task: Tensor | None) -> Wanted:
    """Tasks as a plan takes them."""
    if task is None:
        return None
    if has_one_task(task):
        return task.tolist()
    return [tuple(own.nonzero().flatten().tolist()) for own in task.cpu()]


def pick_wanted(out: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The wanted ones of all tasks' outputs ``[B, *, K, F]``, one after the other: ``[M, *, F]``,
    their places among B·K on the device, and their sequences and tasks ``[M]`` on the CPU."""
    row, number = wanted.cpu().nonzero(as_tuple=True)
    place = to_device(row * wanted.size(1) + number, out.device)
    return out.movedim(-2, 1).flatten(0, 1).index_select(0, place), place, row, number


def left_alone(parameters: Sequence[Tensor], wanted: Tensor | None) -> list[Tensor]:
    """A parameter of each task, cut off for those that are in no sequence of ``wanted [B, K]``:
    they keep ``grad is None``."""
    if wanted is None:
        return list(parameters)
    asked = wanted.any(0).tolist()
    return [p if there else p.detach() for p, there in zip(parameters, asked, strict=True)]


def own_input(x: Tensor, task: Tensor) -> Tensor:
    """What each sequence's own task reads, ``[B, T, E]``."""
    if x.dim() == 3:
        return x
    return x[torch.arange(x.size(0), device=x.device), :, task.to(x.device)]


def own_rows(parameters: Sequence[Tensor], task: Tensor) -> Tensor:
    """The parameter of each sequence's own task, ``[B, …]``; those of tasks that are in no sequence
    keep ``grad is None``."""
    present, slot = torch.unique(task.cpu(), return_inverse=True)
    rows = torch.stack([parameters[k] for k in present.tolist()])
    return rows[slot.to(rows.device, non_blocking=True)]
