"""Items whose tasks are numbered as a model numbers them."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from torch_geometric.data import Data


def renumber_tasks(dataset: Any, tasks: Sequence[str]) -> list[Data]:
    """The items of some tasks, numbered in a given order, such as that of a model.

    A dataset numbers its tasks in an order of its own; that of a model may be another, above all
    after :func:`mtgnn.nn.add_task`.

    Args:
        dataset: Items with ``task``, and ``tasks``, the names by which they are numbered.
        tasks: Names, such as ``model.tasks``. Items of other tasks are left out.

    Returns:
        Copies of the items, with ``task`` a number into ``tasks``.

    Raises:
        ValueError: If the dataset has no names of tasks, or none of these, or items have no task.

    Example:
        >>> from mtgnn.datasets import PlantedTasks
        >>> data = PlantedTasks(num_tasks=3, num_groups=1, num_train=2)
        >>> data.tasks
        ['a1', 'a2', 'a3']
        >>> [item.task for item in renumber_tasks(data, ["a3", "a1"])]
        [1, 1, 0, 0]
    """
    names = getattr(dataset, "tasks", None)
    if names is None:
        raise ValueError(
            f"expected a dataset with the names of its tasks, got {type(dataset).__name__}"
        )
    if not set(tasks) & set(names):
        raise ValueError(f"expected some of the dataset's tasks {list(names)}, got {list(tasks)}")
    numbers = {name: number for number, name in enumerate(tasks)}
    items = []
    for item in dataset:
        if "task" not in item:
            raise ValueError(
                "expected items with a task each; sentences with tags of several tasks are "
                "numbered by EncodedSentences(dataset, model.sentences)"
            )
        name = names[int(item.task)]
        if name in numbers:
            item = copy.copy(item)
            item.task = numbers[name]
            items.append(item)
    return items
