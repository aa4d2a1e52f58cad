"""Which words make a task listen to whom."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ...data import Vocabulary
from ...graph import TaskGraph
from .readout import EDGES, Batch, check_edges, find_edge, hearing, own_edges, real_steps


class WordWeight(NamedTuple):
    """A word, the mean weight at its occurrences, and how many these are."""

    word: str
    weight: float
    occurrences: int


class EdgeByWord:
    """Readout: the mean weight of each edge at each word of the vocabulary.

    Keeps a table of V·E numbers, however many sentences there are.

    Args:
        graph: The graph that the model's encoder runs on.
        vocabulary: The words.
    """

    reads = EDGES

    def __init__(self, graph: TaskGraph, vocabulary: Vocabulary) -> None:
        self.graph, self.words = graph, vocabulary.tokens
        self._total = torch.zeros(len(self.words), graph.num_edges, dtype=torch.float64)
        self._count = torch.zeros(len(self.words), graph.num_nodes, dtype=torch.long)

    def update(self, batch: Batch, weights: Tensor) -> None:
        """Take a batch, see :class:`Readout`."""
        check_edges(weights, self.graph)
        self._total, self._count = (x.to(weights.device) for x in (self._total, self._count))
        real = real_steps(batch, weights.device)
        tokens = batch.tokens.to(weights.device)[real]
        own = own_edges(self.graph, batch.task.to(weights.device))
        self._total.index_add_(0, tokens, (weights * own.unsqueeze(1))[real].double())
        heard = hearing(self.graph, batch, weights)[real]
        self._count.index_add_(0, tokens, heard.long())

    def compute(self) -> WordWeights:
        """Mean weights by word and edge."""
        count = self._count.cpu()[:, self.graph.edge_index[1]]
        return WordWeights(self.graph, self.words, self._total.cpu() / count.clamp(min=1), count)


@dataclass(frozen=True)
class WordWeights:
    """Mean edge weights by word.

    Attributes:
        graph: The task graph.
        words: The V words.
        weight: ``[V, E]``, mean weight of each edge where its receiver reads the word (a virtual
            node, where it hears anyone); 0 where it never does.
        count: ``[V, E]``, how often it does.
    """

    graph: TaskGraph
    words: list[str]
    weight: Tensor
    count: Tensor

    def top(
        self, receiver: str, sender: str, number: int = 10, min_count: int = 5
    ) -> list[WordWeight]:
        """The words at which ``receiver`` listens to ``sender`` most, heaviest first.

        Args:
            receiver: Name of the node that listens.
            sender: Name of the node it listens to.
            number: At most so many words.
            min_count: Leave out words that the receiver reads less often.

        Raises:
            ValueError: If there is no such edge.
        """
        edge = find_edge(self.graph, (sender, receiver))
        return heaviest(self.words, self.weight[:, edge], self.count[:, edge], number, min_count)


def heaviest(
    words: list[str], weight: Tensor, count: Tensor, number: int, min_count: int
) -> list[WordWeight]:
    """The ``number`` heaviest of the words that occur ``min_count`` times; ties in word order."""
    if number < 1 or min_count < 1:
        raise ValueError(
            f"expected number and min_count of at least 1, got {number} and {min_count}"
        )
    often = (count >= min_count).nonzero().flatten()
    order = often[weight[often].argsort(descending=True, stable=True)][:number]
    return [WordWeight(words[i], float(weight[i]), int(count[i])) for i in order.tolist()]
