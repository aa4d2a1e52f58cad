"""Parts of datasets, and what the dataset that a part is of calls its tasks and labels."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import ConcatDataset, Subset


def is_number(index: Any) -> bool:
    """Whether an index is that of one item."""
    return isinstance(index, Integral) or (isinstance(index, Tensor) and index.dim() == 0)


def part_numbers(index: Any, size: int) -> Tensor:
    """The numbers that a slice, numbers or a mask stand for, ``[m]``, as in PyG's datasets.

    Raises:
        IndexError: If a number is out of range, or a mask is of another size.
    """
    if isinstance(index, slice):
        return torch.arange(size)[index]
    return torch.arange(size)[torch.as_tensor(index if len(index) else torch.arange(0))]


def dataset_names(data: Any) -> tuple[Any, Any]:
    """``tasks`` and ``classes`` of a dataset, or of what it is a part of or joined from.

    Raises:
        ValueError: If datasets are joined that name their tasks or labels differently.
    """
    while isinstance(data, Subset):
        data = data.dataset
    if isinstance(data, ConcatDataset):
        first, *others = [dataset_names(part) for part in data.datasets]
        for other in others:
            if other != first:
                raise ValueError(
                    f"expected to join datasets of the same tasks and labels, got {first} and "
                    f"{other}: mtgnn.data.renumber_tasks gives each the same numbers"
                )
        return first
    return getattr(data, "tasks", None), getattr(data, "classes", None)
