from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from ..graph import TaskGraph
from .collect import collect_attention
from .readout import EDGES, Batch, check_edges, own_edges, receivers_of


class EdgeMean:
    """Readout: the mean weight of each edge, as a weighted task graph.

    Averages over all real steps of the sequences whose task receives an edge, so that the weights
    of the edges that enter a task sum to one. An edge into a virtual node averages over all
    sequences.

    Args:
        graph: The graph that the model's encoder runs on.
    """

    reads = EDGES

    def __init__(self, graph: TaskGraph) -> None:
        self.graph = graph
        self._total = torch.zeros(graph.num_edges, dtype=torch.float64)
        self._steps = torch.zeros(graph.num_tasks, dtype=torch.float64)

    def update(self, batch: Batch, weights: Tensor) -> None:
        """Take a batch, see :class:`Readout`."""
        check_edges(weights, self.graph)
        own = own_edges(self.graph, batch.task).to(weights.device)
        self._total += (weights.sum(1).double() * own).sum(0).cpu()
        self._steps.index_add_(0, batch.task.cpu(), batch.lengths.cpu().double())

    def compute(self) -> TaskGraph:
        """The graph with ``edge_weight`` in [0, 1].

        Raises:
            ValueError: If no sequence belongs to a task that listens.
        """
        steps = receivers_of(self.graph, self._steps)
        silent = {self.graph.edges[int(e)][1] for e in (steps == 0).nonzero()}
        if silent:
            raise ValueError(
                f"no sequence belongs to {sorted(silent)}: their edges have no weights to average"
            )
        return self.graph.with_weight((self._total / steps).float())


def average_attention(
    model: Callable[..., Any],
    batches: Iterable[Batch],
    graph: TaskGraph | None = None,
) -> TaskGraph:
    """Average edge weights over words and sentences: who listened to whom.

    :func:`collect_attention` with :class:`EdgeMean` alone.

    Args:
        model: Called as ``model(tokens, lengths, task, return_attention_weights=True)``; the last
            thing it returns is the attention as the encoders of :mod:`mtgnn.nn` hand it out.
        batches: Batches of sequences, on the model's device.
        graph: The graph that the model's encoder runs on; by default ``model.encoder.graph``.

    Returns:
        The graph with ``edge_weight`` in [0, 1].

    Raises:
        ValueError: If there is no weight an edge, as in a star's mailbox of one sender
            (:class:`MailboxByWord` reads it), or no sequence belongs to a task that listens.
    """
    if graph is None:
        graph = model.encoder.graph  # type: ignore[attr-defined]
    assert isinstance(graph, TaskGraph)
    (averaged,) = collect_attention(model, batches, [EdgeMean(graph)])
    assert isinstance(averaged, TaskGraph)
    return averaged
