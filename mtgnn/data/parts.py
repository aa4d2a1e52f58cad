"""Parts of datasets, and what the dataset that a part is of calls its tasks and labels."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence, Sized
from numbers import Integral
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.utils.data import ConcatDataset, Subset

Whole = TypeVar("Whole", bound=Sized)


def is_number(index: Any) -> bool:
    """Whether an index is that of one item."""
    return isinstance(index, Integral) or (isinstance(index, Tensor) and index.dim() == 0)


def part_of(data: Whole, index: Any, names: Sequence[str]) -> Whole:
    """The items that a slice, numbers or a mask stand for, as another dataset of the same kind.

    Args:
        data: The whole.
        index: Which.
        names: Its tensors with a row an item; all else the part has in common with it.

    Raises:
        IndexError: If a number is out of range, or a mask is of another size.
    """
    part, numbers = copy.copy(data), _numbers(index, len(data))
    for name in names:
        setattr(part, name, getattr(data, name)[numbers])
    return part


def _numbers(index: Any, size: int) -> Tensor:
    if isinstance(index, slice):
        return torch.tensor(range(size)[index], dtype=torch.long)
    index = torch.as_tensor(index).cpu()
    return torch.arange(size)[index if len(index) else index.long()]


def each_item(data: Any) -> Iterator[Any]:
    """All items in order. A dataset that is asked for items by number has as many as its length
    says, as for a DataLoader: not all raise the IndexError that ends a loop in Python."""
    if hasattr(data, "__iter__") or not hasattr(data, "__len__"):
        return iter(data)
    return (data[number] for number in range(len(data)))


def dataset_names(data: Any) -> tuple[Any, Any]:
    """``tasks`` and ``classes`` of a dataset, or of what it is a part of or joined from.

    Raises:
        ValueError: If datasets are joined that name their tasks or labels differently; those
            without names, such as lists, have no say.
    """
    while isinstance(data, Subset):
        data = data.dataset
    if not isinstance(data, ConcatDataset):
        return getattr(data, "tasks", None), getattr(data, "classes", None)
    tasks, classes = zip(*map(dataset_names, data.datasets), strict=True)
    return _agreed(tasks, (list, tuple), list), _agreed(classes, (Mapping,), _by_task)


def _agreed(every: Sequence[Any], kinds: tuple[type, ...], plain: Callable[[Any], Any]) -> Any:
    """What all that are of these kinds say."""
    said = [own for own in every if isinstance(own, kinds)]
    for own in said[1:]:
        if plain(own) != plain(said[0]):
            raise ValueError(
                f"expected to join datasets of the same tasks and labels, got {said[0]} and {own}: "
                "mtgnn.data.renumber_tasks gives each the same numbers"
            )
    return said[0] if said else None


def _by_task(classes: Mapping[str, Any]) -> dict[str, list[Any]]:
    return {task: list(labels) for task, labels in classes.items()}
