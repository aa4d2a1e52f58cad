"""Many steps a launch: LSTMs that hear known states, or each other, beside the plain path.

On a GPU as they are compiled there, else in Triton's interpreter (see ``conftest.py``), where those
that hear each other have two launches a step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from mtgnn import TaskGraph
from mtgnn.nn import CompleteGraphLSTM, GraphLSTM, StarGraphLSTM
from mtgnn.ops import fused, gpu, use_triton
from mtgnn.ops.gpu import pair_launch, steps
from mtgnn.ops.gpu.steps import LARGEST, TritonBoxSteps, TritonPairSteps
from mtgnn.testing import randomise

pytest.importorskip("triton", reason="Triton is not installed (extra triton)")
pytestmark = pytest.mark.usefixtures("triton_kernels")

E, TASKS = 3, ("a", "b", "c", "d")
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
LENGTHS = torch.tensor([6, 2, 4, 6, 1])
TASK = torch.tensor([0, 2, 0, 0, 3])  # unequal: blocks have fillers, and one node has no text
SOME = torch.tensor([[1, 1, 0, 0], [0, 0, 1, 0], [1, 0, 1, 1], [0, 1, 0, 0], [1, 0, 0, 1]]).bool()
UNEVEN = TaskGraph.from_edges(
    [("a", "b"), ("a", "c"), ("b", "c"), ("shared", "d"), ("b", "d"), ("c", "d")], TASKS, ["shared"]
)
# b hears nobody, and nobody hears d; few nodes are dense all the same.
APART = TaskGraph.from_edges([("a", "c"), ("c", "a"), ("b", "a"), ("b", "c")], TASKS)
HUB = [edge for task in TASKS for edge in ((task, "hub"), ("hub", task))]
HUB_AND_PAIR = TaskGraph.from_edges([*HUB, ("a", "b"), ("b", "a")], TASKS, ["hub"])
TREE = TaskGraph.hierarchy({"c": ["a", "b"], "d": ["c"]})
LAYERS: dict[str, Callable[..., GraphLSTM]] = {
    "edges": lambda size, **o: CompleteGraphLSTM(E, size, TASKS, **o),
    "uneven": lambda size, **o: GraphLSTM(E, size, UNEVEN, "read", **o),
    "cascade": lambda size, **o: GraphLSTM(E, size, TREE, "cascade", **o),
    "current": lambda size, **o: StarGraphLSTM(E, size, TASKS, "current", **o),
    "mailbox": lambda size, **o: StarGraphLSTM(E, size, TASKS, "all", **o),
    "past": lambda size, **o: StarGraphLSTM(E, size, TASKS, "past", **o),
    "mutual": lambda size, **o: CompleteGraphLSTM(E, size, TASKS, "mutual", **o),
    "mutual hub": lambda size, **o: GraphLSTM(E, size, HUB_AND_PAIR, "mutual", **o),
    "apart": lambda size, **o: GraphLSTM(E, size, APART, "mutual", **o),
    "several": lambda size, **o: GraphLSTM(E, size, UNEVEN, "read", memory="past", **o),
}
GATED = {"fusion": "gated"}
DOT: dict[str, Any] = {"score": "dot", "heads": 2, "score_channels": 3}
CASES: list[tuple[str, dict[str, Any]]] = [
    ("edges", {}),
    ("edges", {"score_owner": "receiver", "heads": 2, "score_channels": 3}),
    ("uneven", DOT),
    ("uneven", {"score": "uniform", "concat_messages": True}),
    ("cascade", {"score": "static", "heads": 2}),
    ("cascade", {"concat_messages": True, "num_layers": 2, "bidirectional": True}),
    ("current", {"detach": True}),
    ("mailbox", {"heads": 2}),
    ("mailbox", DOT),
    ("past", {"score_owner": "receiver", "bidirectional": True}),
    ("past", {"score": "uniform"}),
    ("several", DOT | {"score_owner": "receiver", "concat_messages": True}),
    ("mutual", {}),
    ("mutual", DOT | {"concat_messages": True, "num_layers": 2}),  # the second reads its own words
    ("mutual", {"score": "uniform", "concat_messages": True}),
    ("mutual hub", {"detach": True, "heads": 2, "score_channels": 3}),
    ("mutual hub", {"detach": True, "score": "static", "heads": 2}),
    ("apart", DOT),
    ("apart", {"fusion": "gated", "heads": 2, "score_channels": 3, "concat_messages": True}),
    ("uneven", DOT | {"fusion": "gated", "concat_messages": True}),
    ("cascade", {"fusion": "gated", "score": "static"}),
    ("mailbox", {"fusion": "gated", "bidirectional": True}),
    ("apart", {"score": "static"}),
]


@pytest.fixture
def launches(record_launches: Callable[..., list[str]]) -> list[str]:
    """What was launched."""
    names = "box_program", "pair_program", "lstm_forward", "cell_forward", "additive_weights"
    return record_launches(*names)


def pair(name: str, size: int = 5, **options: Any) -> tuple[GraphLSTM, GraphLSTM]:
    """The same layer on the plain path and in Triton."""
    plain = randomise(LAYERS[name](size, kernel="reference", **options))
    fast = LAYERS[name](size, kernel="fused", **options).double()
    fast.load_state_dict(plain.state_dict())
    return plain.to(DEVICE), fast.to(DEVICE)


def words(batch: int = len(LENGTHS), steps: int = 6) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randn(batch, steps, E, generator=generator).double().to(DEVICE)


def results(
    layer: GraphLSTM, x: Tensor, lengths: Tensor = LENGTHS, task: Tensor = TASK
) -> list[Tensor | None]:
    """Everything that comes out, and the gradients of a loss that depends on all of it."""
    x = x.clone().requires_grad_()
    out, end, attention = layer(x, lengths, task, return_attention_weights=True)
    tilt = torch.linspace(-1, 1, out.numel()).to(out).view_as(out)
    loss = (out.sin() * tilt).sum() + end.c.cos().sum()
    loss = loss + sum((alpha**2).sum() for _, alpha in attention)
    grads = torch.autograd.grad(loss, [x, *layer.parameters()], allow_unused=True)
    return [out, *(alpha for _, alpha in attention), *end[:2], *grads]


def assert_equal(found: list[Tensor | None], expected: list[Tensor | None]) -> None:
    for one, other in zip(found, expected, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize(("name", "options"), CASES, ids=lambda value: str(value))
def test_equals_the_plain_path(name: str, options: dict[str, Any], launches: list[str]) -> None:
    plain, fast = pair(name, **options)
    expected = results(plain, words())
    assert not launches
    assert_equal(results(fast, words()), expected)
    alone = set() if name in ("mutual", "mutual hub") else {"lstm_forward"}
    mutual = name in ("mutual", "mutual hub", "apart")
    assert set(launches) == {"pair_program" if mutual else "box_program", *alone}


@pytest.mark.parametrize("name", ["edges", "mailbox", "mutual"])
def test_a_sentence_for_some_tasks(name: str) -> None:
    plain, fast = pair(name)
    expected = results(plain, words(), task=SOME)
    assert_equal(results(fast, words(), task=SOME), expected)


@pytest.mark.parametrize("name", ["uneven", "past", "mutual"])
def test_few_steps_at_a_time(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Several chunks, several launches in a chunk, and blocks that end in between."""
    plain, fast = pair(name)
    expected = results(plain, words())
    for kind in (TritonBoxSteps, TritonPairSteps):
        monkeypatch.setattr(kind, "columns", 7)
    monkeypatch.setattr(steps, "TOKENS", 8)
    assert_equal(results(fast, words()), expected)


@pytest.mark.parametrize(("name", "options"), [("edges", DOT), ("mailbox", {}), ("mutual", {})])
def test_more_than_a_program_has_at_once(name: str, options: dict[str, Any]) -> None:
    """More sequences, states, channels and places."""
    plain, fast = pair(name, size=33, **options | {"score_channels": 33})
    longest = 3 if name == "mutual" else 17  # as many places has a box
    lengths = torch.tensor([longest] * 2 + [2] * 10 + [1] * 6)
    task = torch.zeros(len(lengths), dtype=torch.long)
    given = words(len(lengths), longest), lengths, task
    assert_equal(results(fast, *given), results(plain, *given))


@pytest.mark.parametrize("name", ["edges", "past", "mutual"])
def test_without_gradients_cells_of_one_step_are_kept(name: str) -> None:
    plain, fast = pair(name, concat_messages=True)
    with torch.no_grad():
        expected, found = (layer(words(), LENGTHS, TASK) for layer in (plain, fast))
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(
    ("name", "options"), [("edges", {}), ("mailbox", DOT), ("mutual", {}), ("mutual", GATED)]
)
def test_dropout(name: str, options: dict[str, Any]) -> None:
    """The same is dropped as on the fast path without Triton."""
    drop = {"message_dropout": 0.5, "attention_dropout": 0.3, "concat_messages": True}
    layer = pair(name, **options | drop)[1].train()

    def run(on: bool) -> list[Tensor | None]:
        torch.manual_seed(2)
        with use_triton(on):
            return results(layer, words())

    found = run(True)
    assert_equal(found, run(False))
    assert not torch.equal(found[0], results(layer.eval(), words())[0])


@pytest.mark.parametrize(("dtype", "near"), [(torch.float32, 1e-4), (torch.bfloat16, 0.1)])
@pytest.mark.parametrize("name", ["edges", "mailbox", "mutual"])
def test_other_types(name: str, dtype: torch.dtype, near: float) -> None:
    fast = pair(name, size=20)[1].to(dtype)
    found = results(fast, words().to(dtype))
    plain = LAYERS[name](20, kernel="reference").to(DEVICE, torch.double)
    plain.load_state_dict(fast.state_dict())
    for one, other in zip(found, results(plain, words().to(dtype).double()), strict=True):
        assert (one is None) == (other is None)
        if one is not None and other is not None:
            assert one.dtype == dtype
            assert (one.double() - other).norm() <= near * other.norm() + 1e-3


@pytest.mark.parametrize("name", ["edges", "mailbox", "mutual"])
def test_nan_stays_nan_in_its_own_sequence(name: str) -> None:
    _, fast = pair(name)
    x = words()
    x[0, 1, 0] = torch.nan
    out = fast(x, LENGTHS, TASK)[0]
    assert out[0, 1:].isnan().all() and not out[1:].isnan().any()
    assert name == "mailbox" or not out[0, 0].isnan().any()  # a mailbox has later states, too
    if name == "mailbox":  # among edges every node has read every sequence
        out[1:].sum().backward()
        grads = [p.grad for p in fast.nodes["d"].parameters() if p.grad is not None]
        assert grads and all(grad.isfinite().all() for grad in grads)


def test_more_nodes_than_a_program_has_at_once() -> None:
    graph = TaskGraph.complete(17)
    plain = randomise(GraphLSTM(E, 2, graph, "mutual", kernel="reference"))
    fast = GraphLSTM(E, 2, graph, "mutual", kernel="fused").double()
    fast.load_state_dict(plain.state_dict())
    given = words(3, 3), torch.tensor([3, 1, 2]), torch.tensor([0, 16, 5])
    assert_equal(results(fast.to(DEVICE), *given), results(plain.to(DEVICE), *given))


SPARSE = TaskGraph.star(TASKS)


def test_what_goes_step_by_step(launches: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Large states, sparse edges side by side, and more nodes than can wait for each other."""
    layers = LAYERS["edges"](LARGEST + 1), GraphLSTM(E, 5, SPARSE, "mutual"), LAYERS["mutual"](5)
    monkeypatch.setattr(gpu, "programs_at_once", lambda like: len(TASKS) - 1)
    for layer in layers:
        layer.to(DEVICE)(words().float(), LENGTHS, TASK)
        assert set(launches) == {"cell_forward", "additive_weights"} - (
            {"additive_weights"} if layer.graph is SPARSE else set()
        )
        launches.clear()


def test_sequences_whose_programs_do_not_fit_have_launches_of_their_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plain, fast = pair("mutual")
    x, lengths = words(20), torch.arange(20) % 6 + 1
    expected = results(plain, x, lengths, torch.zeros(20, dtype=torch.long))
    monkeypatch.setattr(pair_launch, "programs_at_once", lambda like: len(TASKS))
    grids: list[Any] = []
    launch = pair_launch.launch
    monkeypatch.setattr(
        pair_launch, "launch", lambda *a, **o: (grids.append(a[1]), launch(*a, **o))
    )
    assert_equal(results(fast, x, lengths, torch.zeros(20, dtype=torch.long)), expected)
    assert set(grids) == {(len(TASKS),)}


@pytest.mark.parametrize("name", ["edges", "mailbox", "mutual"])
def test_gradients_with_any_strides(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of a sum have stride 0."""
    _, fast = pair(name, score="dot")
    weights: list[Tensor] = []

    def spy(*given: Any) -> Any:
        found = fused.recur_fused(*given)
        weights.extend([] if found[3] is None else [found[3]])
        return found

    monkeypatch.setattr("mtgnn.nn.graph_lstm.run.recur_fused", spy)
    expected, found = [], []
    for on, into in ((False, expected), (True, found)):
        with use_triton(on):
            out = fast(words(), LENGTHS, TASK)[0]
            total = out.sin().sum() + weights.pop().sum()
            into.extend(torch.autograd.grad(total, list(fast.parameters()), allow_unused=True))
    assert_equal(found, expected)


@pytest.mark.skipif(DEVICE.type != "cuda", reason="needs a GPU")
@pytest.mark.parametrize("name", LAYERS)
def test_nothing_waits_for_the_gpu(name: str) -> None:
    _, fast = pair(name)
    x = words()
    fast(x, LENGTHS, TASK)[0].sum().backward()  # compiles
    torch.cuda.set_sync_debug_mode("error")
    try:
        fast(x, LENGTHS, TASK)[0].sum().backward()
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize(
    ("name", "kind", "spans"), [("edges", "box_program", True), ("mutual", "pair_program", False)]
)
def test_wrong_sizes_are_refused(
    name: str, kind: str, spans: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, fast = pair(name)
    made: list[Any] = []
    build = getattr(gpu, kind)
    monkeypatch.setattr(gpu, kind, lambda *a: made.append((build(*a), *a)) or made[-1][0])
    fast(words(), LENGTHS, TASK)
    program, layout = made[0][:2]
    chunk = layout.chunks(TritonBoxSteps.columns)[0]
    columns = torch.zeros(layout.num_blocks, chunk.columns[-1] + 1, 20).double().to(DEVICE)
    which = [chunk, *([(chunk.first, chunk.last)] if spans else [])]
    with pytest.raises(ValueError, match="projected: expected sizes"):
        program.forward(*which, columns, None)
    unread = [None] * (2 if spans else 1)  # gradients of queries and gates, or of gates alone
    with pytest.raises(ValueError, match="dz: expected sizes"):
        program.backward(*which, None, None, (None, None), columns, columns, columns, *unread)
