"""The communication of a stage: who sends what, and from receivers' states to messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..ops import Channel, ScoreWeights, Senders, attend
from .attention import stack_scores
from .plan import Stage

if TYPE_CHECKING:
    from .graph_lstm import GraphLSTM


class Memory:
    """The states of all stages so far, as their senders hand them out.

    Attributes:
        tokens: ``[*, H]``, packed, stage after stage.
        place: ``[T, *]``, the token of each slot at each step (meaningless beyond its length).
        lengths: ``[*]``, the number of steps of each slot.
    """

    def __init__(self) -> None:
        self._parts: list[tuple[Tensor, Tensor, Tensor]] = []
        self._size = 0

    def add(self, stage: Stage, states: Tensor) -> None:
        """Add the packed states ``[L, H]`` of a stage."""
        layout = stage.layout
        slots = torch.arange(layout.num_slots, device=layout.device)
        place = layout.start[:, None] + slots + self._size
        self._parts.append((states, place, layout.length))
        self._size += layout.num_tokens

    @property
    def tokens(self) -> Tensor:
        states = [part[0] for part in self._parts]
        return states[0] if len(states) == 1 else torch.cat(states)

    @property
    def place(self) -> Tensor:
        steps = max(part[1].size(0) for part in self._parts)
        padded = [
            torch.nn.functional.pad(place, (0, 0, 0, steps - place.size(0)))
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


def cut(layer: GraphLSTM, node: Tensor, states: Tensor) -> Tensor:
    """States ``[S, H]`` as messages: with ``detach``, those of tasks carry no gradient."""
    if not layer.detach:
        return states
    return torch.where((node < layer.graph.num_tasks).unsqueeze(1), states.detach(), states)


def edge_senders(scores: ScoreWeights, stage: Stage, memory: Memory) -> Senders:
    """The senders of a stage whose states are known: edges of the same step."""
    tokens = memory.tokens
    shared = scores.sender is not None and scores.sender.size(0) == 1
    keys = tokens @ scores.sender[0] if shared else None  # type: ignore[index]
    return Senders(tokens, keys, stage.mask, stage.senders, memory.place, None, scores.heads)


def read_channel(scores: ScoreWeights, stage: Stage, senders: Senders, dropout: float) -> Channel:
    """The plain path for senders whose states are known."""
    own = scores.of(stage.layout.row)
    if senders.slots is None and senders.keys is None and own.sender is not None:
        senders = senders._replace(keys=own.project_senders(senders.values))

    def step(t: int, h: Tensor, word: Tensor) -> tuple[Tensor, Tensor]:
        width = h.size(0)
        mine = own.first(width)
        values, keys, mask, _ = senders.at(t, width)
        if keys is None:
            keys = mine.project_senders(values)
        query = mine.project_query(h, word)
        return attend(mine, query, keys, values, mask, stage.edge[:width], dropout)

    return step


def mutual_channel(layer: GraphLSTM, scores: ScoreWeights, stage: Stage, dropout: float) -> Channel:
    """The plain path for senders of the same stage, one step before."""
    own = scores.of(stage.layout.row)

    def step(t: int, h: Tensor, word: Tensor) -> tuple[Tensor, Tensor]:
        width = h.size(0)
        mine, mask = own.first(width), stage.mask[:width]
        sent = cut(layer, stage.node[:width], h)
        values = sent.index_select(0, stage.senders[:width].flatten()).unflatten(0, mask.shape)
        query, keys = mine.project_query(h, word), mine.project_senders(values)
        return attend(mine, query, keys, values, mask, stage.edge[:width], dropout)

    return step
