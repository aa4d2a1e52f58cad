"""One pass over the data for any number of readouts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor

from ...graph import TaskGraph
from ...nn import GraphLSTM
from ...nn.compiled import uncompiled
from ...nn.graph_lstm.mailbox import mixes_senders
from ...nn.modes import evaluating
from .mailbox import MailboxByWord
from .readout import ANSWER, EDGES, MAILBOX, Batch, Readout, arguments, on_its_device, real_steps


@torch.no_grad()
def collect_attention(
    model: Callable[..., Any], batches: Iterable[Batch], readouts: Sequence[Readout]
) -> list[Any]:
    """Run a model over batches, in evaluation mode, and let readouts take its attention.

    Memory does not grow with the number of batches: each is forgotten once the readouts took it.

    Args:
        model: Called as ``model(tokens, lengths, task, return_attention_weights=True)``; the last
            thing it returns is the attention as the encoders of :mod:`mtgnn.nn` hand it out.
            A model for a :class:`~mtgnn.data.TokenBatch` is called with ``characters`` after the
            tokens. The first thing it returns, such as logits, is what readouts of ``"answer"``
            take.
        batches: Batches of sequences, each sequence of one task, on any device.
        readouts: What takes the attention, such as :class:`EdgeMean` and :class:`EdgeByWord`.

    Returns:
        For each readout, what it computed.

    Raises:
        ValueError: If a readout cannot read what the model hands out (a star's mailbox has
            positions in the place of edges; one of several senders has both) or takes it for
            another kind of mailbox, there is no attention or no batch, or sentences are of several
            tasks at once.

    Example:
        >>> from mtgnn.data import EncodedTexts, Vocabulary
        >>> from mtgnn.datasets import PlantedTasks
        >>> from mtgnn.explain import EdgeByWord, EdgeMean
        >>> from mtgnn.nn import MultiTaskModel
        >>> data = PlantedTasks(num_tasks=4, num_groups=2, num_train=8, seed=100)
        >>> vocabulary = Vocabulary.build(item.text for item in data)
        >>> model = MultiTaskModel(vocabulary, data.classes, embedding_size=8, hidden_size=4)
        >>> texts = EncodedTexts(data, vocabulary)
        >>> loader = torch.utils.data.DataLoader(texts, 16, collate_fn=texts.collate)
        >>> readouts = [EdgeMean(model.graph), EdgeByWord(model.graph, vocabulary)]
        >>> graph, words = collect_attention(model, loader, readouts)
        >>> graph
        TaskGraph(tasks=['a1', 'a2', 'b1', 'b2'], num_edges=12, weighted)
        >>> [entry.word for entry in words.top("a1", sender="a2", number=2, min_count=1)]
        [..., ...]
    """
    model = uncompiled(model)
    encoder: Any = getattr(model, "encoder", model)
    mailbox = getattr(encoder, "memory", None) in ("all", "past")
    shares = mailbox_shares(encoder) if mailbox and isinstance(encoder, GraphLSTM) else None
    kinds = [MAILBOX if mailbox else EDGES] + ([EDGES] if shares is not None else [])
    for readout in readouts:
        if readout.reads not in (*kinds, ANSWER):
            raise ValueError(
                f"{type(readout).__name__} reads {readout.reads!r}, and this model hands out "
                f"{[*kinds, ANSWER]}: a mailbox's weights belong to positions, not to edges, and "
                "MailboxByWord reads them"
            )
        if isinstance(readout, MailboxByWord):
            _check_mailbox(readout, encoder)
    seen = False
    with evaluating(model) if isinstance(model, torch.nn.Module) else nullcontext():
        for batch in on_its_device(model, batches):
            seen = True
            answer = model(*arguments(batch), return_attention_weights=True)
            weights = {kinds[0]: mean_weights(answer[-1]), ANSWER: answer[0]}
            if shares is not None:
                weights[EDGES] = _by_step(shares, encoder.graph, batch)
            for readout in readouts:
                readout.update(batch, weights[readout.reads])
    if not seen:
        raise ValueError("expected at least one batch, got none")
    return [readout.compute() for readout in readouts]


def _check_mailbox(readout: MailboxByWord, encoder: Any) -> None:
    """Raise where a readout takes other positions for those that a step may read."""
    past = encoder.memory == "past"
    both = past and bool(getattr(encoder, "bidirectional", False))
    if (readout.past, readout.bidirectional) != (past, both):
        raise ValueError(
            f"expected MailboxByWord(…, past={past}, bidirectional={both}), as this model reads, "
            f"got past={readout.past}, bidirectional={readout.bidirectional}"
        )


def mean_weights(attention: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
    """Mean over layers, directions and heads of attention as the encoders hand it out.

    Args:
        attention: For each layer and direction ``(edge_index, alpha)``, with ``alpha`` either
            ``[B, T, num_edges, P]`` or ``[B, T, T, P]``.

    Returns:
        ``[B, T, num_edges]`` or ``[B, T, T]``.

    Raises:
        ValueError: If there is none, or it is of another shape.
    """
    if not attention:
        raise ValueError("the model handed out no attention: its graph has no edges")
    for _, alpha in attention:
        if alpha.dim() != 4:
            raise ValueError(
                "expected attention [B, T, num_edges, heads] or [B, T, T, heads], "
                f"got {list(alpha.shape)}"
            )
    total = sum(alpha.mean(-1) for _, alpha in attention)
    assert isinstance(total, Tensor)
    return total / len(attention)


def mailbox_shares(encoder: GraphLSTM) -> Tensor | None:
    """Each edge's share ``[E]`` in the mailbox of its receiver, mean over layers and directions.

    ``None`` where every task reads one virtual node alone, as in a star: nothing is to be told.
    """
    virtual = encoder.graph.edge_index[0] >= encoder.graph.num_tasks
    if len(virtual) and bool(virtual.all()) and not mixes_senders(encoder):
        return None
    return torch.stack([alpha for _, alpha in encoder.edge_attention()]).mean(0)


def _by_step(shares: Tensor, graph: TaskGraph, batch: Any) -> Tensor:
    """Shares as weights ``[B, T, E]``: the same at every real step of the receiver's sentences."""
    task = batch.task.to(shares.device).unsqueeze(1)
    own = (graph.edge_index[1].to(shares.device) == task) * shares
    return own.unsqueeze(1) * real_steps(batch, shares.device).unsqueeze(2)
