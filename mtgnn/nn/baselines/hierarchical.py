"""The hierarchical baseline: lower tasks are supervised at lower layers of one stack."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from ...graph import TaskGraph
from ...ops.device import to_device
from ..check import check_graph, check_state_kind
from ..padded import check_shapes, pad_input
from ..tasks import own_input
from .shared import SharedLSTM, SharedState


class HierarchicalState(NamedTuple):
    """The states after the last real step: ``[L·D, B, H]``, zeros where a level did not run.

    Where every task reads an input of its own, ``B·K`` sequences stand in the place of B.

    Attributes:
        h: Hidden states, the lowest level's layers first.
        c: Like ``h``.
        levels: ``[B]``, how many levels ran; stays on the CPU.
    """

    h: Tensor
    c: Tensor
    levels: Tensor

    def detach(self) -> HierarchicalState:
        """The same values without their history, to go on from: gradients end here."""
        return HierarchicalState(self.h.detach(), self.c.detach(), self.levels)

    def to(self, device: torch.device | str | int) -> HierarchicalState:
        """The same values on a device, such as those that were saved on another one."""
        return HierarchicalState(self.h.to(device), self.c.to(device), self.levels.cpu())


class HierarchicalLSTM(nn.Module):
    r"""One stack of LSTMs in which task k reads the states of level :math:`d_k`: the model of
    `"Deep multi-task learning with low level tasks supervised at lower layers"
    <https://aclanthology.org/P16-2038>`_.

    .. math::
        \mathbf{h}^{(1)}_t = \mathrm{LSTM}_1(\mathbf{x}_t, \mathbf{h}^{(1)}_{t-1}), \quad
        \mathbf{h}^{(d)}_t = \mathrm{LSTM}_d(\mathbf{h}^{(d-1)}_t, \mathbf{h}^{(d)}_{t-1}), \quad
        \mathrm{out}_t = \mathbf{h}^{(d_k)}_t

    The level of a task is its place in the topological order of the task graph: a task without
    senders is at level 1, any other one level above its highest sender. Nothing but these levels
    is read off the graph: all levels are shared, and a task of level d trains levels 1 to d. A
    level above all tasks of a batch does not run, and keeps ``grad is None``.

    (In the cascaded models of the literature a task reads what a lower task's own network says.
    With states as what is said, that is :class:`GraphLSTM` with ``exchange="cascade"``.)

    Args:
        input_size: Size E of an input.
        hidden_size: Size H of a state.
        graph: An acyclic graph of tasks.
        num_layers: Number of layers of each level.
        bidirectional: Makes every layer read both ways, as the paper does; outputs are ``[2H]``.
        dropout: Dropout between layers and between levels.

    Shapes:
        - **input:** :math:`(B, T, E)` or :math:`(B, T, K, E)`, one input per task; or a
          :class:`~torch.nn.utils.rnn.PackedSequence`
        - **output:** :math:`(B, T, D \cdot H)`, of several tasks :math:`(B, T, K, D \cdot H)`;
          exact zeros beyond the lengths

    Raises:
        ValueError: If the graph has a cycle or a virtual node, for a size below 1 or a dropout
            outside [0, 1).

    Example:
        >>> graph = TaskGraph.hierarchy({"ner": ["pos", "chunk"], "chunk": ["pos"]})
        >>> HierarchicalLSTM(8, 4, graph).level
        {'pos': 1, 'chunk': 2, 'ner': 3}
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        graph: TaskGraph,
        *,
        num_layers: int = 1,
        bidirectional: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_graph(graph)
        if graph.virtual:
            raise ValueError(f"expected a graph of tasks alone, got virtual {list(graph.virtual)}")
        generations = graph.generations()
        self.graph = graph
        self.input_size, self.hidden_size = input_size, hidden_size
        self.num_layers, self.bidirectional = num_layers, bidirectional
        self.dropout = dropout
        levels = {k: level for level, tasks in enumerate(generations, 1) for k in tasks}
        self.level = {name: levels[k] for k, name in enumerate(graph.tasks)}
        self.levels: Any = nn.ModuleList(
            SharedLSTM(
                self.output_size if level else input_size,
                hidden_size,
                graph.tasks,
                num_layers=num_layers,
                bidirectional=bidirectional,
                dropout=dropout,
            )
            for level in range(len(generations))
        )

    def reset_parameters(self) -> None:
        """Draw all parameters anew."""
        for level in self.levels:
            level.reset_parameters()

    @property
    def output_size(self) -> int:
        """Size of an output: H, or 2H if bidirectional."""
        return self.hidden_size * (1 + self.bidirectional)

    @torch.compiler.disable  # a compiler would unroll the loop over time
    def forward(
        self,
        x: Tensor | PackedSequence,
        lengths: Tensor | None = None,
        task: Tensor | None = None,
        state: HierarchicalState | None = None,
        *,
        return_attention_weights: bool = False,
    ) -> Any:
        """Read sequences; arguments and results are those of :class:`GraphLSTM`.

        Args:
            x: ``[B, T, E]``, ``[B, T, K, E]``, or a packed sequence.
            lengths: ``[B]``, real steps of each sequence; by default T.
            task: ``[B]``, the task of each sequence; ``[B, K]``, boolean, its tasks; ``None``: all.
            state: The state that an earlier call returned.
            return_attention_weights: Not here: nobody attends.

        Returns:
            ``(out, state)``.

        Raises:
            ValueError: For wrong sizes, lengths, tasks or states, a state that lacks a level, or
                if attention is asked for.
        """
        if return_attention_weights:
            raise ValueError("a hierarchy of layers has no attention weights")
        batch = pad_input(self, x, lengths, task)
        num_tasks, sizes = self.graph.num_tasks, batch.lengths
        own = torch.tensor(list(self.level.values()))  # level of each task
        if batch.task is not None:
            need = own[batch.task.cpu()]
            outs, end = self._read(own_input(batch.x, batch.task), sizes, need, state)
            return batch.as_they_came(_finish(outs, need)), end
        if batch.x.dim() == 3:
            need = own.max().expand(batch.x.size(0))
            if batch.wanted is not None:
                need = (batch.wanted.cpu() * own).amax(1)
            outs, end = self._read(batch.x, sizes, need, state)
            levels = _spread(outs, need)
            levels += [torch.zeros_like(levels[0])] * (len(self.levels) - len(levels))
            every = torch.stack([levels[level - 1] for level in own.tolist()], 2)
            return batch.as_they_came(batch.only_wanted(every)), end
        each = own.repeat(batch.x.size(0))  # B·K sequences, each of a task of its own
        if batch.wanted is not None:
            each = each * batch.wanted.cpu().flatten()  # 0: of no level
        outs, end = self._read(
            batch.x.transpose(1, 2).flatten(0, 1), sizes.repeat_interleave(num_tasks), each, state
        )
        out = _finish(outs, each).unflatten(0, (-1, num_tasks)).transpose(1, 2)
        return batch.as_they_came(batch.only_wanted(out)), end

    def _read(
        self, x: Tensor, lengths: Tensor, need: Tensor, state: HierarchicalState | None
    ) -> tuple[list[Tensor], HierarchicalState]:
        """The states of every level, each of the sequences that ``need [B]`` it, in order."""
        if state is not None:
            self._check_state(state, need)
        rows, below = torch.arange(len(need)), need
        size, per_level = (len(need), self.hidden_size), self.num_layers * (1 + self.bidirectional)
        outs: list[Tensor] = []
        ends: list[list[Tensor]] = []
        for number, level in enumerate(self.levels[: int(need.max())]):
            if number:
                x = nn.functional.dropout(x, self.dropout, self.training)
            kept = below > number
            rows, below = rows[kept], below[kept]
            index = to_device(rows, x.device)
            if not kept.all():
                x = x[to_device(kept.nonzero().squeeze(1), x.device)]
            start = None
            if state is not None:
                layers = slice(number * per_level, (number + 1) * per_level)
                start = SharedState(state.h[layers, index], state.c[layers, index])
            x, end = level(x, lengths[rows], torch.zeros_like(rows), start)
            outs.append(x)
            ends.append([v.new_zeros(per_level, *size).index_copy(1, index, v) for v in end])
        missing = len(self.levels) - len(outs)
        idle = outs[0].new_zeros(missing * per_level, *size)
        h, c = (torch.cat([*parts, idle]) for parts in zip(*ends, strict=True))
        return outs, HierarchicalState(h, c, need)

    def _check_state(self, state: HierarchicalState, need: Tensor) -> None:
        check_state_kind(state, HierarchicalState)
        expected = (len(self.levels) * self.num_layers, len(need), self.hidden_size)
        check_shapes((state.h, state.c), expected, self.bidirectional)
        if (state.levels.cpu() < need).any():
            raise ValueError(
                "the state lacks a level for some sequence: continue with the tasks it came from"
            )

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.input_size}, {self.hidden_size}, {self.graph!r})"


def _spread(outs: list[Tensor], need: Tensor) -> list[Tensor]:
    """The states of every level for all sequences, zeros where one does not need the level."""
    whole = []
    for number, out in enumerate(outs, 1):
        rows = (need >= number).nonzero().squeeze(1)
        if len(rows) < len(need):
            index = to_device(rows, out.device)
            out = out.new_zeros(len(need), *out.shape[1:]).index_copy(0, index, out)
        whole.append(out)
    return whole


def _finish(outs: list[Tensor], need: Tensor) -> Tensor:
    """Of each sequence, the states of the level that it needs, zeros where it needs none:
    ``[B, T, F]``."""
    pieces, order = [], []
    rows = need.nonzero().squeeze(1)
    for number, out in enumerate(outs, 1):
        last = need[rows] == number
        if last.any():
            own = out if last.all() else out[to_device(last.nonzero().squeeze(1), out.device)]
            pieces.append(own)
            order.append(rows[last])
        rows = rows[~last]
    if len(pieces) == 1 and len(order[0]) == len(need):
        return pieces[0]
    found = torch.cat(pieces)
    place = to_device(torch.cat(order), found.device)
    return found.new_zeros(len(need), *found.shape[1:]).index_copy(0, place, found)
