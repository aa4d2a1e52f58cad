"""Some of the senders in training, all in evaluation."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch_geometric.nn import SAGEConv

from mtgnn import TaskGraph
from mtgnn.nn import CompleteGraphLSTM, GraphLSTM, StarGraphLSTM, add_task
from mtgnn.testing import assert_attention_sums_to_one, random_batch, randomise

E, H, TASKS = 3, 4, ("a", "b", "c", "d", "e")
# Task "a" hears two, "b" three, "c" one; "d" and "e" send alone.
SOME = TaskGraph.from_edges(
    [("b", "a"), ("d", "a"), ("a", "b"), ("d", "b"), ("e", "b"), ("e", "c")], TASKS
)
X, LENGTHS, TASK = random_batch(E, 3, batch_size=9)


def layer_of(
    graph: TaskGraph = SOME, num_neighbors: int | None = 1, **options: object
) -> GraphLSTM:
    made = GraphLSTM(E, H, graph, "read", num_neighbors=num_neighbors, **options)  # type: ignore
    return randomise(made)


def heard(layer: GraphLSTM, task: Tensor | None = TASK) -> Tensor:
    """Which edges each sequence used, ``[B, E]``."""
    *_, [(_, alpha)] = layer(X, LENGTHS, task, return_attention_weights=True)
    return alpha.detach().sum((1, 3)) > 0


@pytest.mark.parametrize("memory", ["current", "all"])
def test_in_evaluation_all_are_heard(memory: str) -> None:
    some, every = layer_of(memory=memory), layer_of(num_neighbors=None, memory=memory)
    every.load_state_dict(some.state_dict())
    torch.testing.assert_close(
        some.eval()(X, LENGTHS, TASK)[0], every.eval()(X, LENGTHS, TASK)[0], rtol=0, atol=0
    )


@pytest.mark.parametrize("most", [1, 2, 3, 7])
def test_in_training_at_most_so_many_are_heard(most: int) -> None:
    layer = layer_of(num_neighbors=most).train()
    torch.manual_seed(0)
    found, degree = heard(layer), torch.tensor([2, 3, 1])
    assert torch.equal(found.sum(1), degree[TASK].clamp(max=most))
    *_, [(edge_index, alpha)] = layer(X, LENGTHS, TASK, return_attention_weights=True)
    for b, k in enumerate(TASK.tolist()):
        assert set(edge_index[1, alpha[b].sum((0, 2)) > 0].tolist()) == {k}
    assert_attention_sums_to_one(layer, X, LENGTHS, TASK)


def test_every_sender_has_its_turn() -> None:
    layer = layer_of().train()
    torch.manual_seed(0)
    times, tasks = 600, torch.arange(3)
    *_, [(_, alpha)] = layer(
        X[:3].repeat(times, 1, 1), None, tasks.repeat(times), return_attention_weights=True
    )
    drawn = (alpha.detach().sum((1, 3)) > 0).view(times, 3, -1).double().mean(0)
    for k in tasks.tolist():
        senders = [edge for edge, _ in SOME.incoming(k)]
        share = 1 / len(senders)
        deviation = (share * (1 - share) / times) ** 0.5
        assert all(abs(drawn[k, edge] - share) <= 4 * deviation for edge in senders)
    torch.manual_seed(1)
    once = heard(layer)
    torch.manual_seed(1)
    assert torch.equal(heard(layer), once)


def without(layer: GraphLSTM, edges: list[int]) -> GraphLSTM:
    """The same layer on a graph of these edges alone."""
    graph = TaskGraph.from_edges([SOME.edges[e] for e in edges], TASKS)
    other = layer_of(graph, None, memory=layer.memory)
    given = layer.state_dict()
    own = {name: given[name] for name in other.state_dict() if not name.startswith("edge_logits")}
    own |= {f"edge_logits.{key}": layer.edge_logits[key][edges] for key in other.edge_logits}
    for name, value in other.state_dict().items():  # who no longer hears has no weights for it
        if own[name].shape != value.shape:
            own[name] = own[name][..., : value.size(-1)]
    other.load_state_dict(own)
    return other.eval()


@pytest.mark.parametrize("memory", ["current", "all", "past"])
@pytest.mark.parametrize("kernel", ["fused", "reference"])
def test_is_the_layer_on_the_edges_that_were_drawn(kernel: str, memory: str) -> None:
    layer = layer_of(num_neighbors=2, memory=memory, kernel=kernel).train()
    torch.manual_seed(3)
    out, state = layer(X, LENGTHS, TASK)
    for b, (length, k) in enumerate(zip(LENGTHS.tolist(), TASK.tolist(), strict=True)):
        ran = state.ran[b, 1].nonzero().flatten().tolist()
        edges = [edge for edge, sender in SOME.incoming(k) if sender in ran]
        assert len(edges) == min(2, len(SOME.incoming(k)))
        one = without(layer, edges)(X[b : b + 1, :length], None, TASK[b : b + 1])[0]
        torch.testing.assert_close(out[b, :length], one[0])


def test_others_do_not_run_and_learn_nothing() -> None:
    layer = CompleteGraphLSTM(E, H, TASKS, num_neighbors=1, memory="all").train()
    out, state = layer(X[:1].float(), LENGTHS[:1], torch.tensor([0]))
    out.sum().backward()
    assert state.ran[0, 1].sum() == 1
    [sender] = state.ran[0, 1].nonzero().flatten().tolist()
    for k, name in enumerate(TASKS):
        grads = [p.grad is not None for p in layer.nodes[name].parameters()]
        assert any(grads) == (k in (0, sender))


def test_receivers_of_a_sequence_share_their_senders() -> None:
    """With all tasks wanted, two senders for each of five: three nodes are enough."""
    layer = CompleteGraphLSTM(E, H, TASKS, num_neighbors=2).double().train()
    _, state = layer(X, LENGTHS)
    assert (state.ran[:, 1].sum(1) == 3).all() and state.ran[:, 0].all()


@pytest.mark.parametrize(
    "make",
    [
        lambda: GraphLSTM(E, H, SOME, "read", conv=SAGEConv(H, 5), num_neighbors=1),
        lambda: GraphLSTM(E, H, SOME, "read", score="static", bidirectional=True, num_neighbors=1),
        lambda: StarGraphLSTM(E, H, TASKS, num_neighbors=1),
        lambda: CompleteGraphLSTM(E, H, TASKS, num_layers=2, num_neighbors=2),
    ],
)
def test_layers_of_all_kinds_train(make: Callable[[], GraphLSTM]) -> None:
    layer = randomise(make()).train()
    x = X.clone().requires_grad_()
    layer(x, LENGTHS, TASK)[0].square().sum().backward()
    assert x.grad is not None and x.grad.isfinite().all() and x.grad.any()


def test_a_new_task_keeps_it() -> None:
    assert add_task(layer_of(), "f").num_neighbors == 1


@pytest.mark.parametrize("wrong", [0, -1, 1.5])
def test_wrong_numbers(wrong: float) -> None:
    with pytest.raises(ValueError, match=r"an integer of at least 1, got"):
        layer_of(num_neighbors=wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("exchange", ["mutual", "cascade"])
def test_other_exchanges(exchange: str) -> None:
    graph = TaskGraph.from_edges([("a", "b")], ("a", "b"))
    with pytest.raises(ValueError, match=r'goes with exchange="read", .* got \'' + exchange):
        GraphLSTM(E, H, graph, exchange, num_neighbors=1)


def test_no_state_in_training() -> None:
    layer = layer_of(num_neighbors=1)
    _, state = layer.eval()(X, None, TASK)
    layer(X, None, TASK, state)
    with pytest.raises(ValueError, match="in training it takes no state"):
        layer.train()(X, None, TASK, state)
