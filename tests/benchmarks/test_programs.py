"""The benchmarks run to their end on tiny sizes, refuse wrong values, and write their columns."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
import torch_geometric.typing
from torch_geometric.testing import withPackage

ROOT = Path(__file__).parents[2]
COLUMNS = (
    "name,K,B,T,E,H,dtype,device,phase,seconds,tokens_per_s,peak_mb,ratio_to_loop,"
    "ratio_to_silent,commit,torch,processor"
)
SHAPES = [([6, 2, 3, 1], [2, 0, 1, 2]), ([2, 1], [1, 1])]
KINDS = ("mutual", "read", "mailbox", "star-dot", "star-additive", "sparse")

Program = Callable[[str], ModuleType]


def quick_case(program: Program, name: str, dtype: str = "float32", **changes: Any) -> Any:
    cases = program("_cases")
    found = cases.quick_cases(cases.all_cases("cpu", fdu=False))
    case = next(case for case in found if (case.name, case.dtype) == (name, "float32"))
    return cases.Case(**{**case.to_dict(), "dtype": dtype, **changes})


def job(case: Any, program: Program) -> dict[str, Any]:
    names = program("_candidates").names_of(case)
    shared = {"device": "cpu", "shapes": SHAPES, "rounds": 1, "seconds": 1}
    return {"candidates": names, **shared}


def test_speed_writes_its_columns(tmp_path: Path) -> None:
    record, everything = tmp_path / "speed.csv", tmp_path / "speed.json"
    command = [sys.executable, str(ROOT / "benchmarks" / "speed.py"), "--quick"]
    command += ["--rows", "star-dot-3x4x6x5x4-float32", "--candidates", "auto", "--threads", "1"]
    command += ["--csv", str(record), "--json", str(everything)]
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in paths if path)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert record.read_text().splitlines()[0] == COLUMNS
    with record.open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line["phase"] for line in lines] == ["forward", "train"]
    for line in lines:
        assert line["name"] == "star-dot/auto"
        assert [line[size] for size in "KBTEH"] == ["3", "4", "6", "5", "4"]
        tokens = float(line["tokens_per_s"]) * float(line["seconds"])
        assert tokens == pytest.approx(4 * 6, rel=1e-2)
        assert float(line["peak_mb"]) >= 0
        assert line["processor"].endswith("1 threads")
    assert len(json.loads(everything.read_text())["lines"]) == 2


def test_a_row_measured_again_is_replaced_whole(program: Program) -> None:
    speed = program("speed")
    sizes: dict[str, Any] = dict.fromkeys(speed.SIZES, 2)

    def line(name: str, **other: Any) -> dict[str, Any]:
        return {"name": name, **sizes, "phase": "train", "processor": "mine", **other}

    known = [line("read/loop"), line("read/auto"), line("read/auto", K=3), line("star/auto")]
    known.append(line("read/auto", processor="another"))
    written = [{key: str(value) for key, value in each.items()} for each in known]
    assert speed.others(written, [line("read/auto")]) == written[2:]


def lstm_takes_autocast() -> bool:
    """Whether torch's LSTM runs under autocast to bfloat16: not on every processor."""
    try:
        with torch.autocast("cpu", torch.bfloat16):
            torch.nn.LSTM(2, 2)(torch.zeros(1, 1, 2))
    except RuntimeError:
        return False
    return True


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_row(program: Program, name: str, dtype: str) -> None:
    case = quick_case(program, name, dtype)
    result = program("speed").measure(case, job(case, program))
    ran = {line["candidate"] for line in result["lines"]}
    assert ran | result["skipped"].keys() == set(program("_candidates").names_of(case))
    assert ran >= {"reference", "auto", "products"}
    if dtype != "bfloat16" or lstm_takes_autocast():
        assert ran >= {"loop", "silent"}
    else:
        assert "silent" not in ran
    checked = {line["candidate"] for line in result["lines"] if line["error"] is not None}
    assert checked == ran - {"silent", "products", *program("_candidates").PEERS}
    lines = [line | {"peak_mb": None} for line in result["lines"]]
    assert "train" in program("speed").table(result | {"lines": lines})


GCONV_LSTM = """
from torch import nn
from torch_geometric.nn import ChebConv

class GConvLSTM(nn.Module):
    def __init__(self, in_channels, out_channels, K):
        super().__init__()
        self.word = nn.Linear(in_channels, out_channels)
        self.heard = ChebConv(out_channels, out_channels, K)

    def forward(self, X, edge_index, edge_weight=None, H=None, C=None):
        now = self.word(X)
        if H is not None:
            now = now + self.heard(H, edge_index, edge_weight).tanh()
        return now, now
"""


@pytest.fixture
def peer(program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The loop with GConvLSTM, of a package of which nothing but that class can be imported."""
    file = tmp_path / "torch_geometric_temporal" / program("_peers").GCONV_LSTM
    file.parent.mkdir(parents=True)
    file.write_text(GCONV_LSTM)
    (tmp_path / "torch_geometric_temporal" / "__init__.py").write_text("import no_such_package")
    monkeypatch.syspath_prepend(tmp_path)
    return program("_peers").GConvLSTMLoop(quick_case(program, "mutual", "float64")).double()


def test_sequences_of_a_peer_know_nothing_of_each_other(program: Program, peer: Any) -> None:
    case = quick_case(program, "mutual", "float64")
    ((x, lengths, task),) = program("_cases").make_batches(case, "cpu", [])
    together = peer(x, lengths, task)
    assert together.shape == (case.B, case.T, case.H)
    alone = [peer(x[b : b + 1], lengths[b : b + 1], task[b : b + 1]) for b in range(case.B)]
    torch.testing.assert_close(together, torch.cat(alone))
    peer.edge_index = peer.edge_index[:, :0]
    assert not torch.allclose(together[:, 1:], peer(x, lengths, task)[:, 1:])


def test_lengths_of_real_batches(program: Program) -> None:
    case = quick_case(program, "read", batches="random")
    result = program("speed").measure(case, job(case, program))
    assert {line["tokens"] for line in result["lines"]} == {sum(sum(s[0]) for s in SHAPES)}


@pytest.mark.parametrize("name", KINDS)
def test_wrong_values_are_not_timed(program: Program, name: str) -> None:
    candidates, cases = program("_candidates"), program("_cases")
    case = quick_case(program, name)
    batches = cases.make_batches(case, "cpu", [])
    loop = candidates.Candidate(case, "loop", "cpu")
    assert candidates.check(case, [loop], batches)["loop"] < 1e-5
    with torch.no_grad():
        loop.layer.nodes["task0"].weight_rh_l0 += 0.1
    with pytest.raises(AssertionError, match="of loop are off"):
        candidates.check(case, [loop], batches)


@pytest.mark.parametrize("name", KINDS)
def test_a_backward_pass_multiplies_twice_as_much(program: Program, name: str) -> None:
    def work(products: list[Any]) -> int:
        return sum(p.count * p.batch * p.m * p.k * p.n for p in products)

    lengths = torch.tensor([6, 2, 3, 1])
    forward = program("_floors").products(quick_case(program, name), lengths)
    assert work([p for one in forward for p in one.gradients()]) == 2 * work(forward) > 0


def test_memory(program: Program) -> None:
    case = quick_case(program, "read", B=64, T=64, H=64)
    peaks = program("memory").measure(case, {**job(case, program), "candidate": "loop"})
    # At least the hidden states of four LSTM runs, which the backward pass needs.
    assert peaks["train"] > 4 * 64 * 64 * 64 * 4 / 2**20


def test_no_gpu_is_said_clearly(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit, match="no CUDA device"):
        program("_timing").check_device("cuda")


def test_growth_over_tasks(program: Program) -> None:
    lines = [
        {"name": "star-tasks/auto", "phase": "train", "K": K, "ratio_to_silent": ratio}
        for K, ratio in ((2, 2.0), (64, 3.0))
    ]
    assert "against K=2: K=64: 1.50" in program("speed").growth(lines)


@pytest.mark.parametrize(("batches", "whole"), [("0", False), ("2", False), ("2", True)])
def test_epoch(
    program: Program,
    batches: str,
    whole: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "tests" / "datasets"))
    tiny = program("tiny_fdu_mtl")
    source = tiny.write_folder(tmp_path / "source", tiny.CONTENT)
    monkeypatch.setattr(program("_fdu"), "FDUMTL", tiny.TinyFDUMTL)
    monkeypatch.setattr(program("_fdu"), "BATCH_SIZE", 5)
    monkeypatch.setattr(program("epoch"), "SIZE", 4)
    record = tmp_path / "epoch.csv"
    options = ["--root", str(tmp_path), "--source", str(source), "--csv", str(record)]
    options += ["--batches", batches, *(["--whole"] if whole else [])]
    monkeypatch.setattr(sys, "argv", ["epoch.py", *options])
    program("epoch").main()
    with record.open(newline="") as file:
        lines = list(csv.DictReader(file))
    kinds = {(line["name"], line["batches"]) for line in lines}
    assert len(lines) == len(kinds) == 3 * 2 * 2
    assert {line["name"].partition("/")[2] for line in lines} == {"fused", "loop"}
    every = -(-3 * 8 // 5)
    assert {line["all_batches"] for line in lines} == {str(every)}
    for line in lines:
        part = batches != "0" and not (whole and line["name"].endswith("fused"))
        assert line["extrapolated"] == str(part)
        assert line["timed_batches"] == (batches if part else str(every))
    output = capsys.readouterr().out
    parts = sum(line["extrapolated"] == "True" for line in lines)
    assert output.count("extrapolated from 2 of 5 batches") == parts
    assert output.count("all batches timed") == len(lines) - parts


@withPackage("torch_scatter")
def test_scatter_runs(
    program: Program, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    scatter = program("scatter")
    monkeypatch.setattr(torch_geometric.typing, "WITH_TORCH_SCATTER", True)  # put back at the end
    monkeypatch.setattr(scatter.mtgnn.ops.sparse, "WITH_TORCH_SCATTER", True)
    monkeypatch.setattr(sys, "argv", ["scatter.py", "--quick"])
    scatter.main()
    assert capsys.readouterr().out.count("train") == 2


def test_collecting_attention_is_measured_beside_evaluation(
    program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    collect, record = program("collect_attention"), tmp_path / "collect_attention.csv"
    monkeypatch.setattr(collect, "MODELS", {"star": collect.MODELS["star"]})
    monkeypatch.setattr(collect, "PARTS", (2,))
    command = ["collect_attention.py", "--batches", "2", "--csv", str(record)]
    monkeypatch.setattr(sys, "argv", [str(ROOT / "benchmarks" / command[0]), *command[1:]])
    collect.main()
    with record.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == collect.COLUMNS
    assert [(row["how"], row["number"]) for row in rows] == [
        *(("evaluation", "64"), ("readouts", "64"))
    ]
    assert all(float(row["seconds"]) > 0 and float(row["peak_mb"]) > 0 for row in rows)


def test_roofline_splits_time_and_arithmetic(
    program: Program, use_native: Callable[[bool], None]
) -> None:
    use_native(False)  # it turns them on by itself, and they are off again afterwards
    roofline = program("roofline")
    case = quick_case(program, "read")
    job = {"shapes": [], "seconds": 0.0, "rounds": 1, "square": 32}
    *parts, whole = roofline.measure(case, job)["lines"]
    assert [line["part"] for line in parts] == ["many steps", "loop", "other"]
    assert all(set(line) == set(roofline.COLUMNS) for line in (*parts, whole))
    # The profile has found torch's products, the loops in C++, and all else.
    assert all(float(line["seconds"]) > 0 for line in parts)
    work = roofline.gflop(case, torch.tensor([6, 6, 6, 6]))
    work |= {"other": None, "all": sum(work.values())}
    for line in (*parts, whole):
        if (expected := work[line["part"]]) is None:
            assert line["gflop"] == line["gflop_per_s"] == ""
            continue
        assert float(line["gflop"]) == pytest.approx(expected, rel=1e-3)
        rate = expected / float(line["seconds"])
        assert float(line["gflop_per_s"]) == pytest.approx(rate, rel=1e-2)
    assert float(whole["bound"]) > 0 and float(whole["times_loop"]) > 0


def test_roofline_tells_products_from_all_else(program: Program) -> None:
    shares = program("roofline").shares
    a, b = torch.randn(2, 1, 300, 300)
    product = shares(lambda: torch.bmm(a, b), 3)
    assert product["many steps"] > 0.5 and product["loop"] == 0
    copied = shares(lambda: a.clone().sin_(), 3)
    assert copied == {"many steps": 0, "loop": 0, "other": 1}


def test_arithmetic_of_a_read_exchange_is_that_of_its_products(program: Program) -> None:
    case = quick_case(program, "read")  # K, B, T, E, H = 3, 4, 6, 5, 4
    work = program("roofline").gflop(case, torch.tensor([6, 6, 6, 6]))
    words = 24 * 5 * (4 + 4 * 4 * 3)  # all words, into the score and the gates of three nodes
    keys, queries = 2 * 24 * 4 * 4, 24 * 4 * 4  # of two senders, and of the receiver
    # Two senders, and the receiver with a message: of three tasks, the one with most has two texts.
    states = 24 * 2 * 4 * 16 + 6 * (3 * 2) * 8 * 16
    mixed = 24 * 2 * 4
    # A product has two gradients of its own size; those of fixed factors are of all steps at once.
    assert work["many steps"] == pytest.approx(2e-9 * (3 * (words + keys) + queries + states))
    assert work["loop"] == pytest.approx(2e-9 * (2 * (queries + states) + 3 * mixed))
