"""Task graphs some of whose edges carry nothing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch_geometric.data import Data

from .graph import TaskGraph

if TYPE_CHECKING:
    import networkx


class CutGraph(TaskGraph):
    """A task graph some of whose edges carry nothing. All edges keep their numbers.

    Args:
        graph: The graph; what is cut of it stays so.
        cut: Numbers of the edges that carry nothing.

    Raises:
        ValueError: If there is no such edge.
    """

    def __init__(self, graph: TaskGraph, cut: Iterable[int]) -> None:
        super().__init__(graph.tasks, graph.edge_index, graph.virtual, graph.edge_weight)
        every = frozenset(cut) | cut_edges(graph)
        self._cut = tuple(every)  # a checkpoint holds no frozenset
        unknown = sorted(every - set(range(graph.num_edges)))
        if unknown:
            raise ValueError(f"expected edges in 0…{graph.num_edges - 1}, got {unknown}")
        self._left = [
            [(edge, sender) for edge, sender in graph.incoming(node) if edge not in every]
            for node in range(graph.num_nodes)
        ]

    @property
    def cut(self) -> frozenset[int]:
        """Numbers of the edges that carry nothing."""
        return frozenset(self._cut)

    def incoming(self, node: int) -> list[tuple[int, int]]:
        """The edges into ``node`` that are left, as pairs (edge number, sender)."""
        return self._left[node]

    def with_weight(self, edge_weight: Tensor | None) -> CutGraph:
        """The same graph, the same edges cut, with other edge weights ``[E]``."""
        return CutGraph(super().with_weight(edge_weight), self.cut)

    def remaining(self) -> TaskGraph:
        """A graph of the edges that are left, with numbers of their own."""
        left = edges_left(self)
        weight = None if self.edge_weight is None else self.edge_weight[left]
        return TaskGraph(self.tasks, self.edge_index[:, left], self.virtual, weight)

    def to_data(self) -> Data:
        """The edges that are left as a PyG ``Data`` object; see :meth:`TaskGraph.to_data`."""
        return self.remaining().to_data()

    def to_networkx(self) -> networkx.DiGraph:
        """The edges that are left as a networkx ``DiGraph`` (needs networkx)."""
        return self.remaining().to_networkx()

    def __eq__(self, other: object) -> bool:
        same = super().__eq__(other)
        return same if same is NotImplemented else same and self.cut == cut_edges(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        edges = [f"{self.edges[edge][0]} → {self.edges[edge][1]}" for edge in sorted(self.cut)]
        return f"{super().__repr__()[:-1]}, cut={edges})"


def cut_edges(graph: Any) -> frozenset[int]:
    """Numbers of the edges of a graph that carry nothing."""
    return graph.cut if isinstance(graph, CutGraph) else frozenset()


def edges_left(graph: TaskGraph) -> Tensor:
    """Which edges ``[E]`` of a graph carry something; on the CPU."""
    left = torch.ones(graph.num_edges, dtype=torch.bool, device="cpu")
    left[list(cut_edges(graph))] = False
    return left


torch.serialization.add_safe_globals([CutGraph])
