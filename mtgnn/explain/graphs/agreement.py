from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ...graph import TaskGraph


class Agreement(NamedTuple):
    """How alike two weighted graphs rank the senders of each receiver.

    Attributes:
        mean: Spearman's rank correlation, mean over receivers: 1 the same order, −1 the reverse.
        spread: Its standard deviation over receivers; 0 where there is one.
        by_receiver: The correlation of each receiver.
        undefined: Receivers without one: a single sender, or equal weights in a graph.
    """

    mean: float
    spread: float
    by_receiver: dict[str, float]
    undefined: tuple[str, ...]


def graph_agreement(first: TaskGraph, second: TaskGraph) -> Agreement:
    """Compare two weighted graphs over the same edges, for each receiver on its own.

    For two seeds or models, or for two readouts of one model: attention that does not order the
    senders as cutting their edges does is no explanation of the loss.

    Args:
        first: A weighted graph, such as :func:`average_attention` gives.
        second: Another; its edges may come in another order.

    Raises:
        ValueError: If a graph has no weights, the edges differ, or no receiver can be compared.

    Example:
        >>> graph = TaskGraph.complete(["a", "b", "c", "d"])
        >>> weight = torch.tensor([3.0, 2, 1, 1, 2, 3, 9, 8, 7, 5, 5, 5])
        >>> other = torch.tensor([6.0, 5, 4, 3, 2, 1, 1, 3, 2, 1, 2, 3])
        >>> agreement = graph_agreement(graph.with_weight(weight), graph.with_weight(other))
        >>> agreement.by_receiver
        {'a': 1.0, 'b': -1.0, 'c': -0.5}
        >>> agreement.undefined
        ('d',)
    """
    own, other = first.weights(), second.weights()
    if own.keys() != other.keys():
        alone = sorted(own.keys() ^ other.keys())
        raise ValueError(f"expected the same edges, got {alone[:3]} in one graph only")
    found: dict[str, float] = {}
    undefined = []
    for node, receiver in enumerate(first.nodes):
        edges = [(first.nodes[sender], receiver) for _, sender in first.incoming(node)]
        if not edges:
            continue
        pair = (torch.tensor([weights[edge] for edge in edges]) for weights in (own, other))
        correlation = _spearman(*pair)
        if correlation is None:
            undefined.append(receiver)
        else:
            found[receiver] = correlation
    if not found:
        raise ValueError("no receiver has two senders whose weights differ in both graphs")
    values = torch.tensor(list(found.values()), dtype=torch.float64)
    spread = float(values.std()) if len(found) > 1 else 0.0
    return Agreement(float(values.mean()), spread, found, tuple(undefined))


def _spearman(first: Tensor, second: Tensor) -> float | None:
    """Correlation of the ranks; ``None`` where the values of one do not differ."""
    a, b = (_centred_ranks(values) for values in (first, second))
    scale = (a.square().sum() * b.square().sum()).sqrt()
    return float((a * b).sum() / scale) if scale > 0 else None


def _centred_ranks(values: Tensor) -> Tensor:
    """Ranks less their mean; equal values share the mean of their ranks."""
    lower = (values.unsqueeze(1) > values).sum(1)
    higher = (values.unsqueeze(1) < values).sum(1)
    return (lower - higher).double() / 2
