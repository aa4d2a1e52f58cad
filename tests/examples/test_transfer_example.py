"""The example of transfer: what it prints and draws."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SMALL = ["--quick", "--epochs", "1", "--hidden-size", "4", "--accelerator", "cpu"]


@pytest.fixture(autouse=True)
def program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "examples"))


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["transfer.py", *arguments])
    importlib.import_module("transfer").main()


def test_planted_tasks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(monkeypatch, *SMALL, "--new", "b2", "--labels", "6", "20", "--out", str(tmp_path))
    printed = capsys.readouterr().out
    rows = re.findall(r"^(\d+) +(\d+\.\d) +(\d+\.\d) +(\d+\.\d)$", printed, re.MULTILINE)
    assert [row[0] for row in rows] == ["6", "20"]
    line = next(line for line in printed.splitlines() if line.startswith("b2 listens to"))
    weights = {name: float(w) for name, w in re.findall(r"([abc]\d) (\d\.\d+)", line)}
    assert len(weights) == 8 and sum(weights.values()) == pytest.approx(1, abs=0.05)
    assert list(weights.values()) == sorted(weights.values(), reverse=True)
    share = re.search(r"its own group \(b1, b3\) has (\d\.\d+); equal attention: 0.25", printed)
    assert share is not None
    assert float(share[1]) == pytest.approx(weights["b1"] + weights["b3"], abs=0.02)
    assert (tmp_path / "transfer.png").read_bytes().startswith(b"\x89PNG")


def test_a_folder_of_ones_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for task in ("books", "dvd", "music"):
        for split, number in (("train", 24), ("dev", 8), ("test", 8)):
            lines = [
                f"no\tbad {i % 7}\n" if i % 2 else f"yes\tgood {i % 5}\n" for i in range(number)
            ]
            (tmp_path / f"{task}.{split}.tsv").write_text("".join(lines), encoding="utf-8")
    out = ["--out", str(tmp_path / "out"), "--labels", "8", "--new", "dvd"]
    run(monkeypatch, *SMALL, "--data", str(tmp_path), *out)
    printed = capsys.readouterr().out
    assert re.search(r"^8 +\d+\.\d +\d+\.\d +\d+\.\d$", printed, re.MULTILINE)
    assert "dvd listens to" in printed and "its own group" not in printed
    with pytest.raises(ValueError, match="one of at least three tasks"):
        run(monkeypatch, "--data", str(tmp_path), "--new", "films")


def test_more_labels_than_there_are_texts_are_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(monkeypatch, *SMALL, "--labels", "6", "30", "40", "--out", str(tmp_path))
    rows = re.findall(r"^(\d+) +\d+\.\d +", capsys.readouterr().out, re.MULTILINE)
    assert rows == ["6", "20"]  # the quick task has 20 texts
