"""Task graphs as GraphML, which Gephi, Cytoscape, yEd and networkx read."""

from __future__ import annotations

from os import PathLike

import torch

from ...graph import TaskGraph


def write_graphml(graph: TaskGraph, path: str | PathLike[str]) -> None:
    """Write a task graph with names, virtual nodes, edge numbers and weights.

    Args:
        graph: The graph.
        path: Where it goes.

    Raises:
        ImportError: If networkx is not installed (extra ``plot``).
    """
    import networkx

    exported = graph.to_networkx()
    for number, edge in enumerate(graph.edges):
        if exported.has_edge(*edge):  # else it is cut
            exported.edges[edge]["number"] = number
    networkx.write_graphml(exported, path, edge_id_from_attribute="number")


def read_graphml(path: str | PathLike[str]) -> TaskGraph:
    """Read what :func:`write_graphml` wrote, or another directed GraphML file.

    Where edges have the attribute ``number``, it is their order.

    Args:
        path: The file.

    Raises:
        FileNotFoundError: If there is no such file.
        ImportError: If networkx is not installed (extra ``plot``).
    """
    import networkx

    read = networkx.read_graphml(path)
    graph = TaskGraph.from_networkx(read)
    numbers = [read.edges[edge].get("number") for edge in graph.edges]
    if None in numbers:
        return graph
    order = torch.tensor(numbers).argsort()
    weight = None if graph.edge_weight is None else graph.edge_weight[order]
    return TaskGraph(graph.tasks, graph.edge_index[:, order], graph.virtual, weight)
