import math

import pytest
import torch
from torch_geometric.testing import assert_module

from mtgnn import TaskGraph
from mtgnn.nn import GraphLSTM, TaskAttentionConv

N, F, X, P, A = 5, 4, 3, 2, 6
EDGES = torch.tensor([[0, 1, 2, 3, 0], [3, 3, 3, 1, 1]])


def make(score: str, channels: int | tuple[int, int] = F, dropout: float = 0) -> TaskAttentionConv:
    edges = EDGES.size(1) if score == "static" else None
    context = X if score in ("additive", "dot") else 0
    conv = TaskAttentionConv(
        channels,
        context_channels=context,
        heads=P,
        score=score,
        score_channels=A,
        num_edges=edges,
        dropout=dropout,
    )
    for parameter in conv.parameters():
        torch.nn.init.normal_(parameter)
    return conv.double()


def by_hand(
    conv: TaskAttentionConv, senders: torch.Tensor, x: torch.Tensor, context: torch.Tensor
) -> torch.Tensor:
    out = torch.zeros(len(x), P, senders.size(1)).double()
    for k in range(len(x)):
        edges = [e for e in range(EDGES.size(1)) if EDGES[1, e] == k]
        for p in range(P if edges else 0):
            own = slice(p * A, (p + 1) * A)
            scores = []
            for e in edges:
                if conv.score in ("additive", "dot"):
                    q = (
                        conv.lin_query.weight[own] @ x[k]
                        + conv.lin_context.weight[own] @ context[k]
                    )
                    s = conv.lin_sender.weight[own] @ senders[EDGES[0, e]]
                if conv.score == "additive":
                    scores.append(conv.att[p] @ torch.tanh(q + s + conv.bias[own]))
                elif conv.score == "dot":
                    scores.append(q @ s / math.sqrt(A))
                elif conv.score == "static":
                    scores.append(conv.logit[e, p])
                else:
                    scores.append(torch.zeros(()).double())
            alpha = torch.stack(scores).softmax(0)
            out[k, p] = sum(a * senders[EDGES[0, e]] for a, e in zip(alpha, edges, strict=True))
    return out.flatten(1)


@pytest.mark.parametrize("score", ["additive", "dot", "static", "uniform"])
def test_equals_the_formula(score: str) -> None:
    conv = make(score)
    x, context = torch.randn(N, F).double(), torch.randn(N, X).double()
    word = context if conv.lin_context is not None else None
    out, (edge_index, alpha) = conv(x, EDGES, word, return_attention_weights=True)
    torch.testing.assert_close(out, by_hand(conv, x, x, context))
    assert torch.equal(edge_index, EDGES)
    sums = torch.zeros(N, P).double().index_add(0, EDGES[1], alpha)
    expected = torch.tensor([0.0, 1, 0, 1, 0]).double()
    torch.testing.assert_close(sums, expected[:, None].expand(-1, P))
    # a static graph in a batch
    batch = torch.stack([x, 2 * x])
    words = None if word is None else torch.stack([word, word])
    torch.testing.assert_close(conv(batch, EDGES, words)[0], out)


@pytest.mark.parametrize("layout", [torch.sparse_coo, torch.sparse_csr])
def test_a_sparse_adjacency_equals_edges(layout: torch.layout) -> None:
    conv = make("additive")
    x, context = torch.randn(2, N, F).double(), torch.randn(2, N, X).double()
    rows = torch.sparse_coo_tensor(EDGES.flip(0), torch.ones(EDGES.size(1)), (N, N)).coalesce()
    adj_t = rows if layout is torch.sparse_coo else rows.to_sparse_csr()
    expected = conv(x, EDGES, context)
    torch.testing.assert_close(conv(x, adj_t, context), expected)
    out, (edge_index, alpha) = conv(x, adj_t, context, return_attention_weights=True)
    sums = torch.zeros(2, N, P).double().index_add(1, edge_index[1], alpha)
    assert torch.allclose(sums[:, EDGES[1].unique()], torch.ones(1).double())
    parameters = list(conv.parameters())
    ours = torch.autograd.grad(out.sin().sum(), parameters)
    theirs = torch.autograd.grad(expected.sin().sum(), parameters)
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other)


def test_static_scores_want_edges_in_order() -> None:
    adj_t = torch.sparse_coo_tensor(EDGES.flip(0), torch.ones(EDGES.size(1)), (N, N)).coalesce()
    with pytest.raises(ValueError, match=r"expected edge_index \[2, E\]"):
        make("static")(torch.randn(N, F).double(), adj_t)


def test_pygs_own_assertions() -> None:
    x = torch.randn(N, F)
    conv = TaskAttentionConv(F, heads=P)
    assert repr(conv) == "TaskAttentionConv(4, 8, heads=2, score='additive')"
    assert_module(conv, x, EDGES, expected_size=(N, P * F))
    assert type(conv).propagate.__module__.endswith("_propagate")


@pytest.mark.parametrize("score", ["additive", "dot", "static", "uniform"])
def test_senders_and_receivers_of_other_sizes(score: str) -> None:
    conv = make(score, (F, 7))
    senders, receivers = torch.randn(4, F).double(), torch.randn(N, 7).double()
    context = torch.randn(N, X).double()
    out = conv((senders, receivers), EDGES, None if conv.lin_context is None else context)
    torch.testing.assert_close(out, by_hand(conv, senders, receivers, context))


def test_dropout_is_of_weights_in_training() -> None:
    one = torch.ones(N, 1).double()
    conv = make("uniform", 1, dropout=0.25)
    hub = torch.stack([torch.arange(4).repeat(500), torch.zeros(2000, dtype=torch.long)])
    drawn, (_, alpha) = conv(one, hub, return_attention_weights=True)
    assert alpha.unique().tolist() == [1 / 2000]  # before dropout
    kept = drawn[0] * 0.75 * 2000  # the number of weights that are left, each by 1 / 0.75
    torch.testing.assert_close(kept, kept.round())
    assert ((kept - 1500).abs() < 100).all() and not kept[0].equal(kept[1])
    assert conv.eval()(one, hub)[0].tolist() == pytest.approx([1, 1])


@pytest.mark.parametrize("score", ["additive", "dot", "static", "uniform"])
def test_a_batch_of_one_side_meets_each_of_the_other(score: str) -> None:
    conv = make(score)
    few, many = torch.randn(N, F).double(), torch.randn(3, N, F).double()
    word = None if conv.lin_context is None else torch.randn(N, X).double()
    for pair in ((few, many), (many, few)):
        out, (_, alpha) = conv(pair, EDGES, word, return_attention_weights=True)
        assert out.shape == (3, N, P * F) and alpha.shape == (3, EDGES.size(1), P)
        each = [conv(tuple(x[b] if x.dim() == 3 else x for x in pair), EDGES, word) for b in (0, 2)]
        torch.testing.assert_close(out[[0, 2]], torch.stack(each))


@pytest.mark.parametrize("score", ["additive", "dot"])
def test_attributes_of_edges_count_like_the_senders_keys(score: str) -> None:
    """An edge's sender with a key that is moved by what the attributes say."""
    conv = TaskAttentionConv(F, heads=P, score=score, score_channels=A, edge_dim=2).double()
    x, attr = torch.randn(N, F).double(), torch.randn(EDGES.size(1), 2).double()
    # Each edge has a sender of its own here, whose state knows the attributes.
    wide = TaskAttentionConv((F + 2, F), heads=P, score=score, score_channels=A).double()
    with torch.no_grad():
        wide.lin_query.weight.copy_(conv.lin_query.weight)
        wide.lin_sender.weight.copy_(torch.cat([conv.lin_sender.weight, conv.lin_edge.weight], 1))
        if score == "additive":
            wide.att.copy_(conv.att)
            wide.bias.copy_(conv.bias.normal_())
    own = torch.stack([torch.arange(EDGES.size(1)), EDGES[1]])
    out, (_, alpha) = wide((torch.cat([x[EDGES[0]], attr], 1), x), own, None, True)
    expected = out.unflatten(1, (P, F + 2))[:, :, :F].flatten(1)
    got, (_, weights) = conv(x, EDGES, None, True, edge_attr=attr)
    torch.testing.assert_close(got, expected)
    torch.testing.assert_close(weights, alpha)
    plain = conv(x, EDGES, edge_attr=torch.zeros_like(attr))
    assert not torch.allclose(got, plain)
    batch = conv(torch.stack([x, x]), EDGES, edge_attr=torch.stack([attr, 0 * attr]))
    torch.testing.assert_close(batch, torch.stack([got, plain]))
    one = TaskAttentionConv(F, edge_dim=1).double()
    alone = one(x, EDGES, edge_attr=attr[:, 0])
    torch.testing.assert_close(alone, one(x, EDGES, edge_attr=attr[:, :1]))
    order = torch.randperm(EDGES.size(1))
    torch.testing.assert_close(conv(x, EDGES[:, order], edge_attr=attr[order]), got)


def test_attributes_that_do_not_fit() -> None:
    x, attr = torch.randn(N, F), torch.randn(EDGES.size(1), 2)
    with pytest.raises(ValueError, match="static and uniform scores see no edge_dim, got 2"):
        TaskAttentionConv(F, score="uniform", edge_dim=2)
    with pytest.raises(ValueError, match="edge_dim to be an integer of at least 1, got 0"):
        TaskAttentionConv(F, edge_dim=0)
    with pytest.raises(ValueError, match=r"None: expected as edge_attr none, got .* \[5, 2\]"):
        TaskAttentionConv(F)(x, EDGES, edge_attr=attr)
    conv = TaskAttentionConv(F, edge_dim=3)
    with pytest.raises(ValueError, match=r"expected edge_index \[2, E\], got \[5, 2\]"):
        conv(x, EDGES.t(), edge_attr=torch.randn(5, 3))
    with pytest.raises(ValueError, match=r"got a context \(attributes of edges are edge_attr=…\)"):
        conv(x, EDGES, torch.randn(5, 3))
    for wrong in (None, attr, torch.randn(4, 3), torch.ones(5, 3, dtype=torch.long)):
        with pytest.raises(ValueError, match=r"is 3: expected as edge_attr floats \[5, 3\], got"):
            conv(x, EDGES, edge_attr=wrong)
    rows = torch.sparse_coo_tensor(EDGES.flip(0), torch.ones(EDGES.size(1)), (N, N)).coalesce()
    with pytest.raises(ValueError, match="edge_attr belong to edges in order"):
        conv(x, rows, edge_attr=torch.randn(5, 3))
    with pytest.raises(ValueError, match=r"attributes of edges.*edge_dim=None"):
        GraphLSTM(F, F, TaskGraph.complete(3), conv=TaskAttentionConv(F, edge_dim=2))


def test_bad_input_is_named() -> None:
    with pytest.raises(ValueError, match="one of"):
        TaskAttentionConv(F, score="cosine")
    with pytest.raises(ValueError, match="num_edges goes with static"):
        TaskAttentionConv(F, score="static")
    with pytest.raises(ValueError, match="heads to be an integer of at least 1, got 0"):
        TaskAttentionConv(F, heads=0)
    with pytest.raises(ValueError, match="heads to be an integer of at least 1, got 1.5"):
        TaskAttentionConv(F, heads=1.5)  # type: ignore[arg-type]
    for lazy in (-1, (F, -1)):
        with pytest.raises(ValueError, match="receiver_channels to be|sender_channels to be"):
            TaskAttentionConv(lazy)
    with pytest.raises(ValueError, match="score_channels to be an integer of at least 1, got 0"):
        TaskAttentionConv(F, score_channels=0)
    with pytest.raises(ValueError, match="context_channels of at least 0, .* got -3"):
        TaskAttentionConv(F, context_channels=-3)
    with pytest.raises(ValueError, match="see no words, got 3 with 'uniform'"):
        TaskAttentionConv(F, context_channels=X, score="uniform")
    with pytest.raises(ValueError, match=r"dropout in \[0, 1\), got 1.5"):
        TaskAttentionConv(F, dropout=1.5)
    with pytest.raises(ValueError, match="got no receivers'"):
        TaskAttentionConv(F, score="uniform")((torch.zeros(N, F), None), EDGES)
    with pytest.raises(ValueError, match="no context"):
        TaskAttentionConv(F, context_channels=X)(torch.zeros(N, F), EDGES)
    with pytest.raises(ValueError, match="is 0, got a context"):
        uniform = TaskAttentionConv(F, score="uniform")
        uniform(torch.zeros(N, F), EDGES, torch.zeros(N, X))
    with pytest.raises(TypeError, match="positional"):
        TaskAttentionConv(F, F)  # PyG's second size is that of the output, which is none here
    with pytest.raises(ValueError, match="belong to 6 edges"):
        graph = TaskGraph.complete(3)
        conv = TaskAttentionConv(F, score="static", num_edges=graph.num_edges)
        conv(torch.zeros(N, F), EDGES)
