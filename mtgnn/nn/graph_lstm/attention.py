import math
from typing import TYPE_CHECKING, Optional

import torch
import torch_geometric
from torch import Tensor, nn
from torch_geometric.nn import MessagePassing
from torch_geometric.nn.module_dict import ModuleDict
from torch_geometric.typing import OptPairTensor, OptTensor
from torch_geometric.utils import is_sparse, softmax, to_edge_index

from ...ops.attention import CONTEXTUAL, SCORES, ScoreWeights
from ..check import check_dropouts, check_numbers, check_option

if TYPE_CHECKING:
    from .graph_lstm import GraphLSTM


class TaskAttentionConv(MessagePassing):
    r"""The attention edge of `"Multi-task Learning over Graph Structures"
    <https://arxiv.org/abs/1811.10211>`_: messages are the senders' states themselves, weighed by
    the receiver's state and the word it reads.

    .. math::
        e_{k \leftarrow i} = \mathbf{u}^{\top} \tanh(\mathbf{W}_q \mathbf{h}_k +
        \mathbf{W}_s \mathbf{m}_i + \mathbf{W}_x \mathbf{x}_k + \mathbf{W}_a \mathbf{a}_{ki} +
        \mathbf{b}), \quad
        \alpha_{k \leftarrow i} = \mathrm{softmax}_i\, e_{k \leftarrow i}, \quad
        \mathbf{r}_k = \sum_i \alpha_{k \leftarrow i} \mathbf{m}_i

    Attributes :math:`\mathbf{a}_{ki}` of edges are not the paper's, and there are none by default.
    The softmax runs over the edges that enter a node; a node without any receives zeros. Edges may
    also come as PyG's ``adj_t``, a sparse matrix whose rows receive; in CSR layout, torch-scatter
    sums the messages where it is installed.

    Args:
        in_channels: Size of a state, or a pair (senders, receivers).
        context_channels: Size of the word's features; 0: the score does not see a word, as static
            and uniform ones never do.
        heads: Number of score sets P, whose messages are concatenated.
        score: ``"additive"`` (the formula); ``"dot"``,
            :math:`(\mathbf{W}_q \mathbf{h}_k + \mathbf{W}_x \mathbf{x}_k) \cdot
            (\mathbf{W}_s \mathbf{m}_i + \mathbf{W}_a \mathbf{a}_{ki}) / \sqrt{A}`;
            ``"static"``, one logit per edge and head; ``"uniform"``.
        score_channels: Width A of a score; by default the size of a receiver's state.
        num_edges: Number of edges, for static scores only.
        edge_dim: Size of an edge's attributes, for scores that see words; by default there are
            none.
        dropout: Probability with which a weight is dropped in training.

    Shapes:
        - **input:** states :math:`(*, N, F)` or a pair :math:`((*, N_s, F_s), (*, N_r, F_r))`,
          edges :math:`(2, E)`, context :math:`(*, N_r, F_x)`, attributes :math:`(*, E, D)`
          or, for D = 1, :math:`(E)`
        - **output:** :math:`(*, N_r, P \cdot F_s)`; with ``return_attention_weights=True`` also
          ``(edge_index, alpha)`` with the weights :math:`(*, E, P)` before dropout

    Raises:
        ValueError: For an unknown score, a number or dropout out of range, static scores without
            ``num_edges``, on another number of edges or with a sparse matrix, a context that does
            not fit ``context_channels``, attributes that do not fit ``edge_dim`` or stand beside a
            sparse matrix, or receivers without states, which say how many there are.
    """

    def __init__(
        self,
        in_channels: int | tuple[int, int],
        *,
        context_channels: int = 0,
        heads: int = 1,
        score: str = "additive",
        score_channels: int | None = None,
        num_edges: int | None = None,
        dropout: float = 0.0,
        edge_dim: int | None = None,
    ) -> None:
        super().__init__(aggr="add", node_dim=-2)
        check_option("score", score, SCORES)
        if (score == "static") != (num_edges is not None):
            raise ValueError(f"num_edges goes with static scores, got {num_edges} with {score!r}")
        contextual = score in CONTEXTUAL
        if context_channels < 0 or (context_channels > 0 and not contextual):
            raise ValueError(
                f"expected context_channels of at least 0, and 0 for scores that see no words, "
                f"got {context_channels} with {score!r}"
            )
        if edge_dim is not None and not contextual:
            raise ValueError(f"static and uniform scores see no edge_dim, got {edge_dim}")
        check_dropouts(dropout=dropout)
        pair = in_channels if isinstance(in_channels, (tuple, list)) else (in_channels, in_channels)
        if score_channels is None:
            score_channels = pair[1]
        check_numbers(sender_channels=pair[0], receiver_channels=pair[1])
        check_numbers(heads=heads, score_channels=score_channels)
        if edge_dim is not None:
            check_numbers(edge_dim=edge_dim)
        self.in_channels = in_channels
        self.sender_channels, self.receiver_channels = pair
        self.context_channels = context_channels
        self.heads = heads
        self.score = score
        self.score_channels = score_channels
        self.num_edges = num_edges
        self.dropout = dropout
        self.edge_dim = edge_dim
        width = heads * score_channels
        self.lin_query = nn.Linear(self.receiver_channels, width, False) if contextual else None
        self.lin_sender = nn.Linear(self.sender_channels, width, False) if contextual else None
        sees_word = context_channels > 0
        self.lin_context = nn.Linear(context_channels, width, False) if sees_word else None
        self.lin_edge = None if edge_dim is None else nn.Linear(edge_dim, width, False)
        additive = score == "additive"
        self.bias = nn.Parameter(torch.empty(width)) if additive else None
        self.att = nn.Parameter(torch.empty(heads, self.score_channels)) if additive else None
        static = score == "static"
        self.logit = nn.Parameter(torch.empty(num_edges or 0, heads)) if static else None
        self.reset_parameters()

    @property
    def out_channels(self) -> int:
        """Size of what a node receives."""
        return self.heads * self.sender_channels

    def reset_parameters(self) -> None:
        """Draw all parameters anew (Glorot; biases and static logits zero)."""
        super().reset_parameters()
        for linear in (self.lin_query, self.lin_sender, self.lin_context, self.lin_edge):
            if linear is not None:
                nn.init.xavier_uniform_(linear.weight)
        if self.att is not None:
            nn.init.xavier_uniform_(self.att)
        for zero in (self.bias, self.logit):
            if zero is not None:
                nn.init.zeros_(zero)

    def forward(
        self,
        x: Tensor | tuple[Tensor, Tensor],
        edge_index: Tensor,
        context: Tensor | None = None,
        return_attention_weights: bool | None = None,
        edge_attr: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, tuple[Tensor, Tensor]]:
        """Pass messages once; shapes as in the class description."""
        senders, receivers = (x, x) if isinstance(x, Tensor) else x
        if receivers is None:
            raise ValueError("expected the states of senders and of receivers, got no receivers'")
        rowptr: OptTensor = None
        if is_sparse(edge_index):  # PyG's adj_t: rows receive
            if self.logit is not None or edge_attr is not None:  # it has an order of its own
                raise ValueError(
                    "static scores and edge_attr belong to edges in order: expected edge_index "
                    "[2, E]"
                )
            if torch_geometric.typing.WITH_TORCH_SCATTER and edge_index.layout is torch.sparse_csr:
                rowptr = edge_index.crow_indices()
            edge_index = to_edge_index(edge_index)[0].flip(0)
        if edge_index.dim() != 2 or edge_index.size(0) != 2:
            raise ValueError(f"expected edge_index [2, E], got {list(edge_index.shape)}")
        if edge_attr is not None and edge_attr.dim() == 1:
            edge_attr = edge_attr.unsqueeze(1)
        self._check(edge_index, context, edge_attr)
        size = (senders.size(-2), receivers.size(-2))
        logits = self._logits(senders, receivers, context, edge_index, edge_attr)
        alpha = softmax(logits, edge_index[1], num_nodes=size[1], dim=-2)
        dropped = torch.nn.functional.dropout(alpha, self.dropout, self.training)
        # propagate_type: (x: OptPairTensor, alpha: Tensor, rowptr: OptTensor)
        states: OptPairTensor = (senders, None)
        out = self.propagate(edge_index, x=states, alpha=dropped, rowptr=rowptr, size=size)
        if return_attention_weights:
            return out, (edge_index, alpha)
        return out

    def _logits(
        self,
        senders: Tensor,
        receivers: Tensor,
        context: Tensor | None,
        edge_index: Tensor,
        edge_attr: Tensor | None,
    ) -> Tensor:
        """Scores ``[*, E, P]`` before the softmax."""
        if self.lin_query is None or self.lin_sender is None:
            batch = torch.broadcast_shapes(senders.shape[:-2], receivers.shape[:-2])
            size = (*batch, edge_index.size(1), self.heads)
            return senders.new_zeros(size) if self.logit is None else self.logit.expand(size)
        query = self.lin_query(receivers)
        if self.lin_context is not None:
            query = query + self.lin_context(context)
        if self.bias is not None:
            query = query + self.bias
        query = query.index_select(-2, edge_index[1]).unflatten(-1, (self.heads, -1))
        keys = self.lin_sender(senders).index_select(-2, edge_index[0])
        if self.lin_edge is not None:
            keys = keys + self.lin_edge(edge_attr)
        keys = keys.unflatten(-1, (self.heads, -1))
        if self.att is None:
            return (query * keys).sum(-1) / math.sqrt(self.score_channels)
        return (torch.tanh(query + keys) * self.att).sum(-1)

    def message(self, x_j: Tensor, alpha: Tensor) -> Tensor:
        """Weigh messages: ``[*, E, F]`` and ``[*, E, P]`` give ``[*, E, P·F]``."""
        return (alpha.unsqueeze(-1) * x_j.unsqueeze(-2)).flatten(-2)

    def aggregate(
        self,
        inputs: Tensor,
        index: Tensor,
        rowptr: OptTensor,
        dim_size: Optional[int] = None,  # noqa: UP045, PyG's inspector reads no other spelling
    ) -> Tensor:
        """Sum messages ``[*, E, P·F]`` at their receivers."""
        return super().aggregate(inputs, index, ptr=rowptr, dim_size=dim_size)

    def _check(self, edge_index: Tensor, context: Tensor | None, edge_attr: Tensor | None) -> None:
        if self.num_edges is not None and edge_index.size(1) != self.num_edges:
            raise ValueError(
                f"static scores belong to {self.num_edges} edges, got {edge_index.size(1)}"
            )
        if (context is None) == (self.lin_context is not None):
            hint = "" if self.edge_dim is None else " (attributes of edges are edge_attr=…)"
            raise ValueError(
                f"context_channels is {self.context_channels}, "
                f"got {'no context' if context is None else f'a context{hint}'}"
            )
        fits = None if self.edge_dim is None else [edge_index.size(1), self.edge_dim]
        got = None if edge_attr is None else list(edge_attr.shape)
        floats = edge_attr is None or edge_attr.is_floating_point()
        if (got and got[-2:]) != fits or not floats:
            wanted = "none" if fits is None else f"floats {fits}"
            kind = "none" if edge_attr is None else f"{edge_attr.dtype} {got}"
            raise ValueError(
                f"edge_dim is {self.edge_dim}: expected as edge_attr {wanted}, got {kind}"
            )

    def __repr__(self) -> str:
        return (
            f"{self.__class__.__name__}({self.in_channels}, {self.out_channels}, "
            f"heads={self.heads}, score={self.score!r})"
        )


def attention_convs(layer: "GraphLSTM", owners: list[str]) -> nn.ModuleDict:
    """For each layer and direction, one attention edge an owner of score parameters."""
    contextual = layer.score in CONTEXTUAL

    def make(key: str) -> TaskAttentionConv:
        below = layer.hidden_size * (1 + layer.bidirectional)
        context = layer.input_size if key in ("l0", "l0_reverse") else below
        return TaskAttentionConv(
            layer.hidden_size,
            context_channels=context if contextual else 0,
            heads=layer.heads,
            score=layer.score,
            score_channels=layer.score_channels,
            num_edges=layer.graph.num_edges if layer.score == "static" else None,
            dropout=layer.attention_dropout,
        )

    keys = layer.keys if owners else []
    return nn.ModuleDict({key: ModuleDict({name: make(key) for name in owners}) for key in keys})


def stack_scores(convs: list[TaskAttentionConv]) -> ScoreWeights:
    """Score parameters of several receivers side by side; one conv serves all of them.

    Raises:
        ValueError: If a linear map was replaced by one that does more than multiply.
    """
    first = convs[0]
    for conv in convs:
        for name in ("lin_query", "lin_sender", "lin_context"):
            linear = getattr(conv, name)
            if linear is not None and type(linear).forward is not nn.Linear.forward:
                raise ValueError(
                    "layers read the weights of their scores and do not call them: expected "
                    f"torch.nn.Linear as {name}, got a {type(linear).__name__}"
                )

    def stack(name: str) -> Tensor | None:
        if getattr(first, name) is None:
            return None
        return torch.stack([getattr(conv, name) for conv in convs])

    def weights(names: tuple[str, ...]) -> Tensor | None:
        linears = [[getattr(conv, name) for name in names] for conv in convs]
        if linears[0][-1] is None:
            return None
        return torch.stack([torch.cat([lin.weight for lin in own], 1).t() for own in linears])

    return ScoreWeights(
        first.score,
        weights(("lin_context", "lin_query")),
        weights(("lin_sender",)),
        stack("bias"),
        stack("att"),
        first.logit,
        first.heads,
    )
