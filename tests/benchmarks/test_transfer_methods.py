"""Transfer: what is trained on the new task, and on which texts."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch_geometric.data import Data

Program = Callable[[str], ModuleType]


@pytest.fixture
def run(program: Program, tmp_path: Path) -> Any:
    options: dict[str, Any] = {
        "data": "planted",
        "quick": True,
        "leave_out": 1,
        "share": 1.0,
        "out": tmp_path,
        "vectors": None,
        "max_length": 9,
        "min_count": 1,
        "hidden_size": 4,
        "embedding_size": 4,
        "dropout": 0.2,
        "epochs": 1,
        "batch_size": 32,
        "learning_rate": [0.01],
        "weight_decay": 1e-3,
        "clip": 1.0,
        "accelerator": "cpu",
    }
    return program("_transfer").Run(argparse.Namespace(**options), 100)


@pytest.mark.parametrize(
    "method", ["complete", "complete-mailbox", "complete-own", "star", "shared_private"]
)
def test_what_others_know_stays(program: Program, run: Any, method: str) -> None:
    model = run.start(method, "b1")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    last = len(run.tasks) - 1
    train, dev = (run.texts.of(part, "b1", last) for part in ("train", "dev"))
    run.fit(model, train, dev, 0.01, 8)
    changed = {n for n, value in model.state_dict().items() if not value.equal(before[n])}
    assert any("b1" in name for name in changed)
    others = {name for name in changed if "b1" not in name}
    assert all("logit" in name for name in others)
    assert bool(others) == (method in ("complete", "complete-mailbox"))


def test_trained_models_are_kept_apart(run: Any) -> None:
    for method in ("complete", "complete-own", "star"):
        run.start(method, "a1")
    files = sorted(run.options.out.rglob("*.pt"))
    assert len(files) == 3
    written = [path.stat().st_mtime_ns for path in files]
    run.start("star-tuned", "a1")  # starts from what "star" starts from
    assert [path.stat().st_mtime_ns for path in sorted(run.options.out.rglob("*.pt"))] == written


def test_draws_are_balanced_and_nested(program: Program) -> None:
    draw = program("_by_task").draw
    items = [Data(text=str(i), y=i % 2) for i in range(20)]
    five, ten = (draw(items, labels, seed=1) for labels in ("5", "10"))
    assert sorted(int(item.y) for item in ten) == [0] * 5 + [1] * 5
    assert {item.text for item in five} < {item.text for item in ten}
    assert draw(items, "all", seed=1) == items
    with pytest.raises(SystemExit, match="expected 30 balanced texts"):
        draw(items, "30", seed=1)
    torch.manual_seed(5)  # the global generator decides nothing
    assert [item.text for item in draw(items, "5", seed=1)] == [item.text for item in five]


def test_tasks_left_out_together_share_a_model(run: Any) -> None:
    run.options.leave_out, run.options.share = 2, 0.5
    first, *_, last = run.tasks
    assert run.others(first) == run.others(run.tasks[1]) == run.tasks[2:]
    assert run.others(last) == run.tasks[:-1]  # nine tasks: the last fold has one
    every, known = run.texts.of("train", last, 3), run.known("train", last, 3)
    assert len(known) == round(len(every) / 2) and {int(item.task) for item in known} == {3}
    assert len(run.known("dev", last, 0)) == len(run.texts.of("dev", last, 0))
    for task in run.tasks[:2]:
        assert run.start("star", task).tasks == (*run.tasks[2:], task)
    assert len(list(run.options.out.rglob("*.pt"))) == 1
    assert 0 <= run.adapt("star", first, "8")["all"] <= 1
