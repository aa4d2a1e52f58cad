"""Texts by task, and balanced draws of them."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch_geometric.data import Data

from mtgnn.datasets.splits import SPLITS


class TextsByTask:
    """The three parts of a data set, by task.

    Args:
        train: A dataset; ``dev`` and ``test`` alike.
    """

    def __init__(self, train: Any, dev: Any, test: Any) -> None:
        self.train, self.tasks, self.classes = train, list(train.tasks), dict(train.classes)
        self._items: dict[str, dict[str, list[Data]]] = {}
        for part, dataset in zip(SPLITS, (train, dev, test), strict=True):
            self._items[part] = {task: [] for task in self.tasks}
            for item in dataset:
                self._items[part][self.tasks[int(item.task)]].append(item)

    def of(self, part: str, task: str, number: int) -> list[Data]:
        """The items of a task, as those of task ``number``."""
        items = [copy.copy(item) for item in self._items[part][task]]
        for item in items:
            item.task = number
        return items


def draw(items: list[Data], labels: str, seed: int) -> list[Data]:
    """So many labelled texts, balanced; a smaller draw is part of a larger one."""
    if labels == "all":
        return items
    generator = torch.Generator().manual_seed(seed)
    shuffled = [items[i] for i in torch.randperm(len(items), generator=generator).tolist()]
    classes = sorted({int(item.y) for item in items})
    drawn = []
    for place, label in enumerate(classes):
        share = (int(labels) + place) // len(classes)
        drawn += [item for item in shuffled if int(item.y) == label][:share]
    if len(drawn) < int(labels):
        raise SystemExit(f"expected {labels} balanced texts, got {len(drawn)} of {len(items)}")
    return drawn
