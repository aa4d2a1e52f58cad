"""One layer in one direction: all stages of a plan over all their steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from ..ops import Channel, Layout, NodeWeights, Query, recur, recur_fused
from .channel import Memory, cut, mutual_channel, read_channel, stage_scores
from .foreign import conv_channel
from .node import stack_nodes
from .plan import Plan, Stage
from .state import GraphState

if TYPE_CHECKING:
    from .graph_lstm import GraphLSTM

Start = tuple[Layout, Tensor, Tensor, Tensor, Tensor, NodeWeights]
"""What every recurrence takes: layout, source, index, h, c, weights."""


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
        weights: The stages that received, and their attention weights: on edges ``[L, J, P]``, in
            a mailbox ``[S, T, T', P]``.
    """

    def __init__(self, layer: GraphLSTM, row: int, plan: Plan, state: GraphState | None) -> None:
        self.layer, self.row, self.plan, self.state = layer, row, plan, state
        self.key = layer.keys[row]
        self.reverse = layer.bidirectional and row % 2 == 1
        self.memory = Memory()
        self.ends: list[tuple[Tensor, Tensor]] = []
        self.weights: list[tuple[Stage, Tensor]] = []

    def __call__(self, sources: list[Tensor], indices: list[Tensor]) -> list[Tensor]:
        """Run all stages; for each, its inputs ``[*, E]`` and the row that each token reads.

        Returns:
            For each stage, packed states ``[L, H]`` in reading order.
        """
        outs = []
        for stage, source, index in zip(self.plan.stages, sources, indices, strict=True):
            index = index[stage.layout.flip] if self.reverse else index
            hs, cs = self._recur(stage, source, index)
            self.memory.add(stage, cut(self.layer, stage.node[stage.layout.slot], hs))
            final = stage.layout.final
            self.ends.append((hs[final], cs[final]))
            outs.append(self.in_order(hs, stage))
        return outs

    def in_order(self, values: Tensor, stage: Stage) -> Tensor:
        """Put packed ``[L, …]`` into reading order, if this is the reverse direction."""
        return values[stage.layout.flip] if self.reverse else values

    def _recur(self, stage: Stage, source: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        layer = self.layer
        nodes = [layer.nodes[layer.graph.nodes[node]] for node in stage.nodes]
        weights = stack_nodes(nodes, self.key, layer.message_size if stage.hears else 0)
        start = (stage.layout, source, index, *self._start(stage, source), weights)
        reason = layer.why_plain(stage, self.plan)
        if layer.kernel == "fused" and reason:
            raise ValueError(f'kernel="fused" cannot serve this layer: {reason}')
        if layer.kernel == "reference" or reason:
            return self._plain(stage, start)
        if not stage.hears:
            hs, cs, _ = recur_fused(*start)
            return hs, cs
        scores = stage_scores(layer, self.key, stage)
        assert scores.query is not None
        query = Query(
            scores.query[0],
            None if scores.bias is None else scores.bias[0],
            None if scores.att is None else scores.att[0],
        )
        hs, cs, alpha = recur_fused(*start, query, layer.senders(self, scores, stage))
        assert alpha is not None
        self.weights.append((stage, alpha))
        return hs, cs

    def _plain(self, stage: Stage, start: Start) -> tuple[Tensor, Tensor]:
        layer = self.layer
        channel: Channel | None = None
        dropout = layer.attention_dropout if layer.training else 0.0
        if stage.hears and layer.foreign:
            memory = None if self.plan.mutual else self.memory
            channel = conv_channel(layer, self.key, stage, memory)
        elif stage.hears:
            scores = stage_scores(layer, self.key, stage)
            if self.plan.mutual:
                channel = mutual_channel(layer, scores, stage, dropout)
            else:
                senders = layer.senders(self, scores, stage)
                channel = read_channel(scores, stage, senders, dropout)
        message_dropout = layer.message_dropout if layer.training else 0.0
        hs, cs, alphas = recur(*start, channel=channel, message_dropout=message_dropout)
        if alphas:
            self.weights.append((stage, layer.join_weights(alphas, stage)))
        return hs, cs

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
