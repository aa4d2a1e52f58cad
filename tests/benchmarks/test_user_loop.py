"""The yardstick computes what it is compared with."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import pytest
import torch

from mtgnn import TaskGraph
from mtgnn.nn import CompleteGraphLSTM, GraphLSTM, StarGraphLSTM
from mtgnn.testing import randomise

B, T, E, H = 4, 5, 3, 4
LENGTHS, TASK = torch.tensor([5, 2, 4, 1]), torch.tensor([2, 0, 2, 1])
EDGES = [("b", "a"), ("c", "a"), ("a", "b"), ("b", "c"), ("d", "c"), ("a", "d")]
SPARSE = TaskGraph.from_edges(EDGES, ("a", "b", "c", "d"))

LAYERS: dict[str, Callable[[str], GraphLSTM]] = {
    "mutual": lambda score: CompleteGraphLSTM(E, H, 3, "mutual", score=score),
    "read": lambda score: CompleteGraphLSTM(E, H, 3, "read", score=score),
    "mailbox": lambda score: CompleteGraphLSTM(E, H, 3, "read", memory="all", score=score),
    "star": lambda score: StarGraphLSTM(E, H, 3, score=score),
    "sparse": lambda score: GraphLSTM(E, H, SPARSE, score=score),
}


@pytest.fixture
def loops(program: Callable[[str], ModuleType]) -> ModuleType:
    return program("user_loop")


@pytest.mark.parametrize("tuned", [False, True])
@pytest.mark.parametrize("score", ["additive", "dot"])
@pytest.mark.parametrize("kind", LAYERS)
def test_values_and_gradients_are_the_layers(
    loops: ModuleType, kind: str, score: str, tuned: bool
) -> None:
    layer = randomise(LAYERS[kind](score))
    loop = loops.user_loop(layer, tuned)
    x = torch.randn(B, T, E, generator=torch.Generator().manual_seed(1)).double().requires_grad_()
    tilt = torch.randn(H, generator=torch.Generator().manual_seed(2)).double()
    leaves = {"x": x, **dict(layer.named_parameters())}
    out, _ = layer(x, LENGTHS, TASK)
    own = loop(x, LENGTHS, TASK)
    torch.testing.assert_close(own, out, rtol=1e-10, atol=1e-12)
    expected, got = (
        torch.autograd.grad((o.sin() @ tilt).sum(), list(leaves.values()), allow_unused=True)
        for o in (out, own)
    )
    for name, mine, theirs in zip(leaves, got, expected, strict=True):
        theirs = torch.zeros_like(mine) if theirs is None else theirs
        torch.testing.assert_close(
            torch.zeros_like(theirs) if mine is None else mine,
            theirs,
            rtol=1e-8,
            atol=1e-10,
            msg=lambda text, name=name: f"{name}: {text}",
        )


@pytest.mark.parametrize("kind", LAYERS)
def test_propagation_is_generated(loops: ModuleType, kind: str) -> None:
    # Else PyG takes a slow generic path, and the yardstick is too short.
    loop = loops.user_loop(LAYERS[kind]("additive"))
    loop(torch.randn(B, T, E), LENGTHS, TASK)
    assert type(loop.attention).propagate.__module__.endswith("_propagate")


def test_float32(loops: ModuleType) -> None:
    layer = randomise(LAYERS["mutual"]("additive"), dtype=torch.float32)
    x = torch.randn(B, T, E, generator=torch.Generator().manual_seed(1))
    out, own = layer(x, LENGTHS, TASK)[0], loops.user_loop(layer)(x, LENGTHS, TASK)
    torch.testing.assert_close(own, out)


def test_unknown_options_are_an_error(loops: ModuleType) -> None:
    with pytest.raises(ValueError, match="one plain layer"):
        loops.user_loop(CompleteGraphLSTM(E, H, 3, heads=2))
    for layer in (StarGraphLSTM, CompleteGraphLSTM):
        with pytest.raises(ValueError, match="there is no loop"):
            loops.user_loop(layer(E, H, 3, memory="past"))
