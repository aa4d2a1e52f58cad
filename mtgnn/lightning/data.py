"""Encoded texts and their batches as a LightningDataModule."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import lightning.pytorch as L
import torch
from torch import Tensor
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
PARTS = ("train", "dev", "test")


class MultiTaskDataModule(L.LightningDataModule):
    """Batches of similar length that mix tasks; each example once an epoch, over all ranks,
    unless ``train_weights`` say otherwise.

    Every rank takes its slice of each global batch. The batches of an epoch depend on ``seed`` and
    on the trainer's epoch alone, also when training goes on from a checkpoint. Dev and test
    batches are bucketed too, and not shuffled.

    Args:
        train: Items as :class:`~mtgnn.data.EncodedTexts` takes them, or texts or sentences that are
            encoded already; or a part of these, as of :func:`torch.utils.data.random_split`.
        dev: Texts that choose the epoch; ``None``: no epoch is chosen, or one only tests.
        test: Texts to test on.
        vocabulary: Built from training texts alone; what is encoded already needs none.
        batch_size: Examples in a global batch, over all ranks together.
        eval_batch_size: The same for dev and test texts (default: ``batch_size``); where training
            batches are small, larger ones save time.
        max_length: Keep at most this many tokens of a text (default: all); what is cut is logged.
        num_workers: Processes that form batches.
        seed: Seed of the shuffling.
        train_weights: Of each train text ``[n]``, how often it comes beside the others, such as
            ``task_weights(texts.task)`` of encoded texts, so that small tasks come more often. An
            epoch has as many texts as without; see :class:`~mtgnn.data.BucketBatchSampler`.
        classes: The label names of each task, such as ``model.classes``, for items that name their
            labels.

    Raises:
        ValueError: If a size of batches is below 1, or there is a ``max_length`` for texts that are
            encoded already. ``train_weights`` are looked at when batches are made, by ``fit`` first
            of all.
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
        eval_batch_size: int | None = None,
        train_weights: Sequence[float] | Tensor | None = None,
        classes: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        super().__init__()
        self.eval_batch_size = batch_size if eval_batch_size is None else eval_batch_size
        if min(batch_size, self.eval_batch_size) < 1:
            raise ValueError(
                "expected batch_size and eval_batch_size of at least 1, "
                f"got {batch_size} and {eval_batch_size}"
            )
        given = zip(PARTS, (train, dev, test), strict=True)
        self._texts = {part: _encoded_part(texts) for part, texts in given}
        done = [part for part, texts in self._texts.items() if isinstance(texts, Encoded)]
        if max_length is not None and done:
            raise ValueError(
                f"max_length cuts texts that are yet to be encoded, got encoded ones for {done}: "
                "EncodedTexts(…, max_length=…) cuts them"
            )
        self.vocabulary = vocabulary
        self.batch_size, self.max_length = batch_size, max_length
        self.num_workers, self.seed = num_workers, seed
        self.train_weights, self.classes = train_weights, classes

    def given(self, part: str) -> Any:
        """The texts of a part as they are now, encoded or not; ``None`` where there are none."""
        return self._texts[part]

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
                    f"EncodedTexts or EncodedSentences, got a {type(texts).__name__}"
                )
            texts = self._texts[part] = EncodedTexts(
                texts, self.vocabulary, self.max_length, classes=self.classes
            )
        return texts

    def loader(self, part: str, shuffle: bool = False) -> DataLoader[Any]:
        """Batches of a part: of this rank where a trainer runs, else of all."""
        texts = self.encoded(part)
        trainer = self.trainer
        ranks, rank = (trainer.world_size, trainer.global_rank) if trainer else (1, 0)
        size = self.batch_size if part == "train" else self.eval_batch_size
        weights = self.train_weights if part == "train" and shuffle else None
        sampler = BucketBatchSampler(
            texts.lengths, size, shuffle, self.seed, ranks, rank, weights=weights
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


def _encoded_part(texts: Any) -> Any:
    """What is a part of encoded texts, such as a random one, as encoded texts."""
    if isinstance(texts, Subset):
        whole = _encoded_part(texts.dataset)
        return whole[list(texts.indices)] if isinstance(whole, Encoded) else texts
    return texts
