"""What items say of texts: a task and its label, or labels of several tasks by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from typing import Any

from torch import Tensor
from torch_geometric.data import Data

from .parts import dataset_names
from .text_check import check_classes

Label = int | float | None


class TextReader:
    """Reads items, one after the other.

    Args:
        data: What the items are of.
        classes: The label names of each task; by default those of ``data``.

    Attributes:
        tasks: Names of the tasks, where they are known, else ``None``.
        classes: Label names by task, likewise.
        by_name: Whether an item had its labels by name.
        left_out: Tasks that items had labels of, and ``classes`` does not have.

    Raises:
        ValueError: If ``classes`` are not label names by task, or datasets are joined that name
            their tasks or labels differently.
    """

    def __init__(self, data: Any, classes: Any) -> None:
        self._data, self._given = data, classes is not None
        if self._given:
            self._names: Any = check_classes(classes)
            self.tasks, self.classes = list(self._names), self._names
        else:
            self.tasks, self.classes = dataset_names(data)
            self._names = _in_order(self.tasks, self.classes)
        self.by_name = self._numbered = False
        self.left_out: set[str] = set()

    def read(self, item: Data, number: int) -> tuple[str, dict[int, Label]]:
        """The text and its labels by the number of the task; None for a task without its label.

        Args:
            item: The item.
            number: Its number, for messages.

        Raises:
            ValueError: If it has no text, neither task nor labels or both, or others than there
                are.
        """
        if "text" not in item:
            raise ValueError(f"expected items with text and task, item {number} has no text")
        text = item["text"]
        if not isinstance(text, str):
            raise ValueError(f"expected text as a string, item {number} has {type(text).__name__}")
        labels = item.get("labels", None)
        if "task" in item and not isinstance(labels, Mapping):  # something of the user's own
            self._numbered = True
            return text, _numbers(item, number)
        if "labels" in item or ("task" not in item and self._given):
            return text, self._by_name(item, labels, number)
        raise ValueError(
            f"expected items with text and task, or labels by task, item {number} has no task"
        )

    def check(self, labels: Sequence[dict[int, Label]]) -> None:
        """Raise where items have numbers that are not those of the names, once all are read.

        Raises:
            ValueError: If tasks or labels are numbered otherwise, or out of range beside labels by
                name.
        """
        if self._given and self._numbered:
            self._check_order(*dataset_names(self._data))
        if not self.by_name:
            return
        for number, own in enumerate(labels):
            wrong = [k for k in own if not 0 <= k < len(self._names)]
            if wrong or any(isinstance(label, float) for label in own.values()):
                raise ValueError(
                    f"expected tasks in 0…{len(self._names) - 1} and numbers of classes beside "
                    f"labels by name, item {number} has {own}"
                )

    def _check_order(self, tasks: Any, classes: Any) -> None:
        names = list(self._names)
        if isinstance(tasks, (list, tuple)) and list(tasks) != names:
            raise ValueError(
                f"items have numbers of the dataset's tasks {list(tasks)}: expected classes of "
                f"these in this order, got {names} (mtgnn.data.renumber_tasks numbers them anew)"
            )
        for task, labels in classes.items() if isinstance(classes, Mapping) else ():
            if list(labels) != self._names.get(task, list(labels)):
                raise ValueError(
                    f"items have numbers of the labels {list(labels)} of {task!r}: expected these "
                    f"in classes, got {self._names[task]}"
                )

    def _by_name(self, item: Data, labels: Any, number: int) -> dict[int, Label]:
        """The numbers of an item's tasks and of their labels."""
        beside = [name for name in ("task", "y") if name in item]
        if beside or not isinstance(labels, (Mapping, type(None))):
            got = f"{beside} beside them" if beside else f"{labels!r:.60}"
            raise ValueError(
                "expected labels as a dict, names by task, and neither task nor y, item "
                f"{number} has {got}"
            )
        if self._names is None:
            raise ValueError(
                f"item {number} has labels by name, which need the label names of each task: "
                "EncodedTexts(…, classes=model.classes), or MultiTaskDataModule(…, classes=…)"
            )
        if not self.by_name:
            self.by_name, self._names = True, check_classes(self._names)
            self.tasks, self.classes = list(self._names), self._names
        found: dict[int, Label] = {}
        for task, label in (labels or {}).items():
            if task not in self._names:
                self.left_out.add(task)
            elif label is not None:
                found[self.tasks.index(task)] = _number(label, self._names[task], task, number)
        return found


def _in_order(tasks: Any, classes: Any) -> dict[str, Any] | None:
    """A dataset's label names by task in the order of its tasks, where all have some."""
    if not isinstance(classes, Mapping):
        return None
    names = list(tasks) if isinstance(tasks, (list, tuple)) else list(classes)
    if set(names) != set(classes):
        return None
    return {task: classes[task] for task in names}


def _numbers(item: Data, number: int) -> dict[int, Label]:
    """The one task of an item, and its label; PyG's datasets hand out numbers as tensors [1]."""
    task, label = _scalar(item["task"]), _scalar(item["y"]) if "y" in item else None
    for name, value in (("task", task), ("y", label)):
        if value is not None and not isinstance(value, Real):
            raise ValueError(f"expected {name} as one number, item {number} has {value!r:.60}")
    if label is None:
        return {int(task): None}
    return {int(task): int(label) if isinstance(label, Integral) else float(label)}


def _number(label: Any, names: Sequence[str], task: str, number: int) -> int:
    if label not in names:
        raise ValueError(
            f"expected labels of {task!r} among {list(names)}, item {number} has {label!r:.60}"
        )
    return names.index(label)


def _scalar(value: Any) -> Any:
    return value.item() if isinstance(value, Tensor) and value.numel() == 1 else value
