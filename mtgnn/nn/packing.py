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


def unpack(outs: list[Tensor], plan: Plan, batch_size: int, steps: int) -> Tensor:
    """The wanted slots' states, ``[B, T, F]`` or ``[B, T, K, F]``."""
    answers = sum(stage.answer.numel() for stage in plan.stages)
    out = outs[0].new_zeros(answers * steps, outs[0].size(-1))
    for stage, states in zip(plan.stages, outs, strict=True):
        layout = stage.layout
        if len(stage.slots) == layout.num_slots and layout.exact:
            answer = torch.empty_like(stage.node).index_copy(0, stage.wanted, stage.answer)
            out = out.index_copy(0, answer[layout.slot] * steps + layout.time, states)
        elif stage.slots:
            token, place, time = layout.tokens_of(stage.slots)
            out = out.index_copy(0, stage.answer[place] * steps + time, states[token])
    out = out.view(answers, steps, -1)
    return out.unflatten(0, (batch_size, -1)).transpose(1, 2) if plan.every else out


def unpack_attention(run: Run, edges: int, heads: int, batch_size: int, steps: int) -> Tensor:
    """The weights of a run on a graph's edges, ``[B, T, num_edges, P]``; zero where none ran."""
    like = next(run.layer.parameters())
    alpha = like.new_zeros(batch_size * steps * edges, heads)
    for stage, weights in run.weights:
        layout = stage.layout
        token = stage.sequence[layout.slot] * steps + layout.time
        mask = stage.by_token(stage.mask)
        if layout.real is not None:
            real = torch.zeros_like(token, dtype=torch.bool).index_fill(0, layout.real, True)
            mask = mask & real.unsqueeze(1)
        place = (token.unsqueeze(1) * edges + stage.by_token(stage.edge))[mask]
        weights = run.in_order(weights, stage)[mask]
        alpha = alpha.index_copy(0, place, weights.to(alpha.dtype))
    return alpha.view(batch_size, steps, edges, heads)
