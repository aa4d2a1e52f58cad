"""Vectors trained on texts: tokens that stand for each other come close."""

from __future__ import annotations

import random
import sys

import pytest
import torch

from mtgnn.data import Vocabulary, train_vectors

gensim = pytest.importorskip("gensim")


def texts(number: int = 400) -> list[str]:
    """Two groups of words, each of which stands in places of its own."""
    draw = random.Random(0)
    fruit, tools = ["apple", "pear", "plum"], ["saw", "drill", "axe"]
    lines = []
    for _ in range(number):
        lines.append(f"we eat a ripe {draw.choice(fruit)} for sweet dessert")
        lines.append(f"they cut hard wood with the {draw.choice(tools)} in sheds")
    return lines


VOCABULARY = Vocabulary(["apple", "pear", "saw", "drill", "absent"])


def test_neighbours_are_close_and_runs_are_equal() -> None:
    vectors = train_vectors(texts(), VOCABULARY, 12, epochs=10, seed=3)
    assert vectors.values.shape == (8, 12) and vectors.values.dtype == torch.float
    assert vectors.known.tolist() == [False] * 3 + [True] * 4 + [False]
    assert vectors.coverage == pytest.approx(0.8) and not vectors.values[0].any()
    apple, pear, saw, drill = torch.nn.functional.normalize(vectors.values[3:7])
    assert apple @ pear > apple @ saw and saw @ drill > saw @ pear
    again = train_vectors(texts(), VOCABULARY, 12, epochs=10, seed=3)
    assert torch.equal(vectors.values, again.values)
    other = train_vectors(texts(), VOCABULARY, 12, epochs=10, seed=4).values
    differs = (vectors.values != other).any(1)
    assert differs[3:].all()  # what gensim trained, and what is drawn for a token without a vector


def test_rare_tokens_are_left_out() -> None:
    lines = [*texts(5), "absent"]
    assert not train_vectors(lines, VOCABULARY, 4).known[7]
    assert train_vectors(lines, VOCABULARY, 4, min_count=1).known[7]


@pytest.mark.parametrize("distance", [1, 2])
def test_the_window_is_the_greatest_distance_of_tokens_that_predict_each_other(
    distance: int,
) -> None:
    words = [f"w{number}" for number in range(1200)]  # all rare: gensim passes over frequent ones
    step = distance + 1
    lines = [" ".join(words[start : start + step]) for start in range(0, len(words), step)]
    options: dict = {"epochs": 1, "min_count": 1}
    near, far, farther = (
        train_vectors(lines, Vocabulary(words), 4, window=window, **options).values
        for window in (1, 2, 3)
    )
    assert torch.equal(near, far) == torch.equal(near, farther) == (distance == 1)


def test_long_texts_are_read_to_their_end() -> None:
    long = " ".join(["filler"] * 10_001 + ["apple"] * 2)
    assert train_vectors([long], VOCABULARY, 4).known[3]


def test_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="several strings, got the string 'apple pear'"):
        train_vectors("apple pear", VOCABULARY)
    with pytest.raises(ValueError, match="epochs=0"):
        train_vectors(texts(2), VOCABULARY, epochs=0)
    with pytest.raises(ValueError, match="occur 9 times"):
        train_vectors(["apple pear"], VOCABULARY, min_count=9)
    monkeypatch.setitem(sys.modules, "gensim.models", None)
    with pytest.raises(ImportError, match=r"mtgnn\[vectors\]"):
        train_vectors(texts(2), VOCABULARY)
