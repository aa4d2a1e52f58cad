"""The communication of a stage on the fast path: what :mod:`mtgnn.ops` needs of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from ..ops import (
    Drop,
    Edges,
    Pairs,
    ScoreWeights,
    Sparse,
    Talk,
    Words,
    normalise,
    prepare,
    to_device,
)
from .channel import Memory, sender_tokens
from .plan import Stage

if TYPE_CHECKING:
    from .graph_lstm import GraphLSTM


class Scored(NamedTuple):
    """Scaled score parameters with the words' part of every query; ``None`` for fixed weights.

    Attributes:
        query: ``[H, P·A]``.
        sender: ``[H, P·A]``.
        word: Queries of the words, ``[L, P·A]`` or, where all blocks read the same, of one block.
        att: ``[P, A]``, doubled; ``None`` for dot scores.
    """

    query: Tensor | None
    sender: Tensor | None
    word: Tensor | None
    att: Tensor | None


def scored(scores: ScoreWeights, words: Words, size: int) -> Scored:
    """Prepare shared score parameters for the words that a stage reads."""
    if scores.query is None:
        return Scored(None, None, None, None)
    query, sender, of_word, bias = prepare(scores, size)
    if of_word is None:
        word = query.new_zeros(words.source.size(0), query.size(1))
    else:
        word = words.source.to(of_word.dtype) @ of_word
    if bias is not None:
        word = word + bias
    if words.index is not None:
        word = word.index_select(0, words.index)
    return Scored(query, sender, word, None if scores.att is None else 2 * scores.att[0])


def dropout_of(layer: GraphLSTM) -> Drop:
    """The dropout of messages in the layer's present mode."""
    if not layer.training:
        return Drop()
    return Drop(layer.attention_dropout, layer.message_dropout)


def edge_talk(
    layer: GraphLSTM, scores: ScoreWeights, stage: Stage, words: Words, memory: Memory
) -> Talk:
    """Senders whose states are known: edges of the same step."""
    mine = scored(scores, words, layer.hidden_size)
    tokens, mask = memory.tokens, stage.by_token(stage.mask)
    once = mask.numel() <= 2 * tokens.size(0)  # most tokens are read by one receiver
    return Edges(
        sender_tokens(stage, memory),
        mask,
        scores.heads,
        mine.query,
        mine.word,
        mine.att,
        tokens,
        None if once or mine.sender is None else tokens @ mine.sender,
        mine.sender if once else None,
        _fixed(scores, stage.by_token(stage.edge), mask) if mine.query is None else None,
        dropout_of(layer),
    )


def mutual_talk(
    layer: GraphLSTM, scores: ScoreWeights, stage: Stage, words: Words, hands_on: bool
) -> Talk:
    """Senders of the same stage, one step before: densely, where most pairs are edges."""
    mine = scored(scores, words, layer.hidden_size)
    pair = fixed = learns = None
    if mine.query is None or mine.sender is None:
        fixed = _fixed(scores, stage.edge, stage.mask).movedim(2, 0)
    else:
        pair = torch.cat([mine.query, mine.sender], 1)
    if layer.detach:
        node = to_device(stage.nodes, stage.mask.device)
        learns = (node >= layer.graph.num_tasks).to(next(layer.parameters()).dtype)
    rest = (scores.heads, pair, mine.word, mine.att, fixed, learns, dropout_of(layer))
    if stage.dense:
        return Pairs(stage.mask, hands_on, *rest)
    degree = [len(layer.graph.incoming(node)) for node in stage.nodes]
    return Sparse(stage.senders, degree, *rest)


def _fixed(scores: ScoreWeights, edge: Tensor, mask: Tensor) -> Tensor:
    """Weights ``[*, J, P]`` that depend on the edge alone."""
    if scores.logit is None:
        logits = torch.zeros(*mask.shape, scores.heads, device=mask.device, dtype=torch.float64)
    else:
        logits = scores.logit[edge]
    return normalise(logits, mask)
