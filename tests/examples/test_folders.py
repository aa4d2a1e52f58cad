"""Where programs write: no files of another training are replaced unasked."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(ROOT / "examples"))


@pytest.fixture
def out_folder() -> Callable[..., Any]:
    return importlib.import_module("_folders").out_folder


def test_a_new_folder_is_the_first_that_is_not_there(
    out_folder: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    with ExitStack() as running:  # programs at the same time, too
        names = [str(running.enter_context(out_folder(None, "runs/own.v1"))) for _ in range(3)]
        assert names == ["runs/own.v1", "runs/own.v1-2", "runs/own.v1-3"]
        assert all(Path(name).is_dir() for name in names)
    assert capsys.readouterr().out.splitlines() == [
        "runs/own.v1/ is there already: this goes to runs/own.v1-2/",
        "runs/own.v1/ is there already: this goes to runs/own.v1-3/",
    ]


def test_a_folder_stays_if_there_is_something_in_it(out_folder: Callable[..., Any]) -> None:
    for _ in range(2):
        with pytest.raises(ValueError, match="too early"), out_folder(None, "runs/own"):
            raise ValueError("too early")
        assert not Path("runs/own").exists()
    with pytest.raises(KeyboardInterrupt), out_folder(None, "runs/own") as out:
        (out / "last.ckpt").touch()
        raise KeyboardInterrupt
    with out_folder(None, "runs/own") as out:
        assert str(out) == "runs/own-2"
    assert Path("runs/own/last.ckpt").exists()


def test_a_folder_that_the_user_names_is_taken_as_it_is(out_folder: Callable[..., Any]) -> None:
    for _ in range(2):
        with out_folder("here/mine", "runs/own") as out:
            assert out == Path("here/mine") and out.is_dir()
    assert out.exists() and not Path("runs").exists()


def files(folder: Path) -> dict[str, bytes]:
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


@pytest.mark.parametrize(
    ("program", "usual"),
    [("text_classification", "runs/planted"), ("sequence_labelling", "runs/planted-sentences")],
)
def test_a_second_training_leaves_the_first_as_it_is(
    program: str, usual: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    small = ["--quick", "--epochs", "1", "--hidden-size", "4", "--accelerator", "cpu"]
    first = {}
    for seed, folder in ("0", usual), ("1", f"{usual}-2"):
        options = [*small, "--model", "shared", "--seed", seed]
        monkeypatch.setattr(sys, "argv", [program, *options])
        importlib.import_module(program).main()
        assert f"In {folder}/: results.csv" in capsys.readouterr().out
        first = first or files(Path(usual))
    assert first.keys() > {"results.csv", "shared/best.ckpt"}
    assert files(Path(usual)) == first and files(Path(f"{usual}-2")) != first
