from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from ..data import SequenceBatch
from ..nn import GraphLSTM
from ..nn.modes import evaluating
from .cut import without_edges
from .effects import EdgeEffects, EffectSums, LossPerSample, find_encoder, find_loss, labelled


@torch.no_grad()
def edge_ablation(
    model: nn.Module, batches: Iterable[SequenceBatch], loss: LossPerSample | None = None
) -> EdgeEffects:
    """How the loss of each task changes when an edge is cut.

    Cutting an edge sets its logit to −∞, see :func:`without_edges`; nothing is trained anew. In
    the exchange ``"read"`` an edge matters to its receiver alone, so one edge of every receiver
    is cut at once: as many runs as a node has senders at most. Otherwise it is a run an edge. The
    batches are read once.

    Args:
        model: Called as ``model(tokens, lengths, task)``; its ``encoder`` is a
            :class:`mtgnn.nn.GraphLSTM`.
        batches: Batches of labelled sequences, on the model's device.
        loss: From what the model returns and the batch to losses ``[B]``; by default
            ``model.loss_per_sample``.

    Raises:
        ValueError: If the encoder runs on no graph with edges, there is no loss, or a task that
            receives has no labelled sequence.
    """
    encoder, measure = find_encoder(model), find_loss(model, loss)
    sums = EffectSums(encoder.graph)

    def losses(which: nn.Module, batch: SequenceBatch, rows: Tensor) -> Tensor:
        answer = which(batch.tokens, batch.lengths, batch.task)
        return measure(answer, batch).cpu()[rows]

    with evaluating(model):
        rounds = [
            (edges, without_edges(model, set(edges.tolist()) - {-1})) for edges in _rounds(encoder)
        ]
        for batch in batches:
            rows, task = labelled(batch)
            whole = losses(model, batch, rows)
            sums.add_loss(whole, task)
            for edges, cut in rounds:
                edge = edges[task]
                change = losses(cut, batch, rows) - whole
                sums.add_change(change[edge >= 0], edge[edge >= 0], task[edge >= 0])
    return sums.compute()


def _rounds(encoder: GraphLSTM) -> list[Tensor]:
    """What to cut, run by run: for each task ``[K]`` the edge that its sequences miss, or −1."""
    graph = encoder.graph
    if encoder.exchange != "read":
        return [torch.full((graph.num_tasks,), edge) for edge in range(graph.num_edges)]
    senders = [[edge for edge, _ in graph.incoming(k)] for k in range(graph.num_tasks)]
    most = max(len(edges) for edges in senders)
    padded = [edges + [-1] * (most - len(edges)) for edges in senders]
    return list(torch.tensor(padded, dtype=torch.long).view(graph.num_tasks, most).t())
