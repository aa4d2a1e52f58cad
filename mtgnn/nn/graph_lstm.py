from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import linear
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence
from torch_geometric.nn import MessagePassing
from torch_geometric.nn.module_dict import ModuleDict

from ..graph import TaskGraph
from ..ops import recur, silent
from .attention import TaskAttentionConv
from .channel import conv_channel, dense_channel, message_channels
from .node import FUSIONS, NodeLSTM, stack_nodes
from .plan import EXCHANGES, Plan, Stage, make_plan

ConvFactory = Callable[[int, int], MessagePassing]


class GraphState(NamedTuple):
    """The states after the last real step; row ``l·D + d`` is layer ``l``, direction ``d``.

    Attributes:
        h: ``[L·D, B, N, H]`` of every node that ran; zeros for the others.
        c: Like ``h``.
        sender_h: Like ``h``, of the runs without messages that ``exchange="read"`` reads from.
        sender_c: Like ``h``.
        ran: ``[B, 2, N]``, which nodes ran: as themselves (0), as silent senders (1).
    """

    h: Tensor
    c: Tensor
    sender_h: Tensor
    sender_c: Tensor
    ran: Tensor


class GraphLSTM(nn.Module):
    r"""One LSTM per node of a task graph; nodes pass messages at every step.

    .. math::
        \mathbf{z}_t = \mathbf{W}_x[n] \mathbf{x}_t + \mathbf{W}_h[n] \mathbf{h}_{t-1} +
        \mathbf{W}_r[n] \mathbf{r}_t + \mathbf{b}[n]

    with the gates i, f, g, o of :class:`torch.nn.LSTM`, which it equals where no message comes.
    Generalises `"Multi-task Learning over Graph Structures" <https://arxiv.org/abs/1811.10211>`_.

    Args:
        input_size: Size E of an input.
        hidden_size: Size H of a state.
        graph: Who may talk to whom.
        exchange: ``"mutual"``: at step t every needed node receives its senders' states of t−1;
            ``"read"``: only a sequence's own task receives, from senders that run without
            messages, at the same step; ``"cascade"`` (acyclic graphs): in topological order, from
            the senders' states of the same step.
        num_layers: Number of layers; layer l of a node reads its own layer l−1.
        bidirectional: Adds a stack on the reversed sequence; outputs are ``[2H]``.
        dropout: Dropout between layers.
        message_dropout: Dropout on received messages.
        attention_dropout: Dropout on attention weights.
        fusion: ``"gates"``, the formula; ``"gated"``: :math:`\tilde{\mathbf{r}} =
            \sigma(\mathbf{W}_g [\mathbf{h}; \mathbf{r}] + \mathbf{b}_g) \odot \mathbf{r}`.
        score: Score of the attention, see :class:`TaskAttentionConv`.
        heads: Number of score sets.
        score_channels: Width of a score; by default H.
        score_owner: ``"shared"``: one set of score parameters; ``"receiver"``: each its own.
        detach: Cuts the gradient from a receiver into a sender that is a task.
        conv: Another communication: a PyG layer, or a factory ``f(layer, direction)``, called as
            ``conv((x_senders, x_receivers), edge_index)``, in a mutual exchange as
            ``conv(x, edge_index)``. Nodes without an incoming edge still receive zeros.

    Shapes:
        - **input:** :math:`(B, T, E)` or :math:`(B, T, N, E)`, one input per node; or a
          :class:`~torch.nn.utils.rnn.PackedSequence`
        - **output:** :math:`(B, T, D \cdot H)`, with ``task=None`` :math:`(B, T, K, D \cdot H)`;
          exact zeros beyond the lengths

    Raises:
        ValueError: For an unknown option, a cyclic graph with ``"cascade"``, or a ``conv`` that
            cannot do what the exchange needs.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        graph: TaskGraph,
        exchange: str = "mutual",
        *,
        num_layers: int = 1,
        bidirectional: bool = False,
        dropout: float = 0.0,
        message_dropout: float = 0.0,
        attention_dropout: float = 0.0,
        fusion: str = "gates",
        score: str = "additive",
        heads: int = 1,
        score_channels: int | None = None,
        score_owner: str = "shared",
        detach: bool = False,
        conv: MessagePassing | ConvFactory | None = None,
    ) -> None:
        super().__init__()
        _check_option("exchange", exchange, EXCHANGES)
        _check_option("fusion", fusion, FUSIONS)
        _check_option("score_owner", score_owner, ("shared", "receiver"))
        if exchange == "cascade":
            graph.generations()
        self.input_size, self.hidden_size = input_size, hidden_size
        self.graph, self.exchange = graph, exchange
        self.num_layers, self.bidirectional = num_layers, bidirectional
        self.dropout, self.message_dropout = dropout, message_dropout
        self.fusion, self.score, self.heads = fusion, score, heads
        self.detach = detach
        self.foreign = conv is not None
        self.keys = [
            f"l{layer}{suffix}"
            for layer in range(num_layers)
            for suffix in (("", "_reverse") if bidirectional else ("",))
        ]
        receivers = [graph.nodes[n] for n in range(graph.num_nodes) if graph.incoming(n)]
        if conv is not None:
            self.convs = _foreign_convs(conv, num_layers, bidirectional, self.keys)
            sizes = {
                message_channels(c, hidden_size, exchange == "mutual") for c in self.convs.values()
            }
            if len(sizes) != 1:
                raise ValueError(f"convs must agree on their output size, got {sorted(sizes)}")
            self.message_size = sizes.pop()
        else:
            self.convs = nn.ModuleDict()
            self.message_size = heads * hidden_size
            for i, key in enumerate(self.keys if receivers else []):
                layer = i // (2 if bidirectional else 1)
                context = input_size if layer == 0 else hidden_size * (1 + bidirectional)
                owners = ["shared"] if score_owner == "shared" else receivers
                self.convs[key] = ModuleDict(
                    {
                        name: TaskAttentionConv(
                            hidden_size,
                            context if score in ("additive", "dot") else 0,
                            heads,
                            score,
                            score_channels,
                            graph.num_edges if score == "static" else None,
                            attention_dropout,
                        )
                        for name in owners
                    }
                )
        self.nodes = ModuleDict(
            {
                name: NodeLSTM(
                    input_size,
                    hidden_size,
                    num_layers,
                    bidirectional,
                    self.message_size if name in receivers else 0,
                    fusion,
                )
                for name in graph.nodes
            }
        )

    def reset_parameters(self) -> None:
        """Draw all parameters anew."""
        for module in self.modules():
            if module is not self and hasattr(module, "reset_parameters"):
                module.reset_parameters()

    @property
    def output_size(self) -> int:
        """Size of an output: H, or 2H if bidirectional."""
        return self.hidden_size * (1 + self.bidirectional)

    # Forward ------------------------------------------------------------------------------------

    def forward(
        self,
        x: Tensor | PackedSequence,
        lengths: Tensor | None = None,
        task: Tensor | None = None,
        state: GraphState | None = None,
        *,
        return_attention_weights: bool = False,
    ) -> Any:
        """Read sequences.

        Args:
            x: ``[B, T, E]``, ``[B, T, N, E]``, or a packed sequence.
            lengths: ``[B]``, real steps of each sequence; by default T.
            task: ``[B]``, the task of each sequence; ``None``: the states of all tasks.
            state: The state that an earlier call returned.
            return_attention_weights: Also returns a list, for each layer and direction, of
                ``(edge_index, alpha)`` with ``alpha [B, T, num_edges, P]``, before dropout, zero
                on edges that were not run.

        Returns:
            ``(out, state)`` or ``(out, state, attention)``.

        Raises:
            ValueError: For wrong sizes, a length of 0 or beyond T, a task out of range, or a state
                where the exchange cannot stream or the state lacks a node.
        """
        packed = x if isinstance(x, PackedSequence) else None
        if packed is not None:
            x, lengths = pad_packed_sequence(packed, batch_first=True)
        assert isinstance(x, Tensor)
        lengths = self._check_input(x, lengths, task)
        if return_attention_weights and self.foreign:
            raise ValueError("attention weights are those of TaskAttentionConv; conv has none")
        plan = self._plan(task, x.size(0))
        plan = _move(plan, x.device)
        out, state, attention = self._run(x, lengths, plan, state, return_attention_weights)
        if packed is not None:
            out = pack_padded_sequence(out, lengths, True, enforce_sorted=False)
        return (out, state, attention) if return_attention_weights else (out, state)

    def _plan(self, task: Tensor | None, batch_size: int) -> Plan:
        tasks = None if task is None else task.tolist()
        return make_plan(self.graph, self.exchange, tasks, batch_size)

    def _run(
        self, x: Tensor, lengths: Tensor, plan: Plan, state: GraphState | None, want: bool
    ) -> tuple[Tensor, GraphState, list[tuple[Tensor, Tensor]]]:
        real = _mask(lengths, x.size(1), x.device)
        x = x.masked_fill(~real.view(*real.shape, *[1] * (x.dim() - 2)), 0.0)
        self._check_state(state, plan)
        inputs: list[Tensor] | None = None
        rows, attention = [], []
        for layer in range(self.num_layers):
            outs = []
            for direction in range(1 + self.bidirectional):
                key = self.keys[len(rows)]
                run = _Run(self, key, len(rows), lengths, real, direction == 1, want)
                outs.append(run(x, inputs, plan, state))
                rows.append(run.final)
                if want:
                    attention.append(
                        (self.graph.edge_index.to(x.device), self.attention(run, plan))
                    )
            inputs = [torch.cat(pair, -1) for pair in zip(*outs, strict=True)]
            if layer < self.num_layers - 1 and self.dropout > 0:
                inputs = [nn.functional.dropout(i, self.dropout, self.training) for i in inputs]
        assert inputs is not None
        flat = torch.cat([i.flatten(0, 1) for i in inputs])  # [S, T, D·H]
        out = flat[plan.answer]
        out = out if plan.answer.dim() == 1 else out.transpose(1, 2)
        return out, _join(rows, plan, x.size(0), self.graph.num_nodes), attention

    def attention(self, run: _Run, plan: Plan) -> Tensor:
        """The weights of a run as they are handed out; overridden by the star's mailbox."""
        batch, steps = run.real.shape
        alpha = next(self.parameters()).new_zeros(batch, self.graph.num_edges, steps, self.heads)
        for stage, weights in run.weights:
            assert stage.mask is not None and stage.edge is not None
            sequence = stage.sequence.unsqueeze(-1).expand_as(stage.edge)[stage.mask]
            picked = weights[:, stage.mask].transpose(0, 1).to(alpha.dtype)
            alpha = alpha.index_put((sequence, stage.edge[stage.mask]), picked)
        alpha = alpha.transpose(1, 2).masked_fill(~run.real[..., None, None], 0.0)
        return run.in_order(alpha, 1)

    def channel(self, run: _Run, stage: Stage, memory: Tensor, words: Tensor, mutual: bool) -> Any:
        """What the stage's nodes receive at each step; overridden by the star's mailbox."""
        make = conv_channel if self.foreign else dense_channel
        return make(self, run.key, stage, memory, words, mutual)

    # Checks -------------------------------------------------------------------------------------

    def _check_input(self, x: Tensor, lengths: Tensor | None, task: Tensor | None) -> Tensor:
        nodes = self.graph.num_nodes
        if x.dim() not in (3, 4) or x.size(-1) != self.input_size or 0 in x.shape[:2]:
            raise ValueError(
                f"expected x of shape [B, T, {self.input_size}] or "
                f"[B, T, {nodes}, {self.input_size}], got {list(x.shape)}"
            )
        if x.dim() == 4 and x.size(2) != nodes:
            raise ValueError(f"expected one input for each of {nodes} nodes, got {x.size(2)}")
        batch, steps = x.shape[:2]
        if lengths is None:
            lengths = torch.full((batch,), steps)
        lengths = lengths.cpu()
        if lengths.shape != (batch,) or lengths.is_floating_point():
            raise ValueError(f"expected integer lengths of shape [{batch}], got {lengths!r}")
        if int(lengths.min()) < 1 or int(lengths.max()) > steps:
            raise ValueError(f"expected lengths in 1…{steps}, got {lengths.tolist()}")
        if task is not None:
            tasks = self.graph.num_tasks
            if task.shape != (batch,) or task.is_floating_point():
                raise ValueError(f"expected integer tasks of shape [{batch}], got {task!r}")
            if int(task.min()) < 0 or int(task.max()) >= tasks:
                raise ValueError(f"expected tasks in 0…{tasks - 1}, got {task.tolist()}")
        return lengths

    def _check_state(self, state: GraphState | None, plan: Plan) -> None:
        if state is None:
            return
        if self.bidirectional:
            raise ValueError("a bidirectional layer reads the end first: it takes no state")
        for stage in plan.stages:
            kind = _kind(stage, plan)
            for row, node in enumerate(stage.nodes):
                sequences = stage.sequence[row][stage.valid[row]]
                if not bool(state.ran[sequences, kind, node].all()):
                    raise ValueError(
                        f"the state lacks node {self.graph.nodes[node]!r} for some sequence: "
                        "continue with the tasks it came from"
                    )

    def __repr__(self) -> str:
        return (
            f"{self.__class__.__name__}({self.input_size}, {self.hidden_size}, "
            f"{self.graph!r}, exchange={self.exchange!r})"
        )


class _Run:
    """One layer in one direction: all stages over all steps."""

    def __init__(
        self,
        layer: GraphLSTM,
        key: str,
        row: int,
        lengths: Tensor,
        real: Tensor,
        reverse: bool,
        want: bool,
    ) -> None:
        self.layer, self.key, self.row = layer, key, row
        self.lengths, self.real, self.reverse = lengths, real, reverse
        self.want = want
        self.final: list[tuple[Tensor, Tensor]] = []
        self.weights: list[tuple[Stage, Tensor]] = []

    def __call__(
        self, x: Tensor, inputs: list[Tensor] | None, plan: Plan, state: GraphState | None
    ) -> list[Tensor]:
        outs: list[Tensor] = []
        memory: list[Tensor] = []
        for number, stage in enumerate(plan.stages):
            words = self._words(x, None if inputs is None else inputs[number], stage)
            h, c = self._start(stage, plan, state, words)
            if stage.senders is None:
                hs, end = self._silent(stage, words, h, c)
            else:
                past = torch.cat(memory) if memory else words.new_zeros(0)
                hs, end, weights = self._recur(stage, words, h, c, past, plan.mutual)
                if weights and self.want:
                    self.weights.append((stage, torch.stack(weights)))
            self.final.append(end)
            memory.append(hs.flatten(0, 1))
            outs.append(self._turn(hs, stage))
        return outs

    def _words(self, x: Tensor, previous: Tensor | None, stage: Stage) -> Tensor:
        """What each slot reads, in the order it reads it: ``[R, M, T, E]``."""
        if previous is not None:
            return self._turn(previous, stage)
        if x.dim() == 3:
            words = x[stage.sequence]
        else:
            nodes = torch.tensor(stage.nodes, device=x.device).unsqueeze(1)
            words = x.transpose(1, 2)[stage.sequence, nodes]
        return self._turn(words, stage)

    def _turn(self, states: Tensor, stage: Stage) -> Tensor:
        """Reverse ``[R, M, T, F]`` within the lengths, if this direction is the reverse one."""
        if not self.reverse:
            return states
        steps = torch.arange(states.size(2))
        lengths = self.lengths.unsqueeze(1)
        index = torch.where(steps < lengths, lengths - 1 - steps, steps).to(states.device)
        index = index[stage.sequence].unsqueeze(-1).expand_as(states)
        return states.gather(2, index)

    def _start(
        self, stage: Stage, plan: Plan, state: GraphState | None, words: Tensor
    ) -> tuple[Tensor, Tensor]:
        if state is None:
            zeros = words.new_zeros(*stage.sequence.shape, self.layer.hidden_size)
            return zeros, zeros
        nodes = torch.tensor(stage.nodes, device=words.device).unsqueeze(1)
        own = _kind(stage, plan) == 0
        h, c = (state.h, state.c) if own else (state.sender_h, state.sender_c)
        return h[self.row][stage.sequence, nodes], c[self.row][stage.sequence, nodes]

    def _silent(
        self, stage: Stage, words: Tensor, h: Tensor, c: Tensor
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        lengths = self.lengths[stage.sequence.cpu()]
        outs = []
        for r, node in enumerate(stage.nodes):
            lstm = self.layer.nodes[self.layer.graph.nodes[node]]
            parameters = [lstm.get(name, self.key) for name in names]
            outs.append(silent(words[r], lengths[r], h[r], c[r], parameters))
        hs, ends, cells = (torch.stack(part) for part in zip(*outs, strict=True))
        return hs, (ends, cells)

    def _recur(
        self,
        stage: Stage,
        words: Tensor,
        h: Tensor,
        c: Tensor,
        memory: Tensor,
        mutual: bool,
    ) -> tuple[Tensor, tuple[Tensor, Tensor], list[Tensor]]:
        layer = self.layer
        nodes = [layer.nodes[layer.graph.nodes[node]] for node in stage.nodes]
        projected = torch.stack(
            [
                linear(
                    words[r],
                    node.get("weight_ih", self.key),
                    node.get("bias_ih", self.key) + node.get("bias_hh", self.key),
                )
                for r, node in enumerate(nodes)
            ]
        )
        channel = layer.channel(self, stage, memory, words, mutual)
        drop = layer.message_dropout if layer.training else 0.0
        weights = stack_nodes(nodes, self.key, layer.message_size)
        hs, cs, alphas = recur(projected.permute(2, 0, 1, 3), h, c, weights, channel, drop)
        last = (self.lengths.to(h.device)[stage.sequence] - 1)[None, ..., None].expand(1, *h.shape)
        end = (hs.gather(0, last)[0], cs.gather(0, last)[0])
        real = self.real[stage.sequence].unsqueeze(-1)
        return hs.permute(1, 2, 0, 3).masked_fill(~real, 0.0), end, alphas

    def in_order(self, values: Tensor, dim: int) -> Tensor:
        """Put ``[B, …, T (at dim), …]`` into reading order, if this is the reverse direction."""
        if not self.reverse:
            return values
        steps = torch.arange(values.size(dim))
        lengths = self.lengths.unsqueeze(1)
        index = torch.where(steps < lengths, lengths - 1 - steps, steps).to(values.device)
        shape = [1] * values.dim()
        shape[0], shape[dim] = index.shape
        return values.gather(dim, index.view(shape).expand_as(values))


def _kind(stage: Stage, plan: Plan) -> int:
    """0 for a node's own run, 1 for the silent run that others read."""
    return int(plan.read and stage.senders is None)


def _join(
    rows: list[list[tuple[Tensor, Tensor]]], plan: Plan, batch_size: int, num_nodes: int
) -> GraphState:
    first = rows[0][0][0]
    ran = torch.zeros(batch_size, 2, num_nodes, dtype=torch.bool, device=first.device)
    states = []
    for ends in rows:
        h = first.new_zeros(2, batch_size, num_nodes, first.size(-1))
        c = torch.zeros_like(h)
        for stage, (end_h, end_c) in zip(plan.stages, ends, strict=True):
            nodes = torch.tensor(stage.nodes, device=first.device).unsqueeze(1)
            node = nodes.expand_as(stage.sequence)[stage.valid]
            sequence = stage.sequence[stage.valid]
            kind = torch.full_like(node, _kind(stage, plan))
            h = h.index_put((kind, sequence, node), end_h[stage.valid])
            c = c.index_put((kind, sequence, node), end_c[stage.valid])
            ran[sequence, kind, node] = True
        states.append((h, c))
    h, c = (torch.stack(part) for part in zip(*states, strict=True))
    return GraphState(h[:, 0], c[:, 0], h[:, 1], c[:, 1], ran)


def _mask(lengths: Tensor, steps: int, device: torch.device) -> Tensor:
    return (torch.arange(steps) < lengths.unsqueeze(1)).to(device)


def _move(plan: Plan, device: torch.device) -> Plan:
    stages = [
        Stage(*(part.to(device) if isinstance(part, Tensor) else part for part in stage))
        for stage in plan.stages
    ]
    return plan._replace(stages=stages, answer=plan.answer.to(device))


def _check_option(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"expected {name} to be one of {allowed}, got {value!r}")


def _foreign_convs(
    conv: MessagePassing | ConvFactory, num_layers: int, bidirectional: bool, keys: list[str]
) -> nn.ModuleDict:
    if isinstance(conv, nn.Module):
        if len(keys) > 1:
            raise ValueError(
                f"{len(keys)} layers and directions need a conv each: "
                "give a factory f(layer, direction)"
            )
        return nn.ModuleDict({keys[0]: conv})
    directions = 1 + bidirectional
    return nn.ModuleDict({key: conv(i // directions, i % directions) for i, key in enumerate(keys)})
