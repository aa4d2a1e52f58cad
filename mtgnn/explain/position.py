"""Edge weights over the course of a sentence."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..graph import TaskGraph
from .readout import EDGES, Batch, check_edges, own_edges, real_steps, receivers_of


@dataclass(frozen=True)
class PositionWeights:
    """Mean edge weights by position.

    Attributes:
        graph: The task graph.
        weight: ``[positions, E]``, mean weight of each edge at each position, over the sentences
            of its receiver that are long enough; 0 where none is.
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
        self._count = torch.zeros(num_positions, graph.num_tasks, dtype=torch.long)

    def update(self, batch: Batch, weights: Tensor) -> None:
        """Take a batch, see :class:`Readout`."""
        check_edges(weights, self.graph)
        self._total, self._count = (x.to(weights.device) for x in (self._total, self._count))
        task = batch.task.to(weights.device)
        real = real_steps(batch, weights.device)
        last = self._total.size(0) - 1
        position = torch.arange(weights.size(1), device=weights.device).clamp(max=last)
        own = own_edges(self.graph, task)
        self._total.index_add_(0, position, (weights * own.unsqueeze(1)).double().sum(0))
        steps = self._count.new_zeros(real.size(1), self._count.size(1))
        steps.index_add_(1, task, real.t().long())
        self._count.index_add_(0, position, steps)

    def compute(self) -> PositionWeights:
        """Mean weights by position, up to the last one that occurred."""
        count = receivers_of(self.graph, self._count.cpu())
        there = int((self._count.sum(1) > 0).sum())
        weight = self._total.cpu() / count.clamp(min=1)
        return PositionWeights(self.graph, weight[:there], count[:there])
