"""Two layers, two directions and every option against a loop over words, nodes and heads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from plain_loop import ACYCLIC, CYCLIC, TASKS, Loop
from torch import Tensor

from mtgnn.nn import GraphLSTM, StarGraphLSTM
from mtgnn.testing import assert_heard, randomise

B, T, E, H = 3, 3, 2, 3
LENGTHS, TASK = torch.tensor([3, 2, 2]), torch.tensor([1, 2, 0])

OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "gated": {"heads": 2, "score_channels": 2, "score_owner": "receiver", "fusion": "gated"},
    "dot": {"score": "dot", "heads": 2, "detach": True, "fusion": "gated"},
    "detach": {"detach": True, "score_owner": "receiver"},
    "static": {"score": "static", "heads": 2},
    "uniform": {"score": "uniform"},
}
LAYERS: dict[str, Callable[..., GraphLSTM]] = {
    "mutual": lambda **o: GraphLSTM(E, H, CYCLIC, "mutual", **o),
    "read": lambda **o: GraphLSTM(E, H, CYCLIC, "read", **o),
    "cascade": lambda **o: GraphLSTM(E, H, ACYCLIC, "cascade", **o),
    "all": lambda **o: StarGraphLSTM(E, H, TASKS, "all", **o),
    "past": lambda **o: StarGraphLSTM(E, H, TASKS, "past", **o),
    "current": lambda **o: StarGraphLSTM(E, H, TASKS, "current", **o),
    "several, all": lambda **o: GraphLSTM(E, H, CYCLIC, "read", memory="all", **o),
    "several, past": lambda **o: GraphLSTM(E, H, CYCLIC, "read", memory="past", **o),
}
NO_STATIC = ("all", "past", "current", "several, all", "several, past")
CASES = [(a, o) for a in LAYERS for o in OPTIONS if not (a in NO_STATIC and o == "static")]


def check(layer: GraphLSTM, options: dict[str, Any], x: Tensor) -> None:
    assert_heard(layer, x, LENGTHS, TASK)
    x = x.requires_grad_()
    out, _, attention = layer(x, LENGTHS, TASK, return_attention_weights=True)
    plain, weights = [], []
    for b in range(B):
        loop = Loop(layer, options)
        plain.append(loop(x[b, : LENGTHS[b]], int(TASK[b])))
        weights.append(loop.alpha)
    for b in range(B):
        torch.testing.assert_close(out[b, : LENGTHS[b]], plain[b], rtol=1e-10, atol=1e-12)
        own = {e for e, _ in layer.graph.incoming(int(TASK[b]))}
        box = layer.memory != "current"
        for (_, alpha), expected in zip(attention, weights[b], strict=True):
            mine = {place: a for place, a in expected.items() if box or place[1] in own}
            assert len(mine) >= LENGTHS[b]
            for (t, e), a in mine.items():
                torch.testing.assert_close(alpha[b, t, e], a, rtol=1e-10, atol=1e-12)
    leaves = {"x": x, **dict(layer.named_parameters())}
    tilt = torch.randn(2 * H, generator=torch.Generator().manual_seed(2)).double()
    loss = (out.sin() @ tilt).sum()
    expected_loss = sum((p.sin() @ tilt).sum() for p in plain)
    mine = torch.autograd.grad(loss, list(leaves.values()), materialize_grads=True)
    theirs = torch.autograd.grad(expected_loss, list(leaves.values()), materialize_grads=True)
    for name, got, expected in zip(leaves, mine, theirs, strict=True):
        torch.testing.assert_close(
            got, expected, rtol=1e-8, atol=1e-10, msg=lambda m, name=name: f"{name}: {m}"
        )


@pytest.mark.parametrize(("name", "option"), CASES)
def test_two_layers_both_ways_equal_the_loop(name: str, option: str) -> None:
    options = OPTIONS[option]
    layer = randomise(LAYERS[name](num_layers=2, bidirectional=True, **options))
    x = torch.randn(B, T, E, generator=torch.Generator().manual_seed(3)).double()
    check(layer, options, x)


@pytest.mark.parametrize("name", LAYERS)
def test_inputs_of_each_node_equal_the_loop(name: str) -> None:
    layer = randomise(LAYERS[name](num_layers=2, bidirectional=True, heads=2))
    nodes = layer.graph.num_nodes
    x = torch.randn(B, T, nodes, E, generator=torch.Generator().manual_seed(3)).double()
    check(layer, {"heads": 2}, x)
    other = x.detach().clone()
    other[:, :, nodes - 1] += 1.0  # the virtual node's own input: "a" hears of it
    task = torch.zeros(B, dtype=torch.long)
    assert not torch.allclose(layer(other, None, task)[0], layer(x, None, task)[0])
