"""The weights of a graph as a matrix."""

from __future__ import annotations

import torch
from torch import Tensor

from ...graph import TaskGraph


def edge_weights(graph: TaskGraph) -> Tensor:
    """The weights of a graph's edges ``[E]``.

    Raises:
        ValueError: If it has none.
    """
    if graph.edge_weight is None:
        raise ValueError(f"expected a weighted graph, got {graph}")
    return graph.edge_weight


def between_tasks(graph: TaskGraph, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Weights ``[E]`` of edges as a matrix ``[K, K]`` over tasks, row = receiver, 0 where there is
    no edge; and where there is one, boolean. Edges of virtual nodes do not count."""
    sender, receiver = graph.edge_index
    matrix = weight.new_zeros(graph.num_nodes, graph.num_nodes)
    matrix[receiver, sender] = weight
    there = torch.zeros_like(matrix, dtype=torch.bool)
    there[receiver, sender] = True
    tasks = slice(graph.num_tasks)
    return matrix[tasks, tasks], there[tasks, tasks]
