"""Tasks whose relations to all others are alike."""

from __future__ import annotations

import torch
from torch import Tensor

from ...graph import TaskGraph
from .matrix import between_tasks, edge_weights


def profile_graph(*graphs: TaskGraph) -> TaskGraph:
    """Weigh every pair of tasks by how alike their relations to all tasks are.

    A single edge is measured badly: a receiver may need one of several senders that know the same,
    and few texts say little. But tasks of one group hear, and are heard by, the same others. So

    1. weights into each receiver are standardised, and averaged over readouts;
    2. both directions of a pair are averaged: a symmetric matrix, with its largest value on the
       diagonal;
    3. an edge's weight is the correlation of the two tasks' rows, 0 where one of them is flat, as
       before any training.

    Which of two tasks learns from the other is lost on the way: for groups, not for directions.

    Args:
        graphs: Weighted graphs with all edges between the same tasks: several readouts of a model,
            such as :func:`average_attention` and :func:`edge_insertion`, or those of several seeds.

    Returns:
        The complete graph, with weights from −1 to 1.

    Raises:
        ValueError: If there is no graph, one has no weights or lacks an edge, tasks differ, or
            there are fewer than four.
    """
    if not graphs:
        raise ValueError("expected at least one graph, got none")
    tasks = graphs[0].tasks
    if len(tasks) < 4:
        raise ValueError(
            f"expected at least 4 tasks, got {len(tasks)}: of fewer, nearly any weights give the "
            "same correlations"
        )
    for graph in graphs[1:]:
        if graph.tasks != tasks:
            raise ValueError(f"expected tasks {list(tasks)}, got {list(graph.tasks)}")
    both = torch.stack([_standardised(graph) for graph in graphs]).mean(0)
    rows = (both + both.t()) / 2
    rows.fill_diagonal_(float(rows.max()))
    flat = rows.amax(1) == rows.amin(1)
    alike = torch.corrcoef(rows).masked_fill(flat | flat.unsqueeze(1), 0)
    complete = TaskGraph.complete(list(tasks))
    sender, receiver = complete.edge_index
    return complete.with_weight(alike[receiver, sender].float())


def _standardised(graph: TaskGraph) -> Tensor:
    """``[K, K]``, weights into each receiver with mean 0 and deviation 1; the diagonal is −∞."""
    weight, there = between_tasks(graph, edge_weights(graph).double())
    between = ~torch.eye(graph.num_tasks, dtype=torch.bool)
    others = weight[between].view(graph.num_tasks, -1)
    if not there[between].all() or others.isnan().any():
        raise ValueError(f"expected an edge between any two tasks, each with a weight, got {graph}")
    spread = others.std(1, keepdim=True)
    centred = weight - others.mean(1, keepdim=True)
    return (centred / torch.where(spread > 0, spread, 1)).fill_diagonal_(-torch.inf)
