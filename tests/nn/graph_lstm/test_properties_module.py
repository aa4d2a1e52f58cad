"""The layers as modules: saving, copying, drawing anew, and what they refuse."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn.utils.rnn import pack_padded_sequence
from torch_geometric.nn import GATv2Conv, MessagePassing, SAGEConv

from mtgnn import TaskGraph
from mtgnn.nn import (
    CompleteGraphLSTM,
    GraphLSTM,
    StarGraphLSTM,
    TaskAttentionConv,
    build_encoder,
)
from mtgnn.testing import assert_heard, random_batch, randomise

E, H = 3, 4
LAYERS: dict[str, Callable[[], GraphLSTM]] = {
    "complete": lambda: CompleteGraphLSTM(E, H, 3, score_owner="receiver", fusion="gated"),
    "mutual": lambda: CompleteGraphLSTM(E, H, 3, "mutual", score="static", heads=2),
    "star": lambda: StarGraphLSTM(E, H, 3, num_layers=2, bidirectional=True),
    "past": lambda: StarGraphLSTM(E, H, ["books", "dvd & video", "a.b"], "past"),
    "boxes": lambda: CompleteGraphLSTM(E, H, 3, memory="all", num_layers=2),
    "gat": lambda: CompleteGraphLSTM(E, H, 3, conv=GATv2Conv(H, H, add_self_loops=False)),
}


@pytest.fixture(params=LAYERS)
def name(request: Any) -> str:
    return request.param


def test_a_state_dict_makes_another_layer_equal(name: str) -> None:
    layer, inputs = randomise(LAYERS[name]()), random_batch(E, 3)
    assert_heard(layer, *inputs)
    file = io.BytesIO()
    torch.save(layer.state_dict(), file)
    file.seek(0)
    other = LAYERS[name]().double()
    assert not torch.equal(other(*inputs)[0], layer(*inputs)[0])
    other.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(other(*inputs)[0], layer(*inputs)[0])


def test_parameters_are_named_by_task(name: str) -> None:
    layer = LAYERS[name]()
    for node in layer.graph.nodes:
        own = dict(layer.nodes[node].named_parameters())
        assert own["weight_ih_l0"].shape == (4 * H, E)
        assert own["weight_hh_l0"].shape == (4 * H, H)
        assert own["bias_ih_l0"].shape == own["bias_hh_l0"].shape == (4 * H,)
        hears = bool(layer.graph.incoming(layer.graph.index(node)))
        assert ("weight_rh_l0" in own) == hears
        assert ("weight_gate_l0" in own) == (hears and layer.fusion == "gated")


@pytest.mark.parametrize("how", [copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))])
def test_a_copy_is_equal_and_independent(name: str, how: Callable) -> None:
    layer, inputs = randomise(LAYERS[name]()), random_batch(E, 3)
    assert_heard(layer, *inputs)
    expected = layer(*inputs)[0]
    expected.sum().backward()
    twin = how(layer)
    assert torch.equal(twin(*inputs)[0], expected)
    for parameter in twin.parameters():
        parameter.data.add_(0.5)
    assert torch.equal(layer(*inputs)[0], expected)
    assert not torch.allclose(twin(*inputs)[0], expected)


def test_reset_parameters_draws_everything_anew(name: str) -> None:
    layer = randomise(LAYERS[name](), scale=9.0)
    drawn = []
    for _ in range(2):
        torch.manual_seed(1)
        before = {n: p.clone() for n, p in layer.named_parameters()}
        layer.reset_parameters()
        drawn.append({n: p.clone() for n, p in layer.named_parameters()})
        if len(drawn) == 1:
            assert not any(torch.equal(p, before[n]) for n, p in drawn[0].items())
    assert all(torch.equal(drawn[0][n], drawn[1][n]) for n in drawn[0])
    for node in layer.nodes.values():
        assert max(float(p.detach().abs().max()) for p in node.parameters()) <= H**-0.5
    assert_heard(layer, *random_batch(E, 3))


@pytest.mark.parametrize("name", ["additive", "gat", "undecided"])
def test_reset_parameters_draws_what_the_constructor_drew(name: str) -> None:
    """The bounds of all parameters: they are uniform, so that many numbers come near these."""

    class Undecided(SAGEConv):
        reset_parameters = MessagePassing.reset_parameters  # it leaves that to its parts

    size = 40
    conv = {
        "additive": None,
        "gat": GATv2Conv(size, size, add_self_loops=False),
        "undecided": Undecided(size, size),
    }[name]
    layer = CompleteGraphLSTM(8, size, 3, conv=conv)
    drawn = {n: p.detach().abs().max().clone() for n, p in layer.named_parameters()}
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.fill_(9)
    layer.reset_parameters()
    for n, p in layer.named_parameters():
        torch.testing.assert_close(p.detach().abs().max(), drawn[n], rtol=0.1, atol=1e-6)


def test_parameters_that_nobody_draws_are_not_passed_over() -> None:
    class Scaled(SAGEConv):
        reset_parameters = MessagePassing.reset_parameters

        def __init__(self, *sizes: int) -> None:
            super().__init__(*sizes)
            self.scale = torch.nn.Parameter(torch.ones(()))

    layer = CompleteGraphLSTM(E, H, 3, conv=Scaled(H, H))
    with pytest.raises(TypeError, match="expected reset_parameters of .*Scaled"):
        layer.reset_parameters()


@pytest.mark.parametrize("score_owner", ["shared", "receiver"])
@pytest.mark.parametrize("exchange", ["read", "mutual"])
def test_all_parameters_learn(exchange: str, score_owner: str) -> None:
    """Also where a virtual node has senders: with "read" it does not listen."""
    layer = GraphLSTM(E, H, TaskGraph.star(3), exchange, score_owner=score_owner, fusion="gated")
    layer(torch.randn(3, 6, E), task=torch.arange(3))[0].sum().backward()
    assert [n for n, p in layer.named_parameters() if p.grad is None] == []
    # Weights of a lone sender are 1, whatever its score.
    rest = [(n, p) for n, p in layer.named_parameters() if not n.startswith("convs.")]
    assert [n for n, p in rest if not p.grad.any()] == []


def test_repr_says_what_it_is(name: str) -> None:
    layer = LAYERS[name]()
    start = f"{type(layer).__name__}({E}, {H}, {layer.graph!r}, "
    assert repr(layer).startswith(start)
    assert f"exchange={layer.exchange!r}" in repr(layer)


def test_a_name_with_a_dot_or_a_space_is_a_name() -> None:
    layer = randomise(LAYERS["past"]())
    assert layer.nodes["a.b"].weight_ih_l0.shape == (4 * H, E)
    assert layer.nodes["dvd & video"].weight_ih_l0.shape == (4 * H, E)


# What they refuse -------------------------------------------------------------------------------

GRAPH = TaskGraph.hierarchy({"b": ["a"]})
CYCLE = TaskGraph.from_edges([("a", "b"), ("b", "a")])
CONSTRUCTIONS: dict[str, tuple[Callable[[], Any], str]] = {
    "exchange": (lambda: GraphLSTM(E, H, GRAPH, "write"), "expected exchange .* got 'write'"),
    "fusion": (lambda: GraphLSTM(E, H, GRAPH, fusion="add"), "expected fusion .* got 'add'"),
    "owner": (lambda: GraphLSTM(E, H, GRAPH, score_owner="b"), "expected score_owner .* got 'b'"),
    "score": (lambda: GraphLSTM(E, H, GRAPH, score="cos"), "expected score .* got 'cos'"),
    "kernel": (lambda: GraphLSTM(E, H, GRAPH, kernel="fast"), "expected kernel .* got 'fast'"),
    "memory": (lambda: StarGraphLSTM(E, H, 2, "none"), "expected memory .* got 'none'"),
    "cycle": (lambda: GraphLSTM(E, H, CYCLE, "cascade"), "expected an acyclic graph"),
    "static": (lambda: StarGraphLSTM(E, H, 2, score="static"), "static"),
    "box conv": (lambda: StarGraphLSTM(E, H, 2, conv=SAGEConv(H, H)), "takes no conv"),
    "box exchange": (lambda: StarGraphLSTM(E, H, 2, exchange="read"), "takes no exchange"),
    "no tasks": (lambda: CompleteGraphLSTM(E, H, 0), "at least one task"),
    "a string": (lambda: CompleteGraphLSTM(E, H, "books"), "got the string 'books'"),
    "size": (
        lambda: CompleteGraphLSTM(E, 0, 2),
        "hidden_size to be an integer of at least 1, got 0",
    ),
    "layers": (lambda: CompleteGraphLSTM(E, H, 2, num_layers=0), "num_layers"),
    "heads": (lambda: CompleteGraphLSTM(E, H, 2, heads=0), "heads"),
    "dropout": (lambda: CompleteGraphLSTM(E, H, 2, dropout=1.5), r"dropout in \[0, 1\), got 1.5"),
    "message dropout": (lambda: CompleteGraphLSTM(E, H, 2, message_dropout=-1), "message_dropout"),
    "attention dropout": (
        lambda: CompleteGraphLSTM(E, H, 2, attention_dropout=2),
        "attention_dropout",
    ),
    "narrow conv": (lambda: GraphLSTM(E, H, GRAPH, "read", conv=SAGEConv(H - 1, H)), "size 4"),
    "wide conv": (lambda: GraphLSTM(E, H, GRAPH, "cascade", conv=GATv2Conv(H + 1, H)), "size 4"),
    "directions": (
        lambda: CompleteGraphLSTM(E, H, 2, bidirectional=2),
        "bidirectional to be True or False, got 2",
    ),
    "convs in a list": (
        lambda: GraphLSTM(E, H, GRAPH, conv=[SAGEConv(H, H)]),  # type: ignore[arg-type]
        r"a factory f\(layer, direction\), got a list",
    ),
    "no conv": (lambda: GraphLSTM(E, H, GRAPH, conv=torch.nn.Linear(H, H)), "got Linear"),
    "convs disagree": (
        lambda: GraphLSTM(E, H, GRAPH, num_layers=2, conv=lambda i, _: SAGEConv(H, H + i)),
        r"agree on their output size, got \[4, 5\]",
    ),
    "scores of each receiver's own": (
        lambda: CompleteGraphLSTM(E, H, 2, "mutual", score_owner="receiver", kernel="fused"),
        'kernel="fused" cannot serve this layer: score_owner="receiver" in a mutual exchange',
    ),
    "edges in lists": (
        lambda: GraphLSTM(E, H, TaskGraph(2, [[0], [1]])),  # type: ignore[arg-type]
        "edge_index as a tensor .* got a list",
    ),
    "no graph": (
        lambda: build_encoder("graph", E, H, ["a"], graph="star"),
        r"needs a graph of tasks \('a',\), got star",
    ),
    "conv heads": (
        lambda: TaskAttentionConv(H, heads=-1),
        "heads to be an integer of at least 1, got -1",
    ),
}


@pytest.mark.parametrize("case", CONSTRUCTIONS)
def test_bad_options_are_named_at_construction(case: str) -> None:
    make, error = CONSTRUCTIONS[case]
    with pytest.raises(ValueError, match=error):
        make()


X, LENGTHS, TASK = random_batch(E, 3, dtype=torch.float32)
INPUTS: dict[str, tuple[dict[str, Any], str]] = {
    "x of two dimensions": ({"x": X[0]}, r"expected x of shape \[B, T, 3\].* got \[5, 3\]"),
    "x of five dimensions": ({"x": X[None, None]}, "expected x of shape"),
    "x of another width": ({"x": X[..., :2]}, r"got \[4, 5, 2\]"),
    "x of numbers of words": ({"x": X.long()}, "floating type, got torch.int64"),
    "x without steps": ({"x": X[:, :0]}, "expected x of shape"),
    "x without sequences": ({"x": X[:0]}, "expected x of shape"),
    "x of too many nodes": ({"x": X[:, :, None].expand(4, 5, 7, 3)}, "one input for each of"),
    "a length of 0": ({"lengths": torch.tensor([5, 0, 1, 1])}, "lengths in 1…5"),
    "a negative length": ({"lengths": torch.tensor([5, -1, 1, 1])}, "lengths in 1…5"),
    "a length beyond T": ({"lengths": torch.tensor([5, 6, 1, 1])}, "lengths in 1…5"),
    "lengths of another batch": ({"lengths": LENGTHS[:3]}, r"lengths of shape \[4\]"),
    "lengths as a column": ({"lengths": LENGTHS[:, None]}, r"lengths of shape \[4\]"),
    "lengths that are no integers": ({"lengths": LENGTHS.float()}, "integer lengths"),
    "lengths as a list": ({"lengths": [5, 1, 1, 1]}, r"lengths as a tensor of shape \[4\], got"),
    "tasks as a list": ({"task": [0, 1, 2, 0]}, r"tasks as a tensor of shape \[4\], got"),
    "a task too many": ({"task": torch.tensor([0, 3, 1, 2])}, "tasks in 0…2"),
    "a negative task": ({"task": torch.tensor([0, -1, 1, 2])}, "tasks in 0…2"),
    "tasks of another batch": ({"task": TASK[:1]}, r"tasks of shape \[4\]"),
    "one task for all": ({"task": torch.tensor(1)}, r"tasks of shape \[4\]"),
    "tasks that are no integers": ({"task": TASK.float()}, "integer tasks"),
    "no task of a sequence": ({"task": torch.eye(4, 3).bool()}, r"at least one .* \[3\] have none"),
    "some tasks of another batch": (
        {"task": torch.eye(3).bool()},
        r"booleans \[4, 3\], got \[3, 3\]",
    ),
    "one boolean a sequence": ({"task": TASK > 0}, r"booleans \[4, 3\], got \[4\]"),
    "lengths beside a packed sequence": (
        {"x": pack_padded_sequence(X, LENGTHS, True, enforce_sorted=False)},
        "its own lengths",
    ),
}


@pytest.mark.parametrize("case", INPUTS)
def test_bad_input_is_named(case: str) -> None:
    change, error = INPUTS[case]
    with pytest.raises(ValueError, match=error):
        CompleteGraphLSTM(E, H, 3)(**({"x": X, "lengths": LENGTHS, "task": TASK} | change))


def test_every_layer_looks_at_its_input(name: str) -> None:
    layer = LAYERS[name]()
    for case in ("x of another width", "a length beyond T", "a task too many"):
        change, error = INPUTS[case]
        with pytest.raises(ValueError, match=error):
            layer(**({"x": X, "lengths": LENGTHS, "task": TASK} | change))


def test_a_mailbox_layer_refuses_a_state_without_a_mailbox() -> None:
    _, state = StarGraphLSTM(E, H, 3, "current")(X, None, TASK)
    with pytest.raises(ValueError, match="mailbox"):
        StarGraphLSTM(E, H, 3, "past")(X, None, TASK, state)


def test_mailboxes_of_several_senders_take_no_state() -> None:
    layer = CompleteGraphLSTM(E, H, 3, memory="past")
    _, state = layer(X, None, TASK)
    assert state.mailbox is None
    with pytest.raises(ValueError, match="takes no state but where all tasks read one virtual"):
        layer(X, None, TASK, state)


def test_states_that_do_not_fit_are_named() -> None:
    layer = CompleteGraphLSTM(E, H, 3)
    _, state = layer(X, None, TASK)
    with pytest.raises(ValueError, match="3 sequences"):
        layer(X[:3], None, TASK[:3], state)
    with pytest.raises(ValueError, match="2 layers"):
        CompleteGraphLSTM(E, H, 3, num_layers=2)(X, None, TASK, state)
    with pytest.raises(ValueError, match="expected a state"):
        CompleteGraphLSTM(E, H + 1, 3)(X, None, TASK, state)
    with pytest.raises(ValueError, match="5 nodes"):
        CompleteGraphLSTM(E, H, 5)(X, None, TASK, state)
    with pytest.raises(ValueError, match="the state lacks node 'task.'"):
        layer(X, None, torch.full_like(TASK, 2), layer(X, None, TASK * 0)[1])
    for kind in (
        StarGraphLSTM(E, H, 3, "all"),
        CompleteGraphLSTM(E, H, 3, bidirectional=True),
        StarGraphLSTM(E, H, 3, "current", bidirectional=True),
        StarGraphLSTM(E, H, 3, "past", bidirectional=True),
    ):
        _, state = kind(X, None, TASK)
        with pytest.raises(ValueError, match="takes no state"):
            kind(X, None, TASK, state)


def test_a_foreign_conv_has_no_attention_to_hand_out() -> None:
    with pytest.raises(ValueError, match="conv has none"):
        LAYERS["gat"]()(X, LENGTHS, TASK, return_attention_weights=True)


def test_a_part_that_would_not_be_called_is_refused() -> None:
    class Adapted(torch.nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x) + 1

    x, task = torch.randn(2, 4, E), torch.tensor([0, 1])
    layer = CompleteGraphLSTM(E, H, 3)
    layer.convs["l0"]["shared"].lin_query = Adapted(H, H, False)
    with pytest.raises(ValueError, match="call them: .*Linear as lin_query, got a Adapted"):
        layer(x, task=task)
    layer = CompleteGraphLSTM(E, H, 3)
    layer.nodes["task0"] = torch.nn.LSTM(E, H)
    with pytest.raises(ValueError, match="do not call them: expected a NodeLSTM .* got a LSTM"):
        layer(x, task=task)


def test_tracing_says_that_it_cannot_be() -> None:
    layer = CompleteGraphLSTM(E, H, 3)
    with pytest.raises(RuntimeError, match="cannot be traced"):
        torch.jit.trace(layer, (torch.randn(2, 4, E), torch.tensor([4, 2]), torch.tensor([0, 1])))
