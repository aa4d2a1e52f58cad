"""Single sentences with the weights at every word."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from torch import Tensor

from ...data import TokenBatch, Vocabulary
from ...data.vocabulary import UNK
from ...graph import TaskGraph
from ...nn import MultiTaskModel, TaggingModel
from .readout import EDGES, MAILBOX, Batch, arguments, check_edges

LOST = "\ufffd"  # in the place of a letter that the model does not know


@dataclass(frozen=True)
class SentenceWeights:
    """A sentence and the weights at every word.

    Attributes:
        task: Name of its task.
        words: Its T words.
        senders: Names of those that the task listens to; in a mailbox the words once more. None
            where it listens to nobody.
        weights: ``[len(senders), T]``: how much it listens to each at each word.
        label: The number of its label, or ``None``; of a tagged sentence those of its words, each
            perhaps ``None``.
        arguments: What a model is called with to read the sentence alone.
    """

    task: str
    words: list[str]
    senders: list[str]
    weights: Tensor
    label: int | None | list[int | None]
    arguments: tuple[Tensor, ...] = field(default=(), repr=False, compare=False)

    def strongest(self) -> list[tuple[str, float]]:
        """For each word who sent the strongest message, and its weight; empty where the task
        listens to nobody."""
        if not self.senders:
            return []
        best = self.weights.max(0)
        pairs = zip(best.indices.tolist(), best.values.tolist(), strict=True)
        return [(self.senders[place], weight) for place, weight in pairs]


class SentenceSample:
    """Readout: some sentences of each task, drawn at random from all (reservoir sampling).

    Args:
        graph: The graph that the model's encoder runs on.
        vocabulary: The words.
        per_task: Sentences a task.
        mailbox: Whether the encoder reads a mailbox (``memory="all"`` or ``"past"``).
        seed: Seed of the drawing.
        characters: The characters of a model that tags: its words are shown as the model sees them
            spelt, with "�" for letters that it does not know, and not as they stand in the
            vocabulary.

    Raises:
        ValueError: If ``per_task`` is below 1.
    """

    def __init__(
        self,
        graph: TaskGraph,
        vocabulary: Vocabulary,
        per_task: int = 5,
        *,
        mailbox: bool = False,
        seed: int = 0,
        characters: Vocabulary | None = None,
    ) -> None:
        if per_task < 1:
            raise ValueError(f"expected per_task of at least 1, got {per_task}")
        self.graph, self.words, self.per_task = graph, vocabulary.tokens, per_task
        self.letters = None if characters is None else characters.tokens
        self.reads = MAILBOX if mailbox else EDGES
        self._random = Random(seed)
        self._seen = [0] * graph.num_tasks
        self._kept: list[list[SentenceWeights]] = [[] for _ in graph.tasks]

    def update(self, batch: Batch, weights: Tensor) -> None:
        """Take a batch, see :class:`Readout`."""
        for row, task in enumerate(batch.task.tolist()):
            kept = self._kept[task]
            place = self._random.randint(0, self._seen[task])
            if self._seen[task] < self.per_task:
                kept.append(self._sentence(batch, weights, row, task))
            elif place < self.per_task:
                kept[place] = self._sentence(batch, weights, row, task)
            self._seen[task] += 1

    def compute(self) -> list[SentenceWeights]:
        """The sentences, task after task."""
        return [sentence for kept in self._kept for sentence in kept]

    def _sentence(self, batch: Batch, weights: Tensor, row: int, task: int) -> SentenceWeights:
        if self.reads == EDGES:
            check_edges(weights, self.graph)
        steps = int(batch.lengths[row])
        words = self._words(batch, row, steps)
        own, edges = weights[row, :steps].cpu(), self.graph.incoming(task)
        if self.reads == MAILBOX:
            senders = words if edges else []
            own = own[:, : len(senders)]
        else:
            senders = [self.graph.nodes[sender] for _, sender in edges]
            own = own[:, [edge for edge, _ in edges]]
        name, given = self.graph.tasks[task], own.t().clone()
        read = _alone(batch, row, steps)
        return SentenceWeights(name, words, senders, given, _label(batch.y[row], steps), read)

    def _words(self, batch: Batch, row: int, steps: int) -> list[str]:
        if self.letters is None or not isinstance(batch, TokenBatch):
            return [self.words[token] for token in batch.tokens[row, :steps].tolist()]
        spelt = batch.characters[row, :steps].tolist()
        letters = [LOST if letter == UNK else letter for letter in self.letters]
        return ["".join(letters[number] for number in word if number) for word in spelt]


def _alone(batch: Batch, row: int, steps: int) -> tuple[Tensor, ...]:
    """What a model is called with to read one sequence of a batch by itself, without padding."""
    *spelling, lengths, task = arguments(batch)
    own = [part[row : row + 1, :steps].clone() for part in spelling]
    return (*own, lengths[row : row + 1].clone(), task[row : row + 1].clone())


def _label(y: Tensor, steps: int) -> int | None | list[int | None]:
    if y.is_floating_point():
        return None
    if y.dim() == 0:
        return int(y) if y >= 0 else None
    return [label if label >= 0 else None for label in y[:steps].tolist()]


def words_of(model: MultiTaskModel | TaggingModel) -> tuple[Vocabulary, Vocabulary | None]:
    """The words that a model knows, and the characters if it reads them."""
    if isinstance(model, TaggingModel):
        return model.sentences.words, model.sentences.characters
    return model.vocabulary, None
