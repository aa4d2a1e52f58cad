"""Epochs of several passes over few texts, so that the dev texts are not read after every few
updates."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch.utils.data import DataLoader, Sampler

from mtgnn.data import BucketBatchSampler
from mtgnn.lightning import MultiTaskDataModule


def passes_for(updates: int, texts: int, batch_size: int) -> int:
    """How many passes over so many texts have at least so many updates."""
    return max(1, math.ceil(updates / math.ceil(texts / batch_size)))


class SeveralPasses(MultiTaskDataModule):
    """Texts of which an epoch has several passes, each with batches of its own.

    Args:
        passes: How many.
        *rest: See :class:`mtgnn.lightning.MultiTaskDataModule`.
        **options: See there.
    """

    def __init__(self, passes: int, *rest: Any, **options: Any) -> None:
        super().__init__(*rest, **options)
        self.passes = passes

    def train_dataloader(self) -> DataLoader[Any]:
        """Shuffled batches of the epoch that the trainer is in."""
        texts = self.encoded("train")
        sampler = BucketBatchSampler(texts.lengths, self.batch_size, shuffle=True, seed=self.seed)
        return DataLoader(
            texts,
            batch_sampler=_Passes(sampler, self.trainer, self.passes),
            collate_fn=texts.collate,
            generator=torch.Generator().manual_seed(self.seed),
        )


class _Passes(Sampler[list[int]]):
    def __init__(self, sampler: BucketBatchSampler, trainer: Any, passes: int) -> None:
        self.sampler, self.trainer, self.passes = sampler, trainer, passes

    def __iter__(self) -> Iterator[list[int]]:
        epoch = self.trainer.fit_loop.epoch_progress.current.processed
        for number in range(self.passes):
            self.sampler.set_epoch(epoch * self.passes + number)
            yield from self.sampler

    def __len__(self) -> int:
        return self.passes * len(self.sampler)
