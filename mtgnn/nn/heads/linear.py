"""Heads: one linear layer a task, on one vector a sequence, or one a step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch_geometric.nn.module_dict import ModuleDict

from ...graph import Tasks, task_names
from ...graph_check import check_names, is_integer
from ..check import check_numbers, check_tensor, whole_numbers


class ClassificationHeads(nn.Module):
    """One linear classifier a task, held by the task's name in ``heads``.

    The heads of the tasks that occur in a batch are computed in one product, unless one was
    replaced by another module or has hooks: then each is called by itself. A task that is in no
    sequence keeps ``grad is None``. To know which occur, ``task`` is read on the CPU: there it
    costs a GPU no synchronisation.

    Args:
        in_channels: Size F of a vector.
        num_classes: Number of classes of each task.
        tasks: Task names; by default ``task0``, ``task1``, ….

    Shapes:
        - **input:** :math:`(B, F)`, or with steps :math:`(B, T, F)`, and task :math:`(B)`; or
          :math:`(B, K, F)`, :math:`(B, T, K, F)` without ``task``
        - **output:** logits :math:`(…, C)` in the place of F, with C the largest number of
          classes and :math:`-\\infty` beyond a task's own

    Raises:
        ValueError: If there is no task, a name occurs twice or cannot name a module, a size is
            below 1, or names and sizes do not match.
    """

    def __init__(
        self, in_channels: int, num_classes: Sequence[int], tasks: Tasks | None = None
    ) -> None:
        super().__init__()
        self.in_channels, self.num_classes = in_channels, tuple(num_classes)
        names = task_names(len(self.num_classes) if tasks is None else tasks)
        check_names(names, ())
        if len(names) != len(self.num_classes):
            raise ValueError(
                f"expected {len(names)} numbers of classes, got {len(self.num_classes)}"
            )
        check_numbers(in_channels=in_channels)
        for size in self.num_classes:
            check_numbers(num_classes=size)
        self.tasks = names
        self.heads = ModuleDict(
            {
                name: nn.Linear(in_channels, size)
                for name, size in zip(names, self.num_classes, strict=True)
            }
        )

    def reset_parameters(self) -> None:
        """Draw all parameters anew."""
        for head in self.heads.values():
            head.reset_parameters()

    def forward(self, h: Tensor, task: Tensor | None = None) -> Tensor:
        """Compute logits; shapes as in the class description.

        Raises:
            ValueError: For wrong sizes or a task out of range.
        """
        if task is not None:  # read on the CPU in any case, so checked there
            check_tensor("task", task)
            task = whole_numbers(task.cpu())
        _check(h, task, self.in_channels, len(self.tasks))
        width = max(self.num_classes)
        if task is None:
            every = [self._head(k)(own) for k, own in enumerate(h.unbind(-2))]
            return torch.stack([_widen(own, width) for own in every], -2)
        if not len(task):
            return h.new_zeros(*h.shape[:-1], width)
        present, slot = torch.unique(task, return_inverse=True)
        heads = [self._head(k) for k in present.tolist()]
        if not all(map(_is_plain, heads)):
            return _one_by_one(heads, h, slot, width)
        sizes = torch.tensor([head.out_features for head in heads])
        logits = nn.functional.linear(
            h, torch.cat([head.weight for head in heads]), torch.cat([head.bias for head in heads])
        )
        if len(heads) == 1:
            return _widen(logits, width)
        # Each sequence takes its own head's columns; the product of all is one small kernel.
        column = torch.arange(width)
        index = (sizes.cumsum(0) - sizes)[slot, None] + column.clamp(max=sizes[slot, None] - 1)
        beyond = column >= sizes[slot, None]
        if h.dim() == 3:
            index, beyond = index.unsqueeze(1), beyond.unsqueeze(1)
        index = index.to(h.device, non_blocking=True).expand(*h.shape[:-1], width)
        own = logits.gather(-1, index)
        return own.masked_fill(beyond.to(h.device, non_blocking=True), -torch.inf)

    def _head(self, k: int) -> nn.Linear:
        return self.heads[self.tasks[k]]

    def extra_repr(self) -> str:
        """Sizes in the representation."""
        return f"{self.in_channels}, {list(self.num_classes)}"


class RegressionHeads(nn.Module):
    """One linear unit a task, or several, such as the steps ahead of a forecast; see
    :class:`ClassificationHeads`.

    Args:
        in_channels: Size F of a sequence's vector.
        tasks: Task names, or their number.
        out_channels: Number of values C a task; by default one, without a dimension of its own.

    Shapes:
        - **input:** :math:`(B, F)`, or with steps :math:`(B, T, F)`, and task :math:`(B)`; or
          :math:`(B, K, F)`, :math:`(B, T, K, F)` without ``task``
        - **output:** the input without F, or with C in its place

    Raises:
        ValueError: If there is no task, a name occurs twice or cannot name a module, or a size is
            below 1.
    """

    def __init__(self, in_channels: int, tasks: Tasks, out_channels: int | None = None) -> None:
        super().__init__()
        names = task_names(tasks)
        if out_channels is not None:
            check_numbers(out_channels=out_channels)
        self.out_channels = out_channels
        size = 1 if out_channels is None else out_channels
        self.units = ClassificationHeads(in_channels, [size] * len(names), names)

    def reset_parameters(self) -> None:
        """Draw all parameters anew."""
        self.units.reset_parameters()

    def forward(self, h: Tensor, task: Tensor | None = None) -> Tensor:
        """Compute values; shapes as in the class description."""
        values = self.units(h, task)
        return values.squeeze(-1) if self.out_channels is None else values


def replaced_heads(module: nn.Module) -> list[str]:
    """Names of the tasks in a module whose heads are others than those that it was made with."""
    return [name for name, head in _all_heads(module) if not _is_own(head)]


def check_plain(module: nn.Module) -> None:
    """Raise where a module has heads that a copy by parameters would leave out, or their hooks."""
    other = [name for name, head in _all_heads(module) if not _is_plain(head)]
    if other:
        raise ValueError(
            f"expected heads as they were made, got others, or heads with hooks, of {other}"
        )


def _all_heads(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    for part in module.modules():
        if isinstance(part, ClassificationHeads):
            yield from part.heads.items()


def _is_own(head: nn.Module) -> bool:
    return type(head) is nn.Linear and head.bias is not None


def _is_plain(head: nn.Module) -> bool:
    """Whether to call a head is to multiply by its weight and to add its bias."""
    hooks = (
        head._forward_hooks,
        head._forward_pre_hooks,
        head._backward_hooks,
        head._backward_pre_hooks,
    )
    return _is_own(head) and not any(hooks)


def _one_by_one(heads: Sequence[nn.Module], h: Tensor, slot: Tensor, width: int) -> Tensor:
    """The logits of each sequence by its own head, of those in ``slot [B]``."""
    order = torch.argsort(slot, stable=True)
    parts = h.index_select(0, order.to(h.device)).split(slot.bincount().tolist())
    logits = [_widen(head(own), width) for head, own in zip(heads, parts, strict=True)]
    return torch.cat(logits).index_select(0, torch.argsort(order).to(h.device))


def _widen(logits: Tensor, width: int) -> Tensor:
    """Fill up with −∞ to a common number of classes."""
    missing = width - logits.size(-1)
    return nn.functional.pad(logits, (0, missing), value=-torch.inf) if missing else logits


def _check(h: Tensor, task: Tensor | None, channels: int, num_tasks: int) -> None:
    if task is None:
        if h.dim() not in (3, 4) or h.shape[-2:] != (num_tasks, channels):
            raise ValueError(
                f"expected h of shape [B, {num_tasks}, {channels}] or "
                f"[B, T, {num_tasks}, {channels}] for all tasks, got {list(h.shape)}"
            )
        return
    if task.dtype == torch.bool:
        raise ValueError(
            "expected one task of each sequence, integers [B], or no task for the states of all, "
            f"got booleans {list(task.shape)}"
        )
    if h.dim() not in (2, 3) or h.size(-1) != channels:
        raise ValueError(
            f"expected h of shape [B, {channels}] or [B, T, {channels}], got {list(h.shape)}"
        )
    if task.shape != (h.size(0),) or not is_integer(task):
        raise ValueError(f"expected integer tasks of shape [{h.size(0)}], got {task!r}")
    if bool(((task < 0) | (task >= num_tasks)).any()):
        raise ValueError(f"expected tasks in 0…{num_tasks - 1}, got {task.tolist()}")
