"""Which node runs on which sequence, in which order, and who sends to whom."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ..graph import TaskGraph

EXCHANGES = ("mutual", "read", "cascade")
Pair = tuple[int, int]
"""A node and a sequence."""


class Stage(NamedTuple):
    """Nodes that run side by side over the whole sequence, in slots ``[R, M]``.

    Row ``r`` is node ``nodes[r]``, slot ``(r, j)`` its run on sequence ``sequence[r, j]``. Slots
    that fill a row up repeat sequence 0 and are not ``valid``: nothing reads them.

    Attributes:
        nodes: R node numbers.
        sequence: ``[R, M]``.
        valid: ``[R, M]``.
        senders: ``[R, M, J]``, flat slot numbers in the memory; ``None``: the stage is silent.
        edge: ``[R, M, J]``, edge numbers.
        mask: ``[R, M, J]``, true where there is a sender.
        offset: Number of slots in the stages before.
    """

    nodes: list[int]
    sequence: Tensor
    valid: Tensor
    senders: Tensor | None
    edge: Tensor | None
    mask: Tensor | None
    offset: int


class Plan(NamedTuple):
    """The stages in order and where the answers are.

    Attributes:
        stages: Each stage receives from earlier ones, or, if ``mutual``, from itself.
        answer: ``[B]`` or ``[B, K]``, flat slot numbers of the wanted states.
        mutual: Whether messages are states of the step before.
        read: Whether senders run silently, beside their own runs.
    """

    stages: list[Stage]
    answer: Tensor
    mutual: bool
    read: bool


def make_plan(
    graph: TaskGraph, exchange: str, tasks: Sequence[int] | None, batch_size: int
) -> Plan:
    """Plan a batch: only nodes that the exchange needs for a sequence run on it.

    Args:
        graph: The task graph.
        exchange: ``"mutual"``, ``"read"`` or ``"cascade"``.
        tasks: The task of each sequence, or ``None`` for all tasks of each.
        batch_size: B.
    """
    wanted = _wanted(graph, tasks, batch_size)
    receives = [bool(graph.incoming(node)) for node in range(graph.num_nodes)]
    if exchange == "read":
        groups = _read(graph, wanted, receives)
    else:
        needed = {(node, b) for b, ks in enumerate(wanted) for node in graph.ancestors(ks)}
        groups = [needed]
        if exchange == "cascade":
            generations = [set(nodes) for nodes in graph.generations()]
            groups = [{pair for pair in needed if pair[0] in nodes} for nodes in generations]
    return _lay_out(graph, [group for group in groups if group], wanted, exchange, tasks is None)


def _wanted(graph: TaskGraph, tasks: Sequence[int] | None, batch_size: int) -> list[list[int]]:
    if tasks is None:
        return [list(range(graph.num_tasks))] * batch_size
    return [[task] for task in tasks]


def _read(graph: TaskGraph, wanted: list[list[int]], receives: list[bool]) -> list[set[Pair]]:
    """Silent runs of the senders (and of who receives nothing), then the receivers."""
    silent, receivers = set(), set()
    for b, ks in enumerate(wanted):
        for k in ks:
            (receivers if receives[k] else silent).add((k, b))
            silent |= {(sender, b) for _, sender in graph.incoming(k)}
    return [silent, receivers]


def _lay_out(
    graph: TaskGraph,
    groups: list[set[Pair]],
    wanted: list[list[int]],
    exchange: str,
    every: bool,
) -> Plan:
    stages: list[Stage] = []
    place: dict[Pair, int] = {}
    last: dict[Pair, int] = {}
    offset = 0
    for number, group in enumerate(groups):
        rows = _rows(group)
        width = max(len(sequences) for sequences in rows.values())
        slots = {
            (node, b): offset + r * width + j
            for r, (node, sequences) in enumerate(rows.items())
            for j, b in enumerate(sequences)
        }
        last |= slots
        memory = slots if exchange == "mutual" else place
        hears = exchange != "read" or number == 1  # the first group of a read runs silently
        stages.append(_stage(graph, rows, width, memory, offset, hears))
        place = place | slots
        offset += len(rows) * width
    answer = torch.tensor([[last[k, b] for k in ks] for b, ks in enumerate(wanted)])
    return Plan(stages, answer if every else answer[:, 0], exchange == "mutual", exchange == "read")


def _rows(group: set[Pair]) -> dict[int, list[int]]:
    rows: dict[int, list[int]] = {}
    for node, b in sorted(group):
        rows.setdefault(node, []).append(b)
    return rows


def _stage(
    graph: TaskGraph,
    rows: dict[int, list[int]],
    width: int,
    memory: dict[Pair, int],
    offset: int,
    hears: bool,
) -> Stage:
    sequence = torch.tensor([seqs + [0] * (width - len(seqs)) for seqs in rows.values()])
    valid = torch.tensor(
        [[True] * len(seqs) + [False] * (width - len(seqs)) for seqs in rows.values()]
    )
    incoming = {node: graph.incoming(node) if hears else [] for node in rows}
    degree = max(len(edges) for edges in incoming.values())
    if degree == 0:
        return Stage(list(rows), sequence, valid, None, None, None, offset)
    senders = torch.zeros(len(rows), width, degree, dtype=torch.long)
    edge, mask = torch.zeros_like(senders), torch.zeros_like(senders, dtype=torch.bool)
    for r, (node, seqs) in enumerate(rows.items()):
        for j, (number, sender) in enumerate(incoming[node]):
            senders[r, : len(seqs), j] = torch.tensor([memory[sender, b] for b in seqs])
            edge[r, : len(seqs), j] = number
            mask[r, : len(seqs), j] = True
    return Stage(list(rows), sequence, valid, senders, edge, mask, offset)
