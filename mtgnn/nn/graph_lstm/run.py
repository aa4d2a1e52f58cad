"""All layers and directions over a plan; one of them: all its stages over all their steps."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ...ops.fused import recur_fused
from ...ops.recurrence import Channel, NodeWeights, recur
from ...ops.talk import Talk
from ...ops.words import Words
from .channel import Memory, cut, mutual_channel, stage_scores
from .foreign import conv_channel
from .node import NodeLSTM, stack_biases, stack_nodes
from .packing import word_index
from .plan import Plan, Stage
from .state import GraphState
from .talks import mutual_talk

if TYPE_CHECKING:
    from .graph_lstm import GraphLSTM


class Run:
    """A run of one layer in one direction.

    Args:
        layer: The whole layer, for its parameters and options.
        row: Number of layer and direction.
        plan: What runs.
        state: Where it starts from.

    Attributes:
        memory: The states of the stages so far.
        ends: The final states ``[S, H]`` of each stage.
        asked: Whether attention weights are wanted.
        weights: If so, the stages that received, and how to get their weights: on edges
            ``[L, J, P]``, in a mailbox ``[S, T, T', P]``.
    """

    def __init__(self, layer: GraphLSTM, row: int, plan: Plan, state: GraphState | None) -> None:
        self.layer, self.row, self.plan, self.state = layer, row, plan, state
        self.key = layer.keys[row]
        self.reverse = layer.bidirectional and row % 2 == 1
        self.memory = Memory()
        self.ends: list[tuple[Tensor, Tensor]] = []
        self.asked = False
        self.weights: list[tuple[Stage, Callable[[], Tensor]]] = []

    def __call__(self, sources: list[Tensor], indices: list[Tensor], alike: bool) -> list[Tensor]:
        """Run all stages; for each, its inputs ``[*, E]`` and the row that each token reads.

        Args:
            sources: See above.
            indices: See above.
            alike: Whether all nodes read the same.

        Returns:
            For each stage, packed states ``[L, H]`` in reading order; in the last layer, where they
            are wanted, with messages ``[L, H + C]``.
        """
        layer, outs = self.layer, []
        for stage, source, index in zip(self.plan.stages, sources, indices, strict=True):
            index = index[stage.layout.flip] if self.reverse else index
            words = Words(source, index)
            if stage.mutual and alike:  # then all blocks read the same words
                first = index[stage.layout.first_block]
                words = Words(source.index_select(0, first), None)
            hs, end, message = self._recur(stage, words)
            if layer.exchange != "mutual":  # there nobody reads it
                self.memory.add(stage, cut(layer, stage.node[stage.layout.slot], hs))
            self.ends.append((hs[stage.layout.final], end))
            if self._hands_on_messages:
                blank = hs.new_zeros(len(hs), layer.message_size)
                hs = torch.cat([hs, blank if message is None else message], 1)
            outs.append(self.in_order(hs, stage))
        return outs

    @property
    def _hands_on_messages(self) -> bool:
        layer = self.layer
        last = self.row // (1 + layer.bidirectional) == layer.num_layers - 1
        return last and layer.concat_messages

    def in_order(self, values: Tensor, stage: Stage) -> Tensor:
        """Put packed ``[L, …]`` into reading order, if this is the reverse direction."""
        return values[stage.layout.flip] if self.reverse else values

    def _recur(self, stage: Stage, words: Words) -> tuple[Tensor, Tensor, Tensor | None]:
        """States of a stage, packed, and the cells it ends with; messages, where handed on."""
        layer = self.layer
        weights = self._weights(stage)
        h, c = self._start(stage, words.source)
        reason = _why_plain(layer, stage)
        if layer.kernel == "fused" and reason:
            raise ValueError(f'kernel="fused" cannot serve this layer: {reason}')
        if layer.kernel == "reference" or reason:
            return self._plain(stage, words, h, c, weights)
        talk: Talk | None = None
        if stage.hears:
            scores = stage_scores(layer, self.key, stage)
            if stage.mutual:
                talk = mutual_talk(layer, scores, stage, words, self._hands_on_messages)
            else:
                talk = layer._talk(self, scores, stage, words)
        hs, end, message, alpha = recur_fused(stage.layout, words, h, c, weights, talk)
        if stage.dense and message is not None and self._hands_on_messages:
            message = message.flatten(0, 1).index_select(0, stage.layout.blocks_last)
        if self.asked and talk is not None and alpha is not None:
            self.weights.append((stage, partial(talk.by_token, alpha, stage.layout)))
        return hs, end, message

    def _weights(self, stage: Stage) -> NodeWeights:
        """The parameters of a stage's rows, and of slots where a row is of several nodes."""
        layer = self.layer

        def of(numbers: list[int]) -> list[NodeLSTM]:
            return [layer.nodes[layer.graph.nodes[node]] for node in numbers]

        size = layer.message_size if stage.hears else 0
        weights = stack_nodes(of(stage.nodes), self.key, size, layer.common)
        if stage.member is None:
            return weights
        biases = stack_biases(of(stage.members), self.key, layer.common)
        return weights._replace(bias=biases.index_select(0, stage.member), by_slot=True)

    def _plain(
        self, stage: Stage, words: Words, h: Tensor, c: Tensor, weights: NodeWeights
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        layer = self.layer
        channel: Channel | None = None
        if stage.hears and layer.foreign:
            channel = conv_channel(layer, self.key, stage, None if stage.mutual else self.memory)
        elif stage.hears:
            scores = stage_scores(layer, self.key, stage)
            if stage.mutual:
                dropout = layer.attention_dropout if layer.training else 0.0
                channel = mutual_channel(layer, scores, stage, dropout)
            else:
                channel = layer._channel(self, scores, stage)
        message_dropout = layer.message_dropout if layer.training else 0.0
        hs, end, message, alphas = recur(
            stage.layout, words, h, c, weights, channel, message_dropout
        )
        if self.asked and alphas:
            joined = layer._join_weights(alphas, stage)
            self.weights.append((stage, lambda: joined))
        return hs, end, message

    def _start(self, stage: Stage, source: Tensor) -> tuple[Tensor, Tensor]:
        if self.state is None:
            zeros = source.new_zeros(stage.layout.num_slots, self.layer.hidden_size)
            return zeros, zeros
        state = self.state
        own = self.plan.kind(stage) == 0
        h, c = (state.h, state.c) if own else (state.sender_h, state.sender_c)
        return (
            h[self.row][stage.sequence, stage.node],
            c[self.row][stage.sequence, stage.node],
        )


def run_layers(
    layer: GraphLSTM, x: Tensor, plan: Plan, state: GraphState | None, attention: bool
) -> tuple[list[Tensor], list[Run]]:
    """Packed outputs ``[L, D·H]`` of each stage, and the runs of all layers and directions, with
    attention weights if they are wanted."""
    indices = [word_index(stage, x) for stage in plan.stages]
    sources = [_read_rows(x, plan, indices)] * len(plan.stages)
    runs: list[Run] = []
    alike = x.dim() == 3
    for depth in range(layer.num_layers):
        outs = []
        for _ in range(1 + layer.bidirectional):
            runs.append(layer._make_run(len(runs), plan, state))
            runs[-1].asked = attention
            outs.append(runs[-1](sources, indices, alike))
        sources = outs[0]
        if layer.bidirectional:
            sources = [torch.cat(pair, -1) for pair in zip(*outs, strict=True)]
        alike = False  # from here on every node reads its own states
        indices = [torch.arange(len(source), device=x.device) for source in sources]
        if depth < layer.num_layers - 1 and layer.dropout > 0:
            sources = [nn.functional.dropout(s, layer.dropout, layer.training) for s in sources]
    return sources, runs


def _read_rows(x: Tensor, plan: Plan, indices: list[Tensor]) -> Tensor:
    """Inputs one below the other, ``[*, E]``, with zeros where nobody reads them: products over all
    rows then meet no NaN that stands beyond the lengths, and neither do their gradients."""
    source = x.flatten(0, -2)
    lengths = (length for stage in plan.stages for length in stage.layout.lengths if length)
    if x.dim() == 3 and min(lengths) == x.size(1):
        return source
    unread = torch.ones(len(source), 1, dtype=torch.bool, device=x.device)
    for index in indices:
        unread.index_fill_(0, index, False)
    return source.masked_fill(unread, 0)


def _why_plain(layer: GraphLSTM, stage: Stage) -> str | None:
    """Why the fused kernel cannot serve a stage; ``None`` if it can."""
    if torch._C._are_functorch_transforms_active():
        return "a transform of torch.func"
    reasons = {
        "a conv": layer.foreign,
        'a mutual exchange with score_owner="receiver"': layer.owned and stage.mutual,
    }
    return next((r for r, holds in reasons.items() if holds and stage.hears), None)
