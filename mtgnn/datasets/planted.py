"""Texts whose task graph is known: what words mean differs between groups of tasks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch_geometric.data import Data, InMemoryDataset

from ..graph import TaskGraph

SPLITS = ("train", "dev", "test")


def _words(text: str) -> list[str]:
    return text.split()


NOUNS = _words(
    "plot cast story sound screen cover price style voice pace tone music size design colour "
    "taste smell room staff view"
)
VERBS = _words("is was seems seemed feels felt looks looked")
OPINIONS = _words(
    "bold calm dark dense dry fresh heavy loud odd plain quiet raw sharp simple slow wild"
)
MODIFIERS = _words("hardly quite barely rather")
CONNECTIVES = _words("but though")
SYLLABLES = _words("bo da fe gu ka lo mi nu pa ri so ta ve zu")

OWN_WORDS = 4  # opinion words that only one task uses
OWN_SHARE = 0.1  # how often an opinion is one of them
MODIFIED = 0.4  # how often an opinion has a modifier
JOINED = 0.5  # how often a sentence has two clauses


@dataclass(frozen=True)
class Meaning:
    """What the words mean in one task.

    Attributes:
        polarity: +1 or −1 for each opinion word, the task's own ones included.
        factor: −1 for a modifier that reverses the opinion after it, +1 for one that keeps it.
        counts: Which clause a connective makes count: 0 the one before it, 1 the one after it.
    """

    polarity: dict[str, int]
    factor: dict[str, int]
    counts: dict[str, int]


class PlantedTasks(InMemoryDataset):
    """Short reviews of several tasks in groups; what a word means is known, group by group.

    A sentence is one clause, or two that a connective joins. A clause is ``the NOUN VERB``, perhaps
    a modifier, and an opinion word. Its value is the polarity of the opinion word (+1 or −1),
    reversed by a reversing modifier; of two clauses the connective says which one counts; the
    label is the value of the clause that counts. Tasks of one *group* agree on all of that, so
    one can learn from another. Each group draws its own polarities, its own reversing modifiers
    and its own rule for every connective, so that the same sentence may mean the opposite
    elsewhere, and through another word. Nouns and verbs mean nothing and do not tell the tasks
    apart. Each task has a few opinion words that only it uses.

    No text occurs twice in one ``seed``, in any split or task; labels are balanced in every task
    and split. Nothing is downloaded or stored: the same arguments give the same texts.

    Args:
        root: Not needed; taken for the sake of PyG's interface.
        split: ``"train"``, ``"dev"`` or ``"test"``.
        num_tasks: Number of tasks.
        num_groups: Number of groups, of equal size up to one task.
        num_train: Training texts a task.
        num_dev: Development texts a task.
        num_test: Test texts a task.
        conflict: Share of opinions, modifiers and connectives whose meaning each group draws for
            itself; the others mean the same everywhere. 0: one group in all but name.
        seed: Decides the meanings and the texts. Seeds 0 to 4 are kept for results: the defaults
            were chosen on seeds from 100 on.
        transform: Applied to every item as it is read, as in PyG.

    Attributes:
        tasks: Names: the letter of the group and a number.
        classes: Label names of each task: ``["negative", "positive"]``.
        groups: Group of each task.
        graph: The truth: an edge between any two tasks of one group, both ways.
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
        transform: Callable[[Data], Any] | None = None,
    ) -> None:
        sizes = {"num_train": num_train, "num_dev": num_dev, "num_test": num_test}
        _check(split, num_tasks, num_groups, sizes, conflict, seed)
        super().__init__(root, transform=transform)
        self.split = split
        self.groups: list[int] = [i * num_groups // num_tasks for i in range(num_tasks)]
        self.tasks: list[str] = [
            f"{chr(ord('a') + group)}{i - self.groups.index(group) + 1}"
            for i, group in enumerate(self.groups)
        ]
        self.classes: dict[str, list[str]] = {task: ["negative", "positive"] for task in self.tasks}
        self.graph = _graph(self.tasks, self.groups)
        self.meanings = _meanings(self.groups, conflict, np.random.default_rng([seed, 0]))
        rng = np.random.default_rng([seed, 1])
        seen: set[str] = set()
        drawn: list[tuple[int, str, int]] = []
        # The splits before the one asked for are drawn too: its texts must differ from theirs.
        for name in SPLITS[: SPLITS.index(split) + 1]:
            drawn = [
                (task, text, label)
                for task, meaning in enumerate(self.meanings)
                for text, label in _draw(meaning, sizes[f"num_{name}"], rng, seen)
            ]
        items = [Data(text=text, task=task, y=label) for task, text, label in drawn]
        self.data, self.slices = self.collate(items)


def _check(
    split: str, num_tasks: int, num_groups: int, sizes: dict[str, int], conflict: float, seed: int
) -> None:
    if split not in SPLITS:
        raise ValueError(f"expected split as one of {list(SPLITS)}, got {split!r}")
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
    if seed < 0:
        raise ValueError(f"expected seed of at least 0, got {seed}")


def _graph(tasks: list[str], groups: list[int]) -> TaskGraph:
    pairs = [
        (i, j)
        for i, first in enumerate(groups)
        for j, second in enumerate(groups)
        if i != j and first == second
    ]
    return TaskGraph(tasks, torch.tensor(pairs, dtype=torch.long).reshape(-1, 2).t())


def _meanings(groups: list[int], conflict: float, rng: np.random.Generator) -> list[Meaning]:
    """What the words mean in each task; the words in dispute are the same for all groups."""
    kinds = ((OPINIONS, (-1, 1)), (MODIFIERS, (-1, 1)), (CONNECTIVES, (0, 1)))
    common = [_assign(words, values, rng) for words, values in kinds]
    disputed = [
        [str(word) for word in rng.permutation(words)[: round(conflict * len(words))]]
        for words, _ in kinds
    ]
    of_group = []
    for _ in range(max(groups) + 1):
        own = [
            _assign(words, values, rng) for words, (_, values) in zip(disputed, kinds, strict=True)
        ]
        of_group.append([{**a, **b} for a, b in zip(common, own, strict=True)])
    made_up = _own_words(len(groups) * OWN_WORDS, rng)
    meanings = []
    for group in groups:
        polarity, factor, counts = of_group[group]
        mine = _assign([next(made_up) for _ in range(OWN_WORDS)], (-1, 1), rng)
        meanings.append(Meaning({**polarity, **mine}, factor, counts))
    return meanings


def _assign(words: list[str], values: tuple[int, int], rng: np.random.Generator) -> dict[str, int]:
    """One of two values for each word, each value for half of the words."""
    order = rng.permutation(len(words))
    return {word: values[int(place) % 2] for word, place in zip(words, order, strict=True)}


def _own_words(number: int, rng: np.random.Generator) -> Iterator[str]:
    words = [a + b + c for a in SYLLABLES for b in SYLLABLES for c in SYLLABLES]
    return (words[int(i)] for i in rng.choice(len(words), number, replace=False))


def _draw(
    meaning: Meaning, size: int, rng: np.random.Generator, seen: set[str]
) -> list[tuple[str, int]]:
    """``size`` new texts with labels, as many of one label as of the other."""
    drawn = []
    for label in rng.permutation(size) % 2:
        while True:
            text, value = _sentence(meaning, rng)
            if text not in seen and (value > 0) == bool(label):
                break
        seen.add(text)
        drawn.append((text, int(label)))
    return drawn


def _sentence(meaning: Meaning, rng: np.random.Generator) -> tuple[str, int]:
    words, value = _clause(meaning, rng)
    if rng.random() < JOINED:
        connective = _pick(CONNECTIVES, rng)
        more, other = _clause(meaning, rng)
        value = (value, other)[meaning.counts[connective]]
        words = [*words, connective, *more]
    return " ".join(words), value


def _clause(meaning: Meaning, rng: np.random.Generator) -> tuple[list[str], int]:
    own = list(meaning.polarity)[len(OPINIONS) :]
    opinion = _pick(own if rng.random() < OWN_SHARE else OPINIONS, rng)
    value = meaning.polarity[opinion]
    modifiers = [_pick(MODIFIERS, rng)] if rng.random() < MODIFIED else []
    for modifier in modifiers:
        value *= meaning.factor[modifier]
    return ["the", _pick(NOUNS, rng), _pick(VERBS, rng), *modifiers, opinion], value


def _pick(words: list[str], rng: np.random.Generator) -> str:
    return words[int(rng.integers(len(words)))]
