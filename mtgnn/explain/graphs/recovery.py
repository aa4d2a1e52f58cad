from __future__ import annotations

from typing import NamedTuple

import torch

from ...graph import TaskGraph
from .matrix import edge_weights


class Recovery(NamedTuple):
    """How well weights tell the edges of a known graph from the others, mean over receivers.

    Attributes:
        auroc: Probability that a true edge weighs more than another one: 0.5 is chance.
        average_precision: Area under precision over recall.
        by_receiver: The first of the two, for each receiver.
        undefined: Receivers left out, to which all edges are true, or none is.
    """

    auroc: float
    average_precision: float
    by_receiver: dict[str, float]
    undefined: tuple[str, ...]


def graph_recovery(graph: TaskGraph, truth: TaskGraph) -> Recovery:
    """Compare a weighted graph with the true one, for each receiver over the edges into it.

    Args:
        graph: A weighted graph, such as :func:`average_attention` gives.
        truth: The true edges among the same tasks, such as ``PlantedTasks(...).graph``.

    Raises:
        ValueError: If the graph has no weights, the tasks differ, a true edge is not among the
            graph's, or no receiver has both kinds of edges.
    """
    from sklearn.metrics import average_precision_score, roc_auc_score

    weights = edge_weights(graph)
    if graph.tasks != truth.tasks:
        raise ValueError(f"expected tasks {list(graph.tasks)}, got {list(truth.tasks)}")
    missing = sorted(set(truth.edges) - set(graph.edges))
    if missing:
        raise ValueError(f"the graph lacks the true edges {missing[:3]}")
    true = set(truth.edges)
    auroc: dict[str, float] = {}
    precision, undefined = [], []
    for node, receiver in enumerate(graph.tasks):
        edges = [edge for edge, _ in graph.incoming(node)]
        kinds = [graph.edges[edge] in true for edge in edges]
        if not edges or all(kinds) or not any(kinds):
            undefined.append(receiver)
            continue
        weight = weights[torch.tensor(edges)].numpy()
        auroc[receiver] = float(roc_auc_score(kinds, weight))
        precision.append(float(average_precision_score(kinds, weight)))
    if not auroc:
        raise ValueError("no receiver has true edges and others")
    mean = sum(auroc.values()) / len(auroc)
    return Recovery(mean, sum(precision) / len(precision), auroc, tuple(undefined))
