"""Tables of ``accuracy.csv``: scores, and each graph against every baseline."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from _record import Row, by_seed, select, spread, unique
from _settings import (
    BASELINES,
    BESIDE_ABLATIONS,
    GRAPHS,
    MODELS,
    PLAIN,
    PROTOCOLS,
    SETTINGS,
    base,
    plain,
    than,
)
from _significance import half_width, holm, wilcoxon_p

ACCURACY = (
    *("dataset", "setting", "model", "seed", "task", "reviews"),
    *("dev", "test", "epochs", "seconds", "parameters"),
)
BOOTSTRAP = (
    *("dataset", "setting", "model", "against", "reviews", "seeds"),
    *("difference", "low", "high"),
)

Table = tuple[list[str], list[list[str]]]
# The record has a hundredth of a point; one review more of a task, in one seed of five, is 0.05.
ROUNDED = 0.02


def score_table(rows: Sequence[Row]) -> Table:
    """A line a model: mean over tasks, then mean ± deviation over seeds, in per cent.

    Args:
        rows: Those of one data set and setting.
    """
    kinds = unique(rows, "reviews")
    header = ["model", *(f"test, {kind}" for kind in kinds), "dev", "seeds"]
    header += ["parameters", "seconds", "epochs"]
    lines = []
    for model in unique(rows, "model"):
        own = select(rows, model=model)
        first = select(own, reviews=kinds[0])
        line = [model, *(points(by_seed(select(own, reviews=kind))) for kind in kinds)]
        line += [points(by_seed(first, "dev")), str(len(by_seed(first)))]
        sizes = {int(row["parameters"]) for row in own}
        line += [f"{max(sizes):,}", spread([*by_seed(first, "seconds").values()], ".0f")]
        lines.append([*line, spread([*by_seed(first, "epochs").values()], ".1f")])
    return header, lines


def ablation_table(rows: Sequence[Row], data: str) -> Table:
    """A line a change and model: its scores, and dev beside the model without the change, over the
    seeds that both have. By dev what a layer does unless it is told otherwise is chosen."""
    header: list[str] = []
    lines = []
    for setting in (name for name, entry in SETTINGS.items() if entry.ablation):
        own = select(rows, setting=setting)
        if not own:
            continue
        header, scores = score_table(own)
        for line in scores:
            alike = {"model": line[0], "reviews": own[0]["reviews"]}
            usual = select(rows, setting=than(setting, data), **alike)
            both = seed_differences(select(own, **alike), usual, "dev")
            ahead = with_interval(statistics.mean(both), both) if both else "–"
            lines.append([line[0], SETTINGS[setting].about, *line[1:], ahead])
    return [*header[:1], "change", *header[1:], "dev, minus without"], lines


def points(values: dict[str, float]) -> str:
    """Shares as mean ± deviation in per cent."""
    return spread([100 * value for value in values.values()])


def common_seeds(rows: Sequence[Row], others: Sequence[Row]) -> list[str]:
    """The seeds that both have."""
    return sorted({row["seed"] for row in rows} & {row["seed"] for row in others}, key=int)


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
    changes = {task: value - means[1][task] for task, value in means[0].items()}
    return {task: 0.0 if abs(value) < ROUNDED else value for task, value in changes.items()}


def seed_differences(
    rows: Sequence[Row], others: Sequence[Row], column: str = "test"
) -> list[float]:
    """For each seed that both have the difference of the means over tasks, in points."""
    own, other = by_seed(rows, column), by_seed(others, column)
    return [100 * (own[seed] - other[seed]) for seed in common_seeds(rows, others)]


class Pair(NamedTuple):
    """Two models that are compared.

    Attributes:
        setting: Of the first one.
        model: The first one.
        against: What it is compared with: a model, or, of the same model, another setting.
        side: Setting and model of the second one.
        own: Rows of the first one.
        other: Rows of the second one.
    """

    setting: str
    model: str
    against: str
    side: tuple[str, str]
    own: Sequence[Row]
    other: Sequence[Row]

    @property
    def seeds(self) -> list[str]:
        """The seeds that both have."""
        return common_seeds(self.own, self.other)

    def by_seed(self) -> list[float]:
        """For each seed the difference of the means over tasks, in points."""
        return seed_differences(self.own, self.other)


def pairs(rows: Sequence[Row], data: str) -> Iterator[list[Pair]]:
    """Families of comparisons.

    One family a setting and graph: against every baseline that was run. One a plain setting and
    graph: against baselines that were given more. One a model for all its ablations, against the
    same model without the change, and for a graph a second one, against the models that tell what
    is left of its lead. What shares no seed is left out.
    """
    rows = select(rows, dataset=data)

    def family(wanted: Sequence[tuple[str, str, str, tuple[str, str]]]) -> list[Pair]:
        found = []
        for setting, model, against, side in wanted:
            own = select(rows, setting=setting, model=model)
            other = select(rows, setting=side[0], model=side[1])
            found.append(Pair(setting, model, against, side, own, other))
        return [pair for pair in found if pair.seeds]

    ablations = [name for name, entry in SETTINGS.items() if entry.ablation]
    for setting, entry in SETTINGS.items():
        for model in GRAPHS if not entry.ablation else ():
            yield family([(setting, model, name, (setting, name)) for name in BASELINES])
    for first, model in itertools.product(PLAIN, GRAPHS):
        rivals = [name for name, entry in SETTINGS.items() if entry.rival]
        own = [name for name in rivals if plain(name, data) == first]
        yield family(
            [
                (first, model, f"{baseline}, {SETTINGS[name].about}", (name, baseline))
                for name, baseline in itertools.product(own, BASELINES)
            ]
        )
    first = PROTOCOLS[data].base
    for model in MODELS:
        usual = {name: than(name, data) for name in ablations}
        yield family([(name, model, other, (other, model)) for name, other in usual.items()])
        others = BESIDE_ABLATIONS if model in GRAPHS else ()
        left = [(name, c, (first, c)) for name in ablations for c in others]
        yield family([(name, model, c, side) for name, c, side in left])


def seeds_differ(rows: Sequence[Row]) -> tuple[int, int]:
    """Of all pairs of seeds of one model: in how many p is below 0.05, and how many there are.

    Args:
        rows: Those of one data set, setting and kind of reviews.
    """
    p = []
    for model in unique(rows, "model"):
        own = select(rows, model=model)
        seeds = sorted({row["seed"] for row in own}, key=int)
        for pair in itertools.combinations(seeds, 2):
            one, other = ({r["task"]: float(r["test"]) for r in select(own, seed=s)} for s in pair)
            p.append(wilcoxon_p([one[task] - other[task] for task in one]))
    return sum(value < 0.05 for value in p), len(p)


HEADER = ["points (by seed, 95 %)", "better on", "p", "by review, 95 %"]


def comparisons(
    rows: Sequence[Row], data: str, bootstrap: Sequence[Row]
) -> tuple[dict[str, Table], Table]:
    """Tables of comparisons, by setting, and that of all ablations.

    A line: number of seeds and, for each kind of reviews, the difference in points with a 95 %
    interval over seeds, tasks that are better, Wilcoxon's p over tasks after Holm's correction in
    the line's family, and the interval of the bootstrap over reviews, if it is known for these
    seeds. One seed alone has neither p nor interval: how much seeds differ is not known.
    """
    rows = select(rows, dataset=data)
    kinds = unique(rows, "reviews")
    header = ["seeds", *(f"{kind}: {name}" for kind in kinds for name in HEADER)]
    by_setting: dict[str, Table] = {}
    ablations: list[list[str]] = []
    for families in zip(*(pairs(select(rows, reviews=k), data) for k in kinds), strict=True):
        told = [
            [compare(pair, p, select(bootstrap, dataset=data, reviews=kind)) for pair, p in both]
            for kind, both in zip(kinds, map(with_p, families), strict=True)
        ]
        for pair, *parts in zip(families[0], *told, strict=True):
            line = [str(len(pair.seeds)), *(cell for part in parts for cell in part)]
            if SETTINGS[pair.setting].ablation:
                about = SETTINGS[pair.setting].about
                ablations.append([pair.model, about, what_without(pair, data), *line])
            else:
                table = by_setting.setdefault(pair.setting, (["model", "against", *header], []))
                table[1].append([pair.model, pair.against, *line])
    order = list(dict.fromkeys(tuple(line[:2]) for line in ablations))
    ablations.sort(key=lambda line: order.index((line[0], line[1])))
    return by_setting, (["model", "change", "against", *header], ablations)


def what_without(pair: Pair, data: str) -> str:
    """What an ablation is compared with, in words."""
    if pair.side[1] != pair.model:
        return pair.against
    if pair.side[0] != base(pair.setting, data):
        return SETTINGS[pair.side[0]].about
    return "without the change"


def with_p(family: Sequence[Pair]) -> list[tuple[Pair, float | None]]:
    """The pairs of a family, and p of each."""
    return list(zip(family, p_values(family), strict=True))


def p_values(family: Sequence[Pair]) -> list[float | None]:
    """Wilcoxon's p over tasks of each pair, after Holm's correction in the family; ``None`` of one
    seed alone."""
    several = [pair for pair in family if len(pair.seeds) > 1]
    raw = [wilcoxon_p([*task_differences(pair.own, pair.other).values()]) for pair in several]
    corrected = iter(holm(raw))
    return [next(corrected) if len(pair.seeds) > 1 else None for pair in family]


def compare(pair: Pair, p: float | None, bootstrap: Sequence[Row]) -> list[str]:
    """The cells of a comparison on one kind of reviews, as ``HEADER`` says."""
    values, by_seeds = task_differences(pair.own, pair.other).values(), pair.by_seed()
    mean = statistics.mean(values)
    named = {"setting": pair.setting, "model": pair.model, "against": pair.against}
    known = select(bootstrap, **named, seeds=" ".join(pair.seeds)) if p is not None else []
    # Of runs that were made again without their texts here, it would be that of the old ones.
    known = [row for row in known if abs(float(row["difference"]) - mean) < 0.02]
    return [
        with_interval(mean, by_seeds),
        f"{sum(d > 1e-9 for d in values)} of {len(values)}",
        "–" if p is None else "< 0.0001" if p < 5e-5 else f"{p:.4f}",
        f"{known[0]['low']} to {known[0]['high']}" if known else "–",
    ]


def with_interval(mean: float, by_seeds: Sequence[float]) -> str:
    """A difference and, of three seeds or more, its 95 % interval over these."""
    if len(by_seeds) < 3:
        return f"{mean:+.1f}"
    half = half_width(by_seeds)
    return f"{mean:+.1f} ({mean - half:+.1f} to {mean + half:+.1f})"
