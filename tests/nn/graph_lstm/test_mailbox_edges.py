"""Mailboxes of several senders: whose states stand in them, and in which shares."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch_geometric.nn import SAGEConv

from mtgnn import TaskGraph
from mtgnn.explain.edges.cut import without_edges
from mtgnn.nn import CompleteGraphLSTM, GraphLSTM, StarGraphLSTM, freeze_except_task
from mtgnn.testing import assert_heard, random_batch, randomise

E, H, TASKS = 3, 4, ("a", "b", "c")
UNEVEN = TaskGraph.from_edges([("b", "a"), ("c", "a"), ("a", "b")], TASKS)


def make(graph: TaskGraph = UNEVEN, memory: str = "all", **options: Any) -> GraphLSTM:
    return randomise(GraphLSTM(E, H, graph, "read", memory=memory, **options))


def test_a_sender_with_all_the_weight_is_as_if_it_were_alone() -> None:
    layer, batch = make(), random_batch(E, 3, batch_size=6)
    assert_heard(layer, *batch)
    alone = GraphLSTM(E, H, UNEVEN, "read", memory="all").double()
    alone.load_state_dict(layer.state_dict())
    with torch.no_grad():
        layer.edge_logits["l0"][0] = 60.0
    few = TaskGraph.from_edges([("b", "a"), ("a", "b")], TASKS)
    one = GraphLSTM(E, H, few, "read", memory="all").double()
    assert not len(one.edge_logits)  # nothing to weigh
    one.load_state_dict({k: v for k, v in layer.state_dict().items() if "edge_logits" not in k})
    torch.testing.assert_close(layer(*batch)[0], one(*batch)[0])
    assert not torch.allclose(alone(*batch)[0], one(*batch)[0])


def test_a_message_is_the_mean_over_positions_and_senders() -> None:
    """Uniform scores over the whole sequence: one message at all steps, the mean over positions."""
    layer = make(score="uniform", concat_messages=True, common=True)
    x, lengths, _ = random_batch(E, 3, batch_size=4)
    task = torch.zeros(4, dtype=torch.long)
    message = layer(x, lengths, task)[0][..., H:]
    silent = GraphLSTM(E, H, TaskGraph.isolated(TASKS), "read").double()
    names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
    for name in TASKS:
        for key in names:
            whole = getattr(layer.nodes[name], key) + getattr(layer.common, key)
            getattr(silent.nodes[name], key).data.copy_(whole)
    states = [silent(x, lengths, torch.full((4,), k))[0] for k in (1, 2)]
    share = layer.edge_attention()[0][1]
    mixed = share[0] * states[0] + share[1] * states[1]
    for b, length in enumerate(lengths.tolist()):
        expected = mixed[b, :length].mean(0).expand(length, -1)
        torch.testing.assert_close(message[b, :length], expected)


def test_shares_sum_to_one_and_learn() -> None:
    layer = make(bidirectional=True)
    assert [edges.tolist() for edges, _ in layer.edge_attention()] == [
        UNEVEN.edge_index.tolist()
    ] * 2
    for (_, share), key in zip(layer.edge_attention(), layer.keys, strict=True):
        logit = layer.edge_logits[key]
        torch.testing.assert_close(share[:2], logit[:2].softmax(0))
        assert share[2] == 1
        share[0].backward()
        assert layer.edge_logits[key].grad.abs().sum() > 0
    fewer = without_edges(layer, [0, 2])
    assert [share.tolist() for _, share in fewer.edge_attention()] == [[0.0, 1.0, 0.0]] * 2
    star = StarGraphLSTM(E, H, TASKS)
    assert star.edge_attention()[0][1].tolist() == [1.0] * 3
    with pytest.raises(ValueError, match="return_attention_weights=True"):
        CompleteGraphLSTM(E, H, TASKS).edge_attention()


def test_edges_that_nobody_reads_have_no_share_and_no_logit() -> None:
    """In this exchange virtual nodes run in silence."""
    layer = GraphLSTM(E, H, TaskGraph.star(TASKS), "read", memory="all")
    assert not len(layer.edge_logits)
    (_, share), *_ = layer.edge_attention()
    assert [float(s) for s in share] == [float(k in TASKS) for _, k in layer.graph.edges]
    assert freeze_except_task(layer, "a") == ["nodes.a"]
    assert freeze_except_task(make(UNEVEN), "b") == ["nodes.b"]  # one sender: nothing to weigh


def test_reset_parameters_makes_shares_equal() -> None:
    layer = make()
    assert layer.edge_attention()[0][1][0] != 0.5
    layer.reset_parameters()
    assert layer.edge_attention()[0][1].tolist() == [0.5, 0.5, 1.0]


def test_the_plain_path_can_be_differentiated_twice() -> None:
    layer, batch = make(kernel="reference"), random_batch(E, 3, batch_size=3)

    def run(x: torch.Tensor, logit: torch.Tensor) -> torch.Tensor:
        named = {"edge_logits.l0": logit}
        return torch.func.functional_call(layer, named, (x, batch.lengths, batch.task))[0]

    logit = layer.edge_logits["l0"].detach().clone().requires_grad_()
    inputs = (batch.x.requires_grad_(), logit)
    assert torch.autograd.gradgradcheck(run, inputs, fast_mode=True)


def test_half_precision_is_near() -> None:
    layer = make().float()
    x, lengths, task = random_batch(E, 3, batch_size=6)
    expected = layer(x.float(), lengths, task)[0]
    with torch.autocast("cpu", torch.bfloat16):
        out = layer(x.float(), lengths, task)[0]
        out.float().sum().backward()
    assert float((out - expected).detach().norm() / expected.detach().norm()) < 0.02
    assert layer.edge_logits["l0"].grad.abs().sum() > 0


def test_a_batch_in_which_nobody_hears_anything_has_weights_all_the_same() -> None:
    layer = make()
    x, task = torch.randn(2, 4, E).double(), torch.tensor([2, 2])
    _, _, [(_, beta)] = layer(x, None, task, return_attention_weights=True)
    assert beta.shape == (2, 4, 4, 1) and not beta.any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"exchange": "mutual"}, "goes with exchange=\"read\".*got 'mutual'"),
        ({"score": "static"}, "positions, not edges"),
        ({"conv": SAGEConv(H, H)}, "takes no conv"),
        ({"memory": "none"}, "expected memory to be one of"),
    ],
)
def test_what_a_mailbox_cannot_be_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CompleteGraphLSTM(E, H, TASKS, **{"memory": "all", **options})
