"""Encoded texts and their batches as a LightningDataModule."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import lightning.pytorch as L
import torch
from torch.utils.data import DataLoader, Sampler, Subset
from torch_geometric.data import Data

from ..data import (
    BucketBatchSampler,
    EncodedSentences,
    EncodedTexts,
    SequenceBatch,
    TokenBatch,
    Vocabulary,
)

Encoded = EncodedTexts | EncodedSentences
Texts = Sequence[Data] | Encoded


class MultiTaskDataModule(L.LightningDataModule):
    """Batches of similar length that mix tasks; each example once an epoch, over all ranks.

    Every rank takes its slice of each global batch. The batches of an epoch depend on ``seed`` and
    on the trainer's epoch alone, also when training goes on from a checkpoint. Dev and test
    batches are bucketed too, and not shuffled.

    Args:
        train: Items with ``text``, ``task`` and ``y``, or texts or sentences that are encoded
            already.
        dev: Texts that choose the epoch; may be left out where one only tests.
        test: Texts to test on.
        vocabulary: Built from training texts alone; what is encoded already needs none.
        batch_size: Examples in a global batch, over all ranks together.
        max_length: Keep at most this many tokens of a text (default: all); what is cut is logged.
        num_workers: Processes that form batches.
        seed: Seed of the shuffling.

    Raises:
        ValueError: If ``batch_size`` is below 1.
    """

    def __init__(
        self,
        train: Texts | None,
        dev: Texts | None,
        test: Texts | None = None,
        vocabulary: Vocabulary | None = None,
        batch_size: int = 64,
        max_length: int | None = None,
        num_workers: int = 0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if batch_size < 1:
            raise ValueError(f"expected batch_size of at least 1, got {batch_size}")
        self._texts = {"train": train, "dev": dev, "test": test}
        # Encoded, texts lose these.
        self.names = {part: _names(texts) for part, texts in self._texts.items()}
        self.vocabulary = vocabulary
        self.batch_size, self.max_length = batch_size, max_length
        self.num_workers, self.seed = num_workers, seed

    def encoded(self, part: str) -> Encoded:
        """The texts of ``"train"``, ``"dev"`` or ``"test"``, encoded at the first call.

        Raises:
            ValueError: If there are none, or no vocabulary to encode them by.
        """
        texts = self._texts.get(part)
        if texts is None:
            there = [name for name, value in self._texts.items() if value is not None]
            raise ValueError(f"expected texts for {part!r}, got texts for {there}")
        if not isinstance(texts, Encoded):
            if self.vocabulary is None:
                raise ValueError(
                    f"the texts for {part!r} are not encoded: expected a vocabulary, or "
                    "EncodedTexts or EncodedSentences"
                )
            texts = self._texts[part] = EncodedTexts(texts, self.vocabulary, self.max_length)
        return texts

    def loader(self, part: str, shuffle: bool = False) -> DataLoader[Any]:
        """Batches of a part: of this rank where a trainer runs, else of all."""
        texts = self.encoded(part)
        trainer = self.trainer
        ranks, rank = (trainer.world_size, trainer.global_rank) if trainer else (1, 0)
        sampler = BucketBatchSampler(
            texts.lengths, self.batch_size, shuffle, self.seed, ranks, rank
        )
        batches = _EpochBatches(sampler, trainer) if shuffle and trainer else sampler
        return DataLoader(
            texts,
            batch_sampler=batches,
            collate_fn=texts.collate,
            num_workers=self.num_workers,
            pin_memory=trainer is not None and trainer.strategy.root_device.type == "cuda",
            # A loader without one draws from the generator that dropout draws from.
            generator=torch.Generator().manual_seed(self.seed),
        )

    def transfer_batch_to_device(
        self, batch: SequenceBatch | TokenBatch, device: torch.device, dataloader_idx: int
    ) -> SequenceBatch | TokenBatch:
        """Move a batch; from memory that is pinned without waiting for it."""
        return batch.to(device, non_blocking=True)

    def train_dataloader(self) -> DataLoader[Any]:
        """Shuffled batches of the epoch that the trainer is in."""
        return self.loader("train", shuffle=True)

    def val_dataloader(self) -> DataLoader[Any]:
        """Batches of the dev texts, longest first."""
        return self.loader("dev")

    def test_dataloader(self) -> DataLoader[Any]:
        """Batches of the test texts, longest first."""
        return self.loader("test")


class _EpochBatches(Sampler[list[int]]):
    """The batches of the epoch that the trainer is in.

    Lightning tells samplers the epoch only after it has made the iterator, which workers read
    ahead from. Epochs that are over, it counts before it makes one, also after a resume.
    """

    def __init__(self, sampler: BucketBatchSampler, trainer: L.Trainer) -> None:
        self.sampler, self.trainer = sampler, trainer

    def __iter__(self) -> Iterator[list[int]]:
        epoch: Any = self.trainer.fit_loop.epoch_progress.current
        self.sampler.set_epoch(epoch.processed)
        yield from self.sampler

    def __len__(self) -> int:
        return len(self.sampler)


def _names(texts: Any) -> tuple[Any, Any]:
    """What a dataset, or the one that it is a part of, calls its tasks and labels."""
    while isinstance(texts, Subset):
        texts = texts.dataset
    return getattr(texts, "tasks", None), getattr(texts, "classes", None)
