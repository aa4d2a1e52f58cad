"""The communication of a stage on the fast path: what :mod:`mtgnn.ops` needs of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from ...ops.attention import ScoreWeights, normalise
from ...ops.device import to_device
from ...ops.edges import Edges
from ...ops.layout import Layout
from ...ops.pairs import Pairs
from ...ops.score import prepare
from ...ops.sparse import Sparse
from ...ops.talk import Drop, Talk
from ...ops.words import Words
from .channel import Memory, sender_tokens
from .plan import Stage

if TYPE_CHECKING:
    from .graph_lstm import GraphLSTM


class Scored(NamedTuple):
    """Scaled score parameters of Q owners, one or each block, with the words' part of every query;
    ``None`` for fixed weights.

    Attributes:
        query: ``[Q, H, P·A]``.
        sender: ``[Q, H, P·A]``.
        word: Queries of the words, ``[L, P·A]`` or, where all blocks read the same, of one block.
        att: ``[Q, P, A]``, doubled; ``None`` for dot scores.
    """

    query: Tensor | None
    sender: Tensor | None
    word: Tensor | None
    att: Tensor | None


def scored(scores: ScoreWeights, words: Words, size: int, layout: Layout) -> Scored:
    """Prepare score parameters for the words that a stage reads."""
    if scores.query is None:
        return Scored(None, None, None, None)
    query, sender, of_word, bias, att = prepare(scores, size)
    word = _of_words(words, of_word, bias, layout)
    if len(query) > 1 and layout.block_row is not None:
        query, sender = (part.index_select(0, layout.block_row) for part in (query, sender))
        att = None if att is None else att.index_select(0, layout.block_row)
    return Scored(query, sender, word, att)


def _of_words(words: Words, weight: Tensor, bias: Tensor | None, layout: Layout) -> Tensor:
    """What words and biases add to queries, ``[L, P·A]``."""
    source = words.source
    if len(weight) > 1:
        assert words.index is not None
        return _by_row(source.index_select(0, words.index), weight, bias, layout)
    # A product over what there is, not for every token.
    word = source @ weight[0] if bias is None else source @ weight[0] + bias[0]
    return word if words.index is None else word.index_select(0, words.index)


def _by_row(values: Tensor, weight: Tensor, bias: Tensor | None, layout: Layout) -> Tensor:
    """Values of tokens ``[L, F]`` times the matrix of their row, of ``[R, F, G]``, and with its
    bias, of ``[R, G]``: ``[L, G]``."""
    order, back, counts = layout.by_row
    products = []
    for row, part in enumerate(values.index_select(0, order).split(counts)):
        product = part @ weight[row]
        products.append(product if bias is None else product + bias[row])
    return torch.cat(products).index_select(0, back)


def dropout_of(layer: GraphLSTM) -> Drop:
    """The dropout of messages in the layer's present mode."""
    if not layer.training:
        return Drop()
    return Drop(layer.attention_dropout, layer.message_dropout)


def edge_talk(
    layer: GraphLSTM, scores: ScoreWeights, stage: Stage, words: Words, memory: Memory
) -> Talk:
    """Senders whose states are known: edges of the same step."""
    mine = scored(scores, words, layer.hidden_size, stage.layout)
    tokens, mask, sent = memory.tokens, stage.by_token(stage.mask), sender_tokens(stage, memory)
    keys, sender = None, mine.sender
    several = mask.numel() > 2 * tokens.size(0)  # most tokens are read by several receivers
    if sender is not None and len(sender) == 1 and several:
        keys, sender = tokens @ sender[0], None
    return Edges(
        sent,
        mask,
        scores.heads,
        mine.query,
        mine.word,
        mine.att,
        tokens,
        keys,
        sender,
        _fixed(scores, stage.by_token(stage.edge), mask) if mine.query is None else None,
        dropout_of(layer),
    )


def mutual_talk(
    layer: GraphLSTM, scores: ScoreWeights, stage: Stage, words: Words, hands_on: bool
) -> Talk:
    """Senders of the same stage, one step before: densely, where most pairs are edges."""
    mine = scored(scores, words, layer.hidden_size, stage.layout)
    pair = att = fixed = learns = None
    if mine.query is None or mine.sender is None:
        fixed = _fixed(scores, stage.edge, stage.mask).movedim(2, 0)
    else:
        pair = torch.cat([mine.query[0], mine.sender[0]], 1)
        att = None if mine.att is None else mine.att[0]
    if layer.detach:
        node = to_device(stage.nodes, stage.mask.device)
        learns = (node >= layer.graph.num_tasks).to(next(layer.parameters()).dtype)
    rest = (scores.heads, pair, mine.word, att, fixed, learns, dropout_of(layer))
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
