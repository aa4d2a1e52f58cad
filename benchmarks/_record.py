"""Records: CSV files that grow by the rows of each finished run."""

from __future__ import annotations

import csv
import io
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from _files import locked, whole_file

Row = dict[str, str]


def read(path: Path) -> list[Row]:
    """The rows that are there.

    Raises:
        SystemExit: If a row is not complete, as after a full disk.
    """
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        if None in row or None in row.values():
            raise SystemExit(f"{path}: expected complete rows, got {row}; remove that run's rows")
    return rows


def append(path: Path, columns: Sequence[str], rows: Sequence[Mapping[str, object]]) -> None:
    """Add the rows of a finished run at once, so that no other process's rows come between."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    if not path.exists():
        writer.writeheader()
    writer.writerows(rows)
    with path.open("a", newline="", encoding="utf-8") as file:
        file.write(text.getvalue())


def write(path: Path, columns: Sequence[str], rows: Sequence[Mapping[str, object]]) -> None:
    """Write a record anew; of the rows, these columns."""
    with whole_file(path) as part:
        append(part, columns, [{name: row.get(name) for name in columns} for row in rows])


def key_of(row: Mapping[str, str], columns: Sequence[str]) -> tuple[str, ...]:
    """The values of some columns."""
    return tuple(row[name] for name in columns)


def append_new(
    path: Path,
    columns: Sequence[str],
    rows: Sequence[Row],
    key: Sequence[str],
    before: Callable[[], None] = lambda: None,
) -> bool:
    """Add the rows of a finished run, unless another process has added some with the same values
    of ``key`` meanwhile; returns whether they were added. If they are, ``before`` comes first: what
    is cut off between the two is made again."""
    with locked(path):
        new = [key_of(row, key) for row in rows]
        if any(key_of(row, key) in new for row in read(path)):
            return False
        before()
        append(path, columns, rows)
    return True


def replace(path: Path, columns: Sequence[str], rows: Sequence[Row], key: Sequence[str]) -> None:
    """Put rows in the place of those with the same values of ``key``, or at the end."""
    new = {key_of(row, key) for row in rows}
    with locked(path):
        kept = [row for row in read(path) if key_of(row, key) not in new]
        with whole_file(path) as part:
            append(part, columns, [*kept, *rows])


def select(rows: Sequence[Row], **wanted: str) -> list[Row]:
    """The rows with these values."""
    return [row for row in rows if wanted.items() <= row.items()]


def unique(rows: Sequence[Row], column: str) -> list[str]:
    """The values of a column in the order in which they come."""
    return list(dict.fromkeys(row[column] for row in rows))


def unique_keys(rows: Sequence[Row], *columns: str) -> list[tuple[str, ...]]:
    """The values of some columns together, in the order in which they come."""
    return list(dict.fromkeys(key_of(row, columns) for row in rows))


def by_seed(rows: Sequence[Row], column: str = "test") -> dict[str, float]:
    """Mean over the tasks, for each seed.

    Raises:
        ValueError: If a seed lacks tasks that another one has, or has one twice.
    """
    values: dict[str, dict[str, float]] = {}
    for row in rows:
        own = values.setdefault(row["seed"], {})
        if row["task"] in own:
            raise ValueError(f"expected one row a task, got a second one: {row}")
        own[row["task"]] = float(row[column])
    if len({frozenset(own) for own in values.values()}) > 1:
        sizes = {seed: len(own) for seed, own in values.items()}
        raise ValueError(f"expected the same tasks for all seeds, got {sizes}")
    return {seed: statistics.mean(own.values()) for seed, own in values.items()}


def spread(values: Sequence[float], form: str = ".1f") -> str:
    """Mean ± standard deviation; one value alone has none."""
    deviation = f" ± {statistics.stdev(values):{form}}" if len(values) > 1 else ""
    return f"{statistics.mean(values):{form}}{deviation}"
