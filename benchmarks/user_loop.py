"""What a user would write by hand: a loop over words, in it message passing and one cell a task.

The yardstick of ``speed.py``: the mathematics of :class:`mtgnn.nn.GraphLSTM` with nothing but PyG
and torch, on the very parameters of a layer, so that values and gradients can be compared. It is
tuned as somebody would who knows both libraries well:

- what needs no state is computed before the loop, for all words in one product;
- inputs are unbound once; the graph and the weights are put together once a call;
- the batch is PyG's static graph, nodes first, ``[N, B, F]``, where all sequences share one graph,
  and disjoint copies sorted by receiver where edges depend on a sequence's task. Each was the
  fastest of the ways to batch, or within noise of it, at the sizes tried (K 3 to 16, B 16 to 64);
- a batch that mixes tasks is sorted by task once, so that a task's sequences are one slice.

``tuned=True`` goes further than "a cell a task": :class:`MutualLoop` then stacks the tasks' weights
and makes one batched product a word, :class:`ReadLoop` runs the senders, which receive nothing, as
``nn.LSTM`` over whole sentences. :class:`StarLoop` and :class:`MailboxLoop` do so in any case.

All know one layer in one direction, one head, and the scores ``"additive"`` and ``"dot"`` with
parameters that all edges share. Padding is read like words and zeroed at the end; it comes last,
and so influences nothing.
"""

import math
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor, nn
from torch_geometric.nn import MessagePassing
from torch_geometric.typing import OptPairTensor
from torch_geometric.utils import softmax

from mtgnn.nn import CompleteGraphLSTM, GraphLSTM, StarGraphLSTM

Update = Callable[[Tensor, Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
"""From word, message, h and c, all ``[N, B, *]``, to the new h and c."""

Weights = tuple[Tensor, Tensor, Tensor, Tensor]
"""What ``torch.lstm_cell`` takes: of the input, of the state, and two biases."""


class Attention(MessagePassing):
    """Scores and messages of one word; queries and keys come from outside.

    Args:
        layer: Whose score parameters to use.
    """

    def __init__(self, layer: GraphLSTM) -> None:
        super().__init__(aggr="add", node_dim=0)
        conv = layer.convs["l0"]["shared"]
        self.lin_query, self.lin_sender = conv.lin_query, conv.lin_sender
        self.lin_word, self.bias, self.att = conv.lin_context, conv.bias, conv.att
        self.scale = 1 / math.sqrt(self.lin_query.out_features)

    def words(self, x: Tensor) -> Tensor:
        """The words' part of the queries."""
        words = self.lin_word(x)
        return words if self.bias is None else words + self.bias

    def forward(self, x: Tensor, query: Tensor, key: Tensor, edge_index: Tensor) -> Tensor:
        """Senders ``x [J, *, H]`` with ``key [J, *, A]`` to receivers of ``query [N, *, A]``."""
        # propagate_type: (x: OptPairTensor, query: OptPairTensor, key: OptPairTensor)
        states: OptPairTensor = (x, None)
        queries: OptPairTensor = (None, query)
        keys: OptPairTensor = (key, None)
        size = (x.size(0), query.size(0))
        return self.propagate(edge_index, x=states, query=queries, key=keys, size=size)

    def message(
        self, x_j: Tensor, query_i: Tensor, key_j: Tensor, index: Tensor, size_i: int
    ) -> Tensor:
        """Weigh the senders' states."""
        if self.att is None:
            score = (query_i * key_j).sum(-1) * self.scale
        else:
            score = torch.tanh(query_i + key_j) @ self.att[0]
        return softmax(score, index, num_nodes=size_i).unsqueeze(-1) * x_j


def cell_weights(node: nn.Module) -> Weights:
    """Those of an ``LSTMCell`` whose input is word and message side by side."""
    weight = torch.cat([node.weight_ih_l0, node.weight_rh_l0], 1)
    return weight, node.weight_hh_l0, node.bias_ih_l0, node.bias_hh_l0


def silent_weights(node: nn.Module) -> Weights:
    """Those of an ``LSTMCell`` that receives nothing."""
    return node.weight_ih_l0, node.weight_hh_l0, node.bias_ih_l0, node.bias_hh_l0


def silent_lstm(node: nn.Module, layer: GraphLSTM) -> nn.LSTM:
    """An ``nn.LSTM`` with the parameters of a node."""
    lstm = nn.LSTM(layer.input_size, layer.hidden_size)
    for name in ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"):
        setattr(lstm, name, getattr(node, name))
    lstm.flatten_parameters()
    return lstm


def run_cells(
    inputs: Sequence[Tensor], hs: Sequence[Tensor], cs: Sequence[Tensor], weights: list[Weights]
) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """One cell after the other; all arguments have an entry for each."""
    states = [
        torch.lstm_cell(x, (h, c), *own)
        for x, h, c, own in zip(inputs, hs, cs, weights, strict=True)
    ]
    new_h, new_c = zip(*states, strict=True)
    return new_h, new_c


class Loop(nn.Module):
    """What all loops share: called as ``loop(x [B, T, E], lengths [B], task [B])``, they return
    the states ``[B, T, H]`` of each sequence's task, zeros beyond its length.

    Args:
        layer: Whose parameters to use.
        tuned: See above.

    Raises:
        ValueError: For a layer with options that the loops do not know.
    """

    def __init__(self, layer: GraphLSTM, tuned: bool = False) -> None:
        super().__init__()
        known = (
            (layer.num_layers, layer.heads, layer.fusion) == (1, 1, "gates")
            and layer.score in ("additive", "dot")
            and not (layer.bidirectional or layer.owned or layer.foreign or layer.detach)
            and all(layer.graph.incoming(task) for task in range(layer.graph.num_tasks))
        )
        if not known:
            raise ValueError(f"expected one plain layer whose tasks all receive, got {layer}")
        self.attention = Attention(layer)
        self.nodes = nn.ModuleList(layer.nodes[name] for name in layer.graph.tasks)
        self.hidden_size = layer.hidden_size
        self.tuned = tuned

    def forward(self, x: Tensor, lengths: Tensor, task: Tensor) -> Tensor:
        """Read sentences."""
        out = self.read(x, lengths, task)
        steps = torch.arange(x.size(1), device=x.device)
        return out * (steps < lengths.to(x.device)[:, None]).unsqueeze(-1)


class MutualLoop(Loop):
    """Any graph in a mutual exchange: all nodes receive the states of the word before."""

    def __init__(self, layer: GraphLSTM, tuned: bool = False) -> None:
        super().__init__(layer, tuned)
        self.register_buffer("edge_index", layer.graph.edge_index)

    def read(self, x: Tensor, lengths: Tensor, task: Tensor) -> Tensor:
        attention, (batch, _, inputs) = self.attention, x.shape
        shape = (len(self.nodes), batch, self.hidden_size)
        h, c = x.new_zeros(shape), x.new_zeros(shape)
        update = self.batched_update() if self.tuned else self.cell_update(c)
        task, sequence = task.to(x.device), torch.arange(batch, device=x.device)
        out = []
        for word, query in zip(x.unbind(1), attention.words(x).unbind(1), strict=True):
            query = attention.lin_query(h) + query
            message = attention(h, query, attention.lin_sender(h), self.edge_index)
            h, c = update(word.expand(*shape[:2], inputs), message, h, c)
            out.append(h[task, sequence])
        return torch.stack(out, 1)

    def cell_update(self, start: Tensor) -> Update:
        """A cell a task; between words, states stay lists."""
        weights = [cell_weights(node) for node in self.nodes]
        hs = cs = start.unbind(0)

        def update(word: Tensor, message: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
            nonlocal hs, cs
            hs, cs = run_cells(torch.cat([word, message], -1).unbind(0), hs, cs, weights)
            return torch.stack(hs), c

        return update

    def batched_update(self) -> Update:
        """One product for all tasks, and the LSTM's formula."""
        own = [cell_weights(node) for node in self.nodes]
        weight = torch.stack([torch.cat([w_in, w_h], 1).t() for w_in, w_h, _, _ in own])
        bias = torch.stack([b_in + b_h for _, _, b_in, b_h in own]).unsqueeze(1)

        def update(word: Tensor, message: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
            z = torch.baddbmm(bias, torch.cat([word, message, h], -1), weight)
            i, f, g, o = z.chunk(4, -1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            return torch.sigmoid(o) * torch.tanh(c), c

        return update


class BipartiteLoop(Loop):
    """Sequences whose own task alone receives, from senders that do not."""

    def read(self, x: Tensor, lengths: Tensor, task: Tensor) -> Tensor:
        attention, order = self.attention, torch.argsort(task, stable=True)
        present, counts = (part.tolist() for part in task[order].unique(return_counts=True))
        weights = [cell_weights(self.nodes[k]) for k in present]
        edge_index = self.edges(lengths[order], task[order], x.size(1)).to(x.device)
        here = order.to(x.device)
        x = x[here].transpose(0, 1).contiguous()  # [T, B, E]
        h = x.new_zeros(x.size(1), self.hidden_size)
        hs = cs = h.split(counts)
        out = []
        words = zip(x.unbind(0), attention.words(x).unbind(0), self.senders(x), strict=True)
        for word, query, (sent, key) in words:
            message = attention(sent, attention.lin_query(h) + query, key, edge_index)
            inputs = torch.cat([word, message], -1).split(counts)
            hs, cs = run_cells(inputs, hs, cs, weights)
            h = torch.cat(hs)
            out.append(h)
        return torch.stack(out, 1)[torch.argsort(here)]

    @staticmethod
    def disjoint(real: Tensor) -> Tensor:
        """Edges from sender j's copy for sequence b, node ``j·B + b``, to receiver b, wherever
        ``real [B, J]`` says so."""
        receiver, sender = real.nonzero().unbind(1)
        return torch.stack([sender * real.size(0) + receiver, receiver])


class ReadLoop(BipartiteLoop):
    """The complete graph where the own task reads the others, at the same word."""

    def __init__(self, layer: GraphLSTM, tuned: bool = False) -> None:
        super().__init__(layer, tuned)
        self.lstms = nn.ModuleList(silent_lstm(node, layer) for node in self.nodes)

    def edges(self, lengths: Tensor, task: Tensor, steps: int) -> Tensor:
        return self.disjoint(task[:, None] != torch.arange(len(self.nodes)))

    def senders(self, x: Tensor) -> Iterable[tuple[Tensor, Tensor]]:
        """For each word, states and keys ``[K·B, H]``."""
        if self.tuned:
            states = torch.stack([lstm(x)[0] for lstm in self.lstms], 1).flatten(1, 2)
            yield from zip(states, self.attention.lin_sender(states), strict=True)
            return
        weights = [silent_weights(node) for node in self.nodes]
        hs = cs = [x.new_zeros(x.size(1), self.hidden_size)] * len(self.nodes)
        for word in x.unbind(0):
            hs, cs = run_cells([word] * len(hs), hs, cs, weights)
            states = torch.cat(hs)
            yield states, self.attention.lin_sender(states)


class StarLoop(BipartiteLoop):
    """The star with ``memory="all"``: the own task reads every state of the shared LSTM."""

    def __init__(self, layer: GraphLSTM, tuned: bool = False) -> None:
        super().__init__(layer, tuned)
        self.lstm = silent_lstm(layer.nodes[layer.graph.virtual[0]], layer)

    def edges(self, lengths: Tensor, task: Tensor, steps: int) -> Tensor:
        return self.disjoint(torch.arange(steps) < lengths[:, None])

    def senders(self, x: Tensor) -> Iterable[tuple[Tensor, Tensor]]:
        """For each word the same: states and keys ``[T·B, H]``."""
        states = self.lstm(x)[0].flatten(0, 1)
        return [(states, self.attention.lin_sender(states))] * x.size(0)


class MailboxLoop(BipartiteLoop):
    """The complete graph with ``memory="all"``: the own task reads every position of the mean of
    the others' states, which are weighed by one number an edge."""

    edges = StarLoop.edges

    def __init__(self, layer: GraphLSTM, tuned: bool = False) -> None:
        super().__init__(layer, tuned)
        self.lstms = nn.ModuleList(silent_lstm(node, layer) for node in self.nodes)
        self.logits, self.edge_index = layer.edge_logits["l0"], layer.graph.edge_index

    def read(self, x: Tensor, lengths: Tensor, task: Tensor) -> Tensor:
        sender, receiver = self.edge_index
        logits = x.new_full((len(self.nodes), len(self.nodes)), -torch.inf)
        shares = logits.index_put((receiver, sender), self.logits).softmax(1)
        self.shares = shares[task.sort(stable=True).values]
        return super().read(x, lengths, task)

    def senders(self, x: Tensor) -> Iterable[tuple[Tensor, Tensor]]:
        """For each word the same: mixed states and keys ``[T·B, H]``."""
        states = torch.stack([lstm(x)[0] for lstm in self.lstms], 2)  # [T, B, K, H]
        mixed = torch.einsum("bk,tbkh->tbh", self.shares, states).flatten(0, 1)
        return [(mixed, self.attention.lin_sender(mixed))] * x.size(0)


def user_loop(layer: GraphLSTM, tuned: bool = False) -> Loop:
    """The loop for a layer.

    Raises:
        ValueError: If there is none.
    """
    if isinstance(layer, StarGraphLSTM) and layer.memory == "all":
        return StarLoop(layer, tuned)
    read = isinstance(layer, CompleteGraphLSTM) and layer.exchange == "read"
    if read and layer.memory == "current":
        return ReadLoop(layer, tuned)
    if read and layer.memory == "all":
        return MailboxLoop(layer, tuned)
    if layer.exchange == "mutual":
        return MutualLoop(layer, tuned)
    raise ValueError(f"there is no loop for {layer}")
