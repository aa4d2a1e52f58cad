"""The gradient of mailboxes' edges, against differences of the loss."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from reader import make_batches, reader
from torch import Tensor

from mtgnn import TaskGraph
from mtgnn.data import SequenceBatch
from mtgnn.explain import edge_ablation, edge_gradient
from mtgnn.explain.edges.cut import without_edges
from mtgnn.nn import GraphLSTM, StarGraphLSTM
from mtgnn.nn.graph_lstm.plan import Stage

COMPLETE = TaskGraph.complete(["a", "b", "c", "d"])
EDGES = [("a", "b"), ("c", "b"), ("d", "b"), ("a", "c"), ("v", "d"), ("a", "d")]
GRAPHS = {
    "complete": COMPLETE,
    "unequal": TaskGraph.from_edges(EDGES, ["a", "b", "c", "d"], ("v",)),
}
Change = Callable[[Tensor, Tensor], Tensor]


def loss(answer: Any, batch: SequenceBatch) -> Tensor:
    """A loss that sees every state, and the label."""
    states = answer[0] if isinstance(answer, tuple) else answer
    tilt = torch.linspace(-1, 1, states.size(-1)).double()
    return (states.sin() @ tilt).sum(1) * (batch.y + 1)


def mailbox_reader(graph: TaskGraph, memory: str, **options: Any) -> Any:
    options = {"num_layers": 2, "bidirectional": memory == "all", **options}
    return reader(GraphLSTM(4, 3, graph, "read", memory=memory, **options))


def losses_with(model: Any, batch: SequenceBatch, change: Change) -> Tensor:
    """Losses of a model whose shares are changed, from shares and edge numbers ``[M, J]``."""
    layer = model.encoder
    own = layer._shares

    def changed(key: str, stage: Stage, slot: Tensor) -> Tensor:
        return change(own(key, stage, slot), stage.edge[slot])

    layer._shares = changed
    try:
        with torch.no_grad():
            return loss(model(batch.tokens, batch.lengths, batch.task), batch)
    finally:
        del layer._shares


def less(edge: int, part: float) -> Change:
    """Takes a part of an edge's share away, and gives it to the others."""

    def change(share: Tensor, edges: Tensor) -> Tensor:
        here = (edges == edge) & (share > 0)
        taken = torch.where(here, share * part, 0)
        others = torch.where(here, 0, share) * here.any(1, keepdim=True)
        total = others.sum(1, keepdim=True)
        grown = others / total.clamp(min=1e-12) * taken.sum(1, keepdim=True)
        return share - taken + grown

    return change


@pytest.mark.parametrize("memory", ["all", "past"])
@pytest.mark.parametrize("graph", list(GRAPHS))
def test_it_is_the_slope_along_which_an_edge_goes(graph: str, memory: str) -> None:
    model = mailbox_reader(GRAPHS[graph], memory)
    (batch,) = make_batches(4, (8,))
    effects = edge_gradient(model, [batch], loss)
    expected = torch.zeros(GRAPHS[graph].num_edges, 4).double()
    for edge in range(GRAPHS[graph].num_edges):
        up, down = (losses_with(model, batch, less(edge, h)) for h in (1e-4, -1e-4))
        expected[edge].index_add_(0, batch.task, (up - down) / 2e-4)
    torch.testing.assert_close(effects.change, expected / effects.count, rtol=1e-5, atol=1e-7)
    assert expected.abs().max() > 0.01


def test_both_kernels_agree() -> None:
    batches = make_batches(4, (8, 5))
    kinds = ("auto", "reference")
    fast, plain = (mailbox_reader(COMPLETE, "all", kernel=kernel) for kernel in kinds)
    plain.load_state_dict(fast.state_dict())
    first, second = (edge_gradient(model, batches, loss).change for model in (fast, plain))
    torch.testing.assert_close(first, second)


def test_it_foretells_the_ablation_where_contents_do_not_decide_what_is_read() -> None:
    errors = []
    for strength in (1e-1, 1e-3):
        model = mailbox_reader(COMPLETE, "all", score="uniform")
        for name, parameter in model.encoder.nodes.named_parameters():
            if "weight_rh" in name:
                parameter.data *= strength
        truth = edge_ablation(model, make_batches(4, (8,)), loss).change
        guess = edge_gradient(model, make_batches(4, (8,)), loss).change
        errors.append(float((guess - truth).abs().max() / truth.abs().max()))
    assert errors[1] < 0.02 and errors[1] < errors[0]


def test_cut_edges_have_no_effect_and_the_others_share() -> None:
    model = mailbox_reader(COMPLETE, "all")
    cut = [COMPLETE.edges.index(("b", "a")), COMPLETE.edges.index(("c", "a"))]
    effects = edge_gradient(without_edges(model, cut), make_batches(4, (8,)), loss)
    assert not effects.change[cut].any()
    alone = effects.change[COMPLETE.edges.index(("d", "a")), 0]  # then no message comes
    assert alone.abs() > 1e-3


@pytest.mark.parametrize("memory", ["all", "current"])
def test_losses_may_be_of_another_type_and_sequences_without_a_label(memory: str) -> None:
    (batch,) = make_batches(4, (8,))
    batch.y[1] = -100
    model = mailbox_reader(COMPLETE, memory)
    exact = edge_gradient(model, [batch], loss)
    assert exact.count.tolist() == [2, 1, 2, 2]
    found = edge_gradient(model.float(), [batch], lambda a, b: loss(as_double(a), b))
    torch.testing.assert_close(found.change, exact.change, rtol=1e-3, atol=1e-4)


def as_double(answer: Any) -> Tensor:
    """The states."""
    return (answer[0] if isinstance(answer, tuple) else answer).double()


@pytest.mark.parametrize(
    ("memory", "score"), [("all", "additive"), ("current", "additive"), ("current", "static")]
)
def test_the_model_is_left_alone_even_frozen(memory: str, score: str) -> None:
    model = mailbox_reader(COMPLETE, memory, score=score).train()
    first = edge_gradient(model, make_batches(4), loss)
    assert model.training and all(p.grad is None for p in model.parameters())
    assert "_shares" not in vars(model.encoder)
    model.requires_grad_(False)
    second = edge_gradient(model, make_batches(4), loss)
    assert torch.equal(first.change, second.change)


@pytest.mark.parametrize("memory", ["all", "current"])
def test_a_batch_in_which_nobody_hears_has_no_effect(memory: str) -> None:
    model = mailbox_reader(TaskGraph.from_edges([("a", "b"), ("c", "b")], ["a", "b", "c"]), memory)
    heard, unheard = make_batches(3, (6,)), make_batches(3, (6,))
    unheard[0].task.fill_(0)
    alone, both = (edge_gradient(model, given, loss) for given in (heard, heard + unheard))
    torch.testing.assert_close(alone.change[:, 1], both.change[:, 1])
    assert not both.change[:, 0].any()


def test_mailboxes_of_one_sender_are_refused() -> None:
    with pytest.raises(ValueError, match="got mailboxes of one: edge_ablation can"):
        edge_gradient(reader(StarGraphLSTM(4, 3, 3)), make_batches(3), loss)
