"""The communication of a stage on the plain path: from receivers' states to messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ...ops.attention import ScoreWeights, attend
from ...ops.device import to_device
from ...ops.recurrence import Channel
from .attention import stack_scores
from .plan import Stage

if TYPE_CHECKING:
    from .graph_lstm import GraphLSTM


class Memory:
    """The states of all stages so far, as their senders hand them out.

    Attributes:
        tokens: ``[*, H]``, packed, stage after stage.
        place: ``[T, *]``, the token of each slot at each step; beyond its length, its last one.
        lengths: ``[*]``, the number of steps of each slot.
    """

    def __init__(self) -> None:
        self._parts: list[tuple[Tensor, Tensor, Tensor]] = []
        self._size = 0

    def add(self, stage: Stage, states: Tensor) -> None:
        """Add the packed states ``[L, H]`` of a stage."""
        layout = stage.layout
        self._parts.append((states, layout.place + self._size, layout.length))
        self._size += layout.num_tokens

    @property
    def tokens(self) -> Tensor:
        states = [part[0] for part in self._parts]
        return states[0] if len(states) == 1 else torch.cat(states)

    @property
    def place(self) -> Tensor:
        steps = max(part[1].size(0) for part in self._parts)
        padded = [
            torch.cat([place, place[-1:].expand(steps - place.size(0), -1)])
            for _, place, _ in self._parts
        ]
        return torch.cat(padded, 1)

    @property
    def lengths(self) -> Tensor:
        return torch.cat([part[2] for part in self._parts])


def stage_scores(layer: GraphLSTM, key: str, stage: Stage) -> ScoreWeights:
    """Score parameters of a stage's receivers: one set where they are shared, else one a row."""
    convs: Any = layer.convs[key]
    if not layer.owned:
        return stack_scores([convs["shared"]])
    names = [layer.graph.nodes[node] for node in stage.nodes]
    fallback = next(iter(convs.keys()))  # of a row that receives nothing: its weights are masked
    return stack_scores([convs[name if name in convs else fallback] for name in names])


def token_rows(stage: Stage) -> Tensor:
    """``[L]``, the row of each token's node."""
    layout = stage.layout
    rows = to_device(layout.rows, layout.device)
    return rows[layout.block]


def sender_tokens(stage: Stage, memory: Memory) -> Tensor:
    """``[L, J]``, the tokens in ``memory`` that each token's senders hand out at its step."""
    layout = stage.layout
    return memory.place[layout.time.unsqueeze(1), stage.by_token(stage.senders)]


def cut(layer: GraphLSTM, node: Tensor, states: Tensor) -> Tensor:
    """States ``[S, H]`` as messages: with ``detach``, those of tasks carry no gradient."""
    if not layer.detach:
        return states
    return torch.where((node < layer.graph.num_tasks).unsqueeze(1), states.detach(), states)


def edge_channel(scores: ScoreWeights, stage: Stage, memory: Memory, dropout: float) -> Channel:
    """Senders whose states are known: edges of the same step."""
    tokens, layout = memory.tokens, stage.layout
    sent, edge, mask = (
        sender_tokens(stage, memory),
        stage.by_token(stage.edge),
        stage.by_token(stage.mask),
    )
    row = token_rows(stage)

    def step(t: int, h: Tensor, word: Tensor) -> tuple[Tensor, Tensor]:
        here = slice(*layout.steps[t][2:])
        mine, values = scores.of(row[here]), tokens[sent[here]]
        query, keys = mine.project_query(h, word), mine.project_senders(values)
        return attend(mine, query, keys, values, mask[here], edge[here], dropout)

    return step


def mutual_channel(layer: GraphLSTM, scores: ScoreWeights, stage: Stage, dropout: float) -> Channel:
    """Senders of the same stage, one step before."""
    layout = stage.layout
    row, edge, mask = token_rows(stage), stage.by_token(stage.edge), stage.by_token(stage.mask)
    node = to_device(stage.nodes, layout.device)

    def step(t: int, h: Tensor, word: Tensor) -> tuple[Tensor, Tensor]:
        blocks, width, start, stop = layout.steps[t]
        here = slice(start, stop)
        sent = cut(layer, node.repeat_interleave(width), h).view(blocks, width, -1)
        values = sent[stage.senders].transpose(1, 2).flatten(0, 1)  # [R, J, width, H] → [s, J, H]
        mine = scores.of(row[here])
        query, keys = mine.project_query(h, word), mine.project_senders(values)
        return attend(mine, query, keys, values, mask[here], edge[here], dropout)

    return step
