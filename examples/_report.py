"""Tables for a person, a CSV file for a program."""

from __future__ import annotations

import csv
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from mtgnn.lightning import FitResult

COLUMNS = [
    *("model", "seed", "task", "reviews", "dev", "test"),
    *("epochs", "best_epoch", "seconds", "tokens_per_second", "parameters"),
]


@dataclass
class Result:
    """One trained model: accuracies by task on all test texts, and on those that are not leaked."""

    model: str
    seed: int
    fit: FitResult | None
    parameters: int
    test: dict[str, dict[str, float]] = field(default_factory=dict)

    def mean(self, reviews: str = "all") -> float:
        """Test accuracy, mean over tasks."""
        scores = self.test[reviews].values()
        return sum(scores) / len(scores)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns side by side: names to the left, numbers to the right."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]

    def line(row: Sequence[str]) -> str:
        cells = [cell.rjust(width) for cell, width in zip(row, widths, strict=True)]
        return "  ".join([row[0].ljust(widths[0]), *cells[1:]]).rstrip()

    rule = "  ".join("─" * width for width in widths)
    return "\n".join([line(header), rule, *(line(row) for row in rows)])


def summary(results: Sequence[Result]) -> str:
    """A row a model: accuracy, its part of the oracle's gap where there is one, cost."""
    gap = gap_fractions({result.model: result.mean() for result in results})
    header = ["model", "test", *(["of the gap"] if gap else [])]
    header += ["dev", "best epoch", "seconds", "tokens/s", "parameters"]
    rows = []
    for result in results:
        row = [result.model, percent(result.mean())]
        if gap:
            row.append(f"{gap[result.model]:+.0%}" if result.model in gap else "")
        if result.fit is not None:
            row += [
                percent(result.fit.dev_accuracy),
                f"{result.fit.best_epoch} of {result.fit.epochs}",
                f"{result.fit.seconds:.0f}",
                f"{result.fit.tokens_per_second:,.0f}",
            ]
        else:
            row += [""] * 4
        rows.append([*row, f"{result.parameters:,}"])
    return table(header, rows)


def gap_fractions(accuracy: Mapping[str, float]) -> dict[str, float]:
    """Which part of the way each model goes from the better baseline to the oracle.

    Empty where the oracle or a baseline is missing, or the oracle is no better than they are.
    """
    if not {"single", "shared", "oracle"} <= accuracy.keys():
        return {}
    floor = max(accuracy["single"], accuracy["shared"])
    room = accuracy["oracle"] - floor
    if room <= 0:
        return {}
    return {name: (score - floor) / room for name, score in accuracy.items()}


def by_task(results: Sequence[Result]) -> str:
    """A row a task, a column a model; a second one for texts that are not leaked."""
    columns = [(result, reviews) for result in results for reviews in result.test]
    several = any(len(result.test) > 1 for result in results)
    header = ["test accuracy"]
    header += [f"{r.model} ({which})" if several else r.model for r, which in columns]
    tasks = list(results[0].test["all"])
    rows = [[t, *(percent(r.test[which].get(t)) for r, which in columns)] for t in tasks]
    rows.append(["mean over tasks", *(percent(r.mean(which)) for r, which in columns)])
    return table(header, rows)


def percent(value: float | None) -> str:
    """Per cent with one decimal."""
    return "–" if value is None else f"{100 * value:.1f}"


def write_csv(results: Sequence[Result], path: Path) -> None:
    """Write a row for each model, task and kind of test texts, and one for the mean over tasks."""
    update_csv([row for result in results for row in _rows(result)], COLUMNS, path)


def update_csv(rows: Sequence[Mapping[str, object]], columns: Sequence[str], path: Path) -> None:
    """Write rows of corpora, models, heads and seeds; those of others that the file holds are
    kept."""

    def run(row: Mapping[str, object]) -> tuple[str, ...]:
        return tuple(str(row.get(name)) for name in ("corpus", "model", "head", "seed"))

    new = {run(row) for row in rows}
    kept: list[dict[str, str]] = []
    if path.exists():
        with path.open(newline="", encoding="utf-8") as file:
            kept = [row for row in csv.DictReader(file) if run(row) not in new]
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows([*kept, *rows])


def _rows(result: Result) -> list[dict[str, object]]:
    fit, rows = result.fit, []
    for reviews, scores in result.test.items():
        for task, score in [*scores.items(), ("mean", result.mean(reviews))]:
            row: dict[str, object] = dict.fromkeys(COLUMNS, "")
            row |= {"model": result.model, "seed": result.seed, "task": task}
            row |= {"reviews": reviews, "test": f"{score:.4f}", "parameters": result.parameters}
            if fit is not None:
                dev = fit.dev_accuracy if task == "mean" else fit.dev_accuracy_by_task[task]
                row |= {"dev": f"{dev:.4f}", "epochs": fit.epochs, "best_epoch": fit.best_epoch}
                row |= {"seconds": f"{fit.seconds:.1f}"}
                row |= {"tokens_per_second": f"{fit.tokens_per_second:.0f}"}
            rows.append(row)
    return rows


def peak_memory() -> str:
    """The most memory that this process has held, and a GPU for it."""
    try:
        from resource import RUSAGE_SELF, getrusage
    except ImportError:  # Windows
        return "unknown"
    unit = 1 if sys.platform == "darwin" else 1024
    text = f"{getrusage(RUSAGE_SELF).ru_maxrss * unit / 2**20:,.0f} MiB"
    if torch.cuda.is_available():
        text += f", GPU {torch.cuda.max_memory_allocated() / 2**20:,.0f} MiB"
    return text
