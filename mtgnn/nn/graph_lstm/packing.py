"""Between padded batches and the packed tokens that stages run on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .plan import Plan, Stage

if TYPE_CHECKING:
    from .run import Run


def word_index(stage: Stage, x: Tensor) -> Tensor:
    """The row of ``x``, flattened, that each token of a stage reads."""
    layout = stage.layout
    index = stage.sequence[layout.slot] * x.size(1) + layout.time
    return index if x.dim() == 3 else index * x.size(2) + stage.node[layout.slot]


def unpack(outs: list[Tensor], plan: Plan, num_tasks: int, batch_size: int, steps: int) -> Tensor:
    """The wanted slots' states, ``[B, T, F]`` or ``[B, T, K, F]``."""
    answers = batch_size * (num_tasks if plan.several else 1)
    parts = [(o, *_places(stage, steps)) for stage, o in zip(plan.stages, outs, strict=True)]
    filled = sum(place.numel() for _, place, _ in parts)  # no place twice
    shape = answers * steps, outs[0].size(-1)
    out = outs[0].new_empty(shape) if filled == answers * steps else outs[0].new_zeros(shape)
    for states, place, token in parts:
        if place.numel() > 0:
            out.index_copy_(0, place, states if token is None else states[token])
    out = out.view(answers, steps, -1)
    return out.unflatten(0, (batch_size, -1)).transpose(1, 2) if plan.several else out


def _places(stage: Stage, steps: int) -> tuple[Tensor, Tensor | None]:
    """Where a stage's wanted states go, and the tokens that have them; ``None``: all in order."""
    layout = stage.layout
    if len(stage.slots) == layout.num_slots and layout.exact:
        answer = torch.empty_like(stage.node).index_copy(0, stage.wanted, stage.answer)
        return answer[layout.slot] * steps + layout.time, None
    token, place, time = layout.tokens_of(stage.slots)
    return stage.answer[place] * steps + time, token


def unpack_attention(run: Run, edges: int, heads: int, batch_size: int, steps: int) -> Tensor:
    """The weights of a run on a graph's edges, ``[B, T, num_edges, P]``; zero where none ran."""
    like = next(run.layer.parameters())
    alpha = like.new_zeros(batch_size * steps * edges, heads)
    for stage, get_weights in run.weights:
        layout = stage.layout
        token = stage.sequence[layout.slot] * steps + layout.time
        mask = stage.by_token(stage.mask)
        if layout.real is not None:
            real = torch.zeros_like(token, dtype=torch.bool).index_fill(0, layout.real, True)
            mask = mask & real.unsqueeze(1)
        place = (token.unsqueeze(1) * edges + stage.by_token(stage.edge))[mask]
        weights = run.in_order(get_weights(), stage)[mask]
        alpha = alpha.index_copy(0, place, weights.to(alpha.dtype))
    return alpha.view(batch_size, steps, edges, heads)
