"""One pass over the data for any number of readouts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor

from ..data import SequenceBatch, TokenBatch
from ..nn.modes import evaluating
from .readout import EDGES, MAILBOX, Readout


@torch.no_grad()
def collect_attention(
    model: Callable[..., Any], batches: Iterable[SequenceBatch], readouts: Sequence[Readout]
) -> list[Any]:
    """Run a model over batches, in evaluation mode, and let readouts take its attention.

    Memory does not grow with the number of batches: each is forgotten once the readouts took it.

    Args:
        model: Called as ``model(tokens, lengths, task, return_attention_weights=True)``; the last
            thing it returns is the attention as the encoders of :mod:`mtgnn.nn` hand it out.
            A model for a :class:`~mtgnn.data.TokenBatch` is called with ``characters`` after the
            tokens.
        batches: Batches of sequences, each sequence of one task, on the model's device.
        readouts: What takes the attention, such as :class:`EdgeMean` and :class:`EdgeByWord`.

    Returns:
        For each readout, what it computed.

    Raises:
        ValueError: If a readout cannot read what the model hands out (a star's mailbox has
            positions in the place of edges), there is no attention or no batch, or sentences are of
            all tasks at once.

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
    kind = _kind(model)
    for readout in readouts:
        if kind != readout.reads:
            raise ValueError(
                f"{type(readout).__name__} reads {readout.reads}, and this model "
                f"hands out {kind}: a mailbox's weights belong to positions, not to edges"
            )
    seen = False
    with evaluating(model) if isinstance(model, torch.nn.Module) else nullcontext():
        for batch in batches:
            seen = True
            answer = model(*_given(batch), return_attention_weights=True)
            weights = mean_weights(answer[-1])
            for readout in readouts:
                readout.update(batch, weights)
    if not seen:
        raise ValueError("expected at least one batch, got none")
    return [readout.compute() for readout in readouts]


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


def _given(batch: Any) -> tuple[Any, ...]:
    """What the model reads of a batch."""
    if not isinstance(batch, TokenBatch):
        return batch.tokens, batch.lengths, batch.task
    if batch.task is None:
        raise ValueError("expected sentences of one task each: EncodedSentences(…, by_task=True)")
    return batch.tokens, batch.characters, batch.lengths, batch.task


def _kind(model: Any) -> str:
    """Whether the model's attention lies on edges or in a mailbox."""
    encoder = getattr(model, "encoder", model)
    return MAILBOX if getattr(encoder, "memory", None) in ("all", "past") else EDGES
