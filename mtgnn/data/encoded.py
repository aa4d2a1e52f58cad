"""Labelled texts as token numbers."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Sequence
from numbers import Real
from typing import Any, NamedTuple, overload

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset
from torch_geometric.data import Data

from .batch import NO_LABEL, SequenceBatch, is_labelled
from .parts import dataset_names, each_item, is_number, part_of
from .vocabulary import UNK, Vocabulary

logger = logging.getLogger("mtgnn")


class EncodedText(NamedTuple):
    """One text: token numbers ``[T]``, its task and its label, both without dimensions."""

    tokens: Tensor
    task: Tensor
    y: Tensor


class EncodedTexts(Dataset[EncodedText]):
    """Texts of several tasks, encoded once and kept as one flat tensor.

    Args:
        data: Items with ``text: str``, ``task: int`` and, where there is a label, ``y: int`` or
            ``y: float``, such as a dataset of :mod:`mtgnn.datasets`. If any label is a float, all
            become floats.
        vocabulary: Numbers of the tokens, built from training texts alone.
        max_length: Keep at most this many tokens of a text, its first ones (default: all). The
            number of texts that lost tokens is ``truncated``, and is logged under ``"mtgnn"``; a
            warning, too, if most tokens are unknown.

    Attributes:
        lengths: Number of tokens of each text ``[n]``, at least 1.
        task: Task of each text ``[n]``.
        y: Label of each text ``[n]``: integers with −100 for "no label", or floats with NaN.
        vocabulary: The vocabulary that it was made with.
        tasks: Names of the tasks, where ``data`` has them, else ``None``.
        classes: Label names by task, likewise.

    An item is an :class:`EncodedText`; ``encoded[10:20]``, ``encoded[[3, 1]]`` and
    ``encoded[mask]`` are parts, which share its tokens.

    Raises:
        ValueError: If ``max_length`` is below 1, an item has no text or no task, or datasets are
            joined that name their tasks or labels differently.
    """

    def __init__(
        self,
        data: Sequence[Data] | Iterable[Data],
        vocabulary: Vocabulary,
        max_length: int | None = None,
    ) -> None:
        if max_length is not None and max_length < 1:
            raise ValueError(f"max_length must be at least 1, got {max_length}")
        tokens: list[int] = []
        lengths: list[int] = []
        tasks: list[int] = []
        labels: list[int | float | None] = []
        cut: list[bool] = []
        self.vocabulary = vocabulary
        self.tasks, self.classes = dataset_names(data)
        for number, item in enumerate(each_item(data)):
            text, task, label = _read(item, number)
            encoded = vocabulary.encode(text)
            cut.append(max_length is not None and len(encoded) > max_length)
            encoded = encoded[:max_length]
            tokens.extend(encoded)
            lengths.append(len(encoded))
            tasks.append(task)
            labels.append(label)
        self.lengths = torch.tensor(lengths, dtype=torch.long)
        self.task = torch.tensor(tasks, dtype=torch.long)
        self.y = _labels(labels)
        self._tokens = torch.tensor(tokens, dtype=torch.long)
        self._ends = self.lengths.cumsum(0)
        self._cut = torch.tensor(cut, dtype=torch.bool)
        if self.truncated:
            logger.info("cut %d of %d texts at %d tokens", self.truncated, len(lengths), max_length)
        warn_of_unknown(tokens, vocabulary)

    @property
    def truncated(self) -> int:
        """Number of texts that were cut at ``max_length``."""
        return int(self._cut.sum())

    def labelled_tasks(self) -> set[int]:
        """Numbers of the tasks that have a label."""
        return set(self.task[is_labelled(self.y)].tolist())

    def __len__(self) -> int:
        return self.lengths.numel()

    @overload
    def __getitem__(self, index: int) -> EncodedText: ...

    @overload
    def __getitem__(self, index: slice | Sequence[int] | Tensor) -> EncodedTexts: ...

    def __getitem__(self, index: Any) -> Any:
        if not is_number(index):
            return part_of(self, index, ("lengths", "task", "y", "_ends", "_cut"))
        end = int(self._ends[index])
        start = end - int(self.lengths[index])
        return EncodedText(self._tokens[start:end], self.task[index], self.y[index])

    @staticmethod
    def collate(items: Sequence[EncodedText]) -> SequenceBatch:
        """Pad ``items`` to the longest of them; the ``collate_fn`` of a ``DataLoader``."""
        return SequenceBatch(
            pad_sequence([item.tokens for item in items], batch_first=True),
            torch.tensor([item.tokens.numel() for item in items]),
            torch.stack([item.task for item in items]),
            torch.stack([item.y for item in items]),
        )

    def __repr__(self) -> str:
        return f"EncodedTexts({len(self)})"


def warn_of_unknown(tokens: Sequence[int], vocabulary: Vocabulary) -> None:
    """Log a warning where most tokens of some texts are unknown, as those of raw texts are."""
    strange = tokens.count(vocabulary.encode(UNK)[0])
    if 2 * strange > len(tokens):
        logger.warning(
            "%d of %d tokens are not in the vocabulary: is it of texts in the same form?",
            strange,
            len(tokens),
        )


def _read(item: Data, number: int) -> tuple[str, int, int | float | None]:
    """Text, task and label of an item; PyG's datasets hand out numbers as tensors ``[1]``."""
    if "text" not in item or "task" not in item:
        missing = "text" if "text" not in item else "task"
        raise ValueError(f"expected items with text and task, item {number} has no {missing}")
    text = item["text"]
    if not isinstance(text, str):
        raise ValueError(f"expected text as a string, item {number} has {type(text).__name__}")
    task, label = _scalar(item["task"]), _scalar(item["y"]) if "y" in item else None
    for name, value in (("task", task), ("y", label)):
        if value is not None and not isinstance(value, Real):
            raise ValueError(f"expected {name} as one number, item {number} has {value!r:.60}")
    return text, int(task), label


def _scalar(value: Any) -> Any:
    return value.item() if isinstance(value, Tensor) and value.numel() == 1 else value


def _labels(labels: Sequence[int | float | None]) -> Tensor:
    """Labels ``[n]``: floats with NaN for none if any label is a float, else integers with −100."""
    if any(isinstance(label, float) for label in labels):
        return torch.tensor([math.nan if label is None else float(label) for label in labels])
    return torch.tensor(
        [NO_LABEL if label is None else label for label in labels], dtype=torch.long
    )
