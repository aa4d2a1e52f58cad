from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from ..data import SequenceBatch
from ..graph import TaskGraph


@torch.no_grad()
def average_attention(
    model: Callable[..., Any],
    batches: Iterable[SequenceBatch],
    graph: TaskGraph | None = None,
) -> TaskGraph:
    """Average edge weights over words and sentences: who listened to whom.

    An edge's weight is its attention weight, averaged over heads, layers and directions, and over
    all real steps of the sequences whose task receives it. So the weights of the edges that enter
    a task sum to one. An edge into a virtual node averages over all sequences. Memory does not
    grow with the number of batches.

    Args:
        model: Called as ``model(tokens, lengths, task, return_attention_weights=True)``; the last
            thing it returns is the attention as the encoders of :mod:`mtgnn.nn` hand it out.
        batches: Batches of sequences, on the model's device.
        graph: The graph that the model's encoder runs on; by default ``model.encoder.graph``.

    Returns:
        The graph with ``edge_weight`` in [0, 1].

    Raises:
        ValueError: If the attention belongs to mailbox positions instead of edges, or no sequence
            belongs to a task that listens.
    """
    if graph is None:
        graph = model.encoder.graph  # type: ignore[attr-defined]
    assert isinstance(graph, TaskGraph)
    total = torch.zeros(graph.num_edges, dtype=torch.float64)
    steps = torch.zeros(graph.num_nodes, dtype=torch.float64)
    training = getattr(model, "training", False)
    if isinstance(model, torch.nn.Module):
        model.eval()
    for batch in batches:
        attention = model(batch.tokens, batch.lengths, batch.task, return_attention_weights=True)
        alpha = _mean_weights(attention[-1], graph)  # [B, T, num_edges]
        task, lengths = batch.task.cpu(), batch.lengths.cpu().double()
        receiver = graph.edge_index[1]
        counts = (receiver == task.unsqueeze(1)) | (receiver >= graph.num_tasks)
        total += (alpha.sum(1).cpu().double() * counts).sum(0)
        steps[: graph.num_tasks].index_add_(0, task, lengths)
        steps[graph.num_tasks :] += lengths.sum()
    if isinstance(model, torch.nn.Module):
        model.train(training)
    listeners = graph.edge_index[1].unique()
    silent = [graph.nodes[int(n)] for n in listeners if steps[n] == 0]
    if silent:
        raise ValueError(f"no sequence belongs to {silent}: their edges have no weights to average")
    return graph.with_weight((total / steps[graph.edge_index[1]]).float())


def _mean_weights(attention: list[tuple[Tensor, Tensor]], graph: TaskGraph) -> Tensor:
    """Mean over layers, directions and heads: ``[B, T, num_edges]``."""
    if not attention:
        raise ValueError("the model handed out no attention: its graph has no edges")
    for _, alpha in attention:
        if alpha.dim() != 4 or alpha.size(2) != graph.num_edges:
            raise ValueError(
                f"expected attention [B, T, {graph.num_edges}, heads] on the graph's edges, got "
                f"{list(alpha.shape)}; a mailbox's weights belong to positions, not to edges"
            )
    return torch.stack([alpha.mean(-1) for _, alpha in attention]).mean(0)
