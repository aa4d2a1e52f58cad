"""``examples/explain.py`` writes a page and pictures about a model."""

from __future__ import annotations

import contextlib
import importlib
import io
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def run() -> Iterator[Callable[..., str]]:
    """A program of ``examples/`` in this process: what it prints."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "examples"))

        def start(name: str, *arguments: str) -> str:
            patch.setattr(sys, "argv", [name, *arguments])
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(io.StringIO()):
                importlib.import_module(name).main()
            return printed.getvalue()

        yield start


def test_planted_tasks_and_their_checkpoint(run: Callable[..., str], tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    printed = run("explain", "--quick", "--epochs", "1", "--out", str(first))
    for name in ("attention", "ablation", "profile"):
        told = rf"^{name}: a true edge weighs .* probability [01]\.\d\d$"
        assert re.search(told, printed, re.M)
    assert re.search(r"^rank correlation .*: -?\d\.\d\d ± \d\.\d\d over receivers$", printed, re.M)
    names = {"report.html", "attention.graphml"}
    names |= {f"{name}.{end}" for name in ("task_graphs", "sentence") for end in ("png", "svg")}
    assert {path.name for path in first.iterdir() if path.is_file()} == names
    run("explain", "--checkpoint", str(first / "complete" / "best.ckpt"), "--out", str(second))
    page = (first / "report.html").read_text(encoding="utf-8")
    assert page == (second / "report.html").read_text(encoding="utf-8")
    assert '"key":"truth"' in page


@pytest.mark.parametrize(
    ("model", "options"),
    [("complete", ("--exchange", "mutual")), ("star", ("--memory", "current"))],
)
def test_a_graph_without_profiles(
    model: str, options: tuple[str, ...], run: Callable[..., str], tmp_path: Path
) -> None:
    small = ["--quick", "--epochs", "1", "--hidden-size", "4", "--embedding-size", "4"]
    run("text_classification", *small, "--model", model, *options, "--out", str(tmp_path))
    run("explain", "--checkpoint", str(tmp_path / model / "best.ckpt"), "--out", str(tmp_path))
    assert '"key":"profile"' not in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert (tmp_path / "task_graphs.png").exists()


def test_a_model_that_tags(run: Callable[..., str], tmp_path: Path) -> None:
    small = ["--quick", "--epochs", "1", "--hidden-size", "4", "--embedding-size", "4"]
    run("sequence_labelling", *small, "--model", "complete", "--out", str(tmp_path))
    checkpoint = str(tmp_path / "complete" / "best.ckpt")
    printed = run("explain", "--checkpoint", checkpoint, "--out", str(tmp_path / "told"))
    assert re.search(r"^ablation: a true edge weighs .* probability [01]\.\d\d$", printed, re.M)
    page = (tmp_path / "told" / "report.html").read_text(encoding="utf-8")
    assert '"tags":["' in page and '"key":"truth"' in page
    assert (tmp_path / "told" / "task_graphs.png").exists()


def test_a_complete_graph_that_reads_mailboxes(run: Callable[..., str], tmp_path: Path) -> None:
    small = ["--quick", "--epochs", "1", "--hidden-size", "4", "--embedding-size", "4"]
    options = ["--model", "complete", "--exchange", "mailbox", "--out", str(tmp_path)]
    assert "task_graph.png" in run("text_classification", *small, *options)
    run("explain", "--checkpoint", str(tmp_path / "complete" / "best.ckpt"), "--out", str(tmp_path))
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert '"kind":"mailbox"' in page and '"key":"profile"' in page and '"key":"truth"' in page
    assert (tmp_path / "task_graphs.png").exists()


def test_a_star_from_a_checkpoint(run: Callable[..., str], tmp_path: Path) -> None:
    options = ["--quick", "--epochs", "1", "--hidden-size", "4", "--embedding-size", "4"]
    run("text_classification", *options, "--model", "star", "--out", str(tmp_path))
    run("explain", "--checkpoint", str(tmp_path / "star" / "best.ckpt"), "--out", str(tmp_path))
    assert '"kind":"mailbox"' in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert not (tmp_path / "task_graphs.png").exists()


def test_texts_of_which_the_first_is_empty(run: Callable[..., str], tmp_path: Path) -> None:
    for task in ("books", "toys"):
        for part in ("train", "dev", "test"):
            (tmp_path / f"{task}.{part}.tsv").write_text("good\t\nbad\tnot so\ngood\tso\n", "utf-8")
    small = ["--epochs", "1", "--hidden-size", "4", "--embedding-size", "4", "--min-count", "1"]
    data = ["--data", str(tmp_path), "--model", "complete", "--out", str(tmp_path)]
    run("text_classification", *small, *data)
    run("explain", "--checkpoint", str(tmp_path / "complete" / "best.ckpt"), "--out", str(tmp_path))
    assert (tmp_path / "sentence.png").exists()


def test_other_models_are_refused(
    run: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    options = ["--quick", "--epochs", "1", "--hidden-size", "4", "--embedding-size", "4"]
    run("text_classification", *options, "--model", "shared", "--out", str(tmp_path))
    with pytest.raises(ValueError, match=r"expected a complete or a star graph, got \['shared'\]"):
        run("explain", "--checkpoint", str(tmp_path / "shared" / "best.ckpt"))
    assert list((tmp_path / "runs").iterdir()) == []
