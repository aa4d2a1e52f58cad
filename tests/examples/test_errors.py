"""Programs say in one line what is wrong with a file, a folder or a value."""

from __future__ import annotations

import importlib
import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mtgnn.data import Vocabulary
from mtgnn.datasets import PlantedTasks
from mtgnn.lightning import MultiTaskDataModule, fit
from mtgnn.nn import MultiTaskModel

EXAMPLES = Path(__file__).parents[2] / "examples"
# What is wrong with each program's arguments, and what it says about it.
WRONG = {
    "contextual_vectors": (["--encoder", "{broken}"], "{broken}"),
    "explain": (["--checkpoint", "{nothing}"], "No such file or directory: '{nothing}'"),
    "sequence_labelling": (
        ["--data", "columns", "--root", "{nothing}", "--columns", "pos=1"],
        "expected ['train.txt', 'dev.txt', 'test.txt'] in {nothing}",
    ),
    "text_classification": (["--quick", "--vectors", "{broken}"], "a vector in {broken}"),
    "transfer": (["--data", "{nothing}"], "expected a folder with TASK.train.tsv files"),
}


@pytest.fixture(autouse=True)
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("mtgnn.ops.keep_memory", lambda: None)  # of the tests' process


def test_all_programs_with_options_are_here() -> None:
    there = {path.stem for path in EXAMPLES.glob("*.py") if "__main__" in path.read_text("utf-8")}
    assert there == set(WRONG)


@pytest.mark.parametrize("name", sorted(WRONG))
def test_what_is_wrong_is_said_in_one_line(
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if name == "contextual_vectors":
        pytest.importorskip("transformers")
    places = {"nothing": str(tmp_path / "nothing"), "broken": str(tmp_path / "broken")}
    (tmp_path / "broken").write_bytes(b"\xff\x00 no such thing")
    arguments, message = WRONG[name]
    given = [argument.format(**places) for argument in arguments]
    monkeypatch.setattr(sys, "argv", [f"examples/{name}.py", *given])
    with pytest.raises(SystemExit) as stopped:
        runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
    assert stopped.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith(f"{name}.py: error: ") and said.count("\n") == 1
    assert message.format(**places) in said


@pytest.mark.parametrize(
    "error",
    [
        ValueError("expected this,\ngot that"),
        FileNotFoundError("expected this, got that"),
        ConnectionError("expected this,\n got that"),
        ImportError("expected this, got that"),
        FloatingPointError("expected this, got that"),
    ],
)
def test_errors_that_a_user_can_help(error: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit), importlib.import_module("_errors").one_line_errors():
        raise error
    assert " ".join(capsys.readouterr().err.split()).endswith(": error: expected this, got that")


@pytest.mark.parametrize(
    "kind", [TypeError, KeyError, RuntimeError, KeyboardInterrupt, BrokenPipeError]
)
def test_mistakes_of_a_program_are_left_as_they_are(
    kind: type[BaseException], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(kind), importlib.import_module("_errors").one_line_errors():
        raise kind("a mistake")
    assert capsys.readouterr().err == ""


def test_lines_of_another_encoding_name_their_file(tmp_path: Path) -> None:
    read_lines = importlib.import_module("_command_line").read_lines
    path = tmp_path / "lines.txt"
    path.write_text("fine\nschön\n", encoding="utf-8")
    assert read_lines(str(path)) == ["fine", "schön"]
    path.write_text("schön\n", encoding="latin-1")
    with pytest.raises(ValueError, match=r"expected a text in UTF-8, got .*lines\.txt"):
        read_lines(str(path))


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """A checkpoint of a training that no example did."""
    sizes = {"num_tasks": 2, "num_groups": 1, "num_train": 4, "num_dev": 4}
    train, dev = (PlantedTasks(split=part, **sizes) for part in ("train", "dev"))
    vocabulary = Vocabulary.build(train.text)
    model = MultiTaskModel(vocabulary, train.classes, "shared", embedding_size=2, hidden_size=2)
    data = MultiTaskDataModule(train, dev, None, vocabulary)
    options = {"accelerator": "cpu", "progress": False, "log_dir": tmp_path}
    return fit(model, data, max_epochs=1, **options).checkpoint


def test_a_checkpoint_of_another_program_predicts_only(
    foreign: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    read: Callable[..., object] = importlib.import_module("_options").read_options
    checkpoint = ["--checkpoint", str(foreign)]
    for action in ("--evaluate", "--resume"):
        with pytest.raises(SystemExit):
            read("", [*checkpoint, action])
        assert "expected a checkpoint that this program wrote" in capsys.readouterr().err
    assert read("", [*checkpoint, "--predict", str(tmp_path), "--task", "a1"])
