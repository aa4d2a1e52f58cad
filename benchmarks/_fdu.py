"""Batches with the lengths and tasks of FDU-MTL."""

from __future__ import annotations

import os

import torch
from _cases import Shape
from _timing import middles

from mtgnn.data import BucketBatchSampler, EncodedTexts, Vocabulary
from mtgnn.datasets import FDUMTL

BATCH_SIZE, MAX_LENGTH = 64, 256


class FDUBatches:
    """The train split, encoded, and epochs of it.

    Args:
        root: Folder for ``raw/`` and ``processed/``.
        source: See :class:`mtgnn.datasets.FDUMTL`.
    """

    def __init__(self, root: str | os.PathLike[str], source: str | None = None) -> None:
        dataset = FDUMTL(root, "train", source)
        self.tasks = dataset.tasks
        self.vocabulary = Vocabulary.build(dataset.text)
        self.texts = EncodedTexts(dataset, self.vocabulary, MAX_LENGTH)

    def epoch(self, kind: str) -> list[list[int]]:
        """One epoch of ``"random"`` or ``"bucketed"`` batches, those with the shortest padding
        first."""
        lengths = self.texts.lengths
        if kind == "random":
            order = torch.randperm(len(lengths), generator=torch.Generator().manual_seed(0))
            batches = [piece.tolist() for piece in order.split(BATCH_SIZE)]
        else:
            batches = BucketBatchSampler(lengths, BATCH_SIZE).global_batches()
        return sorted(batches, key=lambda batch: int(lengths[batch].max()))

    def shapes(self, kind: str, number: int) -> list[Shape]:
        """Lengths and tasks of a part of an epoch."""
        lengths, task = self.texts.lengths, self.texts.task
        part = middles(self.epoch(kind), number)
        return [(lengths[batch].tolist(), task[batch].tolist()) for batch in part]
