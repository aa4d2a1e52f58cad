"""The fully shared baseline: one LSTM for all tasks."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from ...graph import TaskGraph, Tasks
from ...ops.device import to_device
from ...ops.fused import recur_fused
from ...ops.layout import Layout
from ...ops.recurrence import NodeWeights, recur
from ...ops.words import Words
from ..check import check_dropouts, check_numbers, check_switch
from ..padded import check_shapes, pad_input
from ..tasks import own_input


class SharedState(NamedTuple):
    """The states after the last real step, as in :class:`torch.nn.LSTM`: ``[L·D, B, H]`` each.

    Where every task reads an input of its own, ``B·K`` sequences stand in the place of B.
    """

    h: Tensor
    c: Tensor

    def detach(self) -> SharedState:
        """The same values without their history, to go on from: gradients end here."""
        return SharedState(self.h.detach(), self.c.detach())

    def to(self, device: torch.device | str | int) -> SharedState:
        """The same values on a device, such as those that were saved on another one."""
        return SharedState(self.h.to(device), self.c.to(device))


class SharedLSTM(nn.Module):
    """One :class:`torch.nn.LSTM` that all tasks share: the fully shared baseline.

    Its parameters are those of ``lstm``; the recurrence is this library's, which on a CPU trains
    long packed sequences several times as fast as ``torch.nn.LSTM`` does. It is called like
    :class:`GraphLSTM`, whose outputs for all tasks would be K times the same here.

    Args:
        input_size: Size E of an input.
        hidden_size: Size H of a state.
        num_tasks: Number of tasks, or their names.
        num_layers: Number of layers.
        bidirectional: Adds a stack on the reversed sequence; outputs are ``[2H]``.
        dropout: Dropout between layers.

    Attributes:
        graph: The tasks, without edges: there is nothing to attend over.

    Shapes:
        - **input:** :math:`(B, T, E)` or :math:`(B, T, K, E)`, one input per task; or a
          :class:`~torch.nn.utils.rnn.PackedSequence`
        - **output:** :math:`(B, T, D \\cdot H)`, of several tasks :math:`(B, T, K, D \\cdot H)`;
          exact zeros beyond the lengths

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
        check_numbers(input_size=input_size, hidden_size=hidden_size, num_layers=num_layers)
        check_switch("bidirectional", bidirectional)
        check_dropouts(dropout=dropout)
        self.graph = TaskGraph.isolated(num_tasks)
        self.input_size, self.hidden_size = input_size, hidden_size
        self.num_layers, self.bidirectional = num_layers, bidirectional
        self.lstm = nn.LSTM(
            input_size,
            hidden_size,
            num_layers,
            batch_first=True,
            dropout=dropout if num_layers > 1 else 0.0,  # torch warns where it would do nothing
            bidirectional=bidirectional,
        )

    def reset_parameters(self) -> None:
        """Draw all parameters anew."""
        self.lstm.reset_parameters()

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
        state: SharedState | None = None,
        *,
        return_attention_weights: bool = False,
    ) -> Any:
        """Read sequences.

        Args:
            x: ``[B, T, E]``, ``[B, T, K, E]``, or a packed sequence.
            lengths: ``[B]``, real steps of each sequence; by default T. Like ``task``, it is read
                on the CPU: there it costs a GPU no synchronisation.
            task: ``[B]``, the task of each sequence; ``[B, K]``, boolean, its tasks; ``None``: all.
            state: The state that an earlier call returned.
            return_attention_weights: Also returns a list, for each layer and direction, of
                ``(edge_index, alpha)``: as in a graph without edges, both are empty.

        Returns:
            ``(out, state)`` or ``(out, state, attention)``.

        Raises:
            ValueError: For wrong sizes, a length of 0 or beyond T, a task out of range, or a state
                where the layer is bidirectional or the sizes are others.
        """
        batch = pad_input(self, x, lengths, task)
        x = batch.x if batch.task is None else own_input(batch.x, batch.task)
        out, end = self._read(x, batch.lengths, state)
        if batch.task is None and x.dim() == 3:
            # A copy each: who writes into one task's states shall not write into the others'.
            out = out.unsqueeze(2).repeat(1, 1, self.graph.num_tasks, 1)
        answer = batch.as_they_came(batch.only_wanted(out))
        if not return_attention_weights:
            return answer, end
        empty = (
            self.graph.edge_index.to(x.device, non_blocking=True),
            out.new_zeros(*x.shape[:2], 0, 1),
        )
        return answer, end, [empty] * (self.num_layers * (1 + self.bidirectional))

    def _read(
        self, x: Tensor, lengths: Tensor, state: SharedState | None
    ) -> tuple[Tensor, SharedState]:
        """Outputs ``[B, T, D·H]``, or with an input per task ``[B, T, K, D·H]``."""
        several = x.dim() == 4
        if several:
            lengths = lengths.repeat_interleave(x.size(2))
            batch, x = x.size(0), x.transpose(1, 2).flatten(0, 1)
        if state is not None:
            self._check_state(state, x.size(0))
        out, end = self._recur(x, lengths.tolist(), state)
        if several:
            out = out.unflatten(0, (batch, -1)).transpose(1, 2)
        return out, end

    def _recur(
        self, x: Tensor, lengths: list[int], state: SharedState | None
    ) -> tuple[Tensor, SharedState]:
        """All layers: ``[B, T, E]`` to ``[B, T, D·H]``."""
        order = sorted(range(len(lengths)), key=lambda b: -lengths[b])
        layout = Layout([0], [[lengths[b] for b in order]], x.device)
        sequence = to_device(order, x.device)
        place = torch.argsort(sequence)
        token = sequence[layout.slot] * x.size(1) + layout.time
        source, index = x.flatten(0, 1), token
        run = recur if torch._C._are_functorch_transforms_active() else recur_fused
        ends: list[tuple[Tensor, Tensor]] = []
        for layer in range(self.num_layers):
            outs = []
            for suffix in ("", "_reverse")[: 1 + self.bidirectional]:
                own = index[layout.flip] if suffix else index
                start = x.new_zeros(len(order), self.hidden_size)
                h, c = (start, start) if state is None else (v[len(ends)][sequence] for v in state)
                weights = self._weights(f"l{layer}{suffix}")
                hs, end, *_ = run(layout, Words(source, own), h, c, weights)
                ends.append((hs[layout.final][place], end[place]))
                outs.append(hs[layout.flip] if suffix else hs)
            source = torch.cat(outs, -1) if self.bidirectional else outs[0]
            index = torch.arange(layout.num_tokens, device=x.device)
            if layer < self.num_layers - 1:
                source = nn.functional.dropout(source, self.lstm.dropout, self.training)
        out = source.new_zeros(x.size(0) * x.size(1), source.size(1)).index_copy(0, token, source)
        h, c = (torch.stack(values) for values in zip(*ends, strict=True))
        return out.view(*x.shape[:2], -1), SharedState(h, c)

    def _weights(self, key: str) -> NodeWeights:
        """The parameters of a layer and direction, as the recurrence takes them."""
        input_weight, weight, input_bias, bias = (
            getattr(self.lstm, f"{name}_{key}")
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        )
        return NodeWeights(input_weight[None], weight[None], None, (input_bias + bias)[None])

    def _check_state(self, state: SharedState, batch_size: int) -> None:
        if not isinstance(state, tuple) or len(state) != 2:
            raise ValueError(f"expected a SharedState (h, c), got a {type(state).__name__}")
        check_shapes(state, (self.num_layers, batch_size, self.hidden_size), self.bidirectional)

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.input_size}, {self.hidden_size}, {self.graph!r})"
