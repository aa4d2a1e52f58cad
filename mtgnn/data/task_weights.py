"""How often the examples of small tasks come."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..graph_check import is_integer


def task_weights(task: Tensor, temperature: float = math.inf) -> Tensor:
    r"""Weights of examples for :class:`BucketBatchSampler`, by which small tasks come more often.

    Of an epoch, a task with :math:`n_k` examples gets a part that is on average proportional to
    :math:`n_k^{1/T}`: each of its examples weighs :math:`n_k^{1/T - 1}` (`"Massively Multilingual
    Neural Machine Translation in the Wild" <https://arxiv.org/abs/1907.05019>`_).

    Args:
        task: Task of each example ``[n]``, integers; or its tasks ``[n, K]``, booleans: the weight
            is then the mean over these, and tasks that share examples share their parts.
        temperature: The temperature T, at least 1. With 1 all examples weigh the same, with
            infinity (default) all tasks do.

    Returns:
        ``[n]``, in float64.

    Raises:
        ValueError: If tasks have another form, an example has none, or T is below 1.

    Example:
        >>> task_weights(torch.tensor([0, 0, 0, 0, 1]), temperature=2)
        tensor([0.5000, 0.5000, 0.5000, 0.5000, 1.0000], dtype=torch.float64)
    """
    if not temperature >= 1:
        raise ValueError(f"expected a temperature of at least 1, got {temperature}")
    power = 1 / temperature - 1
    if not isinstance(task, Tensor):
        raise ValueError(f"expected tasks as a tensor, such as texts.task, got {task!r:.60}")
    if task.dim() == 1 and is_integer(task):
        _, number, count = task.cpu().unique(return_inverse=True, return_counts=True)
        return (count.double() ** power)[number]
    if task.dim() != 2 or task.dtype != torch.bool:
        raise ValueError(
            "expected tasks as integers [n], or as booleans [n, K], got "
            f"{task.dtype} {list(task.shape)}"
        )
    own = task.to("cpu", torch.float64)
    if not bool(own.any(1).all()):
        raise ValueError("expected a task of each example, got an example without any")
    return own @ (own.sum(0).clamp(min=1) ** power) / own.sum(1)
