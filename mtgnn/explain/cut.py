"""The same model with edges cut."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import TypeVar

from torch import nn

from ..graph import TaskGraph
from ..nn import GraphLSTM

Model = TypeVar("Model", bound=nn.Module)


class CutGraph(TaskGraph):
    """A task graph some of whose edges carry nothing. All edges keep their numbers.

    Args:
        graph: The whole graph.
        cut: Numbers of the edges that carry nothing.

    Raises:
        ValueError: If there is no such edge.
    """

    def __init__(self, graph: TaskGraph, cut: Iterable[int]) -> None:
        super().__init__(graph.tasks, graph.edge_index, graph.virtual, graph.edge_weight)
        self.cut = frozenset(cut)
        unknown = sorted(self.cut - set(range(graph.num_edges)))
        if unknown:
            raise ValueError(f"expected edges in 0…{graph.num_edges - 1}, got {unknown}")
        self._left = [
            [(edge, sender) for edge, sender in graph.incoming(node) if edge not in self.cut]
            for node in range(graph.num_nodes)
        ]

    def incoming(self, node: int) -> list[tuple[int, int]]:
        """The edges into ``node`` that are left, as pairs (edge number, sender)."""
        return self._left[node]

    def __repr__(self) -> str:
        edges = [f"{self.edges[edge][0]} → {self.edges[edge][1]}" for edge in sorted(self.cut)]
        return f"{super().__repr__()[:-1]}, cut={edges})"


def without_edges(model: Model, edges: Iterable[int | tuple[str, str]]) -> Model:
    """The same model with edges cut: their logits are −∞, and other senders share the attention.

    A receiver whose last edge is cut receives zeros. Nothing is copied: parameters, and all else
    that is no graph, are the given model's own.

    Args:
        model: A :class:`mtgnn.nn.GraphLSTM`, or a model that holds one as ``encoder``.
        edges: Pairs of names (sender, receiver), or edge numbers, as in the encoder's ``graph``.

    Raises:
        ValueError: If the encoder runs on no task graph, or there is no such edge.

    Example:
        >>> from mtgnn.nn import CompleteGraphLSTM
        >>> layer = CompleteGraphLSTM(4, 3, ["a", "b", "c"])
        >>> fewer = without_edges(layer, [("b", "a")])
        >>> fewer.nodes is layer.nodes
        True
    """
    sibling = copy.copy(model)
    if isinstance(sibling, GraphLSTM):
        sibling.graph = CutGraph(sibling.graph, [_number(sibling.graph, edge) for edge in edges])
        return sibling
    encoder = getattr(model, "encoder", None)
    if not isinstance(encoder, GraphLSTM):
        raise ValueError(
            f"expected a GraphLSTM or a model with one as its encoder, got {type(model).__name__}"
            + ("" if encoder is None else f" with a {type(encoder).__name__}")
        )
    return with_encoder(model, without_edges(encoder, edges))


def _number(graph: TaskGraph, edge: int | tuple[str, str]) -> int:
    if not isinstance(edge, tuple):
        return int(edge)
    if edge not in graph.edges:
        raise ValueError(f"expected an edge (sender, receiver) of {graph}, got {edge!r}")
    return graph.edges.index(edge)


def with_encoder(model: Model, encoder: nn.Module) -> Model:
    """The same model around another encoder; everything else is shared."""
    sibling = copy.copy(model)
    sibling._modules = {**model._modules, "encoder": encoder}
    return sibling
