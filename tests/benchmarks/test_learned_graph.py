"""Graphs of several seeds are written down, and compared with each other."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

Program = Callable[[str], ModuleType]


def line(seed: str, readout: str, weights: str, receiver: str = "c") -> list[dict[str, str]]:
    """The edges from ``a``, ``b`` and ``d`` into a receiver."""
    shared = {"dataset": "x", "setting": "y", "seed": seed, "dev": "0.5", "readout": readout}
    return [
        {**shared, "sender": sender, "receiver": receiver, "weight": weight}
        for sender, weight in zip("abd", weights.split(), strict=True)
    ]


def test_seeds_and_readouts_are_compared(program: Program) -> None:
    rows = [
        *line("0", "attention", "0.5 0.3 0.2"),
        *line("0", "ablation", "3 2 1"),
        *line("1", "attention", "0.6 0.3 0.1"),
        *line("1", "ablation", "1 2 3"),
    ]
    told = program("learned_graph").summary(rows)
    assert "attention: rank correlation of two seeds 1.00 (1)" in told
    assert "ablation: rank correlation of two seeds -1.00 (1)" in told
    assert "attention and ablation of one seed: 0.00 ± 1.41 (2)" in told
    assert "c              a 0.550, b 0.300, d 0.150" in told


def test_a_finished_seed_is_not_trained_again(
    program: Program,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    learned, record = program("learned_graph"), tmp_path / "graphs.csv"
    monkeypatch.setattr(learned, "MIN_COUNT", 1)
    settings = ["--settings", "headline", "score-additive", "--accelerator", "cpu"]
    command = ["learned_graph.py", "--data", "planted", "--quick", "--csv", str(record), *settings]
    monkeypatch.setattr(sys, "argv", [*command, "--seeds", "0", "--out", str(tmp_path)])
    learned.main()
    first = record.read_text()
    tasks = len({row["receiver"] for row in program("_record").read(record)})
    assert len(first.splitlines()) == 1 + 2 * 2 * tasks * (tasks - 1)
    words = program("_record").read(tmp_path / "graphs_words.csv")
    assert {row["setting"] for row in words} == {"score-additive"}  # static scores see no word
    assert len({row["receiver"] for row in words}) == tasks
    monkeypatch.setattr(sys, "argv", [*command, "--seeds", "0", "1", "--out", str(tmp_path)])
    learned.main()
    assert record.read_text().startswith(first) and len(record.read_text()) > len(first)
    told = capsys.readouterr().out
    assert told.count("rank correlation of two seeds") == 4
