"""The speed of tagging is written down, after a check of what it is compared with."""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch

COLUMNS = (
    "corpus,tasks,model,head,phase,E,H,batch_size,sentences_per_s,tokens_per_s,ratio_to_lstm,"
    "commit,torch,processor"
)

Program = Callable[[str], ModuleType]


def test_writes_its_columns(
    program: Program,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    record = tmp_path / "speed.csv"
    line = ["--quick", "--root", str(tmp_path), "--csv", str(record)]
    line += ["--models", "single", "complete", "--corpora", "conll2000", "wnut17"]
    monkeypatch.setattr(sys, "argv", ["tagging_speed.py", *line])
    threads = torch.get_num_threads()
    program("tagging_speed").main()
    torch.set_num_threads(threads)
    assert record.read_text().splitlines()[0] == COLUMNS
    with record.open(newline="") as file:
        lines = list(csv.DictReader(file))
    found = [(x["corpus"], x["model"], x["phase"]) for x in lines]
    models = {"conll2000": ["lstm", "single", "complete"], "wnut17": ["lstm", "single"]}
    assert found == [(c, m, p) for c in models for p in ("train", "tag") for m in models[c]]
    for x in lines:
        [plain] = [
            y for y in lines if (y["corpus"], y["phase"], y["model"]) == (*_place(x), "lstm")
        ]
        ratio = float(x["sentences_per_s"]) / float(plain["sentences_per_s"])
        assert float(x["ratio_to_lstm"]) == pytest.approx(ratio, rel=0.01)
        assert x["tasks"] == ("1" if x["corpus"] == "wnut17" else "2")
    assert "wnut17, lstm, crf" in capsys.readouterr().out


def _place(line: dict[str, str]) -> tuple[str, str]:
    return line["corpus"], line["phase"]


def test_other_values_are_not_timed(
    program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    speed = program("tagging_speed")
    options = speed.read_options(["--quick", "--root", str(tmp_path)])
    bench = program("_tagging_train").Bench(options)
    batches = speed.sample(bench, "conll2000")
    speed.check(bench, "conll2000", "crf", batches)
    monkeypatch.setattr(
        speed.PlainLSTM, "load_state_dict", lambda self, state: None
    )  # other weights
    with pytest.raises(AssertionError, match="not close"):
        speed.check(bench, "conll2000", "crf", batches)


def test_batches_stand_for_an_epoch(program: Program, tmp_path: Path) -> None:
    speed = program("tagging_speed")
    given = ["--quick", "--root", str(tmp_path), "--batch-size", "7", "--batches", "99"]
    bench = program("_tagging_train").Bench(speed.read_options(given))
    batches = speed.sample(bench, "conll2000")
    assert sum(map(len, batches)) == 60 and len(batches) == 9
    longest = [int(batch.lengths.max()) for batch in batches]
    assert longest == sorted(longest)
