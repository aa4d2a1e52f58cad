"""Pictures of the committed records, for ``report.py``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
from _comparison import task_differences
from _record import Row, by_seed, select, unique
from _settings import BASELINES, GRAPHS

from mtgnn import TaskGraph
from mtgnn.explain import plot_task_graphs

matplotlib.use("Agg")

from matplotlib import pyplot  # noqa: E402

SHARES = {"tenth": 10, "quarter": 25, "headline": 100}


def save(figure: Any, path: Path) -> None:
    """Write a picture; the same figure gives the same file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100, bbox_inches="tight", metadata={"Software": None})
    pyplot.close(figure)


def task_graphs(graphs: dict[str, TaskGraph], path: Path) -> None:
    """Graphs side by side, as circles and as matrices."""
    path.parent.mkdir(parents=True, exist_ok=True)
    plot_task_graphs(graphs, path)


def dots(groups: dict[str, Sequence[float]], label: str, path: Path) -> None:
    """A line a group: its values, and their mean."""
    figure, axes = pyplot.subplots(figsize=(7, 0.8 + 0.35 * len(groups)))
    for place, values in enumerate(groups.values()):
        axes.plot(values, [place] * len(values), "o", color="C0", alpha=0.5, markersize=5)
        axes.plot([sum(values) / len(values)], [place], "|", color="black", markersize=16)
    axes.set_yticks(range(len(groups)), list(groups))
    axes.set_ylim(len(groups) - 0.5, -0.5)
    axes.set_xlabel(label)
    axes.grid(axis="x", alpha=0.3)
    save(figure, path)


def lines(series: dict[str, dict[Any, float]], x: str, y: str, path: Path) -> None:
    """A line a series; places on the x axis are in the order of the first series."""
    order = list(dict.fromkeys(place for values in series.values() for place in values))
    figure, axes = pyplot.subplots(figsize=(7, 4))
    for number, (name, values) in enumerate(series.items()):
        here = [place for place in order if place in values]
        marks = {"marker": "os^vDPX*"[number % 8], "linestyle": "-" if number < 8 else "--"}
        places = [order.index(place) for place in here]
        axes.plot(places, [values[place] for place in here], label=name, **marks)
    axes.set_xticks(range(len(order)), [str(place) for place in order])
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small", loc="upper left", bbox_to_anchor=(1, 1))
    save(figure, path)


def score_dots(rows: Sequence[Row], path: Path) -> None:
    """Test accuracy by model, a dot a seed."""
    groups = {}
    for model in unique(rows, "model"):
        scores = by_seed(select(rows, model=model))
        groups[model] = [100 * score for score in scores.values()]
    dots(groups, "test accuracy in %, mean over tasks; a dot a seed", path)


def share_lines(rows: Sequence[Row], path: Path) -> bool:
    """Test accuracy by the share of the training texts, where there are three seeds or more;
    ``False`` with one share alone."""
    series: dict[str, dict[Any, float]] = {}
    for setting, share in SHARES.items():
        for model in unique(rows, "model"):
            scores = by_seed(select(rows, setting=setting, model=model))
            if len(scores) > 2:
                mean = 100 * sum(scores.values()) / len(scores)
                series.setdefault(model, {})[f"{share} %"] = mean
    if len({place for values in series.values() for place in values}) < 2:
        return False
    lines(series, "share of the training texts", "test accuracy in %", path)
    return True


def task_bars(rows: Sequence[Row], path: Path) -> bool:
    """By task, each graph minus the baseline that is best on average; ``False`` without."""
    of = {model: select(rows, model=model) for model in unique(rows, "model")}
    means = {m: sum(by_seed(own).values()) / len(by_seed(own)) for m, own in of.items()}
    baselines = [model for model in BASELINES if model in of]
    graphs = [model for model in GRAPHS if model in of]
    if not baselines or not graphs:
        return False
    best = max(baselines, key=lambda model: means[model])
    differences = {model: task_differences(of[model], of[best]) for model in graphs}
    tasks = list(differences[graphs[0]])
    figure, axes = pyplot.subplots(figsize=(7, 0.8 + 0.35 * len(tasks)))
    height = 0.8 / len(graphs)
    for number, (model, values) in enumerate(differences.items()):
        places = [i + (number - (len(graphs) - 1) / 2) * height for i in range(len(tasks))]
        axes.barh(places, [values[task] for task in tasks], height, label=model)
    axes.set_yticks(range(len(tasks)), tasks)
    axes.set_ylim(len(tasks) - 0.5, -0.5)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_xlabel(f"test accuracy minus that of {best}, in points")
    axes.legend(fontsize="small")
    save(figure, path)
    return True
