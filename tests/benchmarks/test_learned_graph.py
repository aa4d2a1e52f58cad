"""Graphs of several seeds are written down, and compared with each other."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

Program = Callable[[str], ModuleType]


def lines(seed: str, readout: str, weights: str) -> list[dict[str, str]]:
    """All edges between four tasks; the same three weights into each, of senders by name."""
    shared = {"dataset": "x", "setting": "y", "seed": seed, "dev": "0.5", "readout": readout}
    return [
        {**shared, "sender": sender, "receiver": receiver, "weight": weight}
        for receiver in "abcd"
        for sender, weight in zip(others(receiver), weights.split(), strict=True)
    ]


def others(receiver: str) -> str:
    """The other tasks, by name."""
    return "abcd".replace(receiver, "")


def test_seeds_and_readouts_are_compared(program: Program) -> None:
    rows = [
        *lines("0", "attention", "0.5 0.3 0.2"),
        *lines("0", "ablation", "3 2 1"),
        *lines("1", "attention", "0.6 0.3 0.1"),
        *lines("1", "ablation", "1 2 3"),
    ]
    told = program("learned_graph").summary(rows)
    assert "attention: rank correlation of two seeds 1.00 (1)" in told
    assert "ablation: rank correlation of two seeds -1.00 (1)" in told
    assert "attention and ablation of one seed: 0.00 ± 1.41 (2)" in told
    assert "c              a 0.550, b 0.300, d 0.150" in told


def test_profiles_of_equal_seeds_are_equal(program: Program) -> None:
    def changed(row: dict[str, str], scale: float) -> dict[str, str]:
        weight = ord(row["sender"]) * ord(row["receiver"]) % 11
        return {**row, "weight": str(scale * weight)}

    same = [changed(row, 1.0) for seed in "01" for row in lines(seed, "attention", "0 0 0")]
    scaled = [changed(row, 3.0) for seed in "01" for row in lines(seed, "ablation", "0 0 0")]
    assert program("_graphs").agreements(same + scaled)["profile"] == [pytest.approx(1)]
    other = [changed(row, -3.0 if row["seed"] == "1" else 3.0) for row in scaled]
    assert program("_graphs").agreements(same + other)["profile"][0] < 0.9


def test_words_of_seeds_are_compared_receiver_by_receiver(program: Program) -> None:
    def words(seed: str, receiver: str, sender: str, own: str) -> list[dict[str, str]]:
        named = {"seed": seed, "receiver": receiver, "sender": sender}
        return [{**named, "word": word} for word in own]

    rows = [*words("0", "a", "all", "wxyz"), *words("0", "b", "all", "wx")]
    rows += [*words("1", "a", "all", "xyzv"), *words("1", "b", "c", "wx")]
    own, others = program("_graphs").words_in_common(rows)
    assert own == [pytest.approx((3 / 4 + 0) / 2)]
    assert others == [pytest.approx((0 + 1 / 4) / 2)]
    assert program("_graphs").words_in_common(rows[:6]) == ([], [])


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
    assert told.count("rank correlation of two seeds") == 6


def test_mailboxes_tell_the_words_that_are_read(
    program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learned, record = program("learned_graph"), tmp_path / "graphs.csv"
    monkeypatch.setattr(learned, "MIN_COUNT", 1)
    command = ["learned_graph.py", "--data", "planted", "--quick", "--csv", str(record)]
    command += ["--settings", "exchange-mailbox", "--seeds", "0", "--accelerator", "cpu"]
    monkeypatch.setattr(sys, "argv", [*command, "--out", str(tmp_path)])
    learned.main()
    rows = program("_record").read(record)
    words = program("_record").read(tmp_path / "graphs_words.csv")
    assert {row["receiver"] for row in words} == {row["receiver"] for row in rows}
    assert {row["sender"] for row in words} == {learned.MIXED}
    assert all(float(row["weight"]) > 0 for row in words)
    shares = [float(row["weight"]) for row in rows if row["readout"] == "attention"]
    assert sum(shares) == pytest.approx(len({row["receiver"] for row in rows}), abs=1e-3)
