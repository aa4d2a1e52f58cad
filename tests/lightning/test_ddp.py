"""Two processes train as one does: the same batches, gradients and scores, and nothing hangs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import run_ddp
import torch

HERE = Path(__file__).parent
SECONDS = 600  # until a hang is called one; a busy machine takes its time


def run(processes: int, folder: Path) -> list[dict[str, Any]]:
    """What each rank of ``run_ddp.py`` wrote."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("PYTEST")},
        "OMP_NUM_THREADS": "1",
        "MASTER_ADDR": "127.0.0.1",
        "PYTHONPATH": os.pathsep.join([str(HERE.parents[1]), str(HERE)]),
    }
    process = subprocess.Popen(
        [sys.executable, str(HERE / "run_ddp.py"), str(processes), str(folder)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=SECONDS)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)  # with the ranks that it has started
            process.communicate()
    assert process.returncode == 0, output
    return [torch.load(folder / f"rank{rank}.pt") for rank in range(processes)]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One process alone, and each of two, with each loss."""
    alone = run_ddp.main(1, tmp_path_factory.mktemp("one"))
    return alone, run(2, tmp_path_factory.mktemp("two"))


@pytest.fixture(params=["sample", "task", "auxiliary"])
def runs(request: pytest.FixtureRequest, results: Any) -> Any:
    """The same with one loss."""
    alone, ranks = results
    return alone[request.param], [rank[request.param] for rank in ranks]


def test_every_global_batch_is_shared_out(runs: Any) -> None:
    alone, (first, second) = runs
    assert len(alone["seen"]) == len(first["seen"]) == len(second["seen"]) == 8
    for whole, one, other in zip(alone["seen"], first["seen"], second["seen"], strict=True):
        assert whole[::2] == one and whole[1::2] == other and other
        assert len(one) != len(other)  # a mean of the ranks' means would differ


def test_a_task_was_on_one_rank_only(runs: Any) -> None:
    _, ranks = runs
    steps = list(zip(*(rank["seen"] for rank in ranks), strict=True))
    where = [[any(task == 1 for task, _ in share) for share in step] for step in steps]
    assert sum(any(step) for step in where) == 2 and not any(all(step) for step in where)
    counts = [[sum(y != -100 for _, y in share) for share in step] for step in steps]
    assert any(one != other for one, other in counts)  # a mean of the ranks' means would differ


def test_gradients_are_those_of_the_joined_batch(runs: Any) -> None:
    alone, ranks = runs
    for rank in ranks:
        for expected, grads in zip(alone["grads"], rank["grads"], strict=True):
            assert expected.keys() == grads.keys()
            for name, grad in expected.items():
                assert (grad is None) == (grads[name] is None), name
                if grad is not None:
                    torch.testing.assert_close(grads[name], grad, rtol=1e-9, atol=1e-12)
    [own] = [name for name in alone["grads"][0] if "dvd" in name and "weight_hh" in name]
    assert any(grads[own] is not None and grads[own].any() for grads in alone["grads"])


def test_a_task_on_no_rank_has_no_gradient(runs: Any) -> None:
    alone, ranks = runs
    for rank in (alone, *ranks):
        for grads in rank["grads"]:
            toys = {name: grad for name, grad in grads.items() if "toys" in name}
            assert len(toys) > 2 and all(grad is None for grad in toys.values())


def test_weights_and_scores_are_the_same(runs: Any) -> None:
    alone, ranks = runs
    for rank in ranks:
        assert rank["dev"] == pytest.approx(alone["dev"]) and len(rank["dev"]) == 3
        assert rank["mean"] == pytest.approx(alone["mean"])
        for name, value in alone["weights"].items():
            torch.testing.assert_close(rank["weights"][name], value, rtol=1e-7, atol=1e-9)


def test_the_f1_that_chooses_an_epoch_is_that_of_all_sentences(results: Any) -> None:
    alone, ranks = results
    expected = alone["tags"]
    assert 0 < expected["score"]["chunk"] < 1 and len(expected["score"]) == 2
    for rank in ranks:
        assert rank["tags"]["score"] == pytest.approx(expected["score"])
        assert rank["tags"]["mean"] == pytest.approx(expected["mean"])
        assert rank["tags"]["best"] == expected["best"]
