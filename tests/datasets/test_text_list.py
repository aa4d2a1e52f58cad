"""Lists in memory, with names."""

import warnings

import pytest

from mtgnn.data import EncodedTexts, Vocabulary
from mtgnn.datasets import TextList

TEXTS = {"mood": [("sad", "oh no"), ("glad", "yes"), (None, "so so")], "books": [("good", "fine")]}


def test_names_become_numbers() -> None:
    train = TextList(TEXTS)
    assert train.tasks == ["mood", "books"]
    assert train.classes == {"mood": ["glad", "sad"], "books": ["good"]}
    items = [(item.text, int(item.task), int(item.y)) for item in train]
    assert items == [("oh no", 0, 1), ("yes", 0, 0), ("so so", 0, -100), ("fine", 1, 0)]
    encoded = EncodedTexts(train, Vocabulary.build(train.text))
    assert encoded.y.tolist() == [1, 0, -100, 0] and encoded.labelled_tasks() == {0, 1}


def test_dev_texts_have_the_names_of_the_training_texts() -> None:
    classes = {"books": ["bad", "good"], "mood": ["sad", "glad"]}
    dev = TextList({"mood": [("glad", "yes")]}, classes)
    assert dev.tasks == ["books", "mood"] and dev.classes == classes
    assert [(int(item.task), int(item.y)) for item in dev] == [(1, 1)]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TextList({}), "at least one text"),
        (lambda: TextList({"a": []}), "at least one text"),
        (lambda: TextList({"a": [("x", "y", "z")]}), r"pairs \(label, text\) for 'a'"),
        (lambda: TextList({"a": ["xy"]}), r"pairs \(label, text\) for 'a'"),
        (lambda: TextList({"a": [(1, "y")]}), r"pairs \(label, text\) for 'a'"),
        (lambda: TextList({"a": [("x", "y")]}, {"a": ["z"]}), r"'a' has labels \['z'\], got 'x'"),
        (lambda: TextList({"a": [("x", "y")]}, {"b": ["x"]}), r"tasks \['b'\], got 'a'"),
    ],
)
def test_errors(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_labels_that_occur_once_are_warned_of() -> None:
    pairs = [("pos" if i % 2 else "neg", f"text {i}") for i in range(8)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        TextList({"books": pairs, "few": pairs[:2]})
    with pytest.warns(UserWarning, match="8 of the 8 texts of 'books' .* the label comes first"):
        TextList({"books": [(text, label) for label, text in pairs]})
