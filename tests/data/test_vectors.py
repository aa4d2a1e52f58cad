"""Vector files as GloVe and word2vec write them, and files that are broken."""

from __future__ import annotations

import codecs
import logging
from pathlib import Path

import numpy as np
import pytest
import torch

from mtgnn.data import Vocabulary, read_vectors
from mtgnn.nn import MultiTaskModel

VOCABULARY = Vocabulary(["good", "caf\u00e9", "rare", "1"])
GLOVE = "good 1 -2.5 3e-1\n. . . 7 7 7\ncaf\u00e9 0 0.5 -1\nunknown 9 9 9\n1 4 5 6\n"


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "vectors.txt"


@pytest.mark.parametrize(
    "text",
    [
        GLOVE,
        GLOVE.removesuffix("\n"),
        GLOVE.replace("\n", "\r\n"),
        f"5 3\n{GLOVE}",
        "5 3\n" + GLOVE.replace("\n", " \n"),  # as the original word2vec writes
    ],
    ids=["glove", "no-end", "windows", "header", "trailing"],
)
def test_reads(path: Path, text: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "mtgnn"):
        values, known = read_vectors(write(path, text), VOCABULARY, size=3)
    assert values.dtype == torch.float and values.shape == (7, 3)
    expected = [[1, -2.5, 0.3], [0, 0.5, -1], [4, 5, 6]]
    torch.testing.assert_close(values[[3, 4, 6]], torch.tensor(expected))
    assert known.tolist() == [False, False, False, True, True, False, True]
    assert not values[0].any() and values[[1, 2, 5]].any(1).all()
    assert "vectors for 3 of 4 tokens (75.0 %)" in caplog.text


def test_what_is_missing_is_drawn(path: Path) -> None:
    tokens = [f"word{i}" for i in range(2000)]
    rows = np.random.default_rng(0).normal(0, 3, (1000, 4))
    lines = [f"{t} {' '.join(map(str, row))}\n" for t, row in zip(tokens[:1000], rows, strict=True)]
    write(path, "".join(lines))
    vocabulary = Vocabulary(tokens)
    first, again, other = (read_vectors(path, vocabulary, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(first.values, again.values) and first.coverage == 0.5
    drawn = first.values[~first.known][1:]
    assert not torch.equal(drawn, other.values[~first.known][1:])
    assert torch.equal(first.values[first.known], other.values[first.known])
    assert float(drawn.std()) == pytest.approx(3, rel=0.05)
    assert float(drawn.mean()) == pytest.approx(0, abs=0.15)


def test_a_model_starts_from_them(path: Path) -> None:
    vectors = read_vectors(write(path, GLOVE), VOCABULARY)
    classes = {"books": ["bad", "good"]}
    model = MultiTaskModel(
        VOCABULARY, classes, "single", embedding_size=3, hidden_size=2, vectors=vectors.values
    )
    assert torch.equal(model.embedding.weight, vectors.values)


def test_a_mark_at_the_beginning_is_no_part_of_a_word(path: Path) -> None:
    plain = read_vectors(write(path, GLOVE), VOCABULARY)
    marked = read_vectors(write(path, codecs.BOM_UTF8 + GLOVE.encode()), VOCABULARY)
    assert torch.equal(plain.values, marked.values)


@pytest.mark.parametrize(
    ("text", "size", "message"),
    [
        ("", None, "is empty"),
        ("0 3\n", None, "is empty"),
        ("good\n", None, "line 1 of .*vectors.txt"),
        ("good 1 2 3\nbad 1 2\n", None, "3 numbers in line 2 of .*, got 3 fields"),
        ("good 1 2 3\nbad 1 2 3 4\n", None, "got 5 fields"),
        (GLOVE, 4, "4 numbers in line 1"),
        ("5 4\n" + GLOVE, None, "4 numbers in line 2"),
        ("5 4\n" + GLOVE, 3, "size 3, .* has size 4"),
        ("6 3\n" + GLOVE, None, "promises 6 vectors, it has 5"),
        (GLOVE + "good 1 2 3\n", None, "'good' occurs again in line 6"),
        ("good 1 x 3\n", None, "numbers in line 1"),
        ("good 1 nan 3\n", None, "finite"),
        ("other 1 2 3\n", None, "none of the vocabulary's 7 tokens"),
        ("good 1 2 3\n\nbad 1 2 3\n", None, "line 2"),
        (b"2 3\ngood \x00\x01\x80?\x00\x01\x80?\n", None, "text file of vectors"),
    ],
)
def test_errors(path: Path, text: str | bytes, size: int | None, message: str) -> None:
    write(path, text)
    with pytest.raises(ValueError, match=message):
        read_vectors(path, VOCABULARY, size)


def test_no_file(path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_vectors(path, VOCABULARY)
