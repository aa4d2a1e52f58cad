"""Mailboxes: receivers read their senders' states of whole sequences.

A receiver has one mailbox a sequence. With several senders it holds at every position the mean of
their states, weighed by one number an edge.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn
from torch_geometric.utils import softmax

from ...graph import TaskGraph
from ...ops.attention import ScoreWeights, attend, normalise
from ...ops.layout import Layout
from ...ops.mailbox import Mailbox
from ...ops.recurrence import Channel
from ...ops.talk import Talk
from ...ops.words import Words
from .channel import Memory, token_rows
from .plan import Plan, Stage
from .run import Run
from .state import GraphState
from .talks import dropout_of, scored

if TYPE_CHECKING:
    from .graph_lstm import GraphLSTM

MEMORIES = ("all", "past", "current")


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


def make_edge_logits(layer: GraphLSTM) -> nn.ParameterDict:
    """For each layer and direction one logit an edge ``[E]``, if a task has several senders."""
    graph = layer.graph
    several = any(len(graph.incoming(k)) > 1 for k in range(graph.num_tasks))
    keys = layer.keys if several and layer.memory != "current" else []
    return nn.ParameterDict({key: nn.Parameter(torch.zeros(graph.num_edges)) for key in keys})


def mixes_senders(layer: GraphLSTM) -> bool:
    """Whether a mailbox has several senders, whose shares are learned."""
    return len(layer.edge_logits) > 0


def edge_weights(layer: GraphLSTM, key: str) -> Tensor:
    """The share ``[E]`` of each edge's sender in the mailbox of its receiver, if that reads."""
    graph, parameter = layer.graph, next(layer.parameters())
    logits = parameter.new_zeros(graph.num_edges)
    if mixes_senders(layer):
        logits = layer.edge_logits[key]
    read = torch.zeros(graph.num_edges, dtype=torch.bool)  # some may be cut
    read[[edge for k in range(graph.num_tasks) for edge, _ in graph.incoming(k)]] = True
    read = read.to(logits.device)
    least = torch.finfo(logits.dtype).min
    receiver = graph.edge_index[1].to(logits.device)
    return softmax(logits.masked_fill(~read, least), receiver, num_nodes=graph.num_nodes) * read


def shares(layer: GraphLSTM, key: str, stage: Stage, slot: Tensor) -> Tensor:
    """The shares ``[M, J]`` of the senders of some slots: of the edges that the plan has for them,
    where some may be cut that the graph has."""
    logits = layer.edge_logits[key]
    return normalise(logits[stage.edge[slot]].unsqueeze(2), stage.mask[slot]).squeeze(2)


def mailbox(memory: Memory, slots: Tensor) -> tuple[Tensor, Tensor]:
    """States ``[*, T, H]`` of senders' slots, and which positions are real."""
    place = memory.place[:, slots].t()  # padding repeats the last position
    return memory.tokens[place], _real(memory, slots, place.size(1))


def mixed(memory: Memory, senders: Tensor, weight: Tensor, plain: bool) -> tuple[Tensor, Tensor]:
    """Means ``[M, T, H]`` of the states of several senders' slots ``[M, J]``, weighed ``[M, J]``.

    All senders of a mailbox read the same sequence, so their positions are the same.
    """
    place = memory.place[:, senders].transpose(0, 1)  # [M, T, J]
    tokens, weight = memory.tokens, weight.to(memory.tokens.dtype)
    if plain:
        values = (weight.unsqueeze(1).unsqueeze(2) @ tokens[place]).squeeze(2)
    else:  # without a copy of all states for every mailbox; not twice differentiable
        per_sender = weight.unsqueeze(1).expand(place.shape).flatten(0, 1)
        bags = nn.functional.embedding_bag(
            place.flatten(0, 1), tokens, mode="sum", per_sample_weights=per_sender
        )
        values = bags.unflatten(0, place.shape[:2])
    return values, _real(memory, senders[:, 0], place.size(1))


def _real(memory: Memory, slots: Tensor, steps: int) -> Tensor:
    return torch.arange(steps, device=slots.device) < memory.lengths[slots].unsqueeze(1)


def open_mailboxes(run: Run, stage: Stage, plain: bool) -> Mailboxes:
    """The mailboxes of a stage's slots; with a state, those it brings come first."""
    slot = by_length(stage.layout)
    if not mixes_senders(run.layer):
        values, mask = mailbox(run.memory, stage.senders[slot, 0])
    else:
        share = run.layer._shares(run.key, stage, slot)
        values, mask = mixed(run.memory, stage.senders[slot], share, plain)
    if run.layer.memory == "all":
        return Mailboxes(slot, values, mask, None)
    if run.state is None:
        return Mailboxes(slot, values, mask, 1)
    assert run.state.mailbox is not None and run.state.mailbox_mask is not None  # checked
    sequence = stage.sequence[slot]
    before = run.state.mailbox[run.row][sequence]
    values = torch.cat([before, values], 1)
    mask = torch.cat([run.state.mailbox_mask[sequence], mask], 1)
    return Mailboxes(slot, values, mask, before.size(1) + 1)


def mailbox_talk(
    layer: GraphLSTM, run: Run, scores: ScoreWeights, stage: Stage, words: Words
) -> Talk:
    """The fast path."""
    boxes = open_mailboxes(run, stage, plain=False)
    mine, keys = scored(scores, words, layer.hidden_size, stage.layout), None
    if mine.sender is not None:
        block = boxes.slot // stage.layout.width
        alike = len(mine.sender) == 1
        keys = boxes.values @ (mine.sender[0] if alike else mine.sender.index_select(0, block))
    return Mailbox(
        *boxes.reading(stage.layout),
        boxes.mask,
        boxes.past,
        scores.heads,
        mine.query,
        mine.word,
        mine.att,
        boxes.values,
        keys,
        dropout_of(layer),
    )


def mailbox_channel(run: Run, scores: ScoreWeights, stage: Stage, dropout: float) -> Channel:
    """The plain path."""
    boxes, layout = open_mailboxes(run, stage, plain=True), stage.layout
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


def mailbox_attention(run: Run, batch_size: int, steps: int) -> Tensor:
    """Weights as they are handed out: ``[B, T, T, P]``, of several tasks
    ``[B, K, T, T, P]``."""
    several = run.plan.several
    answers = batch_size * run.layer.graph.num_tasks if several else batch_size
    if not run.weights:  # nobody in this batch has a sender
        parameter = next(run.layer.parameters())
        out = parameter.new_zeros(answers, steps, steps, run.layer.heads)
        return out.unflatten(0, (batch_size, -1)) if several else out
    ((stage, get_beta),) = run.weights
    beta = get_beta()
    slot = by_length(stage.layout)
    if run.reverse:
        length = stage.layout.length[slot]
        beta = _turn(_turn(beta, length, 1), length, 2)
    beta = torch.nn.functional.pad(beta, (0, 0, 0, 0, 0, steps - beta.size(1)))
    if run.state is None:
        beta = torch.nn.functional.pad(beta, (0, 0, 0, steps - beta.size(2)))
    answer = torch.full_like(stage.node, -1).index_copy(0, stage.wanted, stage.answer)
    out = beta.new_zeros(answers, *beta.shape[1:]).index_copy(0, answer[slot], beta)
    return out.unflatten(0, (batch_size, -1)) if several else out


def carries(graph: TaskGraph) -> bool:
    """Whether all tasks read one and the same virtual node: a state can hold its mailbox."""
    heard = [[sender for _, sender in graph.incoming(k)] for k in range(graph.num_tasks)]
    alone = len(heard[0]) == 1 and heard[0][0] >= graph.num_tasks
    return alone and all(senders == heard[0] for senders in heard)


def check_memory(layer: GraphLSTM, state: GraphState, batch_size: int) -> None:
    """Raise where a layer's memory takes no state, or not this one."""
    if layer.memory == "all":
        raise ValueError('memory="all" reads the whole sentence first: it takes no state')
    if layer.memory == "current":
        return
    if not carries(layer.graph):
        raise ValueError(
            'memory="past" takes no state but where all tasks read one virtual node, whose mailbox '
            "a state can hold"
        )
    if state.mailbox is None or state.mailbox_mask is None:
        raise ValueError('memory="past" goes on from a state with a mailbox, got one without')
    box, mask = list(state.mailbox.shape), list(state.mailbox_mask.shape)
    steps = mask[-1] if mask else 0
    rows, size = layer.num_layers, layer.hidden_size
    if box != [rows, batch_size, steps, size] or mask != [batch_size, steps]:
        raise ValueError(
            f"expected a mailbox of shape [{rows}, {batch_size}, T, {size}] and its mask "
            f"[{batch_size}, T], got {box} and {mask}"
        )


def with_mailbox(
    end: GraphState, runs: list[Run], plan: Plan, state: GraphState | None, batch_size: int
) -> GraphState:
    """A final state with the mailbox that later steps read."""
    stage = plan.stages[0]  # the virtual node's: one slot a sequence
    slots = torch.full_like(stage.node, 0)[:batch_size].index_copy(
        0, stage.sequence[stage.layout.exists], stage.layout.exists
    )
    boxes, masks = zip(*(mailbox(run.memory, slots) for run in runs), strict=True)
    box, mask = torch.stack(boxes), masks[0]
    if state is not None:
        assert state.mailbox is not None and state.mailbox_mask is not None
        box = torch.cat([state.mailbox, box], 2)
        mask = torch.cat([state.mailbox_mask, mask], 1)
    return end._replace(mailbox=box, mailbox_mask=mask)


def _turn(values: Tensor, lengths: Tensor, dim: int) -> Tensor:
    """Reverse ``[S, …]`` along ``dim`` within the lengths."""
    steps = torch.arange(values.size(dim), device=values.device)
    ends = lengths.unsqueeze(1)
    index = torch.where(steps < ends, ends - 1 - steps, steps)
    shape = [1] * values.dim()
    shape[0], shape[dim] = index.shape
    return values.gather(dim, index.view(shape).expand_as(values))
