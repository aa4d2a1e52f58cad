"""What the shapes of planted tasks promise, by their texts and meanings alone."""

from __future__ import annotations

import hashlib
from itertools import permutations
from typing import Any

import pytest
from planted_reader import label, rows

from mtgnn.datasets import PlantedTasks
from mtgnn.datasets.planted_texts import OPINIONS, Meaning

SIZES: dict[str, Any] = {"num_train": 40, "num_dev": 20, "num_test": 60}
SHAPES = ["groups", "asymmetric", "hierarchy", "chain"]
DRAWS = 40
Counts = dict[str, dict[tuple[int, int], dict[str, int]]]


def make(shape: str, num_tasks: int = 8, num_groups: int = 2, **more: Any) -> PlantedTasks:
    sizes = {"num_train": 8, "num_dev": 4, "num_test": 4}
    return PlantedTasks(num_tasks=num_tasks, num_groups=num_groups, shape=shape, **sizes | more)


def shared_words(meaning: Meaning) -> dict[str, int]:
    """All words with a meaning, but for those that the task alone uses."""
    opinions = {word: sign for word, sign in meaning.polarity.items() if word in OPINIONS}
    return {**opinions, **meaning.factor, **meaning.counts}


@pytest.fixture(scope="module")
def agreements() -> Counts:
    """For every shape and pair of tasks: how many words both use, and agree on, over all draws."""
    found: Counts = {}
    for shape in SHAPES:
        counts: dict[tuple[int, int], dict[str, int]] = {}
        for seed in range(100, 100 + DRAWS):
            known = [shared_words(meaning) for meaning in make(shape, seed=seed).meanings]
            for i, j in permutations(range(8), 2):
                pair = counts.setdefault((i, j), {"words": 0, "agree": 0})
                both = known[i].keys() & known[j].keys()
                pair["words"] += len(both)
                pair["agree"] += sum(known[i][word] == known[j][word] for word in both)
        found[shape] = counts
    return found


def share(agreements: Counts, shape: str, i: int, j: int) -> float:
    return agreements[shape][i, j]["agree"] / agreements[shape][i, j]["words"]


def test_texts_of_groups_stay_what_they_were() -> None:
    # Results on record were obtained with these texts.
    digest = hashlib.sha256()
    for split in ("train", "dev", "test"):
        for arguments in ({}, {"num_tasks": 5, "num_groups": 2, "conflict": 0.5}):
            digest.update(repr(rows(PlantedTasks(split=split, **SIZES, **arguments))).encode())
    assert digest.hexdigest() == "c88a4cdf7d52038f166e3ece8625eac9496f7e865dfb7d65f9cf891ed0bc083e"


@pytest.mark.parametrize("split", ["train", "dev", "test"])
@pytest.mark.parametrize("conflict", [0.4, 1.0])
@pytest.mark.parametrize("shape", SHAPES)
def test_texts_say_their_labels_in_words_of_the_task(
    shape: str, conflict: float, split: str
) -> None:
    dataset = make(shape, split=split, conflict=conflict, **SIZES)
    known = [set(shared_words(m)) | m.polarity.keys() for m in dataset.meanings]
    meaningful = set().union(*known)
    for text, task, y in rows(dataset):
        assert label(text, dataset.meanings[task]) == y
        assert set(text.split()) & meaningful <= known[task]
    assert len(set(dataset.text)) == len(dataset)


@pytest.mark.parametrize("shape", SHAPES)
def test_edges_stay_within_groups(shape: str) -> None:
    for num_tasks, num_groups in ((8, 2), (9, 3), (7, 3), (4, 4), (2, 1), (26, 26)):
        dataset = make(shape, num_tasks, num_groups)
        assert dataset.graph.tasks == tuple(dataset.tasks)
        assert all(sender[0] == receiver[0] for sender, receiver in dataset.graph.edges)


@pytest.mark.parametrize("shape", SHAPES)
def test_other_groups_agree_by_chance(agreements: Counts, shape: str) -> None:
    for i in range(4):
        for j in range(4, 8):
            assert share(agreements, shape, i, j) == pytest.approx(0.5, abs=0.1)


def test_groups(agreements: Counts) -> None:
    assert all(share(agreements, "groups", i, j) == 1 for i, j in permutations(range(4), 2))
    assert make("groups").graph.edge_weight is None


def test_hierarchy(agreements: Counts) -> None:
    graph = make("hierarchy").graph
    assert set(graph.edges) == set(make("groups").graph.edges)
    assert graph.edge_weight is not None
    names = {f"{group}{i + 1}": i for group in "ab" for i in range(4)}
    for (sender, receiver), weight in zip(graph.edges, graph.edge_weight.tolist(), strict=True):
        i, j = names[sender], names[receiver]
        together = i // 2 == j // 2
        assert weight == (1 if together else 0.5)
        expected = 1 if together else 0.75  # half of the words, and by chance half of the rest
        assert share(agreements, "hierarchy", i, j) == pytest.approx(expected, abs=0.06)
        assert (share(agreements, "hierarchy", i, j) == 1) == together


def test_chain(agreements: Counts) -> None:
    names = ["a1", "a2", "a3", "a4"]
    line = {(i, j) for i in range(4) for j in range(4) if abs(i - j) == 1}
    edges = {edge for edge in make("chain").graph.edges if edge[0] in names}
    assert edges == {(names[i], names[j]) for i, j in line}
    for i, j in permutations(range(4), 2):
        expected = 0.75 if (i, j) in line else 0.5
        assert share(agreements, "chain", i, j) == pytest.approx(expected, abs=0.06)


def test_neighbours_in_a_chain_agree_on_half_of_the_words_in_every_draw() -> None:
    for seed in range(100, 120):
        known = [shared_words(m) for m in make("chain", 6, 1, seed=seed).meanings]
        for first, second in zip(known, known[1:], strict=False):
            agreed = [word for word in first if first[word] == second[word]]
            assert len(agreed) >= len(first) / 2
        # What a task shares with the one before it, it does not share with the one after it.
        assert any(a[word] != c[word] for a, c in zip(known, known[2:], strict=False) for word in a)


@pytest.mark.parametrize(
    ("size", "sources"), [(1, ["a1"]), (2, ["a1"]), (3, ["a1"]), (4, ["a1", "a2"])]
)
def test_sources_and_learners(size: int, sources: list[str]) -> None:
    dataset = make("asymmetric", size, 1, num_train=40)
    edges = {(i, j) for i in sources for j in dataset.tasks if i != j}
    assert set(dataset.graph.edges) == edges
    for task, number in zip(dataset.tasks, dataset.task.bincount().tolist(), strict=True):
        assert number == (40 if task in sources else 5)


def test_learners_use_different_halves_of_what_sources_know() -> None:
    for seed in range(100, 120):
        dataset = make("asymmetric", 4, 1, seed=seed, num_train=40, conflict=1.0)
        source, other, first, second = (shared_words(m) for m in dataset.meanings)
        assert source == other
        assert {**first, **second} == source
        assert not first.keys() & second.keys()
        for meaning in dataset.meanings[2:]:
            assert (len(meaning.factor), len(meaning.counts)) == (2, 1)
            shared = {w: v for w, v in meaning.polarity.items() if w in source}
            assert sorted(shared.values()) == [-1] * 4 + [1] * 4
            assert sum(meaning.factor.values()) == 0


@pytest.mark.parametrize("shape", SHAPES)
def test_without_conflict_all_agree(shape: str) -> None:
    known = [shared_words(m) for m in make(shape, conflict=0.0).meanings]
    merged = {word: value for words in known for word, value in words.items()}
    assert all(words.items() <= merged.items() for words in known)


@pytest.mark.parametrize("shape", SHAPES)
def test_same_arguments_same_texts(shape: str) -> None:
    assert rows(make(shape)) == rows(make(shape))
    assert rows(make(shape)) != rows(make(shape, seed=1))
    train, dev, test = (make(shape, split=split) for split in ("train", "dev", "test"))
    assert train.meanings == dev.meanings == test.meanings
    assert len({*train.text, *dev.text, *test.text}) == len(train) + len(dev) + len(test)
