"""Nodes with a part in common: the same layer, in other parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mtgnn import TaskGraph
from mtgnn.nn import (
    CompleteGraphLSTM,
    GraphLSTM,
    StarGraphLSTM,
    add_task,
    freeze_except_task,
    parameter_groups,
)
from mtgnn.testing import assert_heard, random_batch, randomise

E, H, TASKS = 3, 4, ("a", "b", "c")
STAR = TaskGraph.from_edges(
    [("shared", k) for k in TASKS] + [("a", "b"), ("b", "c"), ("c", "a")], TASKS, ("shared",)
)
CHAIN = TaskGraph.from_edges([("a", "b"), ("a", "c"), ("b", "c")], TASKS)

LAYERS: dict[str, Callable[..., GraphLSTM]] = {
    "read": lambda **o: CompleteGraphLSTM(E, H, TASKS, **o),
    "mutual": lambda **o: CompleteGraphLSTM(E, H, TASKS, "mutual", **o),
    "cascade": lambda **o: GraphLSTM(E, H, CHAIN, "cascade", heads=2, **o),
    "gated": lambda **o: GraphLSTM(E, H, CHAIN, fusion="gated", **o),
    "deep": lambda **o: CompleteGraphLSTM(E, H, TASKS, num_layers=2, bidirectional=True, **o),
    "star": lambda **o: StarGraphLSTM(E, H, TASKS, **o),
    "star-past": lambda **o: StarGraphLSTM(E, H, TASKS, "past", **o),
    "several": lambda **o: CompleteGraphLSTM(E, H, TASKS, memory="all", **o),
    "isolated": lambda **o: GraphLSTM(E, H, TaskGraph.isolated(TASKS), **o),
}


def gradients(layer: nn.Module, batch: Any) -> tuple[Tensor, dict[str, Tensor | None]]:
    out, _ = layer(*batch)
    (out * torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view_as(out)).sum().backward()
    return out, {name: parameter.grad for name, parameter in layer.named_parameters()}


@pytest.mark.parametrize("kernel", ["auto", "reference"])
@pytest.mark.parametrize("name", LAYERS)
def test_equals_a_layer_whose_nodes_are_the_sums(name: str, kernel: str) -> None:
    layer = randomise(LAYERS[name](common=True, kernel=kernel))
    plain = LAYERS[name](kernel=kernel).double()
    values = layer.state_dict()
    for key in plain.state_dict():
        if key.startswith("nodes."):
            values[key] = values[key] + values["common." + key.rpartition(".")[2]]
    plain.load_state_dict({key: values[key] for key in plain.state_dict()})
    batch = random_batch(E, 3, batch_size=6)
    if layer.graph.num_edges:
        assert_heard(layer, *batch)
    out, own = gradients(layer, batch)
    expected, sums = gradients(plain, batch)
    torch.testing.assert_close(out, expected)
    for key, gradient in sums.items():
        torch.testing.assert_close(own[key], gradient)
    of_common = [key for key in own if key.startswith("common.")]
    assert len(of_common) == len(list(layer.nodes["a"].parameters())) or name in (
        "cascade",
        "gated",
    )
    for key in of_common:
        parameter = key.removeprefix("common.")
        parts = [
            sums[f"nodes.{node}.{parameter}"]
            for node in layer.graph.nodes
            if f"nodes.{node}.{parameter}" in sums
        ]
        torch.testing.assert_close(
            own[key], torch.stack([p for p in parts if p is not None]).sum(0)
        )


@pytest.mark.parametrize("kernel", ["auto", "reference"])
@pytest.mark.parametrize("rank", [0, 2])
@pytest.mark.parametrize("name", LAYERS)
def test_equals_a_layer_whose_own_parts_are_products(name: str, rank: int, kernel: str) -> None:
    narrow = randomise(LAYERS[name](common=True, own_rank=rank, kernel=kernel))
    whole = LAYERS[name](common=True, kernel=kernel).double()
    given = narrow.state_dict()
    values = {}
    for key, value in whole.state_dict().items():
        task = key.split(".")[1] if key.startswith("nodes.") else None
        matrix = value.dim() == 2 and task in TASKS
        if matrix and rank:
            values[key] = given.pop(f"{key}_left") @ given.pop(f"{key}_right")
        else:
            values[key] = torch.zeros_like(value) if matrix else given.pop(key)
    assert not given
    whole.load_state_dict(values)
    batch = random_batch(E, 3, batch_size=6)
    if narrow.graph.num_edges:
        assert_heard(narrow, *batch)
    out, own = gradients(narrow, batch)
    expected, wholes = gradients(whole, batch)
    torch.testing.assert_close(out, expected)
    for key, gradient in own.items():
        factor = key.rpartition("_")[2]
        if factor not in ("left", "right"):
            torch.testing.assert_close(gradient, wholes[key])
            continue
        matrix = key.removesuffix(f"_{factor}")
        outer = wholes[matrix]
        if outer is None:
            assert gradient is None
        elif factor == "left":
            right = narrow.get_parameter(f"{matrix}_right")
            torch.testing.assert_close(gradient, outer @ right.t())
        else:
            left = narrow.get_parameter(f"{matrix}_left")
            torch.testing.assert_close(gradient, left.t() @ outer)


@pytest.mark.parametrize("name", ["read", "star"])
def test_narrow_own_parts_start_at_nothing_and_learn(name: str) -> None:
    layer = LAYERS[name](common=True, own_rank=2)
    batch = random_batch(E, 3, batch_size=6, dtype=torch.float32)
    fresh = LAYERS[name](common=True)
    fresh.load_state_dict(layer.state_dict(), strict=False)  # own parts of both are zero
    torch.testing.assert_close(layer(*batch)[0], fresh(*batch)[0])
    _, own = gradients(layer, batch)
    assert all(own[f"nodes.{task}.weight_hh_l0_left"].any() for task in TASKS)
    randomise(layer)
    layer.reset_parameters()
    for key, parameter in layer.nodes["a"].named_parameters():
        assert bool(parameter.any()) == key.endswith("_right"), key


def test_nodes_that_differ_in_biases_alone_run_as_one() -> None:
    lengths, device = [5, 4, 3, 3], torch.device("cpu")

    def rows(**options: Any) -> list[int]:
        layer = GraphLSTM(E, H, STAR, "read", common=True, **options)
        return [len(stage.nodes) for stage in layer._make_plan(None, lengths, device).stages]

    assert rows() == rows(own_rank=2) == [4, 3]
    assert rows(own_rank=0) == [2, 1]  # the virtual node by itself
    for own in ({"fusion": "gated"}, {"score_owner": "receiver"}):
        assert rows(own_rank=0, **own) == [4, 3]


def test_a_node_with_matrices_of_its_own_keeps_them() -> None:
    """Whoever puts it into a layer of nodes with biases alone."""
    layers = [randomise(CompleteGraphLSTM(E, H, TASKS, common=True, own_rank=r)) for r in (0, None)]
    batch = random_batch(E, 3, batch_size=6)
    narrow, whole = layers
    whole.load_state_dict({k: torch.zeros_like(v) for k, v in whole.state_dict().items()})
    whole.load_state_dict(narrow.state_dict(), strict=False)
    node = randomise(whole.nodes["b"], seed=1)
    narrow.nodes["b"] = node
    torch.testing.assert_close(narrow(*batch)[0], whole(*batch)[0])
    narrow.nodes["b"] = nn.LSTM(E, H)
    with pytest.raises(ValueError, match="expected a NodeLSTM"):
        narrow(*batch)


def test_autocast_leaves_the_products_alone() -> None:
    layer = randomise(LAYERS["read"](common=True, own_rank=2), dtype=torch.float32)
    plain = layer.nodes["a"].get("weight_hh", "l0")
    with torch.autocast("cpu", torch.bfloat16):
        cast = layer.nodes["a"].get("weight_hh", "l0")
    assert torch.equal(cast, plain)


def test_virtual_nodes_have_whole_matrices() -> None:
    layer = StarGraphLSTM(E, H, TASKS, common=True, own_rank=0)
    assert {name for name, _ in layer.nodes["a"].named_parameters()} == {"bias_ih_l0", "bias_hh_l0"}
    assert layer.nodes["shared"].weight_hh_l0.shape == (4 * H, H)


@pytest.mark.parametrize(
    "rank, common", [(2, False), (-1, True), (1.5, True), (True, True), (False, True)]
)
def test_ranks_that_make_no_sense(rank: Any, common: bool) -> None:
    with pytest.raises(ValueError, match="own_rank"):
        CompleteGraphLSTM(E, H, TASKS, common=common, own_rank=rank)


def test_nodes_start_alike() -> None:
    layer = GraphLSTM(E, H, TaskGraph.isolated(TASKS), common=True)
    lstm = nn.LSTM(E, H, batch_first=True)
    assert layer.common is not None
    lstm.load_state_dict(layer.common.state_dict())
    x = torch.randn(2, 5, E)
    out, _ = layer(x)
    torch.testing.assert_close(out, lstm(x)[0].unsqueeze(2).expand_as(out))
    randomise(layer)
    layer.reset_parameters()
    assert not any(parameter.any() for parameter in layer.nodes.parameters())
    assert all(parameter.any() for parameter in layer.common.parameters())


@pytest.mark.parametrize("rank", [None, 0, 2])
@pytest.mark.parametrize("name", ["read", "star"])
def test_a_new_task_is_what_all_have_in_common(name: str, rank: int | None) -> None:
    layer = randomise(LAYERS[name](common=True, own_rank=rank))
    more = add_task(layer, "d")
    assert more.common is not None
    own = dict(more.nodes["d"].named_parameters())
    assert not any(own[key].any() for key in own if not key.endswith("_right"))
    for new, old in zip(more.common.parameters(), layer.common.parameters(), strict=True):
        assert torch.equal(new, old)
    x, lengths, task = random_batch(E, 3, batch_size=6)
    assert torch.equal(more(x, lengths, task)[0], layer(x, lengths, task)[0])
    assert "common.weight_ih_l0" in parameter_groups(more)["encoder"]
    assert freeze_except_task(more, "d") == ["nodes.d"]
    out, _ = more(x, lengths, torch.full_like(task, 3))
    out.sum().backward()
    assert [n for n, p in more.named_parameters() if p.grad is not None] == [
        f"nodes.d.{n}" for n, _ in more.nodes["d"].named_parameters()
    ]
