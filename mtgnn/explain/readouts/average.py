from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from ...graph import TaskGraph
from ...nn.compiled import uncompiled
from .collect import collect_attention
from .readout import EDGES, Batch, check_edges, edges_into, hearing, own_edges, weighted


class EdgeMean:
    """Readout: the mean weight of each edge, as a weighted task graph.

    Averages over all real steps of the sequences whose task receives an edge, so that the weights
    of the edges that enter a task sum to one. An edge into a virtual node averages over all steps
    at which that hears anyone.

    Args:
        graph: The graph that the model's encoder runs on.
        tasks: Names of the receivers that are asked for, by default all.

    Raises:
        ValueError: If one of ``tasks`` listens to nobody.
    """

    reads = EDGES

    def __init__(self, graph: TaskGraph, tasks: Sequence[str] | None = None) -> None:
        self.graph, self._edges = graph, edges_into(graph, tasks)
        self._total = torch.zeros(graph.num_edges, dtype=torch.float64)
        self._steps = torch.zeros(graph.num_nodes, dtype=torch.float64)

    def update(self, batch: Batch, weights: Tensor) -> None:
        """Take a batch, see :class:`Readout`."""
        check_edges(weights, self.graph)
        own = own_edges(self.graph, batch.task).to(weights.device)
        self._total += (weights.sum(1).double() * own).sum(0).cpu()
        self._steps += hearing(self.graph, batch, weights).sum((0, 1)).cpu()

    def compute(self) -> TaskGraph:
        """The graph with ``edge_weight`` in [0, 1], and the edges into ``tasks`` alone.

        Raises:
            ValueError: If no sequence belongs to a task that listens and is asked for.
        """
        receiver = self.graph.edge_index[1, self._edges]
        steps = self._steps[receiver]
        silent = {
            self.graph.tasks[k] for k in receiver[steps == 0].tolist() if k < self.graph.num_tasks
        }
        if silent:
            raise ValueError(
                f"no sequence belongs to {sorted(silent)}: their edges have no weights to average; "
                "tasks=[…] asks for some tasks alone"
            )
        mean = self._total[self._edges] / steps.clamp(min=1)
        return weighted(self.graph, self._edges, mean.float())


def average_attention(
    model: Callable[..., Any],
    batches: Iterable[Batch],
    graph: TaskGraph | None = None,
    *,
    tasks: Sequence[str] | None = None,
) -> TaskGraph:
    """Average edge weights over words and sentences: who listened to whom.

    :func:`collect_attention` with :class:`EdgeMean` alone.

    Args:
        model: Called as ``model(tokens, lengths, task, return_attention_weights=True)``; the last
            thing it returns is the attention as the encoders of :mod:`mtgnn.nn` hand it out.
        batches: Batches of sequences, on any device.
        graph: The graph that the model's encoder runs on; by default ``model.encoder.graph``.
        tasks: Names of the receivers that are asked for, by default all: only these need
            sequences, such as a task that was added.

    Returns:
        The graph with ``edge_weight`` in [0, 1], and the edges into ``tasks`` alone; of an encoder
        whose tasks do not listen to each other, a graph without edges.

    Raises:
        ValueError: If there is no weight an edge, as in a star's mailbox of one sender
            (:class:`MailboxByWord` reads it), one of ``tasks`` listens to nobody, or no sequence
            belongs to a task that listens and is asked for.
    """
    if graph is None:
        graph = getattr(getattr(uncompiled(model), "encoder", None), "graph", None)
    if not isinstance(graph, TaskGraph):
        raise ValueError(
            "expected a model that holds its layer over a task graph as its encoder, got a "
            f"{type(model).__name__}"
        )
    (averaged,) = collect_attention(model, batches, [EdgeMean(graph, tasks)])
    assert isinstance(averaged, TaskGraph)
    return averaged
