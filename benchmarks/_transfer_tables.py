"""Tables of the records of ``transfer.py``."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Sequence

from _comparison import Pair, Table, p_values, points, task_differences
from _record import Row, by_seed, select, unique
from _significance import half_width


def transfer_table(rows: Sequence[Row]) -> Table:
    """A line a method, a column a number of labels and kind of reviews."""
    tasks = {row["task"] for row in rows}
    columns = [(k, n) for k in unique(rows, "reviews") for n in unique(rows, "labels")]
    lines = []
    for method in unique(rows, "method"):
        line = [method]
        for kind, labels in columns:
            own = select(rows, method=method, reviews=kind, labels=labels)
            line.append(finished(own, tasks))
        lines.append(line)
    return ["method", *(f"{labels} labels, {kind}" for kind, labels in columns)], lines


def transfer_against_table(rows: Sequence[Row], method: str = "star") -> Table:
    """A line a number of labels, kind of reviews and other method: how far ``method`` is ahead.

    Over the seeds that both have of all tasks: points with a 95 % interval over seeds, tasks that
    are better and, of several seeds, Wilcoxon's p over tasks after Holm's correction over the other
    methods. (Tasks that were left out together share what was trained before.)
    """
    tasks, lines = {row["task"] for row in rows}, []
    for labels, kind in itertools.product(unique(rows, "labels"), unique(rows, "reviews")):
        some = select(rows, labels=labels, reviews=kind)
        own, family = complete_seeds(select(some, method=method), tasks), []
        for other in unique(some, "method"):
            theirs = complete_seeds(select(some, method=other), tasks)
            pair = Pair(labels, method, other, (labels, other), own, theirs)
            if other != method and pair.seeds:
                family.append(pair)
        for pair, p in zip(family, p_values(family), strict=True):
            values, by_seeds = task_differences(pair.own, pair.other).values(), pair.by_seed()
            half = f" ± {half_width(by_seeds):.1f}" if len(by_seeds) > 2 else ""
            said = [str(len(by_seeds)), f"{statistics.mean(values):+.1f}{half}"]
            said.append(f"{sum(d > 1e-9 for d in values)} of {len(values)}")
            said.append("–" if p is None else f"{p:.4f}")
            lines.append([labels, kind, pair.against, *said])
    header = ["labels", "reviews", f"{method} against", "seeds", "points, by seed 95 %"]
    return [*header, "better on", "p"], lines


def complete_seeds(rows: Sequence[Row], tasks: set[str]) -> list[Row]:
    """The rows of the seeds that have all tasks."""
    found = {seed: {r["task"] for r in select(rows, seed=seed)} for seed in unique(rows, "seed")}
    return [row for row in rows if found[row["seed"]] == tasks]


def finished(rows: Sequence[Row], tasks: set[str]) -> str:
    """Mean over tasks, then mean ± deviation over seeds; or why there is none."""
    if not rows:
        return "–"
    done = complete_seeds(rows, tasks)
    return points(by_seed(done)) if len(done) == len(rows) else "unfinished"
