"""The multi-gate mixture of experts as a baseline: shared LSTMs, and a gate of each task."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence
from torch_geometric.nn.module_dict import ModuleDict

from ...graph import TaskGraph, Tasks, task_names
from ..check import check_numbers
from ..graph_lstm import GraphLSTM, GraphState
from ..padded import pad_input
from ..tasks import left_alone, own_input, own_rows


class MixtureOfExpertsLSTM(nn.Module):
    r"""Expert LSTMs that all tasks share, and a gate of each task: `"Modeling Task Relationships in
    Multi-task Learning with Multi-gate Mixture-of-Experts"
    <https://doi.org/10.1145/3219819.3220007>`_ in recurrent form.

    .. math::
        \mathbf{h}^{(i)}_t = \mathrm{LSTM}_i(\mathbf{x}_t, \mathbf{h}^{(i)}_{t-1}), \quad
        \mathbf{g}^{(k)}_t = \mathrm{softmax}(\mathbf{W}_k \mathbf{x}_t), \quad
        \mathrm{out}_t = \sum_i g^{(k)}_{t,i} \mathbf{h}^{(i)}_t

    As a task graph, the experts are virtual nodes that send to every task, and a task's gate is
    its attention over them, which looks at the word alone: that is what
    ``return_attention_weights`` hands out. A gate is its task's own parameter, and keeps
    ``grad is None`` where the task is in no sequence of a batch.

    Args:
        input_size: Size E of an input.
        hidden_size: Size H of a state of an expert.
        num_tasks: Number of tasks, or their names.
        num_experts: Number of experts n, which are named ``expert0``, ``expert1``, ….
        num_layers: Number of layers of an expert.
        bidirectional: Makes every expert read both ways; outputs are ``[2H]``.
        dropout: Dropout between layers.

    Attributes:
        graph: The experts send to every task; the edges into a task follow each other.
        nodes: Parameters by node: an expert's LSTM, a task's gate.

    Shapes:
        - **input:** :math:`(B, T, E)` or :math:`(B, T, K + n, E)`, one input per node: of a task,
          for its gate, and of an expert; or a :class:`~torch.nn.utils.rnn.PackedSequence`
        - **output:** :math:`(B, T, D \cdot H)`, of several tasks :math:`(B, T, K, D \cdot H)`;
          exact zeros beyond the lengths

    Raises:
        ValueError: For a size or number below 1, a dropout outside [0, 1), or a task that is named
            like an expert.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_tasks: Tasks,
        num_experts: int = 4,
        *,
        num_layers: int = 1,
        bidirectional: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_numbers(num_experts=num_experts)
        tasks, names = task_names(num_tasks), [f"expert{i}" for i in range(num_experts)]
        self.graph = TaskGraph.from_edges([(i, k) for k in tasks for i in names], tasks, names)
        self.input_size, self.hidden_size = input_size, hidden_size
        self.num_layers, self.bidirectional = num_layers, bidirectional
        self.num_experts = num_experts
        self.experts = GraphLSTM(
            input_size,
            hidden_size,
            TaskGraph.isolated(names),
            num_layers=num_layers,
            bidirectional=bidirectional,
            dropout=dropout,
        )
        self.gates = ModuleDict(
            {name: nn.Linear(input_size, num_experts, bias=False) for name in tasks}
        )

    def reset_parameters(self) -> None:
        """Draw all parameters anew."""
        self.experts.reset_parameters()
        for gate in self.gates.values():
            gate.reset_parameters()

    @property
    def output_size(self) -> int:
        """Size of an output: H, or 2H if bidirectional."""
        return self.experts.output_size

    @property
    def nodes(self) -> nn.ModuleDict:
        """Parameters by node, see the class description."""
        experts = {name: self.experts.nodes[name] for name in self.graph.virtual}
        return ModuleDict({name: self.gates[name] for name in self.graph.tasks} | experts)

    @torch.compiler.disable  # a compiler would unroll the loop over time
    def forward(
        self,
        x: Tensor | PackedSequence,
        lengths: Tensor | None = None,
        task: Tensor | None = None,
        state: GraphState | None = None,
        *,
        return_attention_weights: bool = False,
    ) -> Any:
        """Read sequences; arguments and results are those of :class:`GraphLSTM`.

        Args:
            x: ``[B, T, E]``, ``[B, T, K + n, E]``, or a packed sequence.
            lengths: ``[B]``, real steps of each sequence; by default T.
            task: ``[B]``, the task of each sequence; ``[B, K]``, boolean, its tasks; ``None``: all.
            state: The state that an earlier call returned: of the experts, each a node.
            return_attention_weights: Also returns a list of one pair ``(edge_index, alpha)``, with
                the gates as ``alpha [B, T, num_edges, 1]``, zero on edges into other tasks.

        Returns:
            ``(out, state)`` or ``(out, state, attention)``.

        Raises:
            ValueError: For wrong sizes, lengths, tasks or states.
        """
        batch = pad_input(self, x, lengths, task)
        tasks = self.graph.num_tasks
        words = batch.x if batch.x.dim() == 3 else batch.x[:, :, tasks:]
        states, end = self.experts(words, batch.lengths, None, state)  # [B, T, n, F]
        padding = batch.padding[:, :, None, None]
        real = batch.x.masked_fill(padding.flatten(batch.x.dim() - 1), 0)
        gate = self._gate(real, batch.task, batch.wanted)
        if batch.task is None:
            out = torch.einsum("btkn,btnf->btkf", gate, states)
        else:
            out = torch.einsum("btn,btnf->btf", gate, states)
        out, gate = out.to(states.dtype), gate.to(states.dtype)  # autocast rounds products alone
        answer = batch.as_they_came(out)
        if not return_attention_weights:
            return answer, end
        if batch.task is not None:  # each sequence's gate to the place of its task
            own = nn.functional.one_hot(batch.task.to(gate.device), tasks).to(gate.dtype)
            gate = own[:, None, :, None] * gate.unsqueeze(2)
        alpha = gate.masked_fill(padding, 0).flatten(2).unsqueeze(-1)
        return answer, end, [(self.graph.edge_index.to(gate.device, non_blocking=True), alpha)]

    def _gate(self, x: Tensor, task: Tensor | None, wanted: Tensor | None) -> Tensor:
        """The gates of one task each ``[B, T, n]``, or of several ``[B, T, K, n]``, zeros where one
        is not wanted."""
        gates = [self.gates[name].weight for name in self.graph.tasks]
        if task is None:
            weight = torch.stack(left_alone(gates, wanted))
            if x.dim() == 3:
                gate = torch.einsum("bte,kne->btkn", x, weight).softmax(-1)
            else:
                own = x[:, :, : self.graph.num_tasks]
                gate = torch.einsum("btke,kne->btkn", own, weight).softmax(-1)
            if wanted is None:
                return gate
            other = ~wanted.to(gate.device, non_blocking=True)
            return gate.masked_fill(other[:, None, :, None], 0)
        own = own_rows(gates, task)
        return torch.einsum("bte,bne->btn", own_input(x, task), own).softmax(-1)

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.input_size}, {self.hidden_size}, {self.graph!r})"
