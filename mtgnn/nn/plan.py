"""Which node runs on which sequence, in which order, and who sends to whom."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ..graph import TaskGraph
from ..ops import Layout

EXCHANGES = ("mutual", "read", "cascade")
Pair = tuple[int, int]
"""A node and a sequence."""


class Stage(NamedTuple):
    """Nodes that run side by side over whole sequences; slots as in :class:`Layout`.

    Attributes:
        nodes: The node of each of the layout's rows.
        layout: The slots.
        node: ``[S]``, and ``sequence`` alike: what a slot is a run of.
        sequence: See ``node``.
        hears: Whether slots receive messages at all; if not, the next three are empty.
        senders: ``[S, J]``, slots of the senders in the memory (mutual: in this stage), padded.
        edge: ``[S, J]``, edge numbers.
        mask: ``[S, J]``, true where there is a sender.
        wanted: Slots whose states are part of the output.
        answer: For each of these, which answer it is: b, or with all tasks b·K + k.
    """

    nodes: list[int]
    layout: Layout
    node: Tensor
    sequence: Tensor
    hears: bool
    senders: Tensor
    edge: Tensor
    mask: Tensor
    wanted: Tensor
    answer: Tensor


class Plan(NamedTuple):
    """What runs on a batch.

    Attributes:
        stages: In order; a stage receives from all earlier ones or, if ``mutual``, from itself.
        every: Whether the states of all tasks are wanted.
        mutual: Whether messages are states of the step before.
        read: Whether senders run silently, beside their own runs.
    """

    stages: list[Stage]
    every: bool
    mutual: bool
    read: bool

    def kind(self, stage: Stage) -> int:
        """0 for nodes' own runs, 1 for the silent ones that others read."""
        return int(self.read and not stage.hears)


def make_plan(
    graph: TaskGraph,
    exchange: str,
    tasks: Sequence[int] | None,
    lengths: Sequence[int],
    device: torch.device | str = "cpu",
) -> Plan:
    """Plan a batch: only nodes that the exchange needs for a sequence run on it.

    Args:
        graph: The task graph.
        exchange: ``"mutual"``, ``"read"`` or ``"cascade"``.
        tasks: The task of each sequence, or ``None`` for all tasks of each.
        lengths: The length of each sequence.
        device: Where index tensors go.
    """
    wanted = [
        list(range(graph.num_tasks)) if tasks is None else [tasks[b]] for b in range(len(lengths))
    ]
    incoming = [graph.incoming(node) for node in range(graph.num_nodes)]
    if exchange == "read":
        sets = _read(incoming, wanted)
    else:
        ancestors = {k: graph.ancestors([k]) for ks in wanted for k in ks}
        needed = {(node, b) for b, ks in enumerate(wanted) for k in ks for node in ancestors[k]}
        sets = [needed]
        if exchange == "cascade":
            generations = [set(nodes) for nodes in graph.generations()]
            sets = [{pair for pair in needed if pair[0] in nodes} for nodes in generations]

    def by_length(pair: Pair) -> tuple[int, int, int]:
        return -lengths[pair[1]], pair[1], pair[0]

    groups = [sorted(pairs, key=by_length) for pairs in sets]
    last = {pair: number for number, group in enumerate(groups) for pair in group}
    stages: list[Stage] = []
    memory: dict[Pair, int] = {}
    for number, group in enumerate(groups):
        if not group:
            continue
        own = {pair: slot for slot, pair in enumerate(group)}
        senders = own if exchange == "mutual" else memory
        silent = exchange == "read" and number == 0
        heard = [[] if silent else incoming[node] for node, _ in group]
        answers = [
            (slot, b * graph.num_tasks + node if tasks is None else b)
            for slot, (node, b) in enumerate(group)
            if node in wanted[b] and last[node, b] == number
        ]
        stages.append(_stage(group, lengths, heard, senders, answers, device))
        memory = memory | {pair: len(memory) + slot for pair, slot in own.items()}
    return Plan(stages, tasks is None, exchange == "mutual", exchange == "read")


def _read(incoming: list[list[Pair]], wanted: list[list[int]]) -> list[set[Pair]]:
    """Silent runs of the senders (and of who receives nothing), then the receivers."""
    silent: set[Pair] = set()
    receivers: set[Pair] = set()
    for b, ks in enumerate(wanted):
        for k in ks:
            (receivers if incoming[k] else silent).add((k, b))
            silent |= {(sender, b) for _, sender in incoming[k]}
    return [silent, receivers]


def _stage(
    group: list[Pair],
    lengths: Sequence[int],
    heard: list[list[Pair]],
    slots: dict[Pair, int],
    answers: list[Pair],
    device: torch.device | str,
) -> Stage:
    nodes = sorted({node for node, _ in group})
    row = {node: i for i, node in enumerate(nodes)}
    layout = Layout([row[node] for node, _ in group], [lengths[b] for _, b in group], device)
    degree = max(len(edges) for edges in heard)
    edge = torch.tensor([([e for e, _ in edges] + [-1] * degree)[:degree] for edges in heard])
    senders = []
    for edges, (receiver, b) in zip(heard, group, strict=True):
        own = [slots[i, b] for _, i in edges]
        # Padding stays within the sequence, so that nothing of another one can come through.
        pad = own[0] if own else slots.get((receiver, b), 0)
        senders.append((own + [pad] * degree)[:degree])
    sender = torch.tensor(senders)
    edge, sender = edge.view(len(group), degree).long(), sender.view(len(group), degree).long()
    pairs = torch.tensor(group)
    picked = torch.tensor(answers, dtype=torch.long).view(-1, 2)
    tensors = (pairs[:, 0], pairs[:, 1], sender, edge.clamp(min=0), edge >= 0)
    node, sequence, sender, edge, mask = (value.to(device) for value in tensors)
    return Stage(
        nodes,
        layout,
        node,
        sequence,
        degree > 0,
        sender,
        edge,
        mask,
        picked[:, 0].to(device),
        picked[:, 1].to(device),
    )
