from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
from torch import Tensor, nn

from ...nn import GraphLSTM
from ...nn.compiled import uncompiled
from ...nn.graph_lstm.mailbox import mixes_senders
from ...nn.modes import evaluating
from ..readouts.readout import Batch, arguments, check_batches, find_encoder, on_its_device
from .cut import without_edges
from .effects import EdgeEffects, EffectSums, LossPerSample, find_loss, labelled
from .shared_senders import SharedSenders


@torch.no_grad()
def edge_ablation(
    model: nn.Module,
    batches: Iterable[Batch],
    loss: LossPerSample | None = None,
    *,
    tasks: Sequence[str] | None = None,
) -> EdgeEffects:
    """How the loss of each task changes when an edge is cut.

    Cutting an edge sets its logit to −∞, see :func:`without_edges`; nothing is trained anew. In
    the exchange ``"read"`` an edge matters to its receiver alone, so one edge of every receiver
    is cut at once: as many runs as a node has senders at most, of receivers alone, for the senders
    are the same in all of them. Otherwise it is a run an edge. The batches are read once.

    Args:
        model: Called as ``model(tokens, lengths, task)``, or of tagged sentences with
            ``characters`` after the tokens; its ``encoder`` is a :class:`mtgnn.nn.GraphLSTM`.
        batches: Batches of labelled sequences, each of one task, on any device. The loss of a
            tagged sentence is that of all its tags together.
        loss: From what the model returns and the batch to losses ``[B]``; by default
            ``model.loss_per_sample``.
        tasks: Names of the receivers that are asked for, by default all: only these need
            sequences, such as a task that was added, and the edges are those into them.

    Raises:
        ValueError: If the encoder runs on no graph with edges, there is no loss, one of ``tasks``
            listens to nobody, a task that receives and is asked for has no labelled sequence, or
            sentences are of several tasks at once, or a loss is not one number a sequence.
    """
    model = uncompiled(model)
    encoder = find_encoder(model)
    sums = EffectSums(encoder.graph, tasks)
    with evaluating(model):  # siblings are born in the mode that they stay in
        # A mailbox of one sender has no share to take away: without it, there is no mailbox.
        alone = encoder.memory != "current" and not mixes_senders(encoder)
        if encoder.exchange != "read" or alone:
            rounds = [(own, without_edges(model, cut)) for own, cut in _rounds(encoder, sums)]
            return _effects(sums, model, batches, loss, model, rounds, sign=1)
        siblings = SharedSenders(model)
        rounds = [(own, siblings.without(cut)) for own, cut in _rounds(encoder, sums)]
        fresh = _before_each(siblings.forget, batches)
        return _effects(sums, model, fresh, loss, siblings.without([]), rounds, sign=1)


@torch.no_grad()
def edge_insertion(
    model: nn.Module,
    batches: Iterable[Batch],
    loss: LossPerSample | None = None,
    *,
    tasks: Sequence[str] | None = None,
) -> EdgeEffects:
    """How the loss of each task falls when an edge is there alone.

    Where several senders know the same, cutting one of them does little, for the others share its
    attention: each is worth something nevertheless. So here all edges are cut, and one is put
    back, to see what its message does by itself. As many runs as in :func:`edge_ablation`, each of
    a receiver and one sender.

    Args:
        model: As in :func:`edge_ablation`.
        batches: As in :func:`edge_ablation`.
        loss: As in :func:`edge_ablation`.
        tasks: As in :func:`edge_ablation`.

    Returns:
        Falls of the loss in the place of rises; ``loss`` is that without edges.

    Raises:
        ValueError: As in :func:`edge_ablation`.
    """
    model = uncompiled(model)
    encoder = find_encoder(model)
    sums, every = EffectSums(encoder.graph, tasks), set(range(encoder.graph.num_edges))
    with evaluating(model):
        rounds = [
            (own, without_edges(model, every - alone)) for own, alone in _rounds(encoder, sums)
        ]
        return _effects(sums, model, batches, loss, without_edges(model, every), rounds, sign=-1)


def _before_each(prepare: Callable[[], None], batches: Iterable[Batch]) -> Iterator[Batch]:
    check_batches(batches)
    for batch in batches:
        prepare()
        yield batch


def _effects(
    sums: EffectSums,
    model: nn.Module,
    batches: Iterable[Batch],
    loss: LossPerSample | None,
    base: nn.Module,
    rounds: list[tuple[Tensor, nn.Module]],
    sign: int,
) -> EdgeEffects:
    """``sign`` times what the loss of each round's model is above that of ``base``."""
    measure = find_loss(model, loss)

    def losses(which: nn.Module, batch: Batch, rows: Tensor) -> Tensor:
        return measure(which(*arguments(batch)), batch).cpu()[rows]

    for batch in on_its_device(model, batches):
        rows, task = labelled(batch)
        before = losses(base, batch, rows)
        sums.add_loss(before, task)
        for edges, changed in rounds:
            edge = edges[task]
            change = sign * (losses(changed, batch, rows) - before)
            sums.add_change(change[edge >= 0], edge[edge >= 0], task[edge >= 0])
    return sums.compute()


def _rounds(encoder: GraphLSTM, sums: EffectSums) -> list[tuple[Tensor, set[int]]]:
    """The edges of each run: for each task ``[K]`` the one that its sequences feel, or −1; and all
    of them."""
    graph, asked = encoder.graph, sums.edges.tolist()
    if encoder.exchange != "read":
        return [(torch.full((graph.num_tasks,), edge), {edge}) for edge in asked]
    wanted = set(asked)
    senders = [
        [edge for edge, _ in graph.incoming(k) if edge in wanted] for k in range(graph.num_tasks)
    ]
    most = max(len(edges) for edges in senders)
    padded = [edges + [-1] * (most - len(edges)) for edges in senders]
    table = torch.tensor(padded, dtype=torch.long).view(graph.num_tasks, most)
    return [(edges, set(edges.tolist()) - {-1}) for edges in table.t()]
