"""What an item says of a text: its task and label, or labels of several tasks by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any, NamedTuple

from torch import Tensor
from torch_geometric.data import Data

Label = int | float | None


class TextItem(NamedTuple):
    """A text as an item gives it.

    Attributes:
        text: The text.
        labels: By the number of a task; None where the item has a task, but no label.
        by_name: Whether the item names its labels, of any number of tasks.
    """

    text: str
    labels: dict[int, Label]
    by_name: bool


def read_text(item: Data, number: int, classes: Any) -> TextItem:
    """Text and labels of an item.

    Args:
        item: The item.
        number: Its number, for messages.
        classes: Label names by task, where they are known.

    Raises:
        ValueError: If it has no text, neither task nor labels or both, or others than there are.
    """
    if "text" not in item:
        raise ValueError(f"expected items with text and task, item {number} has no text")
    text = item["text"]
    if not isinstance(text, str):
        raise ValueError(f"expected text as a string, item {number} has {type(text).__name__}")
    if "labels" in item:
        return TextItem(text, _by_name(item, number, classes), True)
    if "task" not in item:
        raise ValueError(
            f"expected items with text and task (or labels by task), item {number} has no task"
        )
    # PyG's datasets hand out numbers as tensors [1].
    task, label = _scalar(item["task"]), _scalar(item["y"]) if "y" in item else None
    for name, value in (("task", task), ("y", label)):
        if value is not None and not isinstance(value, Real):
            raise ValueError(f"expected {name} as one number, item {number} has {value!r:.60}")
    return TextItem(text, {int(task): label}, False)


def _by_name(item: Data, number: int, classes: Any) -> dict[int, Label]:
    """The numbers of an item's tasks and of their labels; a label of None is none."""
    labels = item["labels"]
    beside = [name for name in ("task", "y") if name in item]
    if beside or not isinstance(labels, Mapping):
        got = f"{beside} beside them" if beside else f"{labels!r:.60}"
        raise ValueError(
            f"expected labels as a dict, names by task, and neither task nor y, item {number} has "
            f"{got}"
        )
    if not isinstance(classes, Mapping):
        raise ValueError(
            f"item {number} has labels by name, which need the label names of each task: "
            "EncodedTexts(data, vocabulary, classes=model.classes)"
        )
    tasks = list(classes)
    found: dict[int, Label] = {}
    for task, label in labels.items():
        if task not in classes:
            raise ValueError(f"expected labels of tasks {tasks}, item {number} has one of {task!r}")
        if label is not None:
            found[tasks.index(task)] = _number(label, classes[task], task, number)
    return found


def _number(label: Any, names: Sequence[str], task: str, number: int) -> int:
    if label not in names:
        raise ValueError(
            f"expected labels of {task!r} among {list(names)}, item {number} has {label!r:.60}"
        )
    return names.index(label)


def _scalar(value: Any) -> Any:
    return value.item() if isinstance(value, Tensor) and value.numel() == 1 else value
