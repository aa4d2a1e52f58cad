"""The shared-private baseline: a shared LSTM and one of each task, side by side."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from ...graph import TaskGraph, Tasks
from ..check import check_state_kind
from ..graph_lstm import GraphLSTM, GraphState
from ..padded import pad_input
from .shared import SharedLSTM, SharedState


class SharedPrivateState(NamedTuple):
    """The states after the last real step.

    Attributes:
        shared: Of the shared LSTM.
        private: Of the tasks' own.
    """

    shared: SharedState
    private: GraphState

    def detach(self) -> SharedPrivateState:
        """The same values without their history, to go on from: gradients end here."""
        return SharedPrivateState(self.shared.detach(), self.private.detach())

    def to(self, device: torch.device | str | int) -> SharedPrivateState:
        """The same values on a device, such as those that were saved on another one."""
        return SharedPrivateState(self.shared.to(device), self.private.to(device))


class SharedPrivateLSTM(nn.Module):
    r"""A shared LSTM and one of each task read side by side: the shared-private model of
    `"Adversarial Multi-task Learning for Text Classification"
    <https://arxiv.org/abs/1704.05742>`_ (section 3.2), without its adversary.

    .. math::
        \mathbf{s}_t = \mathrm{LSTM}(\mathbf{x}_t, \mathbf{s}_{t-1}; \theta_s), \quad
        \mathbf{p}_t = \mathrm{LSTM}(\mathbf{x}_t, \mathbf{p}_{t-1}; \theta_k), \quad
        \mathbf{h}_t = [\mathbf{s}_t; \mathbf{p}_t]

    It is a :class:`SharedLSTM` beside a :class:`GraphLSTM` without edges, and is called like them.
    Bidirectional, both forward halves come first, so that the second half of an output runs
    backwards, as in every other encoder.

    Args:
        input_size: Size E of an input.
        hidden_size: Size H of a state of each of the two.
        num_tasks: Number of tasks, or their names.
        num_layers: Number of layers of each.
        bidirectional: Adds a stack on the reversed sequence; outputs are ``[4H]``.
        dropout: Dropout between layers.

    Attributes:
        graph: The tasks, without edges: there is nothing to attend over.
        shared: The shared part.
        private: The tasks' own parts.

    Shapes:
        - **input:** :math:`(B, T, E)` or :math:`(B, T, K, E)`, one input per task; or a
          :class:`~torch.nn.utils.rnn.PackedSequence`
        - **output:** :math:`(B, T, D \cdot 2H)`, of several tasks
          :math:`(B, T, K, D \cdot 2H)`; exact zeros beyond the lengths

    Raises:
        ValueError: For a size below 1 or a dropout outside [0, 1).
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
    ) -> None:
        super().__init__()
        self.graph = TaskGraph.isolated(num_tasks)
        self.input_size, self.hidden_size = input_size, hidden_size
        self.num_layers, self.bidirectional = num_layers, bidirectional
        options: dict[str, Any] = {
            "num_layers": num_layers,
            "bidirectional": bidirectional,
            "dropout": dropout,
        }
        self.shared = SharedLSTM(input_size, hidden_size, self.graph.tasks, **options)
        self.private = GraphLSTM(input_size, hidden_size, self.graph, **options)

    def reset_parameters(self) -> None:
        """Draw all parameters anew."""
        self.shared.reset_parameters()
        self.private.reset_parameters()

    @property
    def output_size(self) -> int:
        """Size of an output: 2H, or 4H if bidirectional."""
        return self.shared.output_size + self.private.output_size

    @property
    def nodes(self) -> nn.ModuleDict:
        """Each task's own LSTM, by the task's name."""
        return self.private.nodes

    @torch.compiler.disable  # a compiler would unroll the loop over time
    def forward(
        self,
        x: Tensor | PackedSequence,
        lengths: Tensor | None = None,
        task: Tensor | None = None,
        state: SharedPrivateState | None = None,
        *,
        return_attention_weights: bool = False,
    ) -> Any:
        """Read sequences; arguments, results and errors are those of :class:`GraphLSTM`.

        Args:
            x: ``[B, T, E]``, ``[B, T, K, E]``, or a packed sequence.
            lengths: ``[B]``, real steps of each sequence; by default T.
            task: ``[B]``, the task of each sequence; ``[B, K]``, boolean, its tasks; ``None``: all.
            state: The state that an earlier call returned.
            return_attention_weights: Also returns the attention of a graph without edges.

        Returns:
            ``(out, state)`` or ``(out, state, attention)``.
        """
        batch = pad_input(self, x, lengths, task)
        if state is not None:
            check_state_kind(state, SharedPrivateState)
        shared, private = (None, None) if state is None else state
        common, shared_end = self.shared(batch.x, batch.lengths, task, shared)
        own, private_end, attention = self.private(
            batch.x, batch.lengths, task, private, return_attention_weights=True
        )
        out = batch.as_they_came(self._join(common, own))
        end = SharedPrivateState(shared_end, private_end)
        return (out, end, attention) if return_attention_weights else (out, end)

    def split(self, out: Tensor) -> tuple[Tensor, Tensor]:
        """The shared and the private part ``[…, D·H]`` of outputs ``[…, D·2H]``."""
        parts = out.split(self.hidden_size, -1)
        return torch.cat(parts[::2], -1), torch.cat(parts[1::2], -1)

    def _join(self, shared: Tensor, private: Tensor) -> Tensor:
        parts = zip(
            shared.split(self.hidden_size, -1), private.split(self.hidden_size, -1), strict=True
        )
        return torch.cat([part for pair in parts for part in pair], -1)

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.input_size}, {self.hidden_size}, {self.graph!r})"
