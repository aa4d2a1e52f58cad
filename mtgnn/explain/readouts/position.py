"""Edge weights over the course of a sentence."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...graph import TaskGraph
from .readout import EDGES, Batch, check_edges, hearing, own_edges


@dataclass(frozen=True)
class PositionWeights:
    """Mean edge weights by position.

    Attributes:
        graph: The task graph.
        weight: ``[positions, E]``, mean weight of each edge at each position, over the sentences
            of its receiver (of a virtual node, those in which it hears anyone) that are long
            enough; 0 where none is.
        count: ``[positions, E]``, how many steps that were.
    """

    graph: TaskGraph
    weight: Tensor
    count: Tensor


class EdgeByPosition:
    """Readout: the mean weight of each edge at each position in a sentence.

    Args:
        graph: The graph that the model's encoder runs on.
        num_positions: Number of positions; the last one takes all that come after it, too.

    Raises:
        ValueError: If ``num_positions`` is below 1.
    """

    reads = EDGES

    def __init__(self, graph: TaskGraph, num_positions: int = 64) -> None:
        if num_positions < 1:
            raise ValueError(f"expected num_positions of at least 1, got {num_positions}")
        self.graph = graph
        self._total = torch.zeros(num_positions, graph.num_edges, dtype=torch.float64)
        self._count = torch.zeros(num_positions, graph.num_nodes, dtype=torch.long)

    def update(self, batch: Batch, weights: Tensor) -> None:
        """Take a batch, see :class:`Readout`."""
        check_edges(weights, self.graph)
        self._total, self._count = (x.to(weights.device) for x in (self._total, self._count))
        last = self._total.size(0) - 1
        position = torch.arange(weights.size(1), device=weights.device).clamp(max=last)
        own = own_edges(self.graph, batch.task.to(weights.device))
        self._total.index_add_(0, position, (weights * own.unsqueeze(1)).double().sum(0))
        self._count.index_add_(0, position, hearing(self.graph, batch, weights).sum(0))

    def compute(self) -> PositionWeights:
        """Mean weights by position, up to the last one that occurred."""
        counts = self._count.cpu()
        there = int((counts.sum(1) > 0).sum())
        count = counts[:, self.graph.edge_index[1]]
        weight = self._total.cpu() / count.clamp(min=1)
        return PositionWeights(self.graph, weight[:there], count[:there])
