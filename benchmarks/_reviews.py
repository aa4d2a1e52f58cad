"""Which single test texts each run had right, and the bootstrap of what differs between two models.

The record beside ``accuracy.csv`` has a row a run; ``right`` has four texts a hexadecimal digit,
in the data set's order; ``texts`` tells which these are, so that others are not taken for them.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from _record import Row, select
from _significance import cluster_bootstrap
from torch import Tensor

COLUMNS = ("dataset", "setting", "model", "seed", "texts", "right")
Side = dict[str, str]
"""The columns that name one of two models, but for the seed."""


class Reviews(NamedTuple):
    """The test texts of a data set.

    Attributes:
        text: ``[n]``, a number for each text, the same for equal texts.
        task: ``[n]``.
        kinds: Masks ``[n]``: all of them, and those that are not leaked.
    """

    text: Tensor
    task: Tensor
    kinds: dict[str, Tensor]

    @property
    def name(self) -> str:
        """A checksum of texts and tasks, in their order."""
        both = torch.stack([self.text, self.task]).numpy()
        return f"{len(self.text)}-{zlib.crc32(both.tobytes()):08x}"


def pack(right: Tensor) -> str:
    """Bits as hexadecimal digits."""
    return np.packbits(right.bool().numpy()).tobytes().hex()


def unpack(digits: str, number: int) -> Tensor:
    """The first ``number`` bits of what :func:`pack` made."""
    bits = np.unpackbits(np.frombuffer(bytes.fromhex(digits), dtype=np.uint8))
    return torch.from_numpy(bits[:number].astype(bool))


def review_interval(
    rows: Sequence[Row],
    sides: tuple[Side, Side],
    seeds: Sequence[str],
    kind: str,
    reviews: Callable[[int], Reviews],
) -> tuple[float, float, float] | None:
    """Difference of two models on the same seeds, low and high, see :func:`cluster_bootstrap`.

    Args:
        rows: The record.
        sides: The two models; the second is taken from the first.
        seeds: Those that both have.
        kind: Of the reviews that count.
        reviews: The test texts of a seed.

    Returns:
        ``None`` if the record lacks one of the runs.

    Raises:
        SystemExit: If a run was tested on other texts.
    """
    found = [[select(rows, **side, seed=seed) for side in sides] for seed in seeds]
    if not found or not all(row for pair in found for row in pair):
        return None
    parts: list[tuple[np.ndarray, ...]] = []
    for seed, pair in zip(seeds, found, strict=True):
        texts = reviews(int(seed))
        for *_, row in pair:
            if row["texts"] != texts.name:
                run = ", ".join(row[key] for key in COLUMNS[:4])
                raise SystemExit(f"{run}: expected a run on {texts.name}, got {row['texts']}")
        own, other = (unpack(row["right"], len(texts.text)).double() for *_, row in pair)
        counted = texts.kinds[kind]
        columns = (own - other, texts.text, texts.task)
        parts.append(tuple(column[counted].numpy() for column in columns))
    change, text, task = (np.concatenate(column) for column in zip(*parts, strict=True))
    return cluster_bootstrap(change, text, task)
