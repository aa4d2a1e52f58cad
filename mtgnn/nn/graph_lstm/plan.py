"""Which node runs on which sequence, in which order, and who sends to whom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ...graph import TaskGraph
from ...ops.blocks import fill_blocks
from ...ops.layout import Layout
from ..tasks import Wanted

EXCHANGES = ("mutual", "read", "cascade")
Pair = tuple[int, int]
"""A node and a sequence."""
Runs = Mapping[int, Sequence[int]]
"""For each node, the sequences that it runs on, longest first."""


class Stage(NamedTuple):
    """Nodes that run side by side over whole sequences; slots and blocks as in :class:`Layout`.

    In a mutual exchange all nodes of a stage run on the same sequences, block r is node r, and
    senders are rows of this stage, the same for all sequences. Otherwise they are slots in the
    memory of earlier stages, counted through.

    Attributes:
        nodes: The node of each row; of a row of several, which have the same matrices, one.
        members: All nodes.
        member: ``[S]``, the place of each slot's node in ``members``; ``None`` where each row has
            one node.
        layout: The slots.
        node: ``[S]``, and ``sequence`` alike: what a slot is a run of. A place without a sequence
            repeats the first slot of its block.
        sequence: See ``node``.
        mutual: Whether the nodes receive from each other.
        dense: Mutual: whether sender j of every row is row j, so that J is R.
        hears: Whether slots receive messages at all; if not, the next three are empty.
        senders: ``[S, J]``, the senders of each slot (mutual: ``[R, J]``, of each row), padded.
        edge: Alike, edge numbers.
        mask: Alike, true where there is a sender.
        slots: Those whose states are part of the output.
        wanted: The same as a tensor.
        answer: For each of these, which answer it is: b, or with several tasks b·K + k.
    """

    nodes: list[int]
    members: list[int]
    member: Tensor | None
    layout: Layout
    node: Tensor
    sequence: Tensor
    mutual: bool
    dense: bool
    hears: bool
    senders: Tensor
    edge: Tensor
    mask: Tensor
    slots: list[int]
    wanted: Tensor
    answer: Tensor

    def by_token(self, values: Tensor) -> Tensor:
        """``senders``, ``edge`` or ``mask`` of every token, ``[L, J]``."""
        return values[self.layout.block if self.mutual else self.layout.slot]


class Plan(NamedTuple):
    """What runs on a batch.

    Attributes:
        stages: In order; a stage receives from all earlier ones or, if mutual, from itself.
        several: Whether a sequence has a place for each task's states.
        read: Whether senders run silently, beside their own runs.
    """

    stages: list[Stage]
    several: bool
    read: bool

    def kind(self, stage: Stage) -> int:
        """0 for nodes' own runs, 1 for the silent ones that others read."""
        return int(self.read and not stage.hears)


def make_plan(
    graph: TaskGraph,
    exchange: str,
    tasks: Wanted,
    lengths: Sequence[int],
    device: torch.device | str = "cpu",
    num_neighbors: int | None = None,
    biases_alone: bool = False,
) -> Plan:
    """Plan a batch: only nodes that the exchange needs for a sequence run on it.

    Args:
        graph: The task graph.
        exchange: ``"mutual"``, ``"read"`` or ``"cascade"``.
        tasks: The task of each sequence, its tasks, or ``None`` for all tasks of each.
        lengths: The length of each sequence.
        device: Where index tensors go.
        num_neighbors: In the exchange ``"read"``, how many senders a receiver hears at most, drawn
            for each sequence: of those that come first in a random order of all nodes, which its
            receivers share, so that few nodes run. By default all.
        biases_alone: Whether the nodes of tasks differ in nothing but biases: then they stand in
            one row, but where they receive from each other.
    """
    planner = _Planner(graph, tasks, lengths, device, num_neighbors, biases_alone)
    if exchange == "mutual":
        stages = planner.mutual()
    elif exchange == "read":
        stages = planner.read()
    else:
        stages = planner.cascade()
    return Plan(stages, planner.several, exchange == "read")


class _Planner:
    def __init__(
        self,
        graph: TaskGraph,
        tasks: Wanted,
        lengths: Sequence[int],
        device: torch.device | str,
        num_neighbors: int | None,
        biases_alone: bool,
    ) -> None:
        self.num_neighbors, self.biases_alone = num_neighbors, biases_alone
        self.places: list[list[int]] = []  # of each sequence, every node's in a random order
        if num_neighbors is not None:
            self.places = torch.rand(len(lengths), graph.num_nodes).argsort(1).tolist()
        self.graph, self.lengths, self.device = graph, lengths, device
        given = [tuple(range(graph.num_tasks))] * len(lengths) if tasks is None else tasks
        self.several = not isinstance(given[0], int)
        self.wanted = [(own,) if isinstance(own, int) else own for own in given]
        self.longest_first = sorted(range(len(lengths)), key=lambda b: -lengths[b])
        self.memory: dict[Pair, int] = {}  # the slots of all stages so far, counted through
        self.slots = 0

    def mutual(self) -> list[Stage]:
        """One stage for each set of nodes that some sequences need, and one of all lonely ones."""
        linked = set(self.graph.edge_index.flatten().tolist())
        groups: dict[frozenset[int], list[int]] = {}
        lonely: dict[int, list[int]] = {}
        for b in self.longest_first:
            needed = self.graph.ancestors(self.wanted[b])
            for node in sorted(needed - linked):
                lonely.setdefault(node, []).append(b)
            if needed & linked:
                groups.setdefault(needed & linked, []).append(b)
        stages = [
            self._mutual(dict.fromkeys(sorted(needed), sequences))
            for needed, sequences in groups.items()
        ]
        return [*stages, self._known(lonely, False, lonely)] if lonely else stages

    def read(self) -> list[Stage]:
        """Silent runs of the senders (and of who receives nothing), then the receivers."""
        silent: dict[int, dict[int, None]] = {}  # as ordered sets
        receivers: dict[int, dict[int, None]] = {}
        for b in self.longest_first:
            for k in self.wanted[b]:
                incoming = self._heard(k, b)
                (receivers if incoming else silent).setdefault(k, {})[b] = None
                for _, sender in incoming:
                    silent.setdefault(sender, {})[b] = None
        stages = []
        for runs, hears in ((silent, False), (receivers, True)):
            if runs:
                last = {
                    node: [b for b in own if hears or b not in receivers.get(node, ())]
                    for node, own in runs.items()
                }
                stages.append(self._known({n: list(own) for n, own in runs.items()}, hears, last))
        return stages

    def cascade(self) -> list[Stage]:
        """One generation of the graph after the other."""
        runs: dict[int, list[int]] = {}
        for b in self.longest_first:
            for node in sorted(self.graph.ancestors(self.wanted[b])):
                runs.setdefault(node, []).append(b)
        generations = [
            {node: runs[node] for node in nodes if node in runs}
            for nodes in self.graph.generations()
        ]
        return [self._known(own, True, own) for own in generations if own]

    def _heard(self, node: int, b: int) -> list[Pair]:
        """The edges into a node that a sequence uses, each with its sender."""
        incoming = self.graph.incoming(node)
        if self.num_neighbors is None or len(incoming) <= self.num_neighbors:
            return incoming
        first = sorted(incoming, key=lambda pair: self.places[b][pair[1]])
        return sorted(first[: self.num_neighbors])

    def _mutual(self, runs: Runs) -> Stage:
        nodes = list(runs)
        sequences = runs[nodes[0]]
        lengths = [self.lengths[b] for b in sequences]
        layout = Layout(range(len(nodes)), [lengths] * len(nodes), self.device)
        row = {node: r for r, node in enumerate(nodes)}
        heard = [[(e, row[i]) for e, i in self.graph.incoming(node)] for node in nodes]
        pairs = [(node, b) for node in nodes for b in sequences]
        edges = sum(len(own) for own in heard)
        dense = edges > 0 and (3 * edges >= len(nodes) ** 2 or len(nodes) <= 4)
        known = _dense(heard) if dense else _padded(heard)
        return self._stage(nodes, nodes, layout, pairs, runs, *known, mutual=True, dense=dense)

    def _known(self, runs: Runs, hears: bool, last: Runs) -> Stage:
        """A stage whose senders, if it ``hears``, have run already.

        Args:
            runs: What runs.
            hears: Whether nodes receive.
            last: The runs among these whose states may be wanted.
        """
        held = self._rows(runs)
        nodes = [own[0][0] for own in held]
        lengths = [[self.lengths[b] for _, b in own] for own in held]
        blocks = fill_blocks(lengths)
        rows = [row for row, _ in blocks]
        layout = Layout(rows, [lengths[row][part] for row, part in blocks], self.device)
        pairs: list[Pair] = []
        for row, part in blocks:
            own = held[row][part]
            pairs += [*own, *[own[0]] * (layout.width - len(own))]  # the last ones are fillers
        if hears and any(self.graph.incoming(node) for node in runs):
            heard = [[(e, self.memory[i, b]) for e, i in self._heard(n, b)] for n, b in pairs]
            known = _padded(heard)
        else:
            empty = torch.zeros(len(pairs), 0, dtype=torch.long)
            known = (empty, empty, empty.bool())
        stage = self._stage(nodes, sorted(runs), layout, pairs, last, *known)
        slots = {pair: self.slots + slot for slot, pair in reversed([*enumerate(pairs)])}
        self.memory.update(slots)
        self.slots += layout.num_slots
        return stage

    def _rows(self, runs: Runs) -> list[list[Pair]]:
        """The runs of each row, longest first."""
        rows: dict[int, list[Pair]] = {}
        for node in sorted(runs):
            row = 0 if self.biases_alone and node < self.graph.num_tasks else node
            rows.setdefault(row, []).extend((node, b) for b in runs[node])
        if self.biases_alone:  # else they come in this order
            for own in rows.values():
                own.sort(key=lambda pair: -self.lengths[pair[1]])
        return list(rows.values())

    def _stage(
        self,
        nodes: list[int],
        members: list[int],
        layout: Layout,
        pairs: list[Pair],
        last: Runs,
        senders: Tensor,
        edge: Tensor,
        mask: Tensor,
        mutual: bool = False,
        dense: bool = False,
    ) -> Stage:
        final = {(node, b) for node, own in last.items() for b in own if node in self.wanted[b]}
        answers = [
            (slot, b * self.graph.num_tasks + node if self.several else b)
            for slot in layout.filled
            for node, b in [pairs[slot]]
            if (node, b) in final
        ]
        run = torch.tensor(pairs)
        picked = torch.tensor(answers, dtype=torch.long).view(-1, 2)
        tensors = (run[:, 0], run[:, 1], senders, edge, mask, picked[:, 0], picked[:, 1])
        node, sequence, senders, edge, mask, wanted, answer = (
            v.to(self.device, non_blocking=True) for v in tensors
        )
        hears = mask.size(1) > 0
        member = None
        if len(members) > len(nodes):
            place = torch.searchsorted(torch.tensor(members), run[:, 0].contiguous())
            member = place.to(self.device, non_blocking=True)
        known = (mutual, dense, hears, senders, edge, mask)
        slots = [slot for slot, _ in answers]
        return Stage(nodes, members, member, layout, node, sequence, *known, slots, wanted, answer)


def _padded(heard: Sequence[Sequence[Pair]]) -> tuple[Tensor, Tensor, Tensor]:
    """Senders, edges and mask ``[*, J]`` of lists of (edge, sender).

    Padding repeats the receiver's own first sender, so that nothing of another sequence can come
    through, NaN included.
    """
    degree = max(len(own) for own in heard)
    edge = [[e for e, _ in own] + [0] * (degree - len(own)) for own in heard]
    sender = [
        [i for _, i in own] + [own[0][1] if own else 0] * (degree - len(own)) for own in heard
    ]
    counts = torch.tensor([len(own) for own in heard])
    shape = (len(heard), degree)
    return (
        torch.tensor(sender, dtype=torch.long).view(shape),
        torch.tensor(edge, dtype=torch.long).view(shape),
        torch.arange(degree) < counts.unsqueeze(1),
    )


def _dense(heard: Sequence[Sequence[Pair]]) -> tuple[Tensor, Tensor, Tensor]:
    """The same with every row in the place of its number: ``[R, R]``."""
    rows = len(heard)
    edge, mask = torch.zeros(rows, rows, dtype=torch.long), torch.zeros(rows, rows).bool()
    for receiver, own in enumerate(heard):
        for e, sender in own:
            edge[receiver, sender], mask[receiver, sender] = e, True
    return torch.arange(rows).expand(rows, -1), edge, mask
