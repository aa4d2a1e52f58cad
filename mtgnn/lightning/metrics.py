"""A mean for every task, over the samples of all processes."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric


class TaskMean(Metric):
    """Mean of a value per task, such as the accuracy of each task.

    One metric holds all tasks, so that several processes synchronise once instead of K times.

    Args:
        num_tasks: Number of tasks K.

    Shapes:
        - **update:** values, tasks and the mask of the samples that count, each :math:`(B)`
        - **compute:** :math:`(K)`, NaN for a task of which no sample counted, infinite where one
          was NaN; of one task a scalar, which torchmetrics makes of it

    Example:
        >>> import torch
        >>> accuracy = TaskMean(num_tasks=3)
        >>> task, right = torch.tensor([0, 0, 2]), torch.tensor([True, False, True])
        >>> accuracy.update(right, task)
        >>> accuracy.compute()
        tensor([0.5000,    nan, 1.0000])
        >>> accuracy.macro()
        tensor(0.7500)
    """

    full_state_update = False
    total: Tensor
    count: Tensor

    def __init__(self, num_tasks: int) -> None:
        super().__init__()
        if num_tasks < 1:
            raise ValueError(f"expected at least one task, got {num_tasks}")
        zeros = torch.zeros(num_tasks, dtype=torch.float64)
        self.add_state("total", zeros.clone(), dist_reduce_fx="sum")
        self.add_state("count", zeros.clone(), dist_reduce_fx="sum")

    def update(self, value: Tensor, task: Tensor, mask: Tensor | None = None) -> None:
        """Add samples.

        Args:
            value: Value of each sample ``[B]``.
            task: Task of each sample ``[B]``.
            mask: Which samples count ``[B]``; by default all.
        """
        if mask is not None:
            value, task = value[mask], task[mask]
        value = value.detach().to(self.total.dtype)
        self.total = self.total.index_add(0, task, value)
        self.count = self.count.index_add(0, task, torch.ones_like(value))

    def compute(self) -> Tensor:
        """Mean of each task ``[K]``."""
        mean = (self.total / self.count).float()
        return mean.masked_fill(self.total.isnan(), torch.inf)  # NaN is where there is no sample

    def macro(self) -> Tensor:
        """Mean over the tasks that have samples, each counting once."""
        return self.compute().nanmean()
