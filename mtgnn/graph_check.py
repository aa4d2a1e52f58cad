"""Early errors of :class:`mtgnn.TaskGraph`."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch_geometric.nn.module_dict import ModuleDict

_EMPTY = nn.Module()


def is_integer(values: Tensor) -> bool:
    """Whether values are integers of any type, and no booleans."""
    return not values.is_floating_point() and values.dtype != torch.bool


def check_order(name: str, values: object) -> None:
    """Raise where values are not several in an order that stays: with that of a set, a state dict
    would fit another run's layer, and mean other tasks."""
    several = isinstance(values, Iterable) and not isinstance(values, (str, set, frozenset))
    if not several:
        string = "the string " if isinstance(values, str) else ""
        raise ValueError(f"expected {name} in order, such as a list, got {string}{values!r}")


def check_pairs(edges: list[tuple[str, str]]) -> None:
    """Raise where an edge is no pair of names."""
    for edge in edges:
        if not isinstance(edge, (tuple, list)) or len(edge) != 2:
            raise ValueError(
                "expected edges as pairs (sender, receiver), tuples or lists, with weights by "
                f"with_weight, got {edge!r}"
            )


def check_names(tasks: tuple[str, ...], virtual: tuple[str, ...]) -> None:
    """Raise where there is no task, or a node's name is empty, used twice, or cannot name a module:
    two would be one where PyG writes ``#`` for a full stop, and ``<keys>`` for ``keys``."""
    if not tasks:
        raise ValueError("a task graph needs at least one task, got none")
    nodes = tasks + virtual
    for name in nodes:
        if not isinstance(name, str) or not name:
            raise ValueError(f"node names must be non-empty strings, got {name!r}")
        key = ModuleDict.to_internal_key(name)
        if ModuleDict.to_external_key(key) != name or hasattr(_EMPTY, key):
            raise ValueError(
                "expected names that modules can have: without '#', and not 'training' or "
                f"'<keys>', got {name!r}"
            )
    if len(set(nodes)) != len(nodes):
        twice = sorted({name for name in nodes if nodes.count(name) > 1})
        both = [name for name in twice if name in tasks and name in virtual]
        hint = f": {both} are tasks, choose other names for the virtual nodes" if both else ""
        raise ValueError(f"node names must be unique, got {twice} more than once{hint}")


def check_edges(edge_index: Tensor, nodes: tuple[str, ...]) -> None:
    """Raise where edges are no integers ``[2, E]``, out of range, self-loops or duplicates."""
    if not isinstance(edge_index, Tensor):
        raise ValueError(
            f"expected edge_index as a tensor of shape [2, E], got a {type(edge_index).__name__}"
        )
    if edge_index.dim() != 2 or edge_index.size(0) != 2 or not is_integer(edge_index):
        raise ValueError(
            "expected edge_index as integers of shape [2, E], "
            f"got {edge_index.dtype} of shape {list(edge_index.shape)}"
        )
    seen = set()
    for sender, receiver in edge_index.t().tolist():
        if not (0 <= sender < len(nodes) and 0 <= receiver < len(nodes)):
            raise ValueError(
                f"edge ({sender}, {receiver}) is out of range: there are {len(nodes)} nodes"
            )
        if sender == receiver:
            raise ValueError(f"self-loop at {nodes[sender]!r}: a node sends to others only")
        if (sender, receiver) in seen:
            raise ValueError(f"duplicate edge {nodes[sender]!r} → {nodes[receiver]!r}")
        seen.add((sender, receiver))


def check_weight(weight: Tensor | None, num_edges: int) -> None:
    """Raise where weights are not one an edge."""
    if weight is not None and not isinstance(weight, Tensor):
        raise ValueError(
            f"expected edge_weight as a tensor of shape [{num_edges}], got a "
            f"{type(weight).__name__}"
        )
    if weight is not None and weight.shape != (num_edges,):
        raise ValueError(f"expected edge_weight of shape [{num_edges}], got {list(weight.shape)}")
