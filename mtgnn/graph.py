"""The task graph: which task may talk to which."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor
from torch_geometric.data import Data

from . import graph_networkx
from .graph_check import check_edges, check_names, check_order, check_pairs, check_weight

if TYPE_CHECKING:
    import networkx

Tasks = int | Sequence[str]


def task_names(tasks: Tasks) -> tuple[str, ...]:
    """Return task names: the given ones, or ``task0 … task{n-1}`` for a number."""
    if isinstance(tasks, Integral):  # of numpy, too
        if tasks < 1:
            raise ValueError(f"a task graph needs at least one task, got {tasks}")
        return tuple(f"task{i}" for i in range(int(tasks)))
    check_order("a number of tasks, or their names", tasks)
    # Names of numpy in Python's own type, which checkpoints can hold.
    return tuple(str(n) if isinstance(n, str) else n for n in cast(Iterable[str], tasks))


class TaskGraph:
    """Named tasks and virtual nodes with directed edges *sender → receiver*.

    Nodes are numbered tasks first, then virtual nodes. A virtual node has no task of its own;
    it only carries knowledge between tasks.

    Args:
        tasks: Task names, or their number (named ``task0``, ``task1``, …).
        edge_index: Edges ``[2, E]`` in PyG's COO format: row 0 senders, row 1 receivers. Their
            order is kept, so that edge ``e`` here is edge ``e`` of every weight read off later.
        virtual: Names of virtual nodes.
        edge_weight: Optional weights ``[E]``, such as those that a readout finds. Layers learn
            weights of their own and use none of these.

    Raises:
        ValueError: If there is no task, a name is empty, used twice or cannot be that of a module
            (``"training"``, or one with a ``#``), or an edge is out of range, a self-loop or a
            duplicate.

    Example:
        >>> TaskGraph.hierarchy({"ner": ["pos", "chunk"], "chunk": ["pos"]})
        TaskGraph(tasks=['pos', 'chunk', 'ner'], edges=['pos → ner', 'chunk → ner', 'pos → chunk'])
        >>> TaskGraph.star(16)
        TaskGraph(num_tasks=16, virtual=['shared'], num_edges=32)
    """

    def __init__(
        self,
        tasks: Tasks,
        edge_index: Tensor,
        virtual: Sequence[str] = (),
        edge_weight: Tensor | None = None,
    ) -> None:
        check_order("names of virtual nodes", virtual)
        self.tasks = task_names(tasks)
        self.virtual = tuple(virtual)
        check_names(self.tasks, self.virtual)
        check_edges(edge_index, self.nodes)
        check_weight(edge_weight, edge_index.size(1))
        self.edge_index = edge_index.detach().to("cpu", torch.long).clone()
        self.edge_weight = None if edge_weight is None else edge_weight.detach().cpu().clone()
        self._index = {name: i for i, name in enumerate(self.nodes)}
        self._ancestors: dict[int, frozenset[int]] = {}
        self._incoming: list[list[tuple[int, int]]] = [[] for _ in self.nodes]
        for edge, (sender, receiver) in enumerate(self.edge_index.t().tolist()):
            self._incoming[receiver].append((edge, sender))

    # What it holds ------------------------------------------------------------------------------

    @property
    def nodes(self) -> tuple[str, ...]:
        """Names of all nodes: tasks, then virtual nodes."""
        return self.tasks + self.virtual

    @property
    def num_tasks(self) -> int:
        """Number of tasks K."""
        return len(self.tasks)

    @property
    def num_nodes(self) -> int:
        """Number of nodes N: tasks and virtual nodes."""
        return len(self.nodes)

    @property
    def num_edges(self) -> int:
        """Number of directed edges E."""
        return self.edge_index.size(1)

    @property
    def edges(self) -> list[tuple[str, str]]:
        """Edges as pairs of names (sender, receiver), in the order of ``edge_index``."""
        return [(self.nodes[i], self.nodes[j]) for i, j in self.edge_index.t().tolist()]

    def index(self, name: str) -> int:
        """Number of the node called ``name``.

        Raises:
            KeyError: If there is no such node.
        """
        if name not in self._index:
            raise KeyError(f"no node named {name!r}; this graph has {list(self.nodes)}")
        return self._index[name]

    def incoming(self, node: int) -> list[tuple[int, int]]:
        """The edges into ``node`` as pairs (edge number, sender), in edge order."""
        return self._incoming[node]

    def ancestors(self, nodes: Iterable[int]) -> frozenset[int]:
        """All nodes from which a path leads to one of ``nodes``, and these themselves."""
        found: set[int] = set()
        for node in nodes:
            if node not in found:  # else its ancestors are there as well
                found |= self._ancestors_of(node)
        return frozenset(found)

    def _ancestors_of(self, node: int) -> frozenset[int]:
        """Those of one node; kept, since every batch asks for the same ones."""
        if node not in self._ancestors:
            found, frontier = {node}, [node]
            while frontier:
                senders = {sender for _, sender in self.incoming(frontier.pop())} - found
                found |= senders
                frontier.extend(senders)
            self._ancestors[node] = frozenset(found)
        return self._ancestors[node]

    def __getstate__(self) -> dict[str, Any]:
        """What is copied and pickled: without what is found again when it is asked for."""
        return {**self.__dict__, "_ancestors": {}}

    def generations(self) -> list[list[int]]:
        """Nodes in topological order, as lists of nodes that do not depend on one another.

        Raises:
            ValueError: If the graph has a cycle.
        """
        left = {
            node: {sender for _, sender in self.incoming(node)} for node in range(self.num_nodes)
        }
        order: list[list[int]] = []
        while left:
            ready = [node for node, senders in left.items() if not senders & left.keys()]
            if not ready:
                names = [self.nodes[node] for node in left]
                raise ValueError(
                    f"expected an acyclic graph, got a cycle among (or before) {names}"
                )
            order.append(ready)
            for node in ready:
                del left[node]
        return order

    # Constructors, of whole graphs: a CutGraph is made of one -----------------------------------

    @classmethod
    def isolated(cls, tasks: Tasks) -> TaskGraph:
        """Tasks that do not talk: no edges."""
        return TaskGraph(tasks, torch.empty(2, 0, dtype=torch.long, device="cpu"))

    @classmethod
    def complete(cls, tasks: Tasks) -> TaskGraph:
        """Every task sends to every other."""
        names = task_names(tasks)
        return cls.from_edges([(i, k) for k in names for i in names if i != k], names)

    @classmethod
    def flat(cls, tasks: Tasks, virtual: str = "shared") -> TaskGraph:
        """One virtual node sends to every task."""
        names = task_names(tasks)
        return cls.from_edges([(virtual, k) for k in names], names, (virtual,))

    @classmethod
    def star(cls, tasks: Tasks, virtual: str = "shared") -> TaskGraph:
        """One virtual node sends to every task and receives from every task.

        Edges into the virtual node carry something in a mutual exchange; in ``"read"``, and so in a
        :class:`~mtgnn.nn.StarGraphLSTM`, it hears nobody, as in :meth:`flat`.
        """
        names = task_names(tasks)
        edges = [(virtual, k) for k in names] + [(k, virtual) for k in names]
        return cls.from_edges(edges, names, (virtual,))

    @classmethod
    def hierarchy(cls, senders: Mapping[str, Sequence[str]]) -> TaskGraph:
        """A DAG of tasks from ``{receiver: [senders]}``; tasks come in topological order.

        Raises:
            ValueError: If there is a cycle.
        """
        for receiver, names in senders.items():
            check_order(f"senders of {receiver!r}", names)
        edges = [(i, k) for k, names in senders.items() for i in names]
        seen = dict.fromkeys([name for edge in edges for name in edge] + list(senders))
        draft = cls.from_edges(edges, tuple(seen))
        order = [draft.nodes[node] for generation in draft.generations() for node in generation]
        return cls.from_edges(edges, order)

    @classmethod
    def from_edges(
        cls,
        edges: Iterable[tuple[str, str]],
        tasks: Tasks | None = None,
        virtual: Sequence[str] = (),
    ) -> TaskGraph:
        """A graph from pairs of names (sender, receiver).

        Args:
            edges: Pairs of node names.
            tasks: Task names in order; by default those of the edges, as they first occur.
            virtual: Names of virtual nodes.

        Raises:
            ValueError: If an edge is no pair, or names an unknown node.
        """
        check_order("edges", edges)
        check_order("names of virtual nodes", virtual)
        edges = list(edges)
        check_pairs(edges)
        if tasks is None:
            seen = dict.fromkeys(name for edge in edges for name in edge)
            tasks = [name for name in seen if name not in set(virtual)]
        names = task_names(tasks) + tuple(virtual)
        number = {name: i for i, name in enumerate(names)}
        unknown = sorted({str(name) for edge in edges for name in edge if name not in number})
        if unknown:
            raise ValueError(f"edges name unknown nodes {unknown}; known are {list(names)}")
        pairs = [(number[i], number[k]) for i, k in edges]
        index = torch.tensor(pairs, dtype=torch.long, device="cpu").reshape(-1, 2).t()
        return TaskGraph(tasks, index, virtual)

    @classmethod
    def from_data(cls, data: Data) -> TaskGraph:
        """A graph from a PyG ``Data`` object.

        Reads ``edge_index``, and where present ``tasks`` and ``virtual`` (lists of names) and
        ``edge_weight``; other attributes, such as ``edge_attr`` or ``weight``, are not looked at.
        Without names, every node is a task.

        Raises:
            ValueError: If it is no ``Data``, ``edge_index`` is missing, or the names do not match
                the node count where ``num_nodes``, ``x``, ``pos`` or ``batch`` states it.
        """
        if not isinstance(data, Data):
            raise ValueError(f"expected a Data object, got a {type(data).__name__}")
        if data.edge_index is None:
            raise ValueError("expected a Data object with an edge_index, got one without")
        virtual = getattr(data, "virtual", ())
        tasks = data["tasks"] if "tasks" in data else data.num_nodes - len(virtual)
        graph = TaskGraph(tasks, data.edge_index, virtual, data.edge_weight)
        # Where nothing states it, PyG's num_nodes is a guess from edges, which isolated nodes lack.
        states = any(name in data for name in ("num_nodes", "x", "pos", "batch"))
        stated = data.num_nodes if states else graph.num_nodes
        if stated != graph.num_nodes:
            raise ValueError(f"expected {stated} node names, got {graph.num_nodes}")
        return graph

    @classmethod
    def from_networkx(
        cls, graph: networkx.DiGraph, tasks: Sequence[str] | None = None
    ) -> TaskGraph:
        """A graph from a networkx ``DiGraph``; nodes with ``virtual=True`` are virtual.

        An undirected graph is read as edges both ways, a multigraph without its keys. Edge
        attribute ``weight`` is kept where every edge has one.

        Args:
            graph: The graph.
            tasks: Its tasks in the wanted order, such as a dataset's; by default that of ``graph``.

        Raises:
            ValueError: If ``tasks`` are not those of ``graph``.
        """
        edges, names, virtual, weight = graph_networkx.read(graph, tasks)
        result = cls.from_edges(edges, names, virtual)
        return result if weight is None else result.with_weight(weight)

    # Conversions --------------------------------------------------------------------------------

    def to_data(self) -> Data:
        """This graph as a PyG ``Data`` object with ``tasks`` and ``virtual`` as lists of names."""
        data = Data(edge_index=self.edge_index.clone(), num_nodes=self.num_nodes)
        data.tasks, data.virtual = list(self.tasks), list(self.virtual)
        if self.edge_weight is not None:
            data.edge_weight = self.edge_weight.clone()
        return data

    def to_networkx(self) -> networkx.DiGraph:
        """This graph as a networkx ``DiGraph`` (needs networkx)."""
        return graph_networkx.write(self)

    def weights(self) -> dict[tuple[str, str], float]:
        """The weight of each edge (sender, receiver), by names.

        Raises:
            ValueError: If there are no weights.
        """
        if self.edge_weight is None:
            raise ValueError(f"expected a weighted graph, got {self}")
        return dict(zip(self.edges, self.edge_weight.tolist(), strict=True))

    def with_weight(self, edge_weight: Tensor | None) -> TaskGraph:
        """The same graph with other edge weights ``[E]``."""
        return TaskGraph(self.tasks, self.edge_index, self.virtual, edge_weight)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TaskGraph):
            return NotImplemented
        same = (self.tasks, self.virtual) == (other.tasks, other.virtual)
        same = same and torch.equal(self.edge_index, other.edge_index)
        if self.edge_weight is None or other.edge_weight is None:
            return same and self.edge_weight is other.edge_weight
        return same and torch.equal(self.edge_weight, other.edge_weight)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        parts = []
        if self.num_tasks <= 6:
            parts.append(f"tasks={list(self.tasks)}")
        else:
            parts.append(f"num_tasks={self.num_tasks}")
        if self.virtual:
            parts.append(f"virtual={list(self.virtual)}")
        if self.num_edges <= 6:
            parts.append(f"edges={[f'{i} → {k}' for i, k in self.edges]}")
        else:
            parts.append(f"num_edges={self.num_edges}")
        if self.edge_weight is not None:
            parts.append("weighted")
        return f"TaskGraph({', '.join(parts)})"


# A graph is plain values and tensors: checkpoints that hold one can be read by weights_only.
torch.serialization.add_safe_globals([TaskGraph])
