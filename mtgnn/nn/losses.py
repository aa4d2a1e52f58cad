"""The loss of a batch that mixes tasks."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from ..graph_check import is_integer
from .check import check_numbers, check_option, whole_numbers

KINDS = ("classification", "regression")


class MultiTaskLoss(nn.Module):
    r"""Joins the losses of single sequences, over the labels that are there.

    With :math:`\ell_b` the loss of sequence b of task :math:`k_b`, and n labels,

    .. math::
        L = \frac{1}{n} \sum_{b\ \mathrm{labelled}} w(k_b, \ell_b)

    or, with ``reduction="task"``, the mean of this over each task that has labels, averaged over
    these tasks. Fixed weights are :math:`w(k, \ell) = \lambda_k \ell`. ``"uncertainty"`` learns a
    log variance :math:`s_k` a task (`"Multi-Task Learning Using Uncertainty to Weigh Losses for
    Scene Geometry and Semantics" <https://arxiv.org/abs/1705.07115>`_), which starts at 0:

    .. math::
        w(k, \ell) = e^{-s_k} \ell + \tfrac{1}{2} s_k \quad \text{(classification)}, \qquad
        w(k, \ell) = \tfrac{1}{2} e^{-s_k} \ell + \tfrac{1}{2} s_k \quad \text{(regression)}

    What has no label contributes nothing; without any label the loss is 0, with gradients of 0.

    Args:
        num_tasks: Number of tasks K.
        weights: ``None``: all 1; a number :math:`\lambda_k` a task; or ``"uncertainty"``.
        reduction: ``"sample"``: every label counts the same; ``"task"``: every task does.
        kinds: ``"classification"`` or ``"regression"``, one for all or one a task; matters to
            ``"uncertainty"`` alone.

    Raises:
        ValueError: For an unknown option, a wrong number of weights or kinds, or a weight that is
            negative or not finite.

    Example:
        >>> loss = MultiTaskLoss(2, weights=[1.0, 3.0])
        >>> loss(torch.tensor([2.0, 4.0]), torch.tensor([0, 1]))
        tensor(7.)
    """

    weight: Tensor
    factor: Tensor

    def __init__(
        self,
        num_tasks: int,
        weights: None | Sequence[float] | str = None,
        reduction: str = "sample",
        *,
        kinds: str | Sequence[str] = "classification",
    ) -> None:
        super().__init__()
        check_numbers(num_tasks=num_tasks)
        check_option("reduction", reduction, ("sample", "task"))
        self.num_tasks, self.reduction = num_tasks, reduction
        self.uncertainty = isinstance(weights, str)
        if isinstance(weights, str):
            check_option("weights", weights, ("uncertainty",))
            self.log_variance = nn.Parameter(torch.zeros(num_tasks))
            weights = None
        fixed = torch.tensor(_check_weights(weights, num_tasks))
        # As it is given: a checkpoint that a training goes on from has no say in it.
        self.register_buffer("weight", fixed, persistent=False)
        factors = [0.5 if kind == "regression" else 1.0 for kind in _check_kinds(kinds, num_tasks)]
        self.register_buffer("factor", torch.tensor(factors), persistent=False)

    def reset_parameters(self) -> None:
        """Set the log variances to zero."""
        if self.uncertainty:
            nn.init.zeros_(self.log_variance)

    def count(self, task: Tensor, labelled: Tensor | None = None) -> Tensor:
        """The number of labels that :meth:`forward` divides by.

        Where a batch is spread over processes, sum this over them and hand it to :meth:`forward`;
        the losses of all processes then add up to that of the joined batch.

        Args:
            task: ``[B]``, task of each sequence.
            labelled: ``[B]``, which have a label; by default all.

        Returns:
            A number ``[]``, or with ``reduction="task"`` one a task, ``[K]``; floats.
        """
        there = torch.ones_like(task, dtype=torch.bool) if labelled is None else labelled
        one = there.float()  # bfloat16 counts no further than 256
        if self.reduction == "sample":
            return one.sum()
        return one.new_zeros(self.num_tasks).index_add(0, whole_numbers(task), one)

    def forward(
        self,
        losses: Tensor,
        task: Tensor,
        count: Tensor | float | None = None,
        *,
        labelled: Tensor | None = None,
    ) -> Tensor:
        """Join losses.

        Args:
            losses: ``[B]``, loss of each sequence; whatever stands where there is no label. But
                what was computed from a label that is NaN has a gradient that is NaN, also times 0:
                compute losses of ``y.nan_to_num()``.
            task: ``[B]``, task of each sequence.
            count: What :meth:`count` gives, summed over all processes; by default of this batch.
            labelled: ``[B]``, which have a label (see :func:`is_labelled`); by default all.

        Returns:
            The loss ``[]``.

        Raises:
            ValueError: For wrong sizes, or tasks that are no integers or, where they are on the
                CPU, out of range.
        """
        return self._terms(losses, task, count, labelled).sum()

    def per_task(
        self,
        losses: Tensor,
        task: Tensor,
        count: Tensor | float | None = None,
        *,
        labelled: Tensor | None = None,
    ) -> Tensor:
        """What each task adds to the loss: ``[K]``, whose sum :meth:`forward` returns.

        For :func:`balanced_backward`. Arguments and errors are those of :meth:`forward`.
        """
        terms = self._terms(losses, task, count, labelled)
        task = whole_numbers(task.to(terms.device, non_blocking=True))
        return terms.new_zeros(self.num_tasks).index_add(0, task, terms)

    def _terms(
        self,
        losses: Tensor,
        task: Tensor,
        count: Tensor | float | None,
        labelled: Tensor | None,
    ) -> Tensor:
        """What each sequence adds to the loss: ``[B]``."""
        self._check(losses, task, labelled)
        task = whole_numbers(task.to(losses.device, non_blocking=True))
        total = self.count(task, labelled) if count is None else count
        total = torch.as_tensor(total, device=losses.device).float()
        expected = () if self.reduction == "sample" else (self.num_tasks,)
        if total.shape != expected:
            raise ValueError(f"expected count of shape {list(expected)}, got {list(total.shape)}")
        if labelled is None:
            weighed = self._weigh(losses, task)
        else:  # twice: a loss may be NaN here, and a log variance weighs in without any loss
            weighed = self._weigh(torch.where(labelled, losses, 0), task)
            weighed = torch.where(labelled, weighed, 0)
        if self.reduction == "sample":
            return weighed / total.clamp(min=1)
        present = (total > 0).sum().clamp(min=1)
        return weighed / (total.clamp(min=1) * present)[task]

    def _weigh(self, losses: Tensor, task: Tensor) -> Tensor:
        if not self.uncertainty:
            return losses * self.weight[task].to(losses.dtype)
        s = self.log_variance[task]
        return self.factor[task] * torch.exp(-s) * losses + s / 2

    def _check(self, losses: Tensor, task: Tensor, labelled: Tensor | None) -> None:
        if losses.dim() != 1:
            raise ValueError(f"expected losses of shape [B], got {list(losses.shape)}")
        for name, value in (("task", task), ("labelled", labelled)):
            if value is not None and value.shape != losses.shape:
                raise ValueError(
                    f"expected {name} of shape {list(losses.shape)}, got {list(value.shape)}"
                )
        # Looks at values: not on a GPU, and not where torch.func or torch.compile has none.
        seen = losses.device.type == "cpu" and not torch.compiler.is_compiling()
        if labelled is not None and seen and not torch._C._are_functorch_transforms_active():
            _warn_of_nan(losses, labelled)
        if not is_integer(task):
            raise ValueError(f"expected integer tasks of shape [B], got {task.dtype}")
        if task.device.type == "cpu" and bool(((task < 0) | (task >= self.num_tasks)).any()):
            raise ValueError(f"expected tasks in 0…{self.num_tasks - 1}, got {task.tolist()}")

    def extra_repr(self) -> str:
        """Options in the representation."""
        weights = "uncertainty" if self.uncertainty else self.weight.tolist()
        return f"{self.num_tasks}, weights={weights!r}, reduction={self.reduction!r}"


def _warn_of_nan(losses: Tensor, labelled: Tensor) -> None:
    """Warn where a loss without a label is NaN, and may have been computed from a label that is:
    the gradient of that is NaN, also times 0."""
    if losses.requires_grad and bool(losses.detach()[~labelled.cpu()].isnan().any()):
        warnings.warn(
            "losses without a label are NaN, and so are gradients if they were computed from "
            "labels that are: compute losses of y.nan_to_num()",
            stacklevel=5,
        )


def _check_weights(weights: Sequence[float] | None, num_tasks: int) -> list[float]:
    if isinstance(weights, Mapping):
        raise ValueError(f"expected weights in the order of the tasks, got {dict(weights)!r:.60}")
    numbers = [1.0] * num_tasks if weights is None else [float(weight) for weight in weights]
    if len(numbers) != num_tasks:
        raise ValueError(f"expected {num_tasks} weights, got {len(numbers)}")
    if not all(math.isfinite(weight) and weight >= 0 for weight in numbers):
        raise ValueError(f"expected finite weights of at least 0, got {numbers}")
    return numbers


def _check_kinds(kinds: str | Sequence[str], num_tasks: int) -> list[str]:
    every = [kinds] * num_tasks if isinstance(kinds, str) else list(kinds)
    if len(every) != num_tasks:
        raise ValueError(f"expected {num_tasks} kinds, got {len(every)}")
    for kind in every:
        check_option("kinds", kind, KINDS)
    return every
