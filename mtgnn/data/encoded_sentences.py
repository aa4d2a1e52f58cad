"""Tagged sentences as numbers: of one corpus or several, labelled for one task or several."""

from __future__ import annotations

import logging
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, overload

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset
from torch_geometric.data import Data

from .batch import NO_LABEL
from .parts import each_item, is_number, part_of
from .sentence_encoder import SentenceEncoder
from .spelling import pad_spelling, spell
from .token_batch import TokenBatch

logger = logging.getLogger("mtgnn")
Labels = dict[str, Sequence[str | None]]


class EncodedSentence(NamedTuple):
    """One sentence: words ``[T]``, their characters ``[T, C]``, its task (or its tasks ``[K]``),
    its labels ``[T]`` (or ``[T, K]``), and which words are unknown ``[T]`` (or None)."""

    tokens: Tensor
    characters: Tensor
    task: Tensor
    y: Tensor
    unknown: Tensor | None


class EncodedSentences(Dataset[EncodedSentence]):
    """Tagged sentences, encoded once and kept as flat tensors.

    An item of ``data`` has ``words``, a list of strings, and its labels in one of two forms:

    - ``tags``, a dict: for a task's name, the tags of all words. A missing task, or None in its
      place, means that the sentence has no labels for it; None as a tag means the same of a word.
      (Without ``tags``, or with ``{}``, the sentence is unlabelled.)
    - ``task``, a number into ``encoder.tasks``, and ``tags``, a list: the labels of that task.
      Without ``tags`` the sentence is unlabelled.

    Corpora with different labels can be chained. Only the encoder's tasks are read, so that an
    encoder with some of a corpus' tasks makes a dataset of those.

    Args:
        data: The items, such as a dataset of :mod:`mtgnn.datasets`, or several in a chain.
        encoder: The numbers of words, characters and tags.
        by_task: False (default): every sentence is one example with ``y`` ``[T, K]``, which a model
            reads once for all tasks that it has labels for (or for all there are, if for none).
            True: one example, with ``task`` and with ``y`` ``[T]``, for each of these tasks; a
            sentence without any is none, and how many there were is logged under ``"mtgnn"``.
        known: The words of the training text, such as a set, to tell ``unknown`` words by: as they
            stand there, casing and all, however often.

    Attributes:
        lengths: Number of words of each example ``[n]``, at least 1.
        task: Task of each example ``[n]``, or its tasks ``[n, K]``, boolean.
        encoder: The encoder that it was made with.

    An item is an :class:`EncodedSentence`; ``encoded[10:20]``, ``encoded[[3, 1]]`` and
    ``encoded[mask]`` are parts, which share its words.

    Raises:
        ValueError: If an item has no words, tags without a task, other numbers of tags than words,
            a tag that its task does not have, or no labels for any of the encoder's tasks although
            it has tags; or if, ``by_task``, it has neither task nor tags.

    Example:
        >>> data = [Data(words=["A", "dog"], tags={"pos": ["DT", "NN"]}),
        ...         Data(words=["Rex"], tags={"pos": ["NNP"], "ner": ["B-PER"]})]
        >>> classes = {"pos": ["DT", "NN", "NNP"], "ner": ["O", "B-PER", "I-PER"]}
        >>> encoder = SentenceEncoder.build([item.words for item in data], classes)
        >>> encoded = EncodedSentences(data, encoder)
        >>> encoded.collate(list(encoded)).y.tolist()
        [[[0, -100], [1, -100]], [[2, 1], [-100, -100]]]
        >>> encoded = EncodedSentences(data, encoder, by_task=True)
        >>> encoded.task.tolist(), encoded.lengths.tolist()
        ([0, 0, 1], [2, 1, 1])
    """

    def __init__(
        self,
        data: Iterable[Data],
        encoder: SentenceEncoder,
        by_task: bool = False,
        known: Container[str] | None = None,
    ) -> None:
        tokens, characters, sizes, unknown, labels = [], [], [], [], []
        tasks: list[int] = []
        several: list[Tensor] = []  # tasks of each sentence
        numbers: list[int] = []  # of the sentence of each example
        for number, item in enumerate(each_item(data)):
            words, given = _read(item, number, encoder.tasks, by_task)
            encoded = encoder.encode(words)
            tokens.append(encoded.tokens)
            characters.append(encoded.characters)
            sizes.append(encoded.sizes)
            if known is not None:
                unknown.append(torch.tensor([word not in known for word in words]))
            y = torch.full((len(words), len(encoder.tasks)), NO_LABEL)
            for task, tags in given.items():
                y[:, encoder.tasks.index(task)] = _encode(encoder, tags, task, number, len(words))
            own = [encoder.tasks.index(task) for task in given]
            numbers.extend([number] * len(own) if by_task else [number])
            tasks.extend(own)
            several.append(torch.tensor([k in own or not own for k in range(len(encoder.tasks))]))
            labels.append(y)
        if not numbers:
            raise ValueError(f"expected at least one example, got none in {len(tokens)} sentences")
        idle = len(tokens) - len(set(numbers))
        if idle:
            logger.info("left out %d of %d sentences, without labels", idle, len(tokens))
        self.encoder, self.num_tasks = encoder, len(encoder.tasks)
        self.task = torch.tensor(tasks) if by_task else torch.stack(several)
        self._numbers = torch.tensor(numbers)
        self._sentences = [len(row) for row in tokens]
        self.lengths = torch.tensor(self._sentences)[self._numbers]
        self._ends = torch.tensor(self._sentences).cumsum(0)
        self._tokens = torch.cat(tokens)
        self._y = torch.cat(labels)
        self._labelled = torch.stack([(y != NO_LABEL).any(0) for y in labels])  # [sentences, K]
        self._unknown = torch.cat(unknown) if known is not None else None
        self._characters = torch.cat(characters)
        self._sizes = torch.cat(sizes)
        self._starts = self._sizes.cumsum(0) - self._sizes

    def labelled_tasks(self) -> set[int]:
        """Numbers of the tasks that have a label."""
        there = self._labelled[self._numbers]
        if self.task.dim() == 1:
            there = there & nn.functional.one_hot(self.task, self.num_tasks).bool()
        return set(there.any(0).nonzero().flatten().tolist())

    def labels(self, task: int) -> list[Tensor]:
        """Labels ``[T]`` of each example in one task, −100 where there is none."""
        y = self._y[:, task].split(self._sentences)
        own = [y[number] for number in self._numbers.tolist()]
        if self.task.dim() == 2:
            return own
        alone = zip(own, self.task.tolist(), strict=True)
        return [row if k == task else torch.full_like(row, NO_LABEL) for row, k in alone]

    def __len__(self) -> int:
        return self.lengths.numel()

    @overload
    def __getitem__(self, index: int) -> EncodedSentence: ...

    @overload
    def __getitem__(self, index: slice | Sequence[int] | Tensor) -> EncodedSentences: ...

    def __getitem__(self, index: Any) -> Any:
        if not is_number(index):
            return part_of(self, index, ("lengths", "task", "_numbers"))
        end = int(self._ends[self._numbers[index]])
        words = slice(end - int(self.lengths[index]), end)
        task, y = self.task[index], self._y[words]
        return EncodedSentence(
            self._tokens[words],
            self._spelling(words),
            task,
            y[:, int(task)] if task.dim() == 0 else y,
            None if self._unknown is None else self._unknown[words],
        )

    def _spelling(self, words: slice) -> Tensor:
        """Characters ``[T, C]`` of words that stand one after the other."""
        sizes, start = self._sizes[words], int(self._starts[words.start])
        return spell(self._characters[start : start + int(sizes.sum())], sizes)

    @staticmethod
    def collate(items: Sequence[EncodedSentence]) -> TokenBatch:
        """Pad ``items`` to the longest of them; the ``collate_fn`` of a ``DataLoader``.

        Where all have all tasks, the batch's ``task`` is None.
        """
        lengths = torch.tensor([item.tokens.numel() for item in items])
        task = torch.stack([item.task for item in items])
        unknown = [item.unknown for item in items if item.unknown is not None]
        return TokenBatch(
            pad_sequence([item.tokens for item in items], batch_first=True),
            pad_spelling([item.characters for item in items]),
            lengths,
            None if task.dim() == 2 and bool(task.all()) else task,
            pad_sequence([item.y for item in items], batch_first=True, padding_value=NO_LABEL),
            pad_sequence(unknown, batch_first=True) if unknown else None,
        )

    def __repr__(self) -> str:
        how = "by task" if self.task.dim() == 1 else f"{self.num_tasks} tasks"
        return f"EncodedSentences({len(self)}, {how})"


def _read(item: Data, number: int, tasks: list[str], by_task: bool) -> tuple[list[str], Labels]:
    """Words of an item, and its labels by task, without those that the encoder does not know."""
    if "words" not in item:
        raise ValueError(f"expected items with words, item {number} has none")
    tags = item.get("tags", None)
    if "task" in item:
        if isinstance(item["task"], str):
            raise ValueError(f"item {number}: expected task as a number, got {item['task']!r}")
        task = int(item["task"])
        if not 0 <= task < len(tasks):
            raise ValueError(f"item {number}: expected a task of 0 to {len(tasks) - 1}, got {task}")
        if isinstance(tags, Mapping):
            raise ValueError(f"item {number}: expected a list of tags beside a task, got a dict")
        return item["words"], {tasks[task]: [None] * len(item["words"]) if tags is None else tags}
    if (tags is None or tags == {}) and not by_task:
        return item["words"], {}
    if not isinstance(tags, Mapping):
        raise ValueError(f"item {number}: expected a task, or tags as a dict, got {tags!r:.60}")
    if tags and not set(tags) & set(tasks):
        raise ValueError(f"item {number} has tags for {list(tags)}, none is a task of {tasks}")
    return item["words"], {k: tags[k] for k in tasks if tags.get(k) is not None}


def _encode(
    encoder: SentenceEncoder, tags: Sequence[str | None], task: str, number: int, length: int
) -> Tensor:
    if isinstance(tags, str) or len(tags) != length:
        raise ValueError(f"item {number}: expected {length} tags for {task!r}, got {len(tags)}")
    try:
        return encoder.encode_tags(tags, task)
    except ValueError as error:
        raise ValueError(f"item {number}: {error}") from error
