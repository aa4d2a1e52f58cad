"""Texts whose task graph is known: what a word means differs between tasks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from torch_geometric.data import Data, InMemoryDataset

from .planted_shapes import SHAPES, places, planted_graph, planted_meanings
from .planted_texts import draw_texts
from .splits import SPLITS, check_split

FEWER = 8  # a learner of an asymmetric group has this many times fewer training texts


class PlantedTasks(InMemoryDataset):
    """Short reviews of several tasks in groups; what a word means in which task is known.

    A sentence is one clause, or two that a connective joins. A clause is ``the NOUN VERB``, perhaps
    a modifier, and an opinion word. Its value is the polarity of the opinion word (+1 or −1),
    reversed by a reversing modifier; of two clauses the connective says which one counts; the
    label is the value of the clause that counts. Tasks of one *group* agree on all of that, so
    one can learn from another. Each group draws its own polarities, its own reversing modifiers
    and its own rule for every connective, so that the same sentence may mean the opposite
    elsewhere, and through another word. Nouns and verbs mean nothing. Each task has a few opinion
    words that only it uses.

    Within a group, ``shape`` says who agrees with whom, and so who can learn from whom. Tasks of
    different groups never draw a meaning together, and no edge joins them.

    - ``"groups"``: all agree on all words; edges both ways between any two.
    - ``"asymmetric"``: all agree, but the last tasks of a group, two at most and never the first,
      are *learners*; the others are *sources*. A learner uses one half of the shared words
      (opinions, modifiers, connectives) and has an eighth of the training texts; the two of one
      group use different halves. Sources use all words, so a learner can teach nothing that its
      receiver does not know better, or does not use at all. Edges lead from every source to all
      others of its group, and none from a learner.
    - ``"hierarchy"``: each group has two subgroups, the first and the second half of its tasks.
      Half of the words in dispute have the group's meaning, the other half the subgroup's. Edges
      both ways between any two of a group, of weight 1 within a subgroup and 0.5 between two: the
      share of words in dispute on which both agree by design.
    - ``"chain"``: the tasks of a group stand in line. Half of the words in dispute have a meaning
      that the first and second task share, the third and fourth, and so on; the other half one
      that the second and third share, the fourth and fifth, and so on. Edges both ways between
      neighbours, who so agree on half of these words; others do on none but by chance.

    A half of an odd number of words is one word more or less.

    No text occurs twice in one ``seed``, in any split or task; labels are balanced in every task
    and split. Nothing is downloaded or stored: the same arguments give the same texts.

    Args:
        root: Not needed; taken for the sake of PyG's interface.
        split: ``"train"``, ``"dev"`` or ``"test"``.
        num_tasks: Number of tasks.
        num_groups: Number of groups, of equal size up to one task. 1 is good for a single chain.
        num_train: Training texts a task.
        num_dev: Development texts a task.
        num_test: Test texts a task.
        conflict: Share of opinions, modifiers and connectives whose meaning each group draws for
            itself; the others mean the same everywhere. 0: one group in all but name.
        seed: Decides the meanings and the texts. Seeds 0 to 4 are kept for results: the defaults
            were chosen on seeds from 100 on.
        shape: Who agrees with whom within a group, see above.
        transform: Applied to every item as it is read, as in PyG.

    Attributes:
        tasks: Names: the letter of the group and a number.
        classes: Label names of each task: ``["negative", "positive"]``.
        groups: Group of each task.
        graph: The truth: an edge wherever the sender knows something that helps the receiver.
        meanings: What the words mean in each task.

    Raises:
        ValueError: If ``split`` is another word or a number is out of range.

    Example:
        >>> dataset = PlantedTasks(num_tasks=4, num_groups=2, seed=100)
        >>> dataset.graph.edges
        [('a1', 'a2'), ('a2', 'a1'), ('b1', 'b2'), ('b2', 'b1')]
        >>> for item in dataset[:6]:
        ...     print(["-", "+"][int(item.y)], item.text)
        + the staff looked dark
        - the voice looks quite sharp but the story feels raw
        + the cover feels fedada
        - the smell was rather nuvefe
        + the staff seems simple but the story felt rather dry
        - the taste was quite odd but the story is wild
        >>> [dataset.meanings[task].polarity["dark"] for task in (0, 2)]
        [1, -1]
        >>> [dataset.meanings[task].factor["quite"] for task in (0, 2)]
        [-1, 1]
    """

    def __init__(
        self,
        root: str | None = None,
        split: str = "train",
        num_tasks: int = 9,
        num_groups: int = 3,
        num_train: int = 120,
        num_dev: int = 100,
        num_test: int = 400,
        conflict: float = 1.0,
        seed: int = 0,
        *,
        shape: str = "groups",
        transform: Callable[[Data], Any] | None = None,
    ) -> None:
        sizes = {"num_train": num_train, "num_dev": num_dev, "num_test": num_test}
        _check(split, num_tasks, num_groups, sizes, conflict, seed, shape)
        super().__init__(root, transform=transform)
        self.split, self.shape = split, shape
        self.groups: list[int] = [i * num_groups // num_tasks for i in range(num_tasks)]
        self.tasks: list[str] = [
            f"{chr(ord('a') + group)}{i - self.groups.index(group) + 1}"
            for i, group in enumerate(self.groups)
        ]
        self.classes: dict[str, list[str]] = {task: ["negative", "positive"] for task in self.tasks}
        self.graph = planted_graph(shape, self.tasks, self.groups)
        meanings_rng = np.random.default_rng([seed, 0])
        self.meanings = planted_meanings(shape, self.groups, conflict, meanings_rng)
        rng = np.random.default_rng([seed, 1])
        seen: set[str] = set()
        drawn: list[tuple[int, str, int]] = []
        # The splits before the one asked for are drawn too: its texts must differ from theirs.
        for name in SPLITS[: SPLITS.index(split) + 1]:
            drawn = [
                (task, text, label)
                for task, meaning in enumerate(self.meanings)
                for text, label in draw_texts(meaning, self._size(name, sizes, task), rng, seen)
            ]
        items = [Data(text=text, task=task, y=label) for task, text, label in drawn]
        self.data, self.slices = self.collate(items)

    def _size(self, split: str, sizes: dict[str, int], task: int) -> int:
        """How many texts of the split the task has."""
        size = sizes[f"num_{split}"]
        learner = self.shape == "asymmetric" and places(self.groups)[task].half is not None
        return max(2, size // FEWER) if learner and split == "train" else size


def _check(
    split: str, num_tasks: int, num_groups: int, sizes: dict[str, int], conflict: float, seed: int,
    shape: str,
) -> None:  # fmt: skip
    check_split(split)
    if num_tasks < 1:
        raise ValueError(f"expected num_tasks of at least 1, got {num_tasks}")
    if not 1 <= num_groups <= min(num_tasks, 26):
        raise ValueError(
            f"expected num_groups from 1 to {min(num_tasks, 26)} for {num_tasks} tasks, "
            f"got {num_groups}"
        )
    for name, size in sizes.items():
        if not 2 <= size <= 10_000:
            raise ValueError(f"expected {name} from 2 to 10000, got {size}")
    if not 0 <= conflict <= 1:
        raise ValueError(f"expected conflict from 0 to 1, got {conflict}")
    if shape not in SHAPES:
        raise ValueError(f"expected shape as one of {list(SHAPES)}, got {shape!r}")
    if seed < 0:
        raise ValueError(f"expected seed of at least 0, got {seed}")
