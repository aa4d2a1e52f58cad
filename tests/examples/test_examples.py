"""The examples run as a user runs them, and what they print is true."""

from __future__ import annotations

import contextlib
import csv
import importlib
import io
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from mtgnn.lightning import load_model, read_checkpoint

ROOT = Path(__file__).parents[2]
SMALL = ["--hidden-size", "4", "--embedding-size", "4", "--accelerator", "cpu"]
TASKS = ("books", "music")


def start(name: str, *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    return subprocess.run(
        [sys.executable, str(ROOT / "examples" / name), *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in paths if path)},
        capture_output=True,
        text=True,
        timeout=300,
    )


def run(name: str, *arguments: str, folder: Path) -> str:
    done = start(name, *arguments, folder=folder)
    assert done.returncode == 0, done.stderr
    return done.stdout


def accuracies(text: str) -> list[float]:
    return [float(found) for found in re.findall(r"(\d+\.\d)%", text)]


def test_layer_in_five_lines(tmp_path: Path) -> None:
    out = run("layer_in_five_lines.py", folder=tmp_path)
    assert accuracies(out)[0] > 80
    weights = [float(line.split()[-1]) for line in out.splitlines() if "listens to" in line]
    assert len(weights) == 6
    assert all(
        a + b == pytest.approx(1, abs=0.011)
        for a, b in zip(weights[::2], weights[1::2], strict=True)
    )


def test_gatv2_communication(tmp_path: Path) -> None:
    out = run("gatv2_communication.py", folder=tmp_path)
    assert len(accuracies(out)) == 3
    assert min(accuracies(out)) > 65


def test_attention_conv_in_pyg(tmp_path: Path) -> None:
    out = run("attention_conv_in_pyg.py", folder=tmp_path)
    assert accuracies(out)[0] > 70  # the largest faction has 13 of 34 people


# The main job ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """Where a quick look at the planted tasks put things, and what it printed."""
    folder = tmp_path_factory.mktemp("planted")
    done = start("text_classification.py", "--quick", "--epochs", "1", *SMALL, folder=folder)
    assert done.returncode == 0, done.stderr
    return folder / "runs" / "planted", done.stdout, done.stderr


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_planted_tasks_need_no_arguments(planted: tuple[Path, str, str]) -> None:
    out, printed, bars = planted
    models = ["single", "shared", "complete", "star", "oracle"]
    written = rows(out / "results.csv")
    assert list(dict.fromkeys(row["model"] for row in written)) == models
    for name in models:
        mean = [row for row in written if (row["model"], row["task"]) == (name, "mean")]
        each = [row for row in written if row["model"] == name and row["task"] != "mean"]
        assert len(mean) == 1 and len(each) > 1
        assert float(mean[0]["test"]) == pytest.approx(
            sum(float(row["test"]) for row in each) / len(each), abs=1e-4
        )
        shown = re.search(rf"^{name} +(\d+\.\d) ", printed, re.MULTILINE)
        assert shown is not None
        assert float(shown[1]) == pytest.approx(100 * float(mean[0]["test"]), abs=0.06)
        assert (out / name / "best.ckpt").exists() and (out / name / "last.ckpt").exists()
        assert f"{name:8}: " in bars
    assert (out / "task_graph.png").read_bytes().startswith(b"\x89PNG")
    assert printed.splitlines()[-1].startswith("In runs/planted/: results.csv, task_graph.png")


def test_only_bars_go_to_the_error_stream(planted: tuple[Path, str, str]) -> None:
    lines = [line for line in planted[2].replace("\r", "\n").splitlines() if line.strip()]
    assert [line for line in lines if "batches" not in line] == []


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of one's own, whose labels anyone can learn."""
    folder = tmp_path_factory.mktemp("own")
    for task in TASKS:
        for split, number in (("train", 64), ("dev", 16), ("test", 16)):
            lines = [
                f"no\tbad {i % 7}\n" if i % 2 else f"yes\tgood {i % 5}\n" for i in range(number)
            ]
            (folder / f"{task}.{split}.tsv").write_text("".join(lines), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def main() -> Iterator[Callable[..., str]]:
    """The main job in this process, which has loaded everything: what it prints."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "examples"))
        program = importlib.import_module("text_classification")

        def run_main(*arguments: str) -> str:
            patch.setattr(sys, "argv", ["text_classification.py", *arguments])
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                program.main()
            return printed.getvalue()

        yield run_main


@pytest.fixture(scope="module")
def star(
    folder: Path, main: Callable[..., str], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, str]:
    """A star trained on that folder, and what was printed."""
    out = tmp_path_factory.mktemp("out")
    options = ["--model", "star", "--epochs", "3", "--learning-rate", "0.05", "--out", str(out)]
    return out, main("--data", str(folder), *options, *SMALL)


def test_a_folder_of_ones_own(star: tuple[Path, str]) -> None:
    out, printed = star
    for task in TASKS:
        assert re.search(rf"^{task} +100\.0$", printed, re.MULTILINE)
    assert re.search(r"^peak memory: [\d,]+ MiB", printed, re.MULTILINE)
    assert {row["reviews"] for row in rows(out / "results.csv")} == {"all"}


def test_baselines_by_name(folder: Path, main: Callable[..., str], tmp_path: Path) -> None:
    models = ["shared_private", "adversarial", "cross_stitch", "mixture"]
    options = ["--model", *models, "--epochs", "1", "--out", str(tmp_path)]
    main("--data", str(folder), *options, *SMALL)
    assert {row["model"] for row in rows(tmp_path / "results.csv")} == set(models)
    checkpoint = ["--checkpoint", str(tmp_path / "adversarial" / "best.ckpt")]
    assert "mean over tasks" in main(*checkpoint, "--evaluate")


def test_one_task_alone_has_no_edges_to_score(main: Callable[..., str], tmp_path: Path) -> None:
    for split in ("train", "dev", "test"):
        lines = [f"{label}\t{label} {split} {i}\n" for i in range(4) for label in ("pos", "neg")]
        (tmp_path / f"books.{split}.tsv").write_text("".join(lines), encoding="utf-8")
    options = ("--model", "complete", "--epochs", "1", "--out", str(tmp_path / "out"))
    assert "complete" in main("--data", str(tmp_path), *options, *SMALL)


def test_evaluate_and_predict(
    star: tuple[Path, str], main: Callable[..., str], tmp_path: Path
) -> None:
    checkpoint = ["--checkpoint", str(star[0] / "star" / "best.ckpt")]
    assert "mean over tasks  100.0" in main(*checkpoint, "--evaluate")
    texts = tmp_path / "texts.txt"
    texts.write_text("good 1\nbad thing\n", encoding="utf-8")
    out = main(*checkpoint, "--predict", str(texts), "--task", "music")
    cells = [line.split("\t") for line in out.splitlines()]
    assert [(label, text) for label, _, text in cells] == [("yes", "good 1"), ("no", "bad thing")]
    assert all(0.5 < float(probability) <= 1 for _, probability, _ in cells)


def test_raw_text_is_split_and_unknown_words_are_told(
    star: tuple[Path, str],
    main: Callable[..., str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    checkpoint = ["--checkpoint", str(star[0] / "star" / "best.ckpt")]
    texts = tmp_path / "texts.txt"
    texts.write_text("GOOD, Good good\n", encoding="utf-8")
    raw = "2 of 3 words are unknown to the model, such as GOOD,, Good; raw text wants --tokenize\n"
    for option, told in ((), raw), (["--tokenize"], "1 of 4 words are unknown to the model"):
        out = main(*checkpoint, "--predict", str(texts), "--task", "music", *option)
        assert out.endswith("\tGOOD, Good good\n")
        assert told in capsys.readouterr().err
    assert out.startswith("yes\t")


def test_texts_of_a_folder_are_split(main: Callable[..., str], tmp_path: Path) -> None:
    for split in ("train", "dev", "test"):
        lines = [f"{label}\t{label.upper()}!\n" for label in ("pos", "neg") * 2]
        (tmp_path / f"books.{split}.tsv").write_text("".join(lines), encoding="utf-8")
    out = tmp_path / "out"
    main("--data", str(tmp_path), "--tokenize", "--model", "shared", "--epochs", "1",
         "--out", str(out), "--min-count", "1", *SMALL)  # fmt: skip
    best = out / "shared" / "best.ckpt"
    assert load_model(best).vocabulary.tokens[3:] == ["!", "neg", "pos"]
    for file in tmp_path.glob("*.tsv"):
        file.rename(tmp_path / "out" / file.name)
    elsewhere = tmp_path.rename(tmp_path.with_name("moved"))  # the texts are not needed any more
    best, lines = (elsewhere / "out" / name for name in ("shared/best.ckpt", "lines.txt"))
    lines.write_text("POS!\n", encoding="utf-8")
    said = main("--checkpoint", str(best), "--predict", str(lines), "--task", "books")
    assert said.endswith("\tPOS!\n")


def test_data_that_stands_in_tokens_is_not_split(
    main: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main("--tokenize")
    assert "--tokenize is for texts of your own" in capsys.readouterr().err


def test_resume_goes_on_with_the_same_options(
    star: tuple[Path, str], main: Callable[..., str], tmp_path: Path
) -> None:
    out = Path(shutil.copytree(star[0], tmp_path / "out"))
    printed = main("--checkpoint", str(out / "star" / "last.ckpt"), "--resume", "--epochs", "4")
    assert re.search(r"^star .* \d of 4 ", printed, re.MULTILINE)
    assert {row["epochs"] for row in rows(out / "results.csv")} == {"4"}


def test_goes_on_where_the_checkpoint_is_by_now(
    star: tuple[Path, str], main: Callable[..., str], tmp_path: Path
) -> None:
    """Not in a folder that is called as the training's was, where another training may be."""
    moved = tmp_path / "kept"
    shutil.copytree(star[0] / "star", moved)
    main("--checkpoint", str(moved / "last.ckpt"), "--resume", "--epochs", "6")
    assert read_checkpoint(moved / "last.ckpt")["mtgnn"]["epoch"] == 6
    assert not (tmp_path / "star").exists()


def test_starts_from_word_vectors(
    folder: Path, main: Callable[..., str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "vectors.txt"
    file.write_text("2 3\ngood 1 0 5\nbad -1 0 5\n", encoding="utf-8")
    common = ["--data", str(folder), "--model", "shared", "--epochs", "1", "--hidden-size", "4"]
    common += ["--learning-rate", "1e-9", "--accelerator", "cpu", "--out", str(tmp_path)]
    best = tmp_path / "shared" / "best.ckpt"
    main(*common, "--vectors", str(file))
    model = load_model(best)
    vector = model.embedding(torch.tensor(model.vocabulary.encode("good bad")))
    torch.testing.assert_close(vector, torch.tensor([[1.0, 0, 5], [-1, 0, 5]]))
    assert read_checkpoint(best)["mtgnn"]["notes"]["embedding_size"] == 3
    with caplog.at_level("INFO", "mtgnn"):
        main(*common, "--vectors", "train", "--embedding-size", "5")
    assert load_model(best).embedding.embedding_dim == 5
    assert "vectors for 9 of 9 tokens" in caplog.text


def test_unlabelled_reviews_are_tokenised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    monkeypatch.syspath_prepend(str(ROOT / "tests" / "datasets"))
    tiny, vectors = importlib.import_module("tiny_fdu_mtl"), importlib.import_module("_vectors")
    monkeypatch.setattr(vectors, "FDUMTL", tiny.TinyFDUMTL)
    source = tiny.write_folder(tmp_path / "files", tiny.CONTENT)
    options = {"data": "fdu-mtl", "root": str(tmp_path / "root"), "source": str(source)}
    assert list(vectors.unlabelled(options)) == ["raw , books", "more", "raw dvd", "Raw MR"]
    assert list(vectors.unlabelled({"data": "planted"})) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "nowhere"], "expected --data as 'planted', 'fdu-mtl' or a folder"),
        (["--resume"], "--checkpoint goes with one of"),
        (["--checkpoint", "none.ckpt", "--evaluate"], "none.ckpt"),
        (["--checkpoint", "none.ckpt", "--resume", "--out", "x"], "leave out --out"),
        (["--data", "fdu-mtl", "--model", "oracle"], "only planted tasks have them"),
        (["--vectors", "glove.txt", "--embedding-size", "5"], "leave out --embedding-size"),
        (["--data", "fdu-mtl", "--quick"], "it goes with --data planted"),
        (["--model", "flat"], "invalid choice: 'flat'"),
        (["--score", "static"], "leave out --model star"),
        (
            ["--model", "complete", "--exchange", "mailbox", "--score", "static"],
            "goes with --exchange read or mutual",
        ),
    ],
    ids=[
        "data",
        "resume",
        "checkpoint",
        "out",
        "oracle",
        "vectors",
        "quick",
        "model",
        "star",
        "mailbox",
    ],
)
def test_wrong_arguments_are_explained(
    arguments: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    from _options import read_options

    with pytest.raises(SystemExit):
        read_options("", arguments)
    assert message in capsys.readouterr().err


def test_logits_of_edges_learn_ten_times_as_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    from _models import graph_options, group_rates
    from _options import DEFAULTS, PLANTED

    from mtgnn.data import Vocabulary
    from mtgnn.nn import MultiTaskModel

    classes = {name: ["bad", "good"] for name in "abc"}

    def rates(name: str, options: dict) -> dict[str, float]:
        encoder_options = graph_options(name, options)
        return group_rates(
            MultiTaskModel(Vocabulary(["a"]), classes, name, encoder_options=encoder_options), 0.1
        )

    assert rates("complete", DEFAULTS) == {"edges": pytest.approx(1.0)}
    assert rates("complete", DEFAULTS | PLANTED) == {"scores": pytest.approx(1.0)}
    assert rates("star", DEFAULTS) == {}
