"""Tables of the committed records, for ``report.py``."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from _comparison import Table, points
from _examples import gap_fractions
from _graphs import BOTH, COMPARED, agreements, dev_accuracy, heard
from _record import Row, by_seed, select, spread, unique, unique_keys
from _significance import half_width

from mtgnn import TaskGraph

CHOSEN = "profile (static)"  # the readout that tuning seeds chose
RECOVERY = ("auroc", "average_precision", "accuracy")
HEARD = 3  # senders that are named of each receiver


def task_table(rows: Sequence[Row]) -> Table:
    """Of one setting and kind of reviews: a line a task, a column a model, means over seeds."""
    models = unique(rows, "model")
    lines = []
    for task in [*unique(rows, "task"), "mean"]:
        own = rows if task == "mean" else select(rows, task=task)
        means = (by_seed(select(own, model=model)).values() for model in models)
        lines.append([task, *(f"{100 * statistics.mean(values):.1f}" for values in means)])
    return ["task", *models], lines


def planted_gaps(rows: Sequence[Row]) -> dict[str, list[float]]:
    """For each model and seed, its part of the way from the better baseline to the oracle."""
    means = select(rows, task="mean")
    gaps: dict[str, list[float]] = {}
    for seed in unique(means, "seed"):
        own = {row["model"]: float(row["test"]) for row in select(means, seed=seed)}
        for model, part in gap_fractions(own).items():
            gaps.setdefault(model, []).append(part)
    return gaps


def planted_table(rows: Sequence[Row]) -> Table:
    """A line a model."""
    means, gaps = select(rows, task="mean"), planted_gaps(rows)
    lines = []
    for model in unique(means, "model"):
        own = select(means, model=model)
        gap = spread(gaps[model], ".2f") if model in gaps else "–"
        line = [model, points(by_seed(own)), gap, points(by_seed(own, "dev")), str(len(own))]
        lines.append([*line, f"{int(own[0]['parameters']):,}"])
    return ["model", "test", "part of the gap", "dev", "seeds", "parameters"], lines


def rate_table(choices: dict[str, Any], data: str) -> Table:
    """The chosen learning rates: a line a model, a column a setting that they were chosen on."""
    settings: dict[str, Any] = choices.get(data, {})
    settings = {k: v for k, v in settings.items() if any("chosen" in own for own in v.values())}
    models = list(dict.fromkeys(model for own in settings.values() for model in own))
    lines = [
        [model, *(str(own.get(model, {}).get("chosen", "–")) for own in settings.values())]
        for model in models
    ]
    return ["model", *settings], lines


def crf_table(rows: Sequence[Row]) -> Table:
    """A line a size and kind of work."""
    sizes, times = ("sentences", "words", "tags"), ("ms", "ms_plain", "ms_pytorch_crf")
    lines = [
        [row["work"], *(row[name] for name in sizes), *(row[name] or "–" for name in times)]
        + [f"{float(row['times_faster']):.1f}"]
        for row in rows
    ]
    header = ["work", *sizes, "ms", "by autograd", "pytorch-crf", "times as fast as pytorch-crf"]
    return header, lines


def recovery_table(rows: Sequence[Row]) -> Table:
    """A line a method of one shape and strength: AUROC and average precision with half of their
    intervals, the median AUROC, the mean test accuracy of the model that was read (equal weights
    read none), and how far the chosen readout is ahead."""
    chosen = {row["seed"]: float(row["auroc"]) for row in select(rows, method=CHOSEN)}
    lines = []
    for method in unique(rows, "method"):
        every = select(rows, method=method)
        own = {name: [float(row[name]) for row in every] for name in RECOVERY}
        found = [with_width(own[name]) for name in RECOVERY[:2]]
        found.insert(1, f"{statistics.median(own['auroc']):.3f}")
        read = f"{100 * statistics.mean(own['accuracy']):.1f}"
        found.append("–" if method == "uniform" else read)
        ahead = [chosen[r["seed"]] - float(r["auroc"]) for r in every if r["seed"] in chosen]
        lines.append([method, *found, with_width(ahead) if ahead and method != CHOSEN else "–"])
    header = ["method", "AUROC, mean", "median", "average precision", "accuracy in %"]
    return [*header, f"{CHOSEN} ahead by"], lines


def agreement_table(rows: Sequence[Row]) -> Table:
    """Of one setting: how much graphs agree, rank correlations."""
    found, dev = agreements(rows), dev_accuracy(rows)
    line = [str(len(dev)), spread([100 * value for value in dev])]
    # Three seeds make three pairs, which are no three observations: no spread.
    line += [", ".join(f"{value:.2f}" for value in values) or "–" for values in found.values()]
    between = [f"{how}, two seeds" for how in COMPARED]
    return ["seeds", "dev", *between, f"{BOTH}, one seed"], [line]


def heard_table(graphs: dict[str, TaskGraph]) -> Table:
    """A line a receiver: the senders that weigh most in each graph."""
    columns = [dict(heard(graph, HEARD)) for graph in graphs.values()]
    lines = [
        [receiver, *(", ".join(f"{n} {w:.3f}" for n, w in own[receiver]) for own in columns)]
        for receiver in columns[0]
    ]
    return ["receiver", *(f"most heard by {how}" for how in graphs)], lines


def word_table(rows: Sequence[Row]) -> Table:
    """A line a seed and receiver: the words at which it hears its strongest sender most, or, of a
    mailbox, that it reads most."""
    lines = []
    for seed, receiver, sender in unique_keys(rows, "seed", "receiver", "sender"):
        own = select(rows, seed=seed, receiver=receiver, sender=sender)
        told = ", ".join(f"{row['word']} {row['weight']}" for row in own)
        lines.append([receiver, sender, seed, told])
    return ["receiver", "sender", "seed", "words with the largest mean weight"], lines


def with_width(values: Sequence[float]) -> str:
    """The mean and, of several, half the width of its 95 % interval by Student's t."""
    mean = statistics.mean(values)
    if len(values) < 2:
        return f"{mean:.3f}"
    return f"{mean:.3f} ± {half_width(values):.3f}"


def collecting_table(rows: Sequence[Row]) -> Table:
    """A line a model and number of texts: evaluation alone, and with all readouts."""
    lines = []
    for texts, model, number in unique_keys(rows, "texts", "model", "number"):
        plain, read = (
            select(rows, texts=texts, model=model, number=number, how=how)[-1]
            for how in ("evaluation", "readouts")
        )
        times = float(read["seconds"]) / float(plain["seconds"])
        seconds = [plain["seconds"], read["seconds"], f"{times:.2f}"]
        lines.append([model, f"{int(number):,}", *seconds, plain["peak_mb"], read["peak_mb"]])
    header = ["model", "texts", "evaluation, s", "with readouts, s", "×"]
    return [*header, "evaluation, MB", "with readouts, MB"], lines


LOOPS = {"auto": "torch", "native": "C++", "triton": "Triton"}


def speed_table(rows: Sequence[Row]) -> Table:
    """The layers as they are used, in training: against a user's loop and LSTMs that are silent."""
    lines = []
    for row in rows:
        name, _, candidate = row["name"].partition("/")
        if candidate in LOOPS and row["phase"] == "train":
            sizes = ", ".join(f"{size}={row[size]}" for size in "KBTEH")
            rate = f"{float(row['tokens_per_s']):,.0f}"
            loop, silent = (row[f"ratio_to_{other}"] or "–" for other in ("loop", "silent"))
            lines.append(
                [name, LOOPS[candidate], sizes, row["dtype"], row["processor"], rate, loop, silent]
            )
    header = [
        "row",
        "loop",
        "sizes",
        "dtype",
        "processor",
        "tokens/s",
        "× a user's loop",
        "time × silent",
    ]
    return header, lines
