"""Labelled texts as token numbers."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, overload

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset
from torch_geometric.data import Data

from .batch import NO_LABEL, SequenceBatch, is_labelled
from .parts import each_item, is_number, part_of
from .text_items import Label, TextReader
from .vocabulary import UNK, Vocabulary

logger = logging.getLogger("mtgnn")


class EncodedText(NamedTuple):
    """One text: token numbers ``[T]``, its task and its label, both without dimensions; or its
    tasks, boolean, and its labels ``[K]``."""

    tokens: Tensor
    task: Tensor
    y: Tensor


class EncodedTexts(Dataset[EncodedText]):
    """Texts of several tasks, encoded once and kept as one flat tensor.

    An item of ``data`` has ``text``, a string, and its labels in one of two forms:

    - ``task``, a number, and ``y``, an integer or a float: the label of that task. Without ``y``
      the text is unlabelled. If any label is a float, all become floats.
    - ``labels``, a dict: for a task's name, the name of its label. A missing task, or None in its
      place, means that the text has no label for it. (Where ``classes`` are given, an item without
      ``labels`` and ``task`` is unlabelled.)

    If any item has ``labels``, every text is one example with ``y`` ``[K]``, which a model reads
    once for all tasks that it has labels for (or for all there are, if for none).

    Args:
        data: The items, such as a dataset of :mod:`mtgnn.datasets`, or several joined.
        vocabulary: Numbers of the tokens, built from training texts alone.
        max_length: Keep at most this many tokens of a text, its first ones (default: all). The
            number of examples that lost tokens is ``truncated``, and that of texts is logged under
            ``"mtgnn"``; a warning, too, if most tokens are unknown.
        classes: The label names of each task, such as ``model.classes``, in whose order tasks and
            labels are numbered; for items with ``labels``. By default those of ``data``. Labels of
            other tasks are left out, with a warning in the log.
        by_task: Whether a text with labels of several tasks is an example of each of them, with
            ``task`` and ``y`` of its own, as :mod:`mtgnn.explain` reads them. One without any is
            none, and how many there were is logged.

    Attributes:
        lengths: Number of tokens of each example ``[n]``, at least 1.
        task: Task of each example ``[n]``, or its tasks ``[n, K]``, boolean.
        y: Label of each example ``[n]``: integers with −100 for "no label", or floats with NaN; or
            its labels ``[n, K]``, integers.
        vocabulary: The vocabulary that it was made with.
        tasks: Names of the tasks, where they are known, else ``None``.
        classes: Label names by task, likewise.

    An item is an :class:`EncodedText`; ``encoded[10:20]``, ``encoded[[3, 1]]`` and
    ``encoded[mask]`` are parts, which share its tokens.

    Raises:
        ValueError: If ``max_length`` is below 1, an item has no text, neither task nor labels, or a
            label that its task does not have; labels by name stand beside floats or tasks out of
            range; or numbers of tasks and labels mean others in ``classes``, or in datasets that
            are joined.

    Example:
        >>> classes = {"topic": ["food", "film"], "mood": ["bad", "good"]}
        >>> data = [Data(text="a great film", labels={"topic": "film", "mood": "good"}),
        ...         Data(text="too much salt", labels={"topic": "food"})]
        >>> vocabulary = Vocabulary.build([item.text for item in data])
        >>> encoded = EncodedTexts(data, vocabulary, classes=classes)
        >>> encoded.y.tolist(), encoded.task.tolist()
        ([[1, 1], [0, -100]], [[True, True], [True, False]])
        >>> encoded = EncodedTexts(data, vocabulary, classes=classes, by_task=True)
        >>> encoded.y.tolist(), encoded.task.tolist()
        ([1, 1, 0], [0, 1, 0])
    """

    def __init__(
        self,
        data: Sequence[Data] | Iterable[Data],
        vocabulary: Vocabulary,
        max_length: int | None = None,
        *,
        classes: Mapping[str, Sequence[str]] | None = None,
        by_task: bool = False,
    ) -> None:
        if max_length is not None and max_length < 1:
            raise ValueError(f"max_length must be at least 1, got {max_length}")
        tokens: list[int] = []
        lengths: list[int] = []
        cut: list[bool] = []
        labels: list[dict[int, Label]] = []
        reader = TextReader(data, classes)
        for number, item in enumerate(each_item(data)):
            text, own = reader.read(item, number)
            encoded = vocabulary.encode(text)
            cut.append(max_length is not None and len(encoded) > max_length)
            encoded = encoded[:max_length]
            tokens.extend(encoded)
            lengths.append(len(encoded))
            labels.append(own)
        reader.check(labels)
        if reader.left_out:
            logger.warning("left out labels of %s, no tasks of classes", sorted(reader.left_out))
        self.vocabulary, self.tasks, self.classes = vocabulary, reader.tasks, reader.classes
        if reader.by_name and not by_task:
            numbers = torch.arange(len(labels))
            self.task, self.y = _several(labels, len(reader.tasks))
        else:
            numbers, self.task, self.y = _each(labels)
        sizes = torch.tensor(lengths, dtype=torch.long)
        self.lengths = sizes[numbers]
        self._tokens = torch.tensor(tokens, dtype=torch.long)
        self._ends = sizes.cumsum(0)[numbers]
        self._cut = torch.tensor(cut, dtype=torch.bool)[numbers]
        if any(cut):
            logger.info("cut %d of %d texts at %d tokens", sum(cut), len(lengths), max_length)
        warn_of_unknown(tokens, vocabulary)

    @property
    def truncated(self) -> int:
        """Number of examples whose texts were cut at ``max_length``."""
        return int(self._cut.sum())

    def labelled_tasks(self) -> set[int]:
        """Numbers of the tasks that have a label."""
        there = is_labelled(self.y)
        numbers = self.task[there] if self.task.dim() == 1 else there.any(0).nonzero().flatten()
        return set(numbers.tolist())

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


def _each(labels: Sequence[dict[int, Label]]) -> tuple[Tensor, Tensor, Tensor]:
    """The text, task ``[n]`` and label ``[n]`` of each example, which is a text's label of a task:
    floats with NaN for none if any label is a float, else integers with −100."""
    counts = torch.tensor([len(own) for own in labels], dtype=torch.long)
    numbers = torch.arange(len(labels)).repeat_interleave(counts)
    idle = int((counts == 0).sum())
    if idle:
        logger.info("left out %d of %d texts, without labels", idle, len(labels))
    task = torch.tensor([k for own in labels for k in own], dtype=torch.long)
    y = [label for own in labels for label in own.values()]
    if any(isinstance(label, float) for label in y):
        return numbers, task, torch.tensor([math.nan if v is None else float(v) for v in y])
    return numbers, task, torch.tensor([NO_LABEL if v is None else v for v in y], dtype=torch.long)


def _several(labels: Sequence[dict[int, Label]], num_tasks: int) -> tuple[Tensor, Tensor]:
    """The tasks of each text ``[n, K]``, all of them for one without labels, and its labels."""
    task = torch.zeros(len(labels), num_tasks, dtype=torch.bool)
    y = torch.full((len(labels), num_tasks), NO_LABEL)
    for number, own in enumerate(labels):
        task[number, list(own) or slice(None)] = True
        for k, label in own.items():
            if label is not None:
                y[number, k] = label
    return task, y
