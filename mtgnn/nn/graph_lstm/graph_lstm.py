from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence
from torch_geometric.nn import MessagePassing
from torch_geometric.nn.module_dict import ModuleDict

from ...graph import TaskGraph
from ...ops.attention import ScoreWeights
from ...ops.recurrence import Channel
from ...ops.talk import Talk
from ...ops.words import Words
from ..check import check_option, check_state_kind
from ..padded import pad_input
from ..reset import reset_children
from ..tasks import Wanted, wanted_tasks
from . import mailbox
from .attention import attention_convs
from .channel import edge_channel
from .check_options import check_options
from .foreign import ConvFactory, foreign_convs, message_channels
from .node import FUSIONS, NodeLSTM
from .packing import unpack, unpack_attention
from .plan import EXCHANGES, Plan, Stage, make_plan
from .run import Run, run_layers
from .state import GraphState, join_states
from .talks import edge_talk

KERNELS = ("auto", "reference", "fused")


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
        graph: Who may talk to whom. Numbers of edges (static scores, shares in mailboxes) are in
            the order of its edges, in a ``state_dict`` too: that is for a layer over the same
            edges in the same order.
        exchange: ``"mutual"``: at step t every needed node receives its senders' states of t−1;
            ``"read"``: only a sequence's own task receives, from senders that run without
            messages, at the same step; ``"cascade"`` (acyclic graphs): in topological order, from
            the senders' states of the same step.
        memory: Which of its senders' states a receiver reads at step t, in the exchange
            ``"read"``: ``"current"``, those of the same step; ``"past"``, of all steps so far;
            ``"all"``, of the whole sequence. The last two make it a mailbox: ``score`` weighs its
            positions, and what stands at a position is the mean of the senders' states, weighed
            by one learned number an edge (see :meth:`edge_attention`):

            .. math::
                \mathbf{s}_{k,j} = \sum_i \alpha_{k \leftarrow i} \mathbf{m}_{i,j}, \quad
                \beta_{t,j} = \mathrm{softmax}_j\, \mathrm{score}(\mathbf{h}_{k,t-1},
                \mathbf{x}_t, \mathbf{s}_{k,j}), \quad
                \mathbf{r}_{k,t} = \sum_j \beta_{t,j} \mathbf{s}_{k,j}
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
        concat_messages: Puts what a node received beside its states in the output: ``[h; r]`` of
            each direction, with r as the gates took it. A head then reads what others know without
            the detour through the node's own LSTM. Layers below the last hand on states alone.
        score_owner: ``"shared"``: one set of score parameters; ``"receiver"``: each its own.
        common: Every node's parameters are the sum of a part that all nodes have in common and a
            part of its own, which starts at zero (`"Regularized multi-task learning"
            <https://doi.org/10.1145/1014052.1014067>`_). All tasks train the common part; the
            units of all nodes then mean alike, and a mean of messages means something.
        own_rank: With ``common``, the rank of each matrix in a task's own part, which is then a
            product of two narrow ones (`"LoRA: Low-Rank Adaptation of Large Language Models"
            <https://arxiv.org/abs/2106.09685>`_); 0: its own part is biases alone. With a rank
            well below E and H a task more costs few parameters. By default matrices are whole;
            those of virtual nodes always are.
        detach: Cuts the gradient from a receiver into a sender that is a task.
        num_neighbors: In training each sequence hears at most this many of a receiver's senders,
            drawn anew every time, the same ones for all receivers as far as they go; the others
            need not run on it. In evaluation, and by default (``None``), all: weights sum to one
            in both, what a ``conv`` adds up does not. For the exchange ``"read"``; such a layer
            takes no state in training.
        kernel: ``"auto"``: the fast path where there is one; ``"reference"``: the plain path, by
            autograd; ``"fused"``: the fast path, or an error. All give the same values.
        conv: Another communication: a PyG layer, or a factory ``f(layer, direction)``, called as
            ``conv((x_senders, x_receivers), edge_index)``, in a mutual exchange as
            ``conv(x, edge_index)``. Nodes without an incoming edge still receive zeros. It has no
            scores, so options of these make no sense with it, and is without self-loops where
            senders and receivers are two sets: ``GATv2Conv(H, H, add_self_loops=False)``.

    Shapes:
        - **input:** :math:`(B, T, E)` or :math:`(B, T, N, E)`, one input per node; or a
          :class:`~torch.nn.utils.rnn.PackedSequence`
        - **output:** :math:`(B, T, D \cdot H)`, of several tasks :math:`(B, T, K, D \cdot H)`;
          exact zeros beyond the lengths and of tasks that are not asked for; see also
          ``concat_messages``

    Raises:
        ValueError: For an unknown option, options that exclude each other, a cyclic graph with
            ``"cascade"``, a mailbox in another exchange than ``"read"``, with static scores or a
            conv, or a ``conv`` that cannot do what the exchange needs.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        graph: TaskGraph,
        exchange: str = "mutual",
        *,
        memory: str = "current",
        num_layers: int = 1,
        bidirectional: bool = False,
        dropout: float = 0.0,
        message_dropout: float = 0.0,
        attention_dropout: float = 0.0,
        fusion: str = "gates",
        score: str = "additive",
        heads: int = 1,
        score_channels: int | None = None,
        concat_messages: bool = False,
        score_owner: str = "shared",
        common: bool = False,
        own_rank: int | None = None,
        detach: bool = False,
        num_neighbors: int | None = None,
        kernel: str = "auto",
        conv: MessagePassing | ConvFactory | None = None,
    ) -> None:
        super().__init__()
        check_option("exchange", exchange, EXCHANGES)
        check_option("memory", memory, mailbox.MEMORIES)
        check_option("fusion", fusion, FUSIONS)
        check_option("score_owner", score_owner, ("shared", "receiver"))
        check_option("kernel", kernel, KERNELS)
        self.input_size, self.hidden_size = input_size, hidden_size
        self.graph, self.exchange, self.memory = graph, exchange, memory
        self.num_layers, self.bidirectional = num_layers, bidirectional
        self.dropout, self.message_dropout = dropout, message_dropout
        self.attention_dropout = attention_dropout
        self.fusion, self.score, self.heads = fusion, score, heads
        self.score_channels = hidden_size if score_channels is None else score_channels
        self.concat_messages = concat_messages
        self.owned = score_owner == "receiver"
        self.own_rank = own_rank
        self.detach, self.num_neighbors, self.kernel = detach, num_neighbors, kernel
        self.foreign = conv is not None
        check_options(self, common)
        suffixes = ("", "_reverse") if bidirectional else ("",)
        self.keys = [f"l{layer}{suffix}" for layer in range(num_layers) for suffix in suffixes]
        hear = graph.num_tasks if exchange == "read" else graph.num_nodes  # there senders do not
        receivers = [graph.nodes[n] for n in range(hear) if graph.incoming(n)]
        if conv is not None:
            self.convs = foreign_convs(conv, self.keys, len(suffixes))
            self.message_size = message_channels(self.convs, hidden_size, exchange == "mutual")
        else:
            owners = (receivers if self.owned else ["shared"]) if receivers else []
            self.convs = attention_convs(self, owners)
            self.message_size = heads * hidden_size
        self.edge_logits = mailbox.make_edge_logits(self)
        shape = (input_size, hidden_size, num_layers, bidirectional)
        listens = self.message_size if receivers else 0
        self.common = NodeLSTM(*shape, listens, fusion) if common else None

        def node(name: str) -> NodeLSTM:
            message_size = listens if name in receivers else 0
            rank = own_rank if name in graph.tasks else None
            return NodeLSTM(*shape, message_size, fusion, zero=common, rank=rank)

        self.nodes = ModuleDict({name: node(name) for name in graph.nodes})

    def reset_parameters(self) -> None:
        """Draw all parameters anew."""
        reset_children(self)
        for logits in self.edge_logits.values():
            nn.init.zeros_(logits)

    @property
    def output_size(self) -> int:
        """Size D · H of an output, or with ``concat_messages`` D · (H + C)."""
        size = self.hidden_size + (self.message_size if self.concat_messages else 0)
        return size * (1 + self.bidirectional)

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
        """Read sequences.

        Args:
            x: ``[B, T, E]``, ``[B, T, N, E]``, or a packed sequence; read in the parameters' type.
            lengths: ``[B]``, real steps of each sequence; by default T. Like ``task``, it is read
                on the CPU: there it costs a GPU no synchronisation.
            task: ``[B]``, the task of each sequence; ``[B, K]``, boolean, the tasks of each, at
                least one; ``None``: the states of all tasks.
            state: The state that an earlier call returned.
            return_attention_weights: Also returns a list, for each layer and direction, of
                ``(edge_index, alpha)`` with ``alpha [B, T, num_edges, P]``, before dropout, zero
                on edges that were not run. Of a mailbox, ``(edge_index, beta)`` with
                ``beta [B, T, T, P]`` (step, position), of several tasks ``[B, K, T, T, P]``.

        Returns:
            ``(out, state)`` or ``(out, state, attention)``.

        Raises:
            ValueError: For wrong sizes, a length of 0 or beyond T, a task out of range, or a state
                where the exchange cannot stream or the state lacks a node.
        """
        batch = pad_input(self, x, lengths, task)
        x = batch.x
        if return_attention_weights and self.foreign:
            raise ValueError(
                "attention weights are those of TaskAttentionConv; conv has none (edge_ablation "
                "needs none)"
            )
        plan = self._make_plan(wanted_tasks(task), batch.lengths.tolist(), x.device)
        if state is not None:
            self._check_state(state, plan, x.size(0))
        outs, runs = run_layers(self, x, plan, state, return_attention_weights)
        out = batch.as_they_came(unpack(outs, plan, self.graph.num_tasks, *x.shape[:2]))
        end = self._final_state(runs, plan, state, x.size(0))
        if not return_attention_weights:
            return out, end
        edge_index = self.graph.edge_index.to(x.device, non_blocking=True)
        return out, end, [(edge_index, self._attention(run, *x.shape[:2])) for run in runs]

    def edge_attention(self) -> list[tuple[Tensor, Tensor]]:
        """Of a mailbox, the senders' shares in it: ``(edge_index, alpha [num_edges])`` for each
        layer and direction, differentiable; they sum to one over the edges into a task.

        Raises:
            ValueError: With ``memory="current"``, whose weights depend on the step.
        """
        if self.memory == "current":
            raise ValueError(
                'with memory="current" edges are weighed at every step: '
                "call the layer with return_attention_weights=True"
            )
        alphas = [mailbox.edge_weights(self, key) for key in self.keys]
        edge_index = self.graph.edge_index
        return [(edge_index.to(alpha.device, non_blocking=True), alpha) for alpha in alphas]

    # What explanations replace, to cut edges or to look at weights ------------------------------

    def _make_plan(self, tasks: Wanted, lengths: list[int], device: torch.device) -> Plan:
        """What runs on a batch; see :func:`~mtgnn.nn.graph_lstm.plan.make_plan`."""
        sample = self.num_neighbors if self.training else None
        # Whatever its rank, a node's own are a bias of a gated fusion and scores of a receiver.
        biases_alone = self.own_rank == 0 and self.fusion == "gates" and not self.owned
        if biases_alone:  # unless somebody put another node there
            nodes = (self.nodes[task] for task in self.graph.tasks)
            biases_alone = all(getattr(node, "rank", None) == 0 for node in nodes)
        return make_plan(self.graph, self.exchange, tasks, lengths, device, sample, biases_alone)

    def _make_run(self, row: int, plan: Plan, state: GraphState | None) -> Run:
        """The run of one layer in one direction."""
        return Run(self, row, plan, state)

    def _talk(self, run: Run, scores: ScoreWeights, stage: Stage, words: Words) -> Talk:
        """What a stage that is no mutual exchange receives, on the fast path."""
        if self.memory == "current":
            return edge_talk(self, scores, stage, words, run.memory)
        return mailbox.mailbox_talk(self, run, scores, stage, words)

    def _channel(self, run: Run, scores: ScoreWeights, stage: Stage) -> Channel:
        """The same on the plain path."""
        dropout = self.attention_dropout if self.training else 0.0
        if self.memory == "current":
            return edge_channel(scores, stage, run.memory, dropout)
        return mailbox.mailbox_channel(run, scores, stage, dropout)

    def _shares(self, key: str, stage: Stage, slot: Tensor) -> Tensor:
        """Each sender's share in the mailboxes of some slots, ``[M, J]``."""
        return mailbox.shares(self, key, stage, slot)

    def _join_weights(self, alphas: list[Tensor], stage: Stage) -> Tensor:
        """The weights ``[s, J, P]`` of all steps, packed; of a mailbox ``[M, T, T', P]``."""
        if self.memory == "current":
            return torch.cat(alphas)
        return mailbox.by_mailbox(alphas, stage.layout)

    def _attention(self, run: Run, batch_size: int, steps: int) -> Tensor:
        """The weights of a run as they are handed out."""
        if self.memory == "current":
            return unpack_attention(run, self.graph.num_edges, self.heads, batch_size, steps)
        return mailbox.mailbox_attention(run, batch_size, steps)

    def _check_state(self, state: GraphState, plan: Plan, batch_size: int) -> None:
        """Raise where a state makes no sense here."""
        if self.training and self.num_neighbors is not None:
            raise ValueError(
                "num_neighbors draws other senders at every call: in training it takes no state"
            )
        if self.bidirectional:
            raise ValueError("a bidirectional layer reads the end first: it takes no state")
        check_state_kind(state, GraphState)
        mailbox.check_memory(self, state, batch_size)
        sizes = (self.num_layers, batch_size, self.graph.num_nodes, self.hidden_size)
        state.check(plan, sizes, self.graph.nodes)

    def _final_state(
        self, runs: list[Run], plan: Plan, state: GraphState | None, batch_size: int
    ) -> GraphState:
        """The state to go on from."""
        end = join_states([run.ends for run in runs], plan, batch_size, self.graph.num_nodes)
        if self.memory != "past" or self.bidirectional or not mailbox.carries(self.graph):
            return end
        return mailbox.with_mailbox(end, runs, plan, state, batch_size)

    def __repr__(self) -> str:
        return (
            f"{self.__class__.__name__}({self.input_size}, {self.hidden_size}, "
            f"{self.graph!r}, {self.extra_repr()})"
        )

    def extra_repr(self) -> str:
        """What stands in the representation after the graph."""
        memory = "" if self.memory == "current" else f", memory={self.memory!r}"
        conv = f", conv={self.convs[self.keys[0]]}" if self.foreign else ""
        return f"exchange={self.exchange!r}{memory}{conv}"
