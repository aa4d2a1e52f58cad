"""The cross-stitch baseline: the tasks' LSTMs exchange linear combinations of their states."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence
from torch_geometric.nn.module_dict import ModuleDict
from torch_geometric.nn.parameter_dict import ParameterDict

from ...graph import TaskGraph, Tasks
from ..check import check_numbers, check_state_kind
from ..graph_lstm import GraphLSTM, GraphState
from ..padded import pad_input
from ..tasks import left_alone, own_rows


class CrossStitchLSTM(nn.Module):
    r"""One LSTM a task, and after each layer a learned linear combination of all tasks' states:
    `"Cross-stitch Networks for Multi-task Learning" <https://arxiv.org/abs/1604.03539>`_ in
    recurrent form.

    .. math::
        \mathbf{h}^{(k,l)}_t = \mathrm{LSTM}_{k,l}(\tilde{\mathbf{h}}^{(k,l-1)}_t,
        \mathbf{h}^{(k,l)}_{t-1}), \quad
        \tilde{\mathbf{h}}^{(k,l)}_t = \sum_j \alpha^{(l)}_{kj} \mathbf{h}^{(j,l)}_t, \quad
        \tilde{\mathbf{h}}^{(k,0)}_t = \mathbf{x}_t

    Every task's LSTM reads every sentence, so its cost grows with K. The output is
    :math:`\tilde{\mathbf{h}}` of the last layer. With ``subspaces`` the features of a layer are
    cut into as many equal parts, each with an :math:`\alpha` of its own; with as many as there are
    features, every channel has its own. What a task takes from the last layer is its own
    parameter, and keeps ``grad is None`` where the task is in no sequence of a batch.

    Args:
        input_size: Size E of an input.
        hidden_size: Size H of a state.
        num_tasks: Number of tasks K, or their names.
        num_layers: Number of layers.
        bidirectional: Makes every layer read both ways; outputs are ``[2H]``.
        dropout: Dropout between layers.
        subspaces: Number of parts of a layer's features, a divisor of their number.
        own_weight: What :math:`\alpha_{kk}` starts at; the other tasks share the rest to 1.

    Attributes:
        graph: The complete graph: every task takes from every other.

    Shapes:
        - **input:** :math:`(B, T, E)` or :math:`(B, T, K, E)`, one input per task; or a
          :class:`~torch.nn.utils.rnn.PackedSequence`
        - **output:** :math:`(B, T, D \cdot H)`, of several tasks :math:`(B, T, K, D \cdot H)`;
          exact zeros beyond the lengths

    Raises:
        ValueError: For a size below 1, a dropout outside [0, 1), subspaces that do not divide the
            features, or an ``own_weight`` outside [0, 1].
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_tasks: Tasks,
        *,
        num_layers: int = 1,
        bidirectional: bool = False,
        dropout: float = 0.0,
        subspaces: int = 1,
        own_weight: float = 0.9,
    ) -> None:
        super().__init__()
        self.graph = TaskGraph.complete(num_tasks)
        self.input_size, self.hidden_size = input_size, hidden_size
        self.num_layers, self.bidirectional = num_layers, bidirectional
        self.dropout, self.subspaces, self.own_weight = dropout, subspaces, own_weight
        check_numbers(num_layers=num_layers)
        if subspaces < 1 or self.output_size % subspaces:
            raise ValueError(
                f"expected subspaces that divide {self.output_size} features, got {subspaces}"
            )
        if not 0 <= own_weight <= 1:
            raise ValueError(f"expected own_weight in [0, 1], got {own_weight}")
        alone = TaskGraph.isolated(self.graph.tasks)
        self.layers: Any = nn.ModuleList(
            GraphLSTM(
                self.output_size if layer else input_size,
                hidden_size,
                alone,
                bidirectional=bidirectional,
                dropout=dropout,
            )
            for layer in range(num_layers)
        )
        size = (subspaces, self.graph.num_tasks)
        self.stitches: Any = nn.ModuleList(
            ParameterDict({name: nn.Parameter(torch.empty(size)) for name in self.graph.tasks})
            for _ in range(num_layers)
        )
        self._reset_stitches()

    def reset_parameters(self) -> None:
        """Draw all parameters anew; the combinations start near the identity again."""
        for layer in self.layers:
            layer.reset_parameters()
        self._reset_stitches()

    @torch.no_grad()
    def _reset_stitches(self) -> None:
        others = self.graph.num_tasks - 1
        own = self.own_weight if others else 1.0
        for stitch in self.stitches:
            for k, name in enumerate(self.graph.tasks):
                stitch[name].fill_((1 - own) / max(others, 1))
                stitch[name][:, k] = own

    @property
    def output_size(self) -> int:
        """Size of an output: H, or 2H if bidirectional."""
        return self.hidden_size * (1 + self.bidirectional)

    @property
    def nodes(self) -> nn.ModuleDict:
        """The LSTMs of each task, a list over layers, by the task's name."""
        return ModuleDict(
            {
                name: nn.ModuleList(layer.nodes[name] for layer in self.layers)
                for name in self.graph.tasks
            }
        )

    def matrix(self, layer: int) -> Tensor:
        """The combination after a layer: ``[subspaces, K, K]``, row k what task k takes."""
        return torch.stack([self.stitches[layer][name] for name in self.graph.tasks], 1)

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
            x: ``[B, T, E]``, ``[B, T, K, E]``, or a packed sequence.
            lengths: ``[B]``, real steps of each sequence; by default T.
            task: ``[B]``, the task of each sequence; ``[B, K]``, boolean, its tasks; ``None``: all.
            state: The state that an earlier call returned.
            return_attention_weights: Not here: the combinations are parameters, of any sign, and
                the same for all words (see :meth:`matrix`).

        Returns:
            ``(out, state)``.

        Raises:
            ValueError: For wrong sizes, lengths, tasks or states, or if attention is asked for.
        """
        if return_attention_weights:
            raise ValueError("cross-stitch has no attention weights; see matrix(layer)")
        batch = pad_input(self, x, lengths, task)
        if state is not None:
            self._check_state(state)
        states, ends = batch.x, []
        for number, layer in enumerate(self.layers):
            start = None if state is None else _layer_of(state, number)
            states, end = layer(states, batch.lengths, None, start)
            ends.append(end)
            if number < self.num_layers - 1:
                states = self._mix(states, self.matrix(number))
                states = nn.functional.dropout(states, self.dropout, self.training)
        if batch.task is None:
            out = batch.only_wanted(self._mix(states, self._last(batch.wanted)))
        else:
            out = self._combine_own(states, batch.task)
        return batch.as_they_came(out), _join_layers(ends)

    def _check_state(self, state: GraphState) -> None:
        check_state_kind(state, GraphState)
        if len(state.h) != self.num_layers * (1 + self.bidirectional):
            raise ValueError(f"expected a state of {self.num_layers} layers, got {len(state.h)}")

    def _combine_own(self, states: Tensor, task: Tensor) -> Tensor:
        """What each sequence's own task takes of the last states: ``[B, T, F]``."""
        own = own_rows([self.stitches[-1][name] for name in self.graph.tasks], task)
        parts = states.unflatten(-1, (self.subspaces, -1))
        return torch.einsum("bgj,btjgf->btgf", own, parts).flatten(-2).to(states.dtype)

    def _last(self, wanted: Tensor | None) -> Tensor:
        """The last combination; of a task that is in no sequence it is left alone."""
        rows = [self.stitches[-1][name] for name in self.graph.tasks]
        return torch.stack(left_alone(rows, wanted), 1)

    def _mix(self, states: Tensor, matrix: Tensor) -> Tensor:
        """States ``[B, T, K, F]`` combined by ``[subspaces, K, K]``, in their own type."""
        parts = states.unflatten(-1, (self.subspaces, -1))
        return torch.einsum("gkj,btjgf->btkgf", matrix, parts).flatten(-2).to(states.dtype)

    def __repr__(self) -> str:
        sizes = f"{self.input_size}, {self.hidden_size}, {self.graph!r}"
        return f"{self.__class__.__name__}({sizes}, subspaces={self.subspaces})"


def _layer_of(state: GraphState, layer: int) -> GraphState:
    one = slice(layer, layer + 1)
    h, c, sender_h, sender_c = (value[one] for value in state[:4])
    return GraphState(h, c, sender_h, sender_c, state.ran)


def _join_layers(ends: list[GraphState]) -> GraphState:
    h, c, sender_h, sender_c = (
        torch.cat(parts) for parts in zip(*(end[:4] for end in ends), strict=True)
    )
    return GraphState(h, c, sender_h, sender_c, ends[0].ran)
