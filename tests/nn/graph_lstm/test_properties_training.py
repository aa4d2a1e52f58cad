"""Gradients that are cut, dropouts, low precision, and which parameters learn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch_geometric.nn import GATv2Conv, SAGEConv

from mtgnn import TaskGraph
from mtgnn.nn import CompleteGraphLSTM, GraphLSTM, StarGraphLSTM
from mtgnn.testing import assert_heard, random_batch, randomise

E, H = 3, 4
EDGES = [("shared", "b"), ("a", "b"), ("c", "b"), ("c", "shared")]
GRAPH = TaskGraph.from_edges(EDGES, ("a", "b", "c"), ("shared",))  # all end in "b"; no cycle
TASKS_ONLY = TaskGraph.hierarchy({"b": ["a", "c"]})


def sum_of_squares(layer: GraphLSTM, task: int) -> torch.Tensor:
    x, lengths, tasks = random_batch(E, 3)
    layer.zero_grad()
    out, _ = layer(x, lengths, torch.full_like(tasks, task))
    loss = out.square().sum()
    loss.backward()
    return out


def learns(layer: GraphLSTM, node: str) -> bool:
    gradients = [p.grad for p in layer.nodes[node].parameters()]
    return any(grad is not None and bool(grad.any()) for grad in gradients)


@pytest.mark.parametrize(
    "options",
    [{}, {"score": "dot", "fusion": "gated"}, {"heads": 2, "num_layers": 2, "bidirectional": True}],
)
@pytest.mark.parametrize("exchange", ["mutual", "read", "cascade"])
def test_detach_cuts_tasks_off_but_not_virtual_nodes(exchange: str, options: dict) -> None:
    b = GRAPH.index("b")
    plain = randomise(GraphLSTM(E, H, GRAPH, exchange, **options))
    layer = GraphLSTM(E, H, GRAPH, exchange, detach=True, **options).double()
    layer.load_state_dict(plain.state_dict())
    assert_heard(plain, *random_batch(E, 3))
    assert_heard(layer, *random_batch(E, 3))
    assert torch.equal(sum_of_squares(layer, b), sum_of_squares(plain, b))
    assert all(learns(plain, name) for name in GRAPH.nodes)
    assert {name: learns(layer, name) for name in GRAPH.nodes} == {
        "a": False,
        "b": True,
        "c": False,
        "shared": True,
    }
    assert all(p.grad is not None and bool(p.grad.any()) for p in layer.convs.parameters())
    sum_of_squares(layer, GRAPH.index("c"))  # its own sequences still teach a sender
    assert learns(layer, "c")


@pytest.mark.parametrize("exchange", ["read", "cascade"])
@pytest.mark.parametrize("make", [SAGEConv, GATv2Conv])
def test_detach_cuts_what_a_foreign_conv_sends(make: type, exchange: str) -> None:
    options = {"add_self_loops": False} if make is GATv2Conv else {}
    b = TASKS_ONLY.index("b")
    outs = []
    for detach in (False, True):
        conv = make(H, H, **options)
        layer = randomise(GraphLSTM(E, H, TASKS_ONLY, exchange, conv=conv, detach=detach))
        assert_heard(layer, *random_batch(E, 3))
        outs.append(sum_of_squares(layer, b))
        assert (learns(layer, "a"), learns(layer, "c")) == (not detach, not detach)
        assert learns(layer, "b")
    assert torch.equal(*outs)


@pytest.mark.parametrize("memory", ["all", "past", "current"])
def test_detach_changes_nothing_where_only_a_virtual_node_sends(memory: str) -> None:
    layers = [randomise(StarGraphLSTM(E, H, 3, memory, detach=d)) for d in (False, True)]
    for layer in layers:
        assert_heard(layer, *random_batch(E, 3))
        sum_of_squares(layer, 1)
        assert learns(layer, "shared")
    for one, other in zip(*(layer.parameters() for layer in layers), strict=True):
        assert (one.grad is None) == (other.grad is None)
        assert one.grad is None or torch.equal(one.grad, other.grad)


LAYERS: dict[str, Callable[..., GraphLSTM]] = {
    "mutual": lambda **o: CompleteGraphLSTM(E, H, 3, "mutual", **o),
    "read": lambda **o: CompleteGraphLSTM(E, H, 3, **o),
    "all": lambda **o: StarGraphLSTM(E, H, 3, **o),
    "past": lambda **o: StarGraphLSTM(E, H, 3, "past", **o),
    "several": lambda **o: CompleteGraphLSTM(E, H, 3, memory="all", **o),
}


@pytest.mark.parametrize("name", LAYERS)
def test_frozen_and_absent_tasks_do_not_learn_and_the_rest_learns_the_same(name: str) -> None:
    layer = randomise(LAYERS[name]())
    assert_heard(layer, *random_batch(E, 3))
    x, lengths, _ = random_batch(E, 3)
    task = torch.tensor([0, 1, 0, 1])
    sender = layer.graph.nodes[-1]
    layer(x, lengths, task)[0].sin().sum().backward()
    before = {n: None if p.grad is None else p.grad.clone() for n, p in layer.named_parameters()}
    assert learns(layer, sender)
    layer.zero_grad()
    layer.nodes[sender].requires_grad_(False)
    layer(x, lengths, task)[0].sin().sum().backward()
    for parameter_name, parameter in layer.named_parameters():
        if parameter_name.startswith(f"nodes.{sender}.") or before[parameter_name] is None:
            assert parameter.grad is None
        else:
            torch.testing.assert_close(parameter.grad, before[parameter_name])
    if name in ("all", "past"):  # task2 is in no sequence, and sends to none
        assert not any(p.grad is not None for p in layer.nodes["task2"].parameters())


# Dropout ----------------------------------------------------------------------------------------

DROPOUTS: dict[str, tuple[str, Callable[..., GraphLSTM]]] = {
    # With H = 1 and one sender the message is one number: dropped, or divided by 1 - p.
    "message_dropout-read": ("weight_rh_l0", lambda **o: CompleteGraphLSTM(E, 1, 2, **o)),
    "attention_dropout-read": ("weight_rh_l0", lambda **o: CompleteGraphLSTM(E, 1, 2, **o)),
    "message_dropout-all": ("weight_rh_l0", lambda **o: StarGraphLSTM(E, 1, 2, **o)),
    "attention_dropout-past": ("weight_rh_l0", lambda **o: StarGraphLSTM(E, 1, 2, "past", **o)),
    "message_dropout-conv": (
        "weight_rh_l0",
        lambda **o: CompleteGraphLSTM(E, 1, 2, conv=SAGEConv(1, 1), **o),
    ),
    "dropout-isolated": (
        "weight_ih_l1",
        lambda **o: GraphLSTM(E, 1, TaskGraph.isolated(2), num_layers=2, **o),
    ),
}


@pytest.mark.parametrize("case", DROPOUTS)
def test_dropout_drops_or_scales_up_in_training_only(case: str) -> None:
    torch.manual_seed(0)
    p, count = 0.25, 2000
    option = case.split("-")[0]
    weight, make = DROPOUTS[case]
    layer = randomise(make(**{option: p}))
    x = random_batch(E, 2, steps=2).x[:1, :1].expand(count, 1, E)
    task = torch.zeros(count, dtype=torch.long)

    def scaled(factor: float) -> float:
        """The output with a factor on what dropout works on, without dropout."""
        plain = make().double().eval()
        plain.load_state_dict(layer.state_dict())
        getattr(plain.nodes["task0"], weight).data.mul_(factor)
        return plain(x[:1], None, task[:1])[0].item()

    dropped, kept = scaled(0.0), scaled(1 / (1 - p))
    assert abs(dropped - kept) > 1e-5  # something is sent
    out = layer(x, None, task)[0].flatten()
    is_kept = (out - kept).abs() < 1e-9
    assert bool((is_kept | ((out - dropped).abs() < 1e-9)).all())
    rate = float(is_kept.double().mean())
    assert abs(rate - (1 - p)) < 5 * (p * (1 - p) / count) ** 0.5
    layer.eval()
    torch.testing.assert_close(
        layer(x, None, task)[0].flatten(), torch.full((count,), scaled(1.0)).double()
    )


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("option", ["message_dropout", "attention_dropout", "dropout"])
def test_training_differs_from_evaluation(name: str, option: str) -> None:
    torch.manual_seed(0)
    layer = randomise(LAYERS[name](num_layers=2, **{option: 0.5}))
    plain = LAYERS[name](num_layers=2).double()
    plain.load_state_dict(layer.state_dict())
    inputs = random_batch(E, 3)
    assert_heard(layer, *inputs)
    noisy = layer(*inputs)[0]
    assert not torch.equal(layer(*inputs)[0], noisy)  # drawn anew
    assert not noisy[torch.arange(5) >= inputs.lengths[:, None]].any()
    expected = plain(*inputs)[0]
    assert not torch.allclose(noisy, expected)
    layer.eval()
    torch.testing.assert_close(layer(*inputs)[0], expected)


@pytest.mark.parametrize("name", LAYERS)
def test_the_attention_handed_out_is_the_one_before_dropout(name: str) -> None:
    torch.manual_seed(0)
    layer = randomise(LAYERS[name](attention_dropout=0.9))
    x, lengths, task = random_batch(E, 3)
    assert_heard(layer, x, lengths, task)
    *_, ((_, alpha),) = layer(x, lengths, task, return_attention_weights=True)
    real = torch.arange(5) < lengths[:, None]
    receivers = 3 if name == "mutual" else 1  # how many hear
    torch.testing.assert_close(alpha.sum(2).squeeze(-1), receivers * real.double())
    layer.eval()
    *_, ((_, calm),) = layer(x, lengths, task, return_attention_weights=True)
    torch.testing.assert_close(alpha[:, 0], calm[:, 0])  # nothing was dropped before step 0
    assert not torch.allclose(alpha[0, 1:], calm[0, 1:])  # but states differ afterwards


def test_the_attention_is_differentiable() -> None:
    for kernel in ("reference", "fused"):
        layer = randomise(CompleteGraphLSTM(E, H, 3, kernel=kernel))
        *_, ((_, alpha),) = layer(*random_batch(E, 3), return_attention_weights=True)
        alpha.square().sum().backward()
        conv = layer.convs["l0"]["shared"]
        assert all(p.grad is not None and bool(p.grad.any()) for p in conv.parameters())


# Precision --------------------------------------------------------------------------------------


def distance(one: torch.Tensor, other: torch.Tensor) -> float:
    """Relative, in the norm."""
    one, other = one.detach().double(), other.detach().double()
    return float((one - other).norm() / other.norm().clamp(min=1e-3))


@pytest.mark.parametrize(
    "options", [{"kernel": "auto"}, {"kernel": "reference"}, {"score": "dot", "fusion": "gated"}]
)
@pytest.mark.parametrize("name", LAYERS)
def test_autocast_gives_finite_values_near_the_exact_ones(name: str, options: Any) -> None:
    layer = randomise(LAYERS[name](**options), dtype=torch.float32)
    x, lengths, task = random_batch(E, 3, dtype=torch.float32)
    assert_heard(layer, x, lengths, task)
    exact, _ = layer(x, lengths, task)
    parameters = list(layer.parameters())
    expected = torch.autograd.grad(exact.square().sum(), parameters, allow_unused=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out, state, attention = layer(x, lengths, task, return_attention_weights=True)
        loss = out.float().square().sum()
    gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
    assert 0 < distance(out, exact) < 0.01
    assert all(bool(part.isfinite().all()) for part in (*state[:4], attention[0][1]))
    for one, other in zip(gradients, expected, strict=True):
        assert (one is None) == (other is None)
        assert one is None or distance(one, other) < 0.05
    assert sum(bool(g.any()) for g in gradients if g is not None) > 8


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", LAYERS)
def test_types_move(name: str, dtype: torch.dtype) -> None:
    layer = randomise(LAYERS[name](heads=2))
    inputs = random_batch(E, 3)
    assert_heard(layer, *inputs)
    exact, _ = layer(*inputs)
    layer.to(dtype)
    moved = inputs._replace(x=inputs.x.to(dtype))
    out, state, attention = layer(*moved, return_attention_weights=True)
    assert {out.dtype, state.h.dtype, state.c.dtype, attention[0][1].dtype} == {dtype}
    assert distance(out, exact) < (1e-6 if dtype == torch.float32 else 0.02)
    layer.double()
    assert layer(*inputs)[0].dtype == torch.float64
