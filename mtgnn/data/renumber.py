"""Items whose tasks are numbered as a model numbers them."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch_geometric.data import Data

from .parts import dataset_names, each_item


class RenumberedTasks(list[Data]):
    """Items with the names that their numbers stand for.

    Attributes:
        tasks: Names of the tasks.
        classes: Label names of each task, where the dataset has names of labels and the task.
    """

    def __init__(
        self, items: Iterable[Data], tasks: Sequence[str], classes: Mapping[str, Sequence[str]]
    ) -> None:
        super().__init__(items)
        self.tasks = list(tasks)
        self.classes = {task: list(classes[task]) for task in tasks if task in classes}


def renumber_tasks(dataset: Any, tasks: Sequence[str]) -> RenumberedTasks:
    """The items of some tasks, numbered in a given order, such as that of a model.

    A dataset numbers its tasks in an order of its own; that of a model may be another, above all
    after :func:`mtgnn.nn.add_task`.

    Args:
        dataset: Items with ``task``, and ``tasks``, the names by which they are numbered; or a part
            of such a dataset, or several joined that have the same names.
        tasks: Names, such as ``model.tasks``. Items of other tasks are left out.

    Returns:
        A list of copies of the items, with ``task`` a number into ``tasks``. It has ``tasks``, and
        of the dataset's ``classes`` those of these tasks: labels keep their numbers.

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
    names, classes = dataset_names(dataset)
    if names is None:
        raise ValueError(
            f"expected a dataset with the names of its tasks, got {type(dataset).__name__}"
        )
    if not set(tasks) & set(names):
        raise ValueError(f"expected some of the dataset's tasks {list(names)}, got {list(tasks)}")
    numbers = {name: number for number, name in enumerate(tasks)}
    items = []
    for item in each_item(dataset):
        if "task" not in item:
            raise ValueError(
                "expected items with a task each; labels and tags by the names of tasks are "
                "numbered by EncodedTexts(…, classes=model.classes) and EncodedSentences(dataset, "
                "model.sentences)"
            )
        name = names[int(item.task)]
        if name in numbers:
            item = copy.copy(item)
            item.task = numbers[name]
            items.append(item)
    return RenumberedTasks(items, tasks, classes if isinstance(classes, Mapping) else {})
