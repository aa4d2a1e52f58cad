"""Word vectors from text files in the formats of GloVe and word2vec."""

from __future__ import annotations

import codecs
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from .vocabulary import SPECIALS, Vocabulary

logger = logging.getLogger("mtgnn")


class WordVectors(NamedTuple):
    """Vectors for a vocabulary, to start a model's embedding from.

    Attributes:
        values: ``[V, E]``, in the order of the vocabulary.
        known: ``[V]``, which of them were found; the others are drawn at random.
    """

    values: Tensor
    known: Tensor

    @property
    def coverage(self) -> float:
        """Share of the tokens that have a vector; the three special ones do not count."""
        return float(self.known[len(SPECIALS) :].float().mean())


def read_vectors(
    path: str | os.PathLike[str], vocabulary: Vocabulary, size: int | None = None, seed: int = 0
) -> WordVectors:
    """Read the vectors of a vocabulary's tokens from a text file of GloVe or word2vec.

    A line is a token and its numbers, separated by blanks. A first line of two whole numbers is
    word2vec's header (how many vectors, of which size) and is checked. What stands in the file but
    not in the vocabulary is passed over. Tokens without a vector are drawn from a normal
    distribution as wide as the vectors that were found; that of padding is zero. How many were
    found is logged under ``"mtgnn"``, and is ``WordVectors.coverage``.

    Args:
        path: The file, in UTF-8, not compressed.
        vocabulary: Whose tokens to look for.
        size: Expected size E of a vector; by default that of the first one.
        seed: Seed of the vectors that are drawn.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a vector is of another size or is not made of finite numbers, a token of the
            vocabulary stands in the file twice, the header promises another number of vectors,
            the file is empty, or none of the tokens is in it.

    Example:
        >>> with open("vectors.txt", "w") as file:
        ...     _ = file.write("good 0.5 1\\nbad -0.5 -1\\n")
        >>> vectors = read_vectors("vectors.txt", Vocabulary(["good", "or", "bad"]))
        >>> vectors.values[3], vectors.coverage
        (tensor([0.5000, 1.0000]), 0.666...)
    """
    index = {token.encode(): i for i, token in enumerate(vocabulary.tokens)}
    found: dict[int, np.ndarray] = {}
    with Path(path).open("rb") as file:
        for line, token, numbers in _lines(file, str(path), size):
            if token not in index:
                continue
            if index[token] in found:
                raise ValueError(f"{token.decode()!r} occurs again in line {line} of {path}")
            found[index[token]] = _vector(numbers, f"line {line} of {path}")
    if not found:
        raise ValueError(f"none of the vocabulary's {len(index)} tokens has a vector in {path}")
    return fill_vectors(found, vocabulary, seed)


def fill_vectors(found: dict[int, np.ndarray], vocabulary: Vocabulary, seed: int) -> WordVectors:
    """Vectors by their tokens' numbers, and drawn ones for the other tokens."""
    known = torch.zeros(len(vocabulary), dtype=torch.bool)
    known[list(found)] = True
    rows = torch.from_numpy(np.stack(list(found.values()))).float()
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(len(vocabulary), rows.size(1), generator=generator)
    values *= rows.std(correction=0)
    values[list(found)] = rows
    values[0] = 0
    vectors = WordVectors(values, known)
    count = int(known[len(SPECIALS) :].sum())
    logger.info(
        "vectors for %d of %d tokens (%.1f %%)",
        count,
        len(vocabulary) - len(SPECIALS),
        100 * vectors.coverage,
    )
    return vectors


def _lines(
    file: Iterator[bytes], path: str, size: int | None
) -> Iterator[tuple[int, bytes, list[bytes]]]:
    """Line number, token and numbers of each vector; sizes and the header are checked."""
    promised = None
    count = 0
    for line, row in enumerate(file, 1):
        if line == 1:
            row = row.removeprefix(codecs.BOM_UTF8)
        fields = row.strip(b" \t\r\n").split(b" ")
        if line == 1 and len(fields) == 2 and all(field.isdigit() for field in fields):
            promised, header = int(fields[0]), int(fields[1])
            size = header if size is None else size
            if header != size:
                raise ValueError(f"expected vectors of size {size}, {path} has size {header}")
            continue
        size = len(fields) - 1 if size is None else size
        count += 1
        if len(fields) > size + 1 and not _is_number(fields[1]):
            continue  # a token with blanks, as some of GloVe's have: no vocabulary holds it
        if len(fields) != size + 1 or size < 1:
            raise ValueError(
                f"expected a token and {size or 'its'} numbers in line {line} of {path}, "
                f"got {len(fields)} fields: is it a text file of vectors?"
            )
        yield line, fields[0], fields[1:]
    if promised is not None and promised != count:
        raise ValueError(f"the header of {path} promises {promised} vectors, it has {count}")
    if not count:
        raise ValueError(f"expected vectors, {path} is empty")


def _vector(numbers: list[bytes], place: str) -> np.ndarray:
    try:
        vector = np.array(numbers, dtype=np.float64)
    except ValueError as error:
        raise ValueError(f"expected numbers in {place}: {error}") from error
    if not np.isfinite(vector).all():
        raise ValueError(f"expected finite numbers in {place}")
    return vector


def _is_number(field: bytes) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True
