"""What the page of results says of ``accuracy.csv``."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import _plots as plots
from _comparison import (
    Table,
    ablation_table,
    common_seeds,
    comparisons,
    points,
    score_table,
    seed_differences,
    seeds_differ,
    with_interval,
)
from _markdown import markdown
from _record import Row, by_seed, select, unique
from _settings import BASELINES, GRAPHS, PLAIN, PUBLISHED, SETTINGS
from _tables import rate_table, task_table

Picture = Callable[[str, str, Callable[[Path], bool | None]], list[str]]


def accuracy_pieces(
    rows: Sequence[Row], bootstrap: Sequence[Row], choices: dict[str, Any], picture: Picture
) -> list[str]:
    """Tables and pictures, data set by data set."""
    pieces = []
    for data in unique(rows, "dataset"):
        own = select(rows, dataset=data)
        pieces += [f"### {data}", *_data_set(own, data, bootstrap, picture)]
        rates = rate_table(choices, data)
        if rates[1]:
            pieces += ["Learning rates that dev chose:", markdown(rates)]
    return pieces


def _data_set(
    rows: Sequence[Row], data: str, bootstrap: Sequence[Row], picture: Picture
) -> list[str]:
    by_setting, ablations = comparisons(rows, data, bootstrap)
    pieces = []
    for setting in (name for name in SETTINGS if select(rows, setting=name)):
        own = select(rows, setting=setting)
        if SETTINGS[setting].ablation:
            continue
        pieces += [f"**{setting}**: {SETTINGS[setting].about}", markdown(score_table(own))]
        if setting in by_setting:
            pieces += [markdown(by_setting[setting]), _seeds_said(own)]
        if setting in PLAIN and len(unique(own, "model")) > 2:
            every = select(own, reviews=own[0]["reviews"])
            pieces += [f"By task, {own[0]['reviews']} reviews:", markdown(task_table(every))]
            pieces += picture(
                f"{data}-{setting}-models", data, lambda path, e=every: plots.score_dots(e, path)
            )
            pieces += picture(
                f"{data}-{setting}-tasks",
                f"{data} by task",
                lambda path, e=every: plots.task_bars(e, path),
            )
    if ablations[1]:
        pieces += ["**Changes**", markdown(ablation_table(rows, data)), markdown(ablations)]
    every = select(rows, reviews="all")
    title = f"{data}: accuracy by the number of texts"
    return pieces + picture(f"{data}-shares", title, lambda path: plots.share_lines(every, path))


def _seeds_said(rows: Sequence[Row]) -> str:
    """How often two seeds of one model differ."""
    told = []
    for kind in unique(rows, "reviews"):
        few, every = seeds_differ(select(rows, reviews=kind))
        told.append(f"{few} of {every} pairs ({kind} reviews)")
    return f"Two seeds of one model have p below 0.05 in {' and '.join(told)}."


def short_table(rows: Sequence[Row]) -> Table:
    """Of one setting, a column a model: scores, size and time."""
    models = unique(rows, "model")
    of = {model: select(rows, model=model) for model in models}
    lines = [
        [f"{kind} test reviews", *(points(by_seed(select(of[m], reviews=kind))) for m in models)]
        for kind in unique(rows, "reviews")
    ]
    for about, column, unit in (
        ("parameters, millions", "parameters", 1e6),
        ("minutes a training, one thread", "seconds", 60),
    ):
        values = ([float(row[column]) / unit for row in of[model]] for model in models)
        lines.append([about, *(f"{statistics.mean(value):.2f}" for value in values)])
    lines.append(["seeds", *(str(len(unique(of[model], "seed"))) for model in models)])
    return ["", *models], lines


def claims_table(rows: Sequence[Row]) -> Table:
    """In short: each graph beside the best published baseline, by its test mean, and beside the
    best of all that were run."""
    kinds, lines = unique(rows, "reviews"), []
    for data, setting, graph in itertools.product(unique(rows, "dataset"), PLAIN, GRAPHS):
        own = select(rows, dataset=data, setting=setting)
        for about, names in (("the best published one", PUBLISHED), ("the best of all", BASELINES)):
            there = [name for name in names if select(own, model=name)]
            if not there or not select(own, model=graph):
                continue
            best = max(there, key=lambda name: _mean(select(own, model=name, reviews=kinds[0])))
            cells = [_lead(select(own, reviews=kind), graph, best) for kind in kinds]
            if all(cells):
                seeds = str(len(common_seeds(*(select(own, model=m) for m in (graph, best)))))
                texts = f"{data}, {SETTINGS[setting].about}"
                lines.append([texts, graph, f"{best}: {about} of {len(there)}", seeds, *cells])
    return ["texts", "graph", "ahead of", "seeds", *kinds], lines


def _mean(rows: Sequence[Row]) -> float:
    return statistics.mean(by_seed(rows).values())


def _lead(rows: Sequence[Row], graph: str, other: str) -> str:
    """How far one is ahead, over the seeds that both have; nothing where they share none."""
    both = seed_differences(select(rows, model=graph), select(rows, model=other))
    return with_interval(statistics.mean(both), both) if both else ""
