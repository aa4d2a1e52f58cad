"""Mailboxes of a star: the virtual node's states of whole sequences."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ..ops import Channel, Layout, ScoreWeights, attend
from .channel import Memory, token_rows
from .plan import Stage
from .run import Run


class Mailboxes(NamedTuple):
    """The mailboxes that the slots of a stage read, longest sequence first.

    Attributes:
        slot: ``[M]``, the slot that reads a mailbox.
        values: ``[M, T', H]``.
        mask: ``[M, T']``, the real positions.
        past: ``None``, or how many positions the first step reads; each later one reads one more.
    """

    slot: Tensor
    values: Tensor
    mask: Tensor
    past: int | None

    def reading(self, layout: Layout) -> tuple[Tensor, list[int]]:
        """The token that reads each mailbox at each step ``[T, M]``, and how many still do."""
        return layout.place[:, self.slot], layout.counts


def by_length(layout: Layout) -> Tensor:
    """The slots that hold a sequence, longest first."""
    slot = layout.exists
    return slot[torch.argsort(layout.length[slot], descending=True, stable=True)]


def mailbox(memory: Memory, slots: Tensor) -> tuple[Tensor, Tensor]:
    """States ``[*, T, H]`` of senders' slots, and which positions are real."""
    place = memory.place[:, slots].t()  # padding repeats the last position
    steps = torch.arange(place.size(1), device=place.device)
    return memory.tokens[place], steps < memory.lengths[slots].unsqueeze(1)


def open_mailboxes(run: Run, stage: Stage, past: bool) -> Mailboxes:
    """The mailboxes of a stage's slots; with a state, those it brings come first."""
    slot = by_length(stage.layout)
    values, mask = mailbox(run.memory, stage.senders[slot, 0])
    if not past:
        return Mailboxes(slot, values, mask, None)
    if run.state is None:
        return Mailboxes(slot, values, mask, 1)
    assert run.state.mailbox is not None and run.state.mailbox_mask is not None  # checked
    sequence = stage.sequence[slot]
    before = run.state.mailbox[run.row][sequence]
    values = torch.cat([before, values], 1)
    mask = torch.cat([run.state.mailbox_mask[sequence], mask], 1)
    return Mailboxes(slot, values, mask, before.size(1) + 1)


def mailbox_channel(
    scores: ScoreWeights, stage: Stage, boxes: Mailboxes, dropout: float
) -> Channel:
    """The plain path."""
    layout = stage.layout
    row = token_rows(stage)
    number = torch.zeros(layout.num_slots, dtype=torch.long, device=layout.device)
    number[boxes.slot] = torch.arange(boxes.slot.numel(), device=layout.device)

    def step(t: int, h: Tensor, word: Tensor) -> tuple[Tensor, Tensor]:
        here = slice(*layout.steps[t][2:])
        own = number[layout.slot[here]]
        mine, values, mask = scores.of(row[here]), boxes.values[own], boxes.mask[own]
        if boxes.past is not None:
            mask[:, boxes.past + t :] = False
        query, keys = mine.project_query(h, word), mine.project_senders(values)
        return attend(mine, query, keys, values, mask, None, dropout)

    return step


def by_mailbox(alphas: list[Tensor], layout: Layout) -> Tensor:
    """Weights ``[s, T', P]`` of all steps' tokens, by mailbox: ``[M, T, T', P]``."""
    place, parts = layout.place[:, by_length(layout)], []
    for t, (alpha, count) in enumerate(zip(alphas, layout.counts, strict=True)):
        own = alpha[place[t, :count] - layout.steps[t].start]
        parts.append(torch.nn.functional.pad(own, (0, 0, 0, 0, 0, place.size(1) - count)))
    return torch.stack(parts, 1)
