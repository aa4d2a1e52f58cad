"""Tables of ``accuracy.csv``: scores, and each graph against every baseline."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence

from _record import Row, by_seed, select, spread
from _settings import BASELINES, GRAPHS, SETTINGS, base
from _significance import holm, wilcoxon_p

ACCURACY = (
    *("dataset", "setting", "model", "seed", "task", "reviews"),
    *("dev", "test", "epochs", "seconds", "parameters"),
)
BOOTSTRAP = ("dataset", "setting", "model", "against", "reviews", "difference", "low", "high")

SAME = 0.02  # points; the records are rounded

Table = tuple[list[str], list[list[str]]]


def score_table(rows: Sequence[Row]) -> Table:
    """A line a model: mean over tasks, then mean ± deviation over seeds, in per cent.

    Args:
        rows: Those of one data set and setting.
    """
    kinds = list(dict.fromkeys(row["reviews"] for row in rows))
    header = ["model", *(f"test, {kind}" for kind in kinds), "dev", "seeds"]
    header += ["parameters", "seconds", "epochs"]
    lines = []
    for model in dict.fromkeys(row["model"] for row in rows):
        own = select(rows, model=model)
        first = select(own, reviews=kinds[0])
        line = [model, *(points(by_seed(select(own, reviews=kind))) for kind in kinds)]
        line += [points(by_seed(first, "dev")), str(len(by_seed(first)))]
        sizes = {int(row["parameters"]) for row in own}
        line += [f"{max(sizes):,}", spread([*by_seed(first, "seconds").values()], ".0f")]
        lines.append([*line, spread([*by_seed(first, "epochs").values()], ".1f")])
    return header, lines


def points(values: dict[str, float]) -> str:
    """Shares as mean ± deviation in per cent."""
    return spread([100 * value for value in values.values()])


def common_seeds(rows: Sequence[Row], others: Sequence[Row]) -> set[str]:
    """The seeds that both have."""
    return {row["seed"] for row in rows} & {row["seed"] for row in others}


def task_differences(rows: Sequence[Row], others: Sequence[Row]) -> dict[str, float]:
    """For each task the difference of the means over the seeds that both have, in points."""
    seeds = common_seeds(rows, others)
    means: list[dict[str, float]] = []
    for side in (rows, others):
        values: dict[str, list[float]] = {}
        for row in side:
            if row["seed"] in seeds:
                values.setdefault(row["task"], []).append(100 * float(row["test"]))
        means.append({task: statistics.mean(own) for task, own in values.items()})
    if means[0].keys() != means[1].keys():
        raise ValueError(f"expected the same tasks, got {list(means[0])} and {list(means[1])}")
    return {task: value - means[1][task] for task, value in means[0].items()}


def pairs(
    rows: Sequence[Row], data: str
) -> Iterator[list[tuple[str, str, str, Sequence[Row], Sequence[Row]]]]:
    """Families of comparisons ``(setting, model, against, rows, rows of the other)``.

    One family a setting and graph: against every baseline that was run. One family a graph for all
    ablations: against the same model without the change. What shares no seed is left out.
    """
    rows = select(rows, dataset=data)
    seeds: dict[tuple[str, str], set[str]] = {}
    for row in rows:
        seeds.setdefault((row["setting"], row["model"]), set()).add(row["seed"])

    def alike(one: tuple[str, str], other: tuple[str, str]) -> bool:
        return bool(seeds.get(one, set()) & seeds.get(other, set()))

    def of(setting: str, model: str) -> list[Row]:
        return select(rows, setting=setting, model=model)

    for setting, entry in SETTINGS.items():
        for model in GRAPHS:
            others = [name for name in BASELINES if alike((setting, model), (setting, name))]
            if not entry.ablation and others:
                own = of(setting, model)
                yield [(setting, model, name, own, of(setting, name)) for name in others]
    for model in GRAPHS:
        usual = {name: base(name, data) for name, entry in SETTINGS.items() if entry.ablation}
        changes = [name for name, than in usual.items() if alike((name, model), (than, model))]
        if changes:
            yield [
                (name, model, usual[name], of(name, model), of(usual[name], model))
                for name in changes
            ]


def comparisons(
    rows: Sequence[Row], data: str, bootstrap: Sequence[Row], reviews: str
) -> tuple[dict[str, Table], Table]:
    """Tables of comparisons, by setting, and that of all ablations.

    A line: number of seeds, difference in points, tasks that are better, Wilcoxon's p over tasks,
    the same after Holm's correction in the line's family, and the bootstrap's interval if it is
    known for these seeds.
    """
    header = ["model", "against", "seeds", "points", "better on", "p", "p (Holm)", "95 % interval"]
    by_setting: dict[str, Table] = {}
    ablations: list[list[str]] = []
    for family in pairs(select(rows, reviews=reviews), data):
        differences = [task_differences(own, other) for *_, own, other in family]
        raw = [wilcoxon_p([*values.values()]) for values in differences]
        for (setting, model, against, own, other), values, p, q in zip(
            family, differences, raw, holm(raw), strict=True
        ):
            named = {"model": model, "against": against, "reviews": reviews}
            mean = statistics.mean(values.values())
            known = [
                row
                for row in select(bootstrap, dataset=data, setting=setting, **named)
                if abs(float(row["difference"]) - mean) < SAME  # else it is of other seeds
            ]
            interval = f"{known[0]['low']} to {known[0]['high']}" if known else "–"
            better = f"{sum(d > 1e-9 for d in values.values())} of {len(values)}"
            seeds = len(common_seeds(own, other))
            line = [
                str(seeds),
                f"{mean:+.1f}",
                better,
                f"{p:.4f}",
                f"{q:.4f}",
            ]
            if SETTINGS[setting].ablation:
                ablations.append([model, SETTINGS[setting].about, *line, interval])
            else:
                by_setting.setdefault(setting, (header, []))[1].append(
                    [model, against, *line, interval]
                )
    return by_setting, (["model", "change", *header[2:]], ablations)
