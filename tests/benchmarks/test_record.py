"""Records and choices keep what was finished, and refuse what does not fit."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

Program = Callable[[str], ModuleType]
GRID, SEEDS = (0.1, 0.2), (100, 101)


def test_rows_come_back(program: Program, tmp_path: Path) -> None:
    record, path = program("_record"), tmp_path / "deep" / "record.csv"
    assert record.read(path) == []
    first, second = {"task": "a, b", "test": "0.5"}, {"task": "c", "test": "1"}
    record.append(path, ("task", "test"), [first])
    record.append(path, ("task", "test"), [second])
    assert record.read(path) == [first, second]
    path.write_text(path.read_text() + "d\n")
    with pytest.raises(SystemExit, match="complete rows"):
        record.read(path)


def test_rows_of_a_key_are_replaced(program: Program, tmp_path: Path) -> None:
    record, path = program("_record"), tmp_path / "record.csv"
    one, other, new = ({"task": k, "test": v} for k, v in (("a", "1"), ("b", "2"), ("a", "3")))
    for rows in ([one, other], [new]):
        record.replace(path, ("task", "test"), rows, ["task"])
    assert record.read(path) == [other, new]
    assert [file.name for file in tmp_path.iterdir()] == ["record.csv"]


def test_a_record_is_written_anew_and_whole(program: Program, tmp_path: Path) -> None:
    record, path = program("_record"), tmp_path / "deep" / "record.csv"
    record.write(path, ("task", "test"), [{"task": "a", "test": 0.5, "minimum": 0.4}])
    left = path.with_name(f"record.csv.{os.getpid()}")  # as of a process that was cut off
    left.write_text("task,te")
    record.write(path, ("task", "test"), [{"task": "b", "test": None}])
    assert path.read_bytes() == b"task,test\nb,\n" and not left.exists()


def test_a_run_that_another_process_has_made_is_not_added(program: Program, tmp_path: Path) -> None:
    record, path = program("_record"), tmp_path / "record.csv"
    rows = [{"task": task, "seed": "1", "test": "0.5"} for task in "ab"]
    columns, key = ("task", "seed", "test"), ("seed",)
    assert record.append_new(path, columns, rows, key)
    assert not record.append_new(path, columns, [{**rows[0], "test": "0.6"}], key)
    assert record.append_new(path, columns, [{**rows[0], "seed": "2"}], key)
    assert len(record.read(path)) == 3
    with pytest.raises(KeyError):  # what comes before is cut off: the run is made again
        record.append_new(path, columns, [{**rows[0], "seed": "3"}], key, before={}.popitem)
    assert not record.append_new(path, columns, rows, key, before={}.popitem)
    assert len(record.read(path)) == 3
    assert [file.name for file in tmp_path.iterdir()] == ["record.csv"]


def test_means_need_the_same_tasks(program: Program) -> None:
    record = program("_record")
    rows = [
        {"seed": seed, "task": task, "test": test}
        for seed, task, test in (("0", "a", "0.2"), ("0", "b", "0.4"), ("1", "a", "1"))
    ]
    assert record.by_seed(rows[:2]) == {"0": pytest.approx(0.3)}
    with pytest.raises(ValueError, match="the same tasks"):
        record.by_seed(rows)
    with pytest.raises(ValueError, match="second"):
        record.by_seed([rows[0], rows[0]])


def test_dev_chooses_when_all_is_tried(program: Program, tmp_path: Path) -> None:
    path = tmp_path / "choices.json"
    choices = program("_tuning").Choices(path)
    place = ("planted", "headline", "star")
    scores = {(0.1, 100): 0.7, (0.1, 101): 0.7, (0.2, 100): 0.9, (0.2, 101): 0.4}
    for (rate, seed), dev in scores.items():
        assert (rate, seed) in choices.missing(*place, GRID, SEEDS)
        with pytest.raises(ValueError, match="not yet tried"):
            choices.choose(*place, GRID, SEEDS)
        choices.add(*place, {"learning_rate": rate, "seed": seed, "dev": dev})
        choices = program("_tuning").Choices(path)  # goes on from the file
    # The best one stands at an end: what lies beyond is tried, until it does not.
    for dev in (0.8, 0.75):
        [(rate, _), (_, _)] = missing = choices.missing(*place, GRID, SEEDS)
        assert rate == {0.8: 0.05, 0.75: 0.025}[dev]
        with pytest.raises(ValueError, match="not yet tried"):
            choices.choose(*place, GRID, SEEDS)
        for one in missing:
            tried = {"learning_rate": one[0], "seed": one[1], "dev": dev}
            program("_tuning").Choices(path).add(*place, tried)  # another process
            choices.add("planted", "headline", "shared", tried)
    assert len(program("_tuning").Choices(path).tries(*place)) == 8  # none is lost
    assert choices.missing(*place, GRID, SEEDS) == []
    assert choices.missing("planted", "headline", "single", (0.1,), (7,)) == [(0.1, 7)]
    choices.add("planted", "headline", "single", {"learning_rate": 0.1, "seed": 7, "dev": 0.1})
    assert choices.missing("planted", "headline", "single", (0.1,), (7,)) == []
    assert choices.choose(*place, GRID, SEEDS) == 0.05
    assert json.loads(path.read_text())["planted"]["headline"]["star"]["chosen"] == 0.05
    choices.add(*place, {"learning_rate": 0.3, "seed": 100, "dev": 1.0})
    choices.add(*place, {"learning_rate": 0.6, "seed": 100, "dev": 0.1})
    with pytest.raises(ValueError, match="chosen was 0.05, now it would be 0.3"):
        choices.choose(*place, (*GRID, 0.3), SEEDS[:1])
