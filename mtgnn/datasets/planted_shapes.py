"""Who means the same by which words, and the task graph that follows from it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch

from ..graph import TaskGraph
from .planted_texts import CONNECTIVES, MODIFIERS, OPINIONS, Meaning

SHAPES = ("groups", "asymmetric", "hierarchy", "chain")
KINDS: tuple[tuple[list[str], tuple[int, int]], ...] = (
    (OPINIONS, (-1, 1)),
    (MODIFIERS, (-1, 1)),
    (CONNECTIVES, (0, 1)),
)
SYLLABLES = ["bo", "da", "fe", "gu", "ka", "lo", "mi", "nu", "pa", "ri", "so", "ta", "ve", "zu"]
OWN_WORDS = 4  # opinion words that only one task uses
LEARNERS = 2  # at most so many tasks of an asymmetric group, each with its half of the words


class Place(NamedTuple):
    """Where a task stands in its group: ``place`` of ``size``, both counted from 0 and 1."""

    group: int
    place: int
    size: int

    @property
    def half(self) -> int | None:
        """Which half of the words an asymmetric group's learner has; ``None``: it is a source."""
        sources = max(1, self.size - LEARNERS)
        return None if self.place < sources else self.place - sources


def places(groups: list[int]) -> list[Place]:
    """The place of each task; groups are numbered from 0 and stand together."""
    return [
        Place(group, i - groups.index(group), groups.count(group)) for i, group in enumerate(groups)
    ]


def planted_graph(shape: str, tasks: list[str], groups: list[int]) -> TaskGraph:
    """An edge wherever the sender knows something that helps the receiver."""
    where = places(groups)
    edges = {
        (i, j): weight
        for i, sender in enumerate(where)
        for j, receiver in enumerate(where)
        if i != j and (weight := _help(shape, sender, receiver)) > 0
    }
    graph = TaskGraph(tasks, torch.tensor(list(edges), dtype=torch.long).reshape(-1, 2).t())
    return graph.with_weight(torch.tensor(list(edges.values()))) if shape == "hierarchy" else graph


def _help(shape: str, sender: Place, receiver: Place) -> float:
    """For which share of the words in dispute the receiver can learn from the sender."""
    if sender.group != receiver.group:
        return 0.0
    if shape == "asymmetric":
        return float(sender.half is None)
    if shape == "chain":
        return 0.5 * (abs(sender.place - receiver.place) == 1)
    if shape == "hierarchy":
        return 1.0 if _subgroup(sender) == _subgroup(receiver) else 0.5
    return 1.0


def _subgroup(task: Place) -> int:
    return 2 * task.place // task.size


def _drawers(shape: str, where: list[Place]) -> list[list[int]]:
    """For each part of the words in dispute, who draws the meanings that a task has."""
    group = [task.group for task in where]
    if shape == "hierarchy":
        return [group, _numbered([(task.group, _subgroup(task)) for task in where])]
    if shape == "chain":
        return [
            _numbered([(task.group, (task.place + part) // 2) for task in where]) for part in (0, 1)
        ]
    return [group]


def _numbered(keys: list[tuple[int, int]]) -> list[int]:
    order = list(dict.fromkeys(keys))
    return [order.index(key) for key in keys]


def planted_meanings(
    shape: str, groups: list[int], conflict: float, rng: np.random.Generator
) -> list[Meaning]:
    """What the words mean in each task; the words in dispute are the same for all of them."""
    where = places(groups)
    common = [_assign(words, values, rng) for words, values in KINDS]
    disputed = [
        [str(word) for word in rng.permutation(words)[: round(conflict * len(words))]]
        for words, _ in KINDS
    ]
    drawers = _drawers(shape, where)
    # Groups draw as they always did: their texts are on record.
    drawn = [
        _draw_part(
            [words[part :: len(drawers)] for words in disputed], drawer, rng, shape != "groups"
        )
        for part, drawer in enumerate(drawers)
    ]
    halves: dict[int, list[list[set[str]]]] = {}
    made_up = _own_words(len(groups) * OWN_WORDS, rng)
    meanings = []
    for task, place in enumerate(where):
        known = [dict(values) for values in common]
        for part, drawer in zip(drawn, drawers, strict=True):
            for values, more in zip(known, part[drawer[task]], strict=True):
                values |= more
        if shape == "asymmetric" and place.half is not None:
            if place.group not in halves:
                halves[place.group] = [_halve(values, rng) for values in known]
            known = [
                {word: value for word, value in values.items() if word in half[place.half]}
                for values, half in zip(known, halves[place.group], strict=True)
            ]
        mine = _assign([next(made_up) for _ in range(OWN_WORDS)], (-1, 1), rng)
        polarity, factor, counts = known
        meanings.append(Meaning({**polarity, **mine}, factor, counts))
    return meanings


def _draw_part(
    disputed: list[list[str]], drawer: list[int], rng: np.random.Generator, fair: bool
) -> list[list[dict[str, int]]]:
    """For each drawer and kind the meanings of the words in dispute."""
    return [
        [
            _assign(words, values, rng, fair)
            for words, (_, values) in zip(disputed, KINDS, strict=True)
        ]
        for _ in range(max(drawer) + 1)
    ]


def _assign(
    words: list[str], values: tuple[int, int], rng: np.random.Generator, fair: bool = False
) -> dict[str, int]:
    """One of two values for each word, each value for half of the words.

    Of an odd number of words the first value gets one more; where ``fair``, either value may.
    """
    first = int(rng.integers(2)) if fair else 0
    order = rng.permutation(len(words)) + first
    return {word: values[int(place) % 2] for word, place in zip(words, order, strict=True)}


def _halve(values: dict[str, int], rng: np.random.Generator) -> list[set[str]]:
    """Two halves of the words, each with its half of either value, up to a word."""
    order = [str(word) for word in rng.permutation(list(values))]
    order.sort(key=lambda word: values[word])
    return [set(order[half::2]) for half in (0, 1)]


def _own_words(number: int, rng: np.random.Generator) -> Iterator[str]:
    words = [a + b + c for a in SYLLABLES for b in SYLLABLES for c in SYLLABLES]
    return (words[int(i)] for i in rng.choice(len(words), number, replace=False))
