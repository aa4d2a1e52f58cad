"""Items are matched with tasks by name."""

from __future__ import annotations

import pytest
from torch.utils.data import ConcatDataset, Subset
from torch_geometric.data import Data

from mtgnn.data import renumber_tasks
from mtgnn.datasets import TextList


class Texts(list[Data]):
    """Items, and the names of their tasks."""

    tasks = ("b", "c", "a")


def texts() -> Texts:
    return Texts(Data(text=f"{name} {i}", task=k) for i in "12" for k, name in enumerate("bca"))


def test_tasks_are_numbered_in_the_given_order_and_others_left_out() -> None:
    data = texts()
    found = renumber_tasks(data, ["a", "new", "b"])
    assert [(item.text, item.task) for item in found] == [
        *(("b 1", 2), ("a 1", 0), ("b 2", 2), ("a 2", 0))
    ]
    assert [item.task for item in data] == [0, 1, 2] * 2  # the items themselves stay


def test_parts_and_joined_datasets_have_the_names_of_their_wholes() -> None:
    for data, expected in (
        (Subset(texts(), [2, 3]), [("a 1", 0), ("b 2", 1)]),
        (ConcatDataset([Subset(texts(), [n]) for n in (0, 2)]), [("b 1", 1), ("a 1", 0)]),
    ):
        found = renumber_tasks(data, ["a", "b"])
        assert [(item.text, item.task) for item in found] == expected


def test_what_has_no_names_is_refused() -> None:
    with pytest.raises(ValueError, match="names of its tasks, got list"):
        renumber_tasks(list(texts()), ["a"])
    several = [Data(words=["a"], tags={"pos": ["DT"]})]
    with pytest.raises(ValueError, match=r"numbered by EncodedTexts\(.*EncodedSentences"):
        renumber_tasks(Texts(several), ["a"])
    with pytest.raises(ValueError, match="some of the dataset's tasks .*'b'.*, got .'x'."):
        renumber_tasks(texts(), ["x"])


def test_names_go_along() -> None:
    data = texts()
    found = renumber_tasks(data, ["a", "new"])
    assert (found.tasks, found.classes) == (["a", "new"], {})
    named = TextList({"b": [("yes", "x")], "a": [("good", "y"), ("bad", "z")]})
    found = renumber_tasks(named, ["a", "new"])
    assert (found.tasks, found.classes) == (["a", "new"], {"a": ["bad", "good"]})
    again = renumber_tasks(found, ["new", "a"])
    assert [(item.text, item.task, int(item.y)) for item in again] == [("y", 1, 1), ("z", 1, 0)]
