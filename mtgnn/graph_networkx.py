"""Task graphs from and to networkx."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from .graph_check import check_order

if TYPE_CHECKING:
    import networkx

    from .graph import TaskGraph


class Parts(NamedTuple):
    """What a task graph is made of: edges as pairs of names, and their weights or None."""

    edges: list[tuple[str, str]]
    tasks: list[str]
    virtual: list[str]
    weight: Tensor | None


def read(graph: networkx.DiGraph, tasks: Sequence[str] | None) -> Parts:
    """The parts of a networkx graph; see :meth:`mtgnn.TaskGraph.from_networkx`."""
    if tasks is not None:
        check_order("tasks", tasks)
    directed = graph.to_directed()
    virtual = [str(n) for n, there in directed.nodes.data("virtual", False) if there]
    found = [str(n) for n, there in directed.nodes.data("virtual", False) if not there]
    if tasks is not None and sorted(tasks) != sorted(found):
        raise ValueError(f"expected the graph's tasks {found} in some order, got {list(tasks)}")
    edges = [(str(i), str(k)) for i, k in directed.edges()]  # a multigraph's without keys
    weights = [weight for _, _, weight in directed.edges.data("weight")]
    known = bool(weights) and None not in weights
    weight = torch.tensor(weights, dtype=torch.float, device="cpu") if known else None
    return Parts(edges, found if tasks is None else list(tasks), virtual, weight)


def write(graph: TaskGraph) -> networkx.DiGraph:
    """See :meth:`mtgnn.TaskGraph.to_networkx`."""
    import networkx

    out = networkx.DiGraph()
    for node in graph.nodes:
        out.add_node(node, virtual=node in graph.virtual)
    for edge, (sender, receiver) in enumerate(graph.edges):
        weight: dict[str, Any] = {}
        if graph.edge_weight is not None:
            weight["weight"] = float(graph.edge_weight[edge])
        out.add_edge(sender, receiver, **weight)
    return out
