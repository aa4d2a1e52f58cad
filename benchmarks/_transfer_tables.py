"""Tables of the records of ``transfer.py``."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from _comparison import Table, common_seeds, points, task_differences
from _record import Row, by_seed, select
from _significance import half_width, holm, wilcoxon_p
from _tables import unique


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
    are better and, of several seeds, Wilcoxon's p over tasks, also after Holm's correction over the
    other methods. (Tasks that were left out together share what was trained before.)
    """
    lines = []
    for labels in unique(rows, "labels"):
        for kind in unique(rows, "reviews"):
            some = select(rows, labels=labels, reviews=kind)
            tasks = {row["task"] for row in rows}
            own = complete_seeds(select(some, method=method), tasks)
            pairs = []
            for other in unique(some, "method"):
                theirs = complete_seeds(select(some, method=other), tasks)
                if other != method and common_seeds(own, theirs):
                    pairs.append((other, task_differences(own, theirs), own, theirs))
            several = [pair for pair in pairs if len(common_seeds(*pair[2:])) > 1]
            raw = [wilcoxon_p([*values.values()]) for _, values, _, _ in several]
            names = [pair[0] for pair in several]
            told = {name: both for name, *both in zip(names, raw, holm(raw), strict=True)}
            for other, values, ours, theirs in pairs:
                a, b = by_seed(ours), by_seed(theirs)
                seeds = [100 * (a[seed] - b[seed]) for seed in common_seeds(ours, theirs)]
                mean = statistics.mean(values.values())
                half = f" ± {half_width(seeds):.1f}" if len(seeds) > 2 else ""
                better = f"{sum(d > 1e-9 for d in values.values())} of {len(values)}"
                said = [str(len(seeds)), f"{mean:+.1f}{half}", better]
                said += [f"{value:.4f}" for value in told[other]] if other in told else ["–", "–"]
                lines.append([labels, kind, other, *said])
    header = ["labels", "reviews", f"{method} against", "seeds", "points, by seed 95 %"]
    return [*header, "better on", "p", "p (Holm)"], lines


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
