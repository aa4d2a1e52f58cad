from typing import Any

import pytest
import torch
from planted_reader import label, rows

from mtgnn import TaskGraph
from mtgnn.data import EncodedTexts, Vocabulary
from mtgnn.datasets import PlantedTasks

SIZES: dict[str, Any] = {"num_train": 40, "num_dev": 20, "num_test": 60}
SPLITS = ["train", "dev", "test"]


def words_of(dataset: PlantedTasks) -> list[set[str]]:
    """The words that each task's texts use."""
    used: list[set[str]] = [set() for _ in dataset.tasks]
    for text, task, _ in rows(dataset):
        used[task] |= set(text.split())
    return used


def agreement(dataset: PlantedTasks, reader: int, writer: int) -> float:
    """How often the reader's meanings give the writer's labels, on words both know."""
    read = dataset.meanings[reader]
    theirs = dataset.meanings[writer].polarity.keys() - read.polarity.keys()
    right = [
        label(text, read) == y
        for text, task, y in rows(dataset)
        if task == writer and not theirs & set(text.split())
    ]
    assert len(right) > 200
    return sum(right) / len(right)


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("conflict", [0.0, 0.5, 1.0])
def test_labels_are_what_the_texts_say(split: str, conflict: float) -> None:
    dataset = PlantedTasks(split=split, conflict=conflict, seed=101, **SIZES)
    assert len(dataset) == 9 * SIZES[f"num_{split}"]
    for text, task, y in rows(dataset):
        assert label(text, dataset.meanings[task]) == y


def test_a_transform_is_applied_to_each_item() -> None:
    plain = PlantedTasks(split="dev", seed=101, **SIZES)
    texts = PlantedTasks(split="dev", seed=101, transform=lambda item: item.text, **SIZES)
    assert list(texts) == [item.text for item in plain]


def test_meanings_belong_to_groups() -> None:
    dataset = PlantedTasks(split="test", seed=102, num_train=2, num_dev=2, num_test=400)
    for reader in range(9):
        for writer in (0, 3, 6):
            share = agreement(dataset, reader, writer)
            assert share == 1 if dataset.groups[reader] == dataset.groups[writer] else share < 0.8


def test_without_conflict_all_tasks_agree() -> None:
    dataset = PlantedTasks(split="test", conflict=0, seed=102, num_train=2, num_dev=2, num_test=400)
    assert all(agreement(dataset, reader, 0) == 1 for reader in range(9))


def test_groups_differ_in_polarity_modifiers_and_order() -> None:
    differs = {"polarity": 0, "factor": 0, "counts": 0}
    for seed in range(100, 110):
        first, second = PlantedTasks(num_tasks=2, num_groups=2, seed=seed, **SIZES).meanings
        for kind in differs:
            one, other = getattr(first, kind), getattr(second, kind)
            differs[kind] += any(one[word] != other[word] for word in one.keys() & other.keys())
    assert all(count > 0 for count in differs.values()), differs


def test_items() -> None:
    dataset = PlantedTasks(split="dev", seed=100, **SIZES)
    items = [(item.text, int(item.task), int(item.y)) for item in dataset]
    assert items == rows(dataset)


def test_words_of_one_task_alone() -> None:
    dataset = PlantedTasks(seed=103, **SIZES)
    known = [set(meaning.polarity) for meaning in dataset.meanings]
    common = set.intersection(*known)
    own = [words - common for words in known]
    assert len(set().union(*own)) == sum(map(len, own)) == 9 * 4
    used = [
        set().union(*(t.split() for t, task, _ in rows(dataset) if task == i)) for i in range(9)
    ]
    for i in range(9):
        assert used[i] & own[i]
        assert not any(used[i] & own[j] for j in range(9) if j != i)


def test_same_seed_same_texts() -> None:
    for split in SPLITS:
        first = PlantedTasks(split=split, seed=104, **SIZES)
        again = PlantedTasks(split=split, seed=104, **SIZES)
        assert rows(first) == rows(again)
        assert first.meanings == again.meanings
        assert rows(first) != rows(PlantedTasks(split=split, seed=105, **SIZES))


def test_splits_have_one_meaning_and_no_text_in_common() -> None:
    splits = [PlantedTasks(split=split, seed=106, **SIZES) for split in SPLITS]
    texts = [text for dataset in splits for text in dataset.text]
    assert len(set(texts)) == len(texts) == 9 * 120
    assert all(dataset.meanings == splits[0].meanings for dataset in splits)


def test_train_texts_do_not_depend_on_the_later_splits() -> None:
    other = {"num_train": 40, "num_dev": 6, "num_test": 8}
    assert rows(PlantedTasks(seed=107, **SIZES)) == rows(PlantedTasks(seed=107, **other))


@pytest.mark.parametrize("size", [40, 41])
def test_labels_are_balanced_and_mixed(size: int) -> None:
    dataset = PlantedTasks(seed=108, num_train=size)
    assert dataset.task.bincount().tolist() == [size] * 9
    for task in range(9):
        y = dataset.y[dataset.task == task]
        assert int(y.sum()) == size // 2
        assert (y[1:] != y[:-1]).sum() > 2


@pytest.mark.parametrize(
    ("num_tasks", "num_groups", "groups", "names"),
    [
        (4, 2, [0, 0, 1, 1], ["a1", "a2", "b1", "b2"]),
        (5, 2, [0, 0, 0, 1, 1], ["a1", "a2", "a3", "b1", "b2"]),
        (3, 3, [0, 1, 2], ["a1", "b1", "c1"]),
        (2, 1, [0, 0], ["a1", "a2"]),
    ],
)
def test_groups_and_graph(
    num_tasks: int, num_groups: int, groups: list[int], names: list[str]
) -> None:
    dataset = PlantedTasks(num_tasks=num_tasks, num_groups=num_groups, seed=109, **SIZES)
    assert dataset.groups == groups
    assert dataset.tasks == list(dataset.graph.tasks) == names
    assert dataset.classes == {name: ["negative", "positive"] for name in names}
    inside = {(i, j) for i in names for j in names if i != j and i[0] == j[0]}
    assert set(dataset.graph.edges) == inside
    assert isinstance(dataset.graph, TaskGraph)
    assert dataset.graph.num_edges == len(inside)


def test_no_task_has_words_of_its_own_but_its_opinions() -> None:
    dataset = PlantedTasks(seed=110, num_train=400)
    used = zip(words_of(dataset), dataset.meanings, strict=True)
    first, *others = [words - meaning.polarity.keys() for words, meaning in used]
    assert len(first) > 30
    assert all(other == first for other in others)


def test_encodes() -> None:
    train, test = (PlantedTasks(split=split, seed=111, **SIZES) for split in ("train", "test"))
    encoded = EncodedTexts(test, Vocabulary.build(train.text))
    assert torch.equal(encoded.y, test.y)
    assert int(encoded.lengths.min()) >= 4
    assert int(encoded.lengths.max()) == 11


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"split": "valid"}, "split as one of .*'valid'"),
        ({"num_tasks": 0}, "num_tasks of at least 1, got 0"),
        ({"num_tasks": 2, "num_groups": 3}, "num_groups from 1 to 2 for 2 tasks, got 3"),
        ({"num_groups": 0}, "num_groups from 1 to 9 for 9 tasks, got 0"),
        ({"num_tasks": 40, "num_groups": 27}, "num_groups from 1 to 26"),
        ({"num_train": 1}, "num_train from 2 to 10000, got 1"),
        ({"num_dev": 0}, "num_dev from 2"),
        ({"num_test": 10_001}, "num_test from 2 to 10000, got 10001"),
        ({"conflict": 1.5}, "conflict from 0 to 1, got 1.5"),
        ({"shape": "ring"}, "shape as one of .*'chain'.*, got 'ring'"),
        ({"seed": -1}, "seed of at least 0, got -1"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PlantedTasks(**arguments)
