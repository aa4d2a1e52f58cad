"""The loops in C++ at sizes that fill their tiles, and at the edges of numbers.

That they equal the plain path is held by tests/nn/graph_lstm/test_kernels.py too, for all layers
and options.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from mtgnn import TaskGraph
from mtgnn.nn import CompleteGraphLSTM, GraphLSTM, SharedLSTM, StarGraphLSTM
from mtgnn.ops import native
from mtgnn.ops.native import build
from mtgnn.testing import random_batch, randomise

E, TASKS = 5, ("a", "b", "c")
CHAIN = TaskGraph.from_edges([("a", "b"), ("a", "c"), ("b", "c")], TASKS)
LAYERS: dict[str, Callable[..., GraphLSTM]] = {
    "mutual": lambda h, **o: CompleteGraphLSTM(E, h, TASKS, "mutual", **o),
    "sparse": lambda h, **o: GraphLSTM(E, h, CHAIN, heads=2, score_channels=7, **o),
    "read": lambda h, **o: CompleteGraphLSTM(E, h, TASKS, **o),
    "cascade": lambda h, **o: GraphLSTM(E, h, CHAIN, "cascade", heads=2, **o),
    "star": lambda h, **o: StarGraphLSTM(E, h, TASKS, **o),
    "past": lambda h, **o: StarGraphLSTM(E, h, TASKS, "past", heads=2, **o),
    "dot": lambda h, **o: StarGraphLSTM(E, h, TASKS, score="dot", **o),
    "gated": lambda h, **o: CompleteGraphLSTM(E, h, TASKS, "mutual", fusion="gated", **o),
    "owned": lambda h, **o: CompleteGraphLSTM(E, h, TASKS, score_owner="receiver", heads=2, **o),
    "owned star": lambda h, **o: StarGraphLSTM(E, h, TASKS, score_owner="receiver", **o),
    "gated star": lambda h, **o: StarGraphLSTM(E, h, TASKS, heads=2, fusion="gated", **o),
}
Use = Callable[[bool], None]


def run(layer: nn.Module, batch_size: int, every: bool) -> list[Tensor]:
    """Outputs, attention, and gradients through both."""
    dtype = next(layer.parameters()).dtype
    x, lengths, task = random_batch(E, 3, batch_size=batch_size, dtype=dtype)
    x.requires_grad_()
    layer.zero_grad()
    out, _, attention = layer(x, lengths, None if every else task, return_attention_weights=True)
    values = [out, *(alpha for _, alpha in attention)]
    tilts = (torch.linspace(-1, 1, v.numel(), dtype=dtype).view_as(v) for v in values)
    sum((v * tilt).sum() for v, tilt in zip(values, tilts, strict=True)).backward()
    return [*values, x.grad, *(p.grad for p in layer.parameters() if p.grad is not None)]


@pytest.mark.parametrize("every", [False, True])
@pytest.mark.parametrize(("size", "batch_size"), [(13, 23), (33, 3)])
@pytest.mark.parametrize("name", LAYERS)
def test_any_size(use_native: Use, name: str, size: int, batch_size: int, every: bool) -> None:
    plain = randomise(LAYERS[name](size, kernel="reference"))
    fast = LAYERS[name](size, kernel="fused").double()
    fast.load_state_dict(plain.state_dict())
    expected = run(plain, batch_size, every)
    use_native(True)
    torch.testing.assert_close(run(fast, batch_size, every), expected, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("threads", [3, 8])
@pytest.mark.parametrize("name", LAYERS)
def test_any_number_of_threads(use_native: Use, name: str, threads: int) -> None:
    layer = randomise(LAYERS[name](6))
    use_native(True)
    before = torch.get_num_threads()
    found = []
    for count in (1, threads):
        torch.set_num_threads(count)
        try:
            found.append(run(layer, 7, False))
        finally:
            torch.set_num_threads(before)
    torch.testing.assert_close(found[1], found[0], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", ["mutual", "read", "star"])
def test_float32(use_native: Use, name: str) -> None:
    layer = randomise(LAYERS[name](20), dtype=torch.float32)
    found = []
    for on in (False, True):
        use_native(on)
        found.append(run(layer, 9, False))
    torch.testing.assert_close(found[1], found[0], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", LAYERS)
def test_autocast_rounds_factors_alone(use_native: Use, name: str) -> None:
    """Values and gradients stay near those in float32: states and sums are not rounded."""
    layer = randomise(LAYERS[name](13), dtype=torch.float32)
    use_native(True)
    expected = run(layer, 9, False)
    with torch.autocast("cpu", torch.bfloat16):
        found = run(layer, 9, False)
    assert not torch.equal(found[0], expected[0])
    assert not torch.equal(found[0], found[0].bfloat16().float())
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == other.dtype == torch.float32
        assert (one - other).norm() <= 0.1 * other.norm() + 1e-4


def test_an_lstm_without_messages(use_native: Use) -> None:
    use_native(True)
    torch.manual_seed(0)
    layer, lstm = SharedLSTM(E, 18, 1).double(), nn.LSTM(E, 18, batch_first=True).double()
    own = dict(layer.named_parameters())
    with torch.no_grad():
        for name, parameter in lstm.named_parameters():
            match = [v for k, v in own.items() if k.split(".")[-1] == name]
            assert len(match) == 1
            match[0].copy_(parameter)
    x = torch.randn(11, 7, E).double()
    out = layer(x, None, torch.zeros(11, dtype=torch.long))[0]
    torch.testing.assert_close(out, lstm(x)[0])


@pytest.mark.parametrize("name", ["mutual", "sparse", "read", "star"])
def test_scores_beyond_the_range_of_an_exponential(use_native: Use, name: str) -> None:
    """σ(q + k) is not taken as 1 / (1 + e^−q e^−k) where that would overflow."""
    layer = randomise(LAYERS[name](6))
    scores = list(layer.convs.parameters())
    assert scores
    with torch.no_grad():
        for parameter in scores:
            parameter *= 400
    found = []
    for on in (False, True):
        use_native(on)
        found.append(run(layer, 5, False))
    assert all(part.isfinite().all() for part in found[1])
    torch.testing.assert_close(found[1], found[0], rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("name", ["mutual", "read", "star", "gated"])
@pytest.mark.parametrize("where", ["words", "weights"])
def test_nan_stays_nan(use_native: Use, name: str, where: str) -> None:
    layer = randomise(LAYERS[name](5))
    x, lengths, task = random_batch(E, 3, batch_size=6)
    if where == "words":
        x[0, 1, 0] = torch.nan
    else:
        next(layer.nodes.parameters()).data[0] = torch.nan
    found = []
    for on in (False, True):
        use_native(on)
        found.append(layer(x, lengths, task)[0].detach())
    assert found[0].isnan().any()
    torch.testing.assert_close(found[1], found[0], equal_nan=True)


def test_wrong_tensors_are_refused(use_native: Use) -> None:
    use_native(True)
    own = build.loops(torch.float64)
    state = torch.zeros(1, 2, 3).double()
    shape = own.shape(1, 2, 3, 0, [(1, 2, 0)], [1, 1])
    loop = own.loop(shape, state, state, state, state, None, None)
    words = torch.zeros(1, 2, 12).double()
    with pytest.raises(RuntimeError, match="not a packed matrix of 12 columns"):
        loop.forward(0, 1, words, [0, 2], torch.zeros(1, 1, 3, 7).double(), None)
    with pytest.raises(RuntimeError, match="contiguous"):
        own.loop(shape, state.mT, state, state, state, None, None)


@pytest.mark.parametrize("name", ["mutual", "read", "star"])
def test_two_runs_give_the_same_bits(use_native: Use, name: str) -> None:
    use_native(True)
    layer = randomise(LAYERS[name](20), dtype=torch.float32)
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        first, second = run(layer, 9, False), run(layer, 9, False)
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_parameters_of_two_types(use_native: Use) -> None:
    layer = randomise(LAYERS["mutual"](6, detach=True), dtype=torch.float32)
    layer.convs.double()
    found = []
    for on in (False, True):
        use_native(on)
        found.append([part.float() for part in run(layer, 5, False)])
    torch.testing.assert_close(found[1], found[0])


def test_saved_tensors_may_come_back_with_other_strides(use_native: Use) -> None:
    use_native(True)
    layer = randomise(LAYERS["mutual"](6))
    expected = run(layer, 5, False)

    def turned(tensor: Tensor) -> Tensor:
        return tensor.t().contiguous().t() if tensor.dim() == 2 else tensor

    with torch.autograd.graph.saved_tensors_hooks(turned, lambda tensor: tensor):
        torch.testing.assert_close(run(layer, 5, False), expected)


def test_an_environment_variable_asks_for_them(
    native_loops: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "_built", None)
    assert not native.serves(torch.zeros(1))
    monkeypatch.setenv("MTGNN_NATIVE", "1")
    assert native.serves(torch.zeros(1))
    monkeypatch.setattr(build, "_built", None)


def test_a_build_in_a_new_process_is_found_by_the_next(
    tmp_path: Path, native_loops: object
) -> None:
    # The compiler is not asked: a file that is there is taken as it is, and no lock is waited for.
    (tmp_path / "mtgnn").mkdir()
    shutil.copy(build._library(), tmp_path / "mtgnn")
    (tmp_path / "mtgnn" / "lock").touch()
    told = {**os.environ, "TORCH_EXTENSIONS_DIR": str(tmp_path), "PATH": ""}
    program = "from mtgnn.ops import compile_native; compile_native(); print('found')"
    done = subprocess.run([sys.executable, "-c", program], env=told, capture_output=True, text=True)
    assert done.stdout == "found\n", done.stderr
    assert len(list((tmp_path / "mtgnn").iterdir())) == 2


TINY = """
#include <Python.h>
static PyModuleDef tiny = {PyModuleDef_HEAD_INIT, "mtgnn_native", nullptr, -1, nullptr};
PyMODINIT_FUNC PyInit_mtgnn_native() { return PyModule_Create(&tiny); }
"""
AGAIN = """
import os, pathlib, sys
from mtgnn.ops.native import build
build._SOURCE = pathlib.Path(sys.argv[1])
for compiler in sys.argv[2:]:
    os.environ["CXX"] = compiler
    try:
        build.compile_native()
        print(build._built.__name__)
    except RuntimeError as error:
        print("cannot build" in str(error))
"""


AT_ONCE = """
import mtgnn.ops.native.build
print("ready", flush=True)
input()
"""


def test_a_build_after_one_that_failed_is_found_by_the_next(
    tmp_path: Path, native_loops: object
) -> None:
    """Two ways to fail: no answer at all, and a compiler that is killed at its work."""
    source, killed = tmp_path / "tiny" / "module.cpp", tmp_path / "killed"
    source.parent.mkdir()
    source.write_text(TINY)
    killed.write_text('#!/bin/sh\ncase "$*" in *" -c "*) exit 137;; *) exec c++ "$@";; esac\n')
    killed.chmod(0o755)
    told = {**os.environ, "TORCH_EXTENSIONS_DIR": str(tmp_path)}
    for compilers, said in (
        (("false", str(killed), "c++"), "True\nTrue\nmtgnn_native\n"),
        (("false",), "mtgnn_native\n"),
    ):
        line = [sys.executable, "-c", AGAIN, str(source), *compilers]
        done = subprocess.run(line, env=told, capture_output=True, text=True)
        assert done.stdout == said, done.stderr


def test_two_processes_build_once(tmp_path: Path, native_loops: object) -> None:
    source, counting, count = tmp_path / "tiny" / "module.cpp", tmp_path / "c", tmp_path / "count"
    source.parent.mkdir()
    source.write_text(TINY)
    counting.write_text(
        f'#!/bin/sh\ncase "$*" in *" -c "*) echo 1 >> {count}; sleep 2;; esac\nexec c++ "$@"\n'
    )
    counting.chmod(0o755)
    told = {**os.environ, "TORCH_EXTENSIONS_DIR": str(tmp_path)}
    line = [sys.executable, "-c", f"{AT_ONCE}{AGAIN}", str(source), str(counting)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    both = [subprocess.Popen(line, env=told, **pipes) for _ in range(2)]
    assert [process.stdout.readline() for process in both] == ["ready\n"] * 2
    for process in both:
        process.stdin.write("go\n")
        process.stdin.flush()
    assert [process.communicate(timeout=300)[0] for process in both] == ["mtgnn_native\n"] * 2
    assert count.read_text() == "1\n"


def test_other_tensors_go_the_usual_way(use_native: Use) -> None:
    use_native(True)
    assert native.serves(torch.zeros(1)) and not native.serves(torch.zeros(1).bfloat16())
    use_native(False)
    assert not native.serves(torch.zeros(1))
