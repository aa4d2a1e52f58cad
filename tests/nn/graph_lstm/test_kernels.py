"""The fast path against the plain one in float64, values and gradients; and which of them ran."""

from __future__ import annotations

import gc
import itertools
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch_geometric.nn import GATv2Conv
from torch_geometric.testing import withPackage

from mtgnn import TaskGraph
from mtgnn.nn import CompleteGraphLSTM, GraphLSTM, SharedLSTM, StarGraphLSTM
from mtgnn.nn.graph_lstm import graph_lstm
from mtgnn.ops import fused, kernels_ran, pointwise, sparse
from mtgnn.ops.native import talks
from mtgnn.ops.steps import States, Steps
from mtgnn.testing import random_batch, randomise

B, T, E, H, K = 6, 7, 3, 4, 5
LENGTHS = torch.tensor([7, 2, 4, 7, 1, 4])
TASK = torch.tensor([0, 2, 0, 0, 4, 1])  # unequal: blocks have fillers
SOME = torch.zeros(B, K, dtype=torch.bool).index_put(
    (torch.tensor([0, 0, 1, 2, 2, 2, 3, 4, 5, 5]), torch.tensor([0, 1, 2, 0, 3, 4, 4, 2, 1, 3])),
    torch.tensor(True),
)
RING = TaskGraph.from_edges([(f"task{i}", f"task{(i + 1) % K}") for i in range(K)], K)
# Degrees 0, 1, 2, 3, and a virtual node that listens.
UNEVEN = TaskGraph.from_edges(
    [
        *[("task0", "task1"), ("task0", "task2"), ("task1", "task2"), ("shared", "task3")],
        *[("task1", "task3"), ("task2", "task3"), ("task3", "shared"), ("task1", "shared")],
        *[("task3", "task4"), ("task4", "task3")],
    ],
    K,
    ("shared",),
)
TREE = TaskGraph.hierarchy({"task2": ["task0", "task1"], "task3": ["task2"], "task4": ["task0"]})
LAYERS: dict[str, Callable[..., GraphLSTM]] = {
    "fused": lambda **o: GraphLSTM(E, H, TaskGraph.isolated(K), "read", **o),
    "fused pairs": lambda **o: CompleteGraphLSTM(E, H, K, "mutual", **o),
    "fused sparse": lambda **o: GraphLSTM(E, H, UNEVEN, "mutual", **o),
    "ring": lambda **o: GraphLSTM(E, H, RING, "mutual", **o),
    "star": lambda **o: GraphLSTM(E, H, TaskGraph.star(K), "mutual", **o),
    "tree": lambda **o: GraphLSTM(E, H, TREE, "mutual", **o),
    "fused edges": lambda **o: CompleteGraphLSTM(E, H, K, **o),
    "uneven": lambda **o: GraphLSTM(E, H, UNEVEN, "read", **o),
    "cascade": lambda **o: GraphLSTM(E, H, TREE, "cascade", **o),
    "current": lambda **o: StarGraphLSTM(E, H, K, "current", **o),
    "fused mailbox": lambda **o: StarGraphLSTM(E, H, K, "all", **o),
    "past": lambda **o: StarGraphLSTM(E, H, K, "past", **o),
    "several": lambda **o: CompleteGraphLSTM(E, H, K, memory="all", **o),
    "several, past": lambda **o: GraphLSTM(E, H, UNEVEN, "read", memory="past", **o),
}
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "dot": {"score": "dot", "heads": 2, "score_channels": 3},
    "deep": {"num_layers": 2, "bidirectional": True, "heads": 2},
    "detach": {"detach": True},
    "messages": {"concat_messages": True, "heads": 2},
    "static": {"score": "static", "heads": 2, "detach": True},
    "uniform": {"score": "uniform", "bidirectional": True},
    "gated": {"fusion": "gated", "heads": 2, "concat_messages": True},
    "owned": {"score_owner": "receiver", "heads": 2, "score_channels": 3},
    "owned dot": {"score_owner": "receiver", "score": "dot", "fusion": "gated", "num_layers": 2},
    "gated deep": {"fusion": "gated", "num_layers": 2, "bidirectional": True, "common": True},
    "narrow": {"common": True, "own_rank": 2, "concat_messages": True},
    "alike": {"common": True, "own_rank": 0, "concat_messages": True},
}
SEVERAL = ("several", "several, past")
BOXES = ("fused mailbox", "past", "current", *SEVERAL)
MUTUAL = ("fused pairs", "fused sparse", "ring", "star", "tree")
ALONE = ("plain", "deep", "messages")  # what there is to tell apart without messages
CASES = [
    (a, o)
    for a in LAYERS
    for o in OPTIONS
    if not (a in BOXES and o == "static")
    and not (a in MUTUAL and o.startswith("owned"))
    and not (a == "fused" and o not in ALONE)
]
ASKED: dict[str, Tensor | None] = {"one": TASK, "some": SOME, "all": None}
EVERY = ("plain", "deep", "messages", "owned", "static")  # differ in what several tasks need


def in_turn(cases: list[tuple[str, str]]) -> list[tuple[str, str, str]]:
    """Each case with one kind of tasks."""
    return [(*case, kind) for case, kind in zip(cases, itertools.cycle(ASKED), strict=False)]


@pytest.fixture(params=["torch", "C++"], autouse=True)
def loop(request: pytest.FixtureRequest) -> str:
    """The loop over words of the fast path."""
    if request.param == "C++":
        request.getfixturevalue("use_native")(True)
    return request.param


def words(*shape: int) -> Tensor:
    return torch.randn(B, T, *shape, E, generator=torch.Generator().manual_seed(3)).double()


def pair(name: str, **options: Any) -> tuple[GraphLSTM, GraphLSTM]:
    """The same layer on the plain path and on the fast one."""
    make = LAYERS[name]
    plain, fused = randomise(make(kernel="reference", **options)), make(kernel="fused", **options)
    fused.double().load_state_dict(plain.state_dict())
    return plain, fused


def results(layer: GraphLSTM, x: Tensor, task: Tensor | None, state: Any = None) -> list[Any]:
    """Everything that comes out, and the gradients of a loss that depends on all of it."""
    x = x.clone().requires_grad_()
    out, end, attention = layer(x, LENGTHS, task, state, return_attention_weights=True)
    tilt = torch.linspace(-1, 1, out.numel(), dtype=torch.float64).view_as(out)
    loss = (out.sin() * tilt).sum() + end.c.cos().sum() + end.sender_h.sin().sum()
    loss = loss + sum((alpha**2).sum() for _, alpha in attention)
    if layer.memory != "current":
        loss = loss + sum((alpha**3).sum() for _, alpha in layer.edge_attention())
    leaves = [x, *layer.parameters()]
    gradients = torch.autograd.grad(loss, leaves, allow_unused=True)
    return [out, *(alpha for _, alpha in attention), *end[:4], *gradients]


def check_equal(plain: GraphLSTM, fused: GraphLSTM, *arguments: Any) -> None:
    check_results(results(plain, *arguments), results(fused, *arguments))


def check_results(expected: list[Any], found: list[Any]) -> None:
    for one, other in zip(expected, found, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            torch.testing.assert_close(other, one, rtol=1e-9, atol=1e-11)


@cache
def plain_layer(name: str, option: str) -> GraphLSTM:
    return randomise(LAYERS[name](kernel="reference", **OPTIONS[option]))


@cache  # once for both loops: the plain path takes most of the time
def plain_results(name: str, option: str, asked: str) -> list[Any]:
    return results(plain_layer(name, option), words(), ASKED[asked])


def fast_results(name: str, option: str, asked: str) -> list[Any]:
    layer = LAYERS[name](kernel="fused", **OPTIONS[option]).double()
    layer.load_state_dict(plain_layer(name, option).state_dict())
    return results(layer, words(), ASKED[asked])


@pytest.mark.parametrize(
    ("name", "option", "asked"),
    [
        *((*case, kind) for case in CASES if case[1] in EVERY for kind in ASKED),
        *in_turn([(name, o) for o in OPTIONS if o not in EVERY for name, p in CASES if p == o]),
    ],
)
def test_the_fast_path_equals_the_plain_one(name: str, option: str, asked: str) -> None:
    check_results(plain_results(name, option, asked), fast_results(name, option, asked))


@pytest.mark.parametrize("option", ["plain", "deep", "dot", "gated"])
@pytest.mark.parametrize("name", LAYERS)
def test_in_many_chunks(name: str, option: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a batch of hundreds of columns: several products, and several passes over tokens."""
    expected = plain_results(name, option, "some")
    monkeypatch.setattr(Steps, "columns", 7)
    monkeypatch.setattr(talks, "TOKENS", 8)
    monkeypatch.setattr(pointwise, "LARGE", 0)
    check_results(expected, fast_results(name, option, "some"))


@pytest.mark.parametrize("name", LAYERS)
def test_a_batch_of_several_chunks(name: str) -> None:
    number = torch.arange(40 * B)
    x = torch.randn(len(number), T, E).double()
    found = []
    for layer in pair(name):
        out, end = layer(x, LENGTHS[number % B], torch.zeros_like(number))
        out.sin().sum().backward()
        found.append([out, end.h, *(p.grad for p in layer.parameters() if p.grad is not None)])
    torch.testing.assert_close(found[1], found[0], rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize(
    ("name", "option", "asked"),
    in_turn(
        [(name, option) for option in ("plain", "deep", "messages", "gated") for name in LAYERS]
    ),
)
def test_without_gradients(
    name: str, option: str, asked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fast path keeps no gates then, and cells of one step."""
    plain, lean = pair(name, **OPTIONS[option])
    task = ASKED[asked]
    with torch.no_grad():
        expected = plain(words(), LENGTHS, task)
    made: list[Any] = []
    monkeypatch.setattr(fused, "States", lambda *parts: made.append(States(*parts)) or made[-1])
    with torch.no_grad():
        without = lean(words(), LENGTHS, task)
    frozen = lean.requires_grad_(False)(words(), LENGTHS, task)
    assert made and all(s.gates is None and s.cs.shape == s.h.shape for s in made)
    for out, end in (without, frozen):
        torch.testing.assert_close(out, expected[0], rtol=1e-9, atol=1e-11)
        torch.testing.assert_close(end, expected[1], rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("name", LAYERS)
def test_with_an_input_for_each_node(name: str) -> None:
    plain, fused = pair(name, num_layers=2)
    check_equal(plain, fused, words(plain.graph.num_nodes), TASK)


@pytest.mark.parametrize("options", ["plain", "narrow", "alike"])
@pytest.mark.parametrize("name", [n for n in LAYERS if n not in ("fused mailbox", *SEVERAL)])
def test_from_a_state(name: str, options: str) -> None:
    plain, fused = pair(name, num_layers=2, **OPTIONS[options])
    with torch.no_grad():
        _, state = plain(words()[:, :2], None, TASK)
    check_equal(plain, fused, words(), TASK, state)


@pytest.mark.parametrize("per_node", [False, True])
@pytest.mark.parametrize("name", LAYERS)
def test_nan_that_nobody_reads_reaches_no_gradient(name: str, per_node: bool) -> None:
    _, layer = pair(name)
    parameters = list(layer.parameters())
    x = words(layer.graph.num_nodes) if per_node else words()
    found = []
    for rubbish in (0.0, float("nan")):
        for b, length in enumerate(LENGTHS.tolist()):
            x[b, length:] = rubbish
        out, _ = layer(x, LENGTHS, TASK)
        grads = torch.autograd.grad(out.sum(), parameters, allow_unused=True)
        found.append([out, *(grad for grad in grads if grad is not None)])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("fusion", ["gates", "gated"])
@pytest.mark.parametrize("drop", ["message_dropout", "attention_dropout"])
@pytest.mark.parametrize("name", LAYERS)
def test_gradients_under_dropout(name: str, drop: str, fusion: str) -> None:
    _, layer = pair(name, **{drop: 0.5}, heads=2, fusion=fusion)
    leaves = {"x": words(), **{key: p.detach() for key, p in layer.named_parameters()}}
    sizes = [leaf.numel() for leaf in leaves.values()]

    def run(flat: Tensor) -> Tensor:
        torch.manual_seed(5)
        parts = zip(leaves.items(), flat.split(sizes), strict=True)
        named = {key: part.view_as(leaf) for (key, leaf), part in parts}
        return torch.func.functional_call(layer, named, (named.pop("x"), LENGTHS, TASK))[0]

    # One direction in all of them at once.
    flat = torch.cat([leaf.flatten() for leaf in leaves.values()]).requires_grad_()
    assert torch.autograd.gradcheck(run, flat, rtol=1e-6, atol=1e-8, fast_mode=True)
    if name != "fused":
        assert not torch.equal(run(flat), layer.eval()(words(), LENGTHS, TASK)[0])


def test_nan_of_one_node_reaches_no_gradient_of_another() -> None:
    for layer in pair("fused"):
        x = words()
        x[0, 0] = torch.nan  # the longest of task 0
        out, _ = layer(x, LENGTHS, TASK)
        out[TASK != 0].sum().backward()
        for name, node in layer.nodes.items():
            grads = [p.grad for p in node.parameters() if p.grad is not None]
            assert grads or name not in ("task1", "task2", "task4")
            assert name == "task0" or all(grad.isfinite().all() for grad in grads)


@pytest.mark.parametrize("fusion", ["gates", "gated"])
@pytest.mark.parametrize("name", ["fused pairs", "fused sparse", "fused edges", "fused mailbox"])
def test_what_a_graph_holds_autograd_can_put_elsewhere(
    name: str, fusion: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hooks on saved tensors, as of ``save_on_cpu`` or checkpointing, see all that is large."""
    _, layer = pair(name, fusion=fusion)
    seen: list[StorageWeakRef] = []

    def spy(layout: Any, source: Any, h: Tensor, c: Tensor, weights: Any, talk: Any = None) -> Any:
        if talk is not None:
            made = [t for t in talk.tensors if t is not None and t.numel() > B * H]
            seen.extend(StorageWeakRef(t.untyped_storage()) for t in made)
        return fused.recur_fused(layout, source, h, c, weights, talk)

    monkeypatch.setattr("mtgnn.nn.graph_lstm.run.recur_fused", spy)
    with torch.autograd.graph.saved_tensors_hooks(torch.clone, lambda tensor: tensor):
        out = layer(words(), LENGTHS, TASK)[0]
    gc.collect()
    assert seen and all(storage.expired() for storage in seen)
    out.sum().backward()


def test_memory_of_a_sparse_graph_goes_with_its_edges() -> None:
    """Also where one node hears all others."""

    def kept(num_tasks: int) -> int:
        layer = GraphLSTM(E, 2, TaskGraph.star(num_tasks), "mutual", score_channels=1)
        sizes: dict[int, int] = {}

        def keep(tensor: Tensor) -> Tensor:
            sizes[tensor.data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            layer(torch.randn(30, 20, E), torch.full((30,), 20), torch.zeros(30, dtype=torch.long))
        return sum(sizes.values())

    assert kept(60) < 2.2 * kept(30)


def test_weights_that_nobody_asks_for_are_not_held(monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[int] = []
    run = graph_lstm.run_layers

    def spy(*arguments: Any) -> Any:
        outs, runs = run(*arguments)
        held.append(sum(len(one.weights) for one in runs))
        return outs, runs

    monkeypatch.setattr(graph_lstm, "run_layers", spy)
    for kernel in ("reference", "auto"):
        layer = CompleteGraphLSTM(E, H, K, num_layers=2, bidirectional=True, kernel=kernel)
        layer(words().float(), LENGTHS, TASK)
        layer(words().float(), LENGTHS, TASK, return_attention_weights=True)
    assert held == [0, 4, 0, 4]


def by_segment(source: Tensor, ends: Tensor, reduce: str) -> Tensor:
    """What torch-scatter's ``segment_csr`` computes, row by row."""
    parts = [source[a:b] for a, b in itertools.pairwise(ends.tolist())]
    return torch.stack(
        [
            part.sum(0) if reduce == "sum" else part.max(0).values if len(part) else part.sum(0)
            for part in parts
        ]
    )


@pytest.mark.parametrize("option", ["plain", "dot", "static"])
def test_sums_by_segment(option: str, monkeypatch: pytest.MonkeyPatch, loop: str) -> None:
    calls = []

    def spy(source: Tensor, ends: Tensor, reduce: str) -> Tensor:
        calls.append(reduce)
        return by_segment(source, ends, reduce)

    monkeypatch.setattr(sparse, "WITH_TORCH_SCATTER", True)
    monkeypatch.setattr(sparse, "segment_csr", spy, raising=False)
    plain, fused = pair("fused sparse", **OPTIONS[option])
    check_equal(plain, fused, words(), TASK)
    expected = set() if loop == "C++" else {"sum"} if option == "static" else {"sum", "max"}
    assert set(calls) == expected


@withPackage("torch_scatter")
def test_torch_scatter_sums_like_that() -> None:
    from torch_scatter import segment_csr

    source = torch.randn(7, 2, 3)
    ends = torch.tensor([0, 2, 2, 6, 7])
    for reduce in ("sum", "max"):
        expected = by_segment(source, ends, reduce)
        torch.testing.assert_close(segment_csr(source, ends, reduce=reduce), expected)


def test_the_fused_kernel_refuses_what_it_cannot_do(loop: str) -> None:
    conv = GATv2Conv(H, H, add_self_loops=False)
    with pytest.raises(ValueError, match="cannot serve this layer: a conv"):
        CompleteGraphLSTM(E, H, 3, kernel="fused", conv=conv)
    with pytest.raises(ValueError, match="cannot serve this layer: score_owner"):
        CompleteGraphLSTM(E, H, 3, "mutual", kernel="fused", score_owner="receiver")
    owned = CompleteGraphLSTM(E, H, 3, "mutual", score_owner="receiver")
    x, task = words().float(), TASK % 3
    owned.kernel = "fused"
    with pytest.raises(ValueError, match="receiver"):
        owned(x, LENGTHS, task)
    owned.kernel = "auto"
    silent = ["native" if loop == "C++" else "fused"]  # senders, before the receivers
    for layer, before in ((owned, []), (CompleteGraphLSTM(E, H, 3, conv=conv), silent)):
        with kernels_ran() as ran:
            layer(x, LENGTHS, task)
        assert ran == [*before, "reference"]


@pytest.mark.parametrize("name", [name for name in LAYERS if name.startswith("fused")])
def test_one_can_ask_which_kernel_ran(name: str, loop: str) -> None:
    plain, fused = pair(name)
    fast = name.replace("fused", "native") if loop == "C++" else name
    for layer, expected in ((plain, "reference"), (fused, fast)):
        with kernels_ran() as ran:
            layer(words(), LENGTHS, TASK)
        assert ran[-1] == expected
    fused.kernel = "auto"
    with kernels_ran() as ran:
        fused(words(), LENGTHS, TASK)
        SharedLSTM(E, H, K).double()(words(), LENGTHS, TASK)
    assert ran[-2:] == [fast, fast.split()[0]]


@pytest.mark.parametrize("name", ["fused pairs", "fused sparse", "fused edges", "fused mailbox"])
def test_one_can_ask_whether_a_gate_ran(name: str, loop: str) -> None:
    _, layer = pair(name, fusion="gated")
    with kernels_ran() as ran:
        layer(words(), LENGTHS, TASK)
    assert ran[-1] == ("native gated" if loop == "C++" else "fused gated")


def test_a_second_derivative_is_refused_on_the_fast_path_and_given_on_the_plain_one() -> None:
    plain, fused = pair("fused pairs")
    x = words().requires_grad_()
    with pytest.raises(RuntimeError, match="reference"):
        torch.autograd.grad(fused(x, LENGTHS, TASK)[0].sum(), x, create_graph=True)
    (first,) = torch.autograd.grad(plain(x, LENGTHS, TASK)[0].sum(), x, create_graph=True)
    assert torch.autograd.grad(first.square().sum(), x)[0].any()


def test_transforms_of_functions_take_the_plain_path() -> None:
    _, layer = pair("fused edges")
    named, x = dict(layer.named_parameters()), words()

    def loss(parameters: dict[str, Tensor]) -> Tensor:
        return torch.func.functional_call(layer, parameters, (x, LENGTHS, TASK))[0].sin().sum()

    with pytest.raises(ValueError, match=r"cannot serve this layer: .* torch\.func"):
        torch.func.grad(loss)(named)
    layer.kernel = "auto"
    with kernels_ran() as ran:
        grads = torch.func.grad(loss)(named)
    assert set(ran) == {"reference"}
    expected = torch.autograd.grad(loss(named), list(named.values()), materialize_grads=True)
    torch.testing.assert_close(list(grads.values()), list(expected))


def test_backward_within_autocast() -> None:
    layer = randomise(CompleteGraphLSTM(3, 4, 3, "mutual"), dtype=torch.float32)
    x, lengths, task = random_batch(3, 3, batch_size=6, dtype=torch.float32)
    expected = torch.autograd.grad(layer(x, lengths, task)[0].sum(), list(layer.parameters()))
    with torch.autocast("cpu", torch.bfloat16):
        out, _ = layer(x, lengths, task)
        grads = torch.autograd.grad(out.sum(), list(layer.parameters()))
    for grad, other in zip(grads, expected, strict=True):
        torch.testing.assert_close(grad, other, rtol=5e-2, atol=1e-2)  # words' scores in bfloat16
