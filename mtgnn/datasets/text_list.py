"""Texts of one's own: lists in memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from torch_geometric.data import Data, InMemoryDataset

from ..data import NO_LABEL
from .labels import label_names


class TextList(InMemoryDataset):
    """Labelled texts from lists, with the names of tasks and labels.

    An item is ``Data(text=…, task=…, y=…)``, as of a :class:`TextFolder`; where a text has no label
    ``y`` is −100.

    Args:
        texts: For each task its texts, pairs ``(label, text)``; a label may be ``None``.
        classes: Label names of each task: for dev and test texts those of the training texts. By
            default the labels that occur, sorted; a warning says where most occur once.

    Attributes:
        tasks: Names of the tasks, in the order of ``texts`` or, where given, of ``classes``.
        classes: Label names of each task.

    Raises:
        ValueError: If there is no text, an entry is no pair, or a task or label is none of
            ``classes``.

    Example:
        >>> texts = {"books": [("good", "i like it"), ("bad", "no")], "mood": [("sad", "no")]}
        >>> train = TextList(texts)
        >>> train.tasks, train.classes["books"]
        (['books', 'mood'], ['bad', 'good'])
        >>> dev = TextList({"mood": [("sad", "oh no")]}, train.classes)
        >>> [(item.text, int(item.task), int(item.y)) for item in dev]
        [('oh no', 1, 0)]
    """

    def __init__(
        self,
        texts: Mapping[str, Iterable[tuple[str | None, str]]],
        classes: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        super().__init__()
        for task in texts:
            if classes is not None and task not in classes:
                raise ValueError(f"expected texts of tasks {list(classes)}, got {task!r}")
        pairs = {task: [_pair(entry, task) for entry in entries] for task, entries in texts.items()}
        if classes is None:
            classes = {
                task: label_names([label for label, _ in entries if label is not None], task)
                for task, entries in pairs.items()
            }
        self.classes = {task: list(labels) for task, labels in classes.items()}
        self.tasks = list(self.classes)
        items = [
            Data(text=text, task=self.tasks.index(task), y=self._number(label, task))
            for task, entries in pairs.items()
            for label, text in entries
        ]
        if not items:
            raise ValueError("expected at least one text, got none")
        self.data, self.slices = self.collate(items)

    def _number(self, label: str | None, task: str) -> int:
        if label is None:
            return NO_LABEL
        if label not in self.classes[task]:
            raise ValueError(f"{task!r} has labels {self.classes[task]}, got {label!r}")
        return self.classes[task].index(label)


def _pair(entry: tuple[str | None, str], task: str) -> tuple[str | None, str]:
    """The entry itself, checked."""
    fine = isinstance(entry, (tuple, list)) and len(entry) == 2 and isinstance(entry[1], str)
    if not fine or not isinstance(entry[0], str | None):
        raise ValueError(f"expected pairs (label, text) for {task!r}, got {entry!r:.60}")
    return entry[0], entry[1]
