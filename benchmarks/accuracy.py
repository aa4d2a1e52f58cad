"""Models × seeds × settings: what a learned task graph brings, beside its baselines.

    python benchmarks/accuracy.py --data planted --results benchmarks/results
    python benchmarks/accuracy.py --data fdu-mtl --root data/fdu-mtl --results benchmarks/results
    python benchmarks/accuracy.py --quick                     # tiny: a look at the output
    python benchmarks/accuracy.py budget --settings headline quarter tenth

Four stages, by default all of them:

- ``budget`` prints the hours that the other stages will take at most (rates beyond the grid, see
  below, are left out), from a measured epoch, or from ``--epoch-seconds complete=900``.
- ``tune``: for every model the same grid of learning rates (``_settings.py``), on seeds that are
  not reported; while the best one stands at an end, the next one beyond it, by a factor of two, is
  tried too. Most settings take the rates of the one that the data set's protocol names: all
  planted texts, a quarter of FDU-MTL's. Dev decides. Every try, and what was chosen, stands in
  ``accuracy_choices.json``.
- ``run``: trains each model of each setting on each seed to its best epoch on dev, and then reads
  the test texts, once. Finished runs add a row a task to ``accuracy.csv``, and to
  ``accuracy_reviews.csv`` which single reviews they had right. The models of ``single`` train each
  by itself, to its own best epoch; their ``epochs`` are those of the longest.
- ``summary``: mean ± deviation over seeds, parameters, seconds; each graph against every baseline:
  seeds are averaged first, then Wilcoxon's paired test over the tasks, with Holm's correction, and
  a bootstrap over clusters of equal reviews, which is written to ``accuracy_bootstrap.csv``. All
  reviews, and those that stand in no train file.

Tries and runs that are finished are not done again, so what was cut off goes on where it was.
``--settings``, ``--models`` and ``--seeds`` name a part. ``seconds`` are those of training.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import _reviews
from _budget import EpochCost, budget
from _comparison import ACCURACY, BOOTSTRAP, ablation_table, comparisons, pairs, score_table
from _examples import accuracies, count_parameters, table
from _record import Row, append_new, key_of, read, replace, select, unique
from _settings import MODELS, PROTOCOLS, SETTINGS, seeds, tuned, unchanged
from _study import Model, Run, Study
from _tuning import Choices
from torch import Tensor

from mtgnn.lightning import FitResult
from mtgnn.ops import keep_memory

STAGES = ("budget", "tune", "run", "summary")


class Accuracy:
    """The four stages over one data set.

    Args:
        options: The command line.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        self.options, self.data = options, options.data
        self.protocol = PROTOCOLS[options.data]
        places = {"root": options.root, "source": options.source}
        self.study = Study(
            options.data, options.out, options.quick, accelerator=options.accelerator, **places
        )
        self.record = options.results / "accuracy.csv"
        self.single = options.results / "accuracy_reviews.csv"
        self.choices = Choices(options.results / "accuracy_choices.json")
        self.grid = self.protocol.grid[:1] if options.quick else self.protocol.grid

    # What is to be done ------------------------------------------------------------------------

    def runs(self) -> Iterator[Run]:
        """All runs that were asked for, also finished ones."""
        for name in self.options.settings:
            for seed in self.options.seeds or seeds(name):
                for model in SETTINGS[name].models:
                    if model in self.options.models:
                        yield Run(name, model, seed)

    def left(self) -> list[Run]:
        """Runs that the record does not hold."""
        done = {key_of(row, ("setting", "model", "seed")) for row in self.rows()}
        return [r for r in self.runs() if (r.setting, r.model, str(r.seed)) not in done]

    def rows(self) -> list[Row]:
        """The data set's rows of the record."""
        return select(read(self.record), dataset=self.data)

    def chosen_for(self) -> list[tuple[str, str]]:
        """Settings and models of the learning rates that the runs need."""
        return list(dict.fromkeys((tuned(r.setting, self.data), r.model) for r in self.runs()))

    def tries(self) -> list[tuple[Run, float]]:
        """Tries that the runs need and that are not yet made."""
        return [
            (Run(setting, model, seed), rate)
            for setting, model in self.chosen_for()
            for rate, seed in self.choices.missing(
                self.data, setting, model, self.grid, self.protocol.tuning_seeds
            )
        ]

    # Stages ------------------------------------------------------------------------------------

    def budget(self) -> None:
        """Print how long it will take at most."""
        given = dict(self.options.epoch_seconds)
        cost = EpochCost(self.study, given, self.rows(), self.choices)
        tries, left = self.tries(), self.left()
        jobs = [(run, "tune") for run, _ in tries if "tune" in self.options.stages]
        jobs += [(run, "run") for run in left if "run" in self.options.stages]
        if self.options.stages == ["budget"]:
            jobs = [(run, "tune") for run, _ in tries] + [(run, "run") for run in left]
        print(budget(jobs, self.study, cost) + "\n", flush=True)

    def tune(self) -> None:
        """Make the tries that are missing."""
        while tries := self.tries():  # what they find may ask for more
            for run, rate in tries:
                if (run, rate) not in self.tries():  # another process has made it
                    continue
                title = f"tune {run.setting} {run.model} {rate} {run.seed}"
                _, done = self.study.train(run, rate, progress=title)
                tried = {"learning_rate": rate, "seed": run.seed}
                tried |= {"dev": round(done.dev_accuracy, 4), "epochs": done.epochs}
                tried["seconds"] = round(done.seconds, 1)
                self.choices.add(self.data, run.setting, run.model, tried)
                print(f"{title}: dev {done.dev_accuracy:.4f}", flush=True)

    def rate(self, setting: str, model: str) -> float:
        """The learning rate that was chosen for a model on a setting."""
        return self.choices.choose(self.data, setting, model, self.grid, self.protocol.tuning_seeds)

    def run(self) -> None:
        """Make the runs that are missing; another process may make some of them meanwhile.

        Raises:
            ValueError: If tries have changed a choice that runs were made with.
        """
        rates = {pair: self.rate(*pair) for pair in self.chosen_for()}  # also of finished runs
        for run in self.left():
            if run not in self.left():
                continue
            rate = rates[tuned(run.setting, self.data), run.model]
            title = f"{run.setting} {run.model} {run.seed}"
            model, done = self.study.train(run, rate, progress=title)
            if self.keep(run, model, done, self.study.test(model, run)):
                print(f"{title}: dev {done.dev_accuracy:.4f}, learning rate {rate}", flush=True)

    def keep(self, run: Run, model: Model, done: FitResult, right: Tensor) -> bool:
        """Add a run to the record, and before that which reviews it had right; returns whether it
        was not there yet."""
        tested = self.study.reviews(run.seed)
        named = {"dataset": self.data, "setting": run.setting, "model": run.model}
        named["seed"] = str(run.seed)
        bits = {**named, "texts": tested.name, "right": _reviews.pack(right)}
        cost = {"epochs": str(done.epochs), "seconds": f"{done.seconds:.1f}"}
        cost["parameters"] = str(count_parameters(model))
        scores = accuracies(right, tested.task, tested.kinds, model.tasks)
        rows = [
            {
                **named,
                **cost,
                "task": task,
                "reviews": kind,
                "dev": f"{done.dev_accuracy_by_task[task]:.4f}",
                "test": f"{score:.4f}",
            }
            for kind, by_task in scores.items()
            for task, score in by_task.items()
        ]
        keep_bits = partial(replace, self.single, _reviews.COLUMNS, [bits], ACCURACY[:4])
        return append_new(self.record, ACCURACY, rows, ACCURACY[:4], before=keep_bits)

    def summary(self) -> None:
        """Print all tables, and write the intervals of the bootstrap."""
        rows = self.rows()
        intervals = self.intervals(rows)
        for name in SETTINGS:
            own = select(rows, setting=name)
            if own:
                print(f"\n{name}: {SETTINGS[name].about}\n\n{table(*score_table(own))}")
        by_setting, ablations = comparisons(rows, self.data, intervals)
        for name, (header, lines) in by_setting.items():
            print(f"\n{name}\n\n{table(header, lines)}")
        if ablations[1]:
            print(f"\nablations\n\n{table(*ablation_table(rows, self.data))}")
            print(f"\n{table(*ablations)}")

    def intervals(self, rows: list[Row]) -> list[Row]:
        """The bootstrap of every comparison whose single reviews and texts are here, else as
        recorded."""
        single = select(read(self.single), dataset=self.data) if self.study.is_there else []
        path = self.options.results / "accuracy_bootstrap.csv"
        known = {key_of(row, BOOTSTRAP[:6]): row for row in read(path)}
        for kind in unique(rows, "reviews"):
            for family in pairs(select(rows, reviews=kind), self.data):
                for pair in family:
                    if len(pair.seeds) < 2:
                        continue  # of one seed none is shown
                    places = (pair.setting, pair.model), pair.side
                    sides = tuple(dict(zip(("setting", "model"), at, strict=True)) for at in places)
                    found = _reviews.review_interval(
                        single, sides, pair.seeds, kind, self.study.reviews
                    )
                    if found is not None:
                        named = pair.setting, pair.model, pair.against
                        key = (self.data, *named, kind, " ".join(pair.seeds))
                        values = (f"{100 * value:+.2f}" for value in found)
                        known[key] = dict(zip(BOOTSTRAP, (*key, *values), strict=True))
        if known:
            replace(path, BOOTSTRAP, list(known.values()), BOOTSTRAP[:6])
        return list(known.values())


def epoch_seconds(text: str) -> tuple[str, float]:
    """``MODEL=SECONDS``."""
    model, _, seconds = text.partition("=")
    if model not in MODELS:
        raise argparse.ArgumentTypeError(f"expected MODEL=SECONDS, got {text!r}")
    return model, float(seconds)


def read_options(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("stages", nargs="*", metavar="STAGE", help=f"of {', '.join(STAGES)} (all)")
    add("--data", choices=list(PROTOCOLS), default="planted")
    add("--root", default="data/fdu-mtl", help="where FDU-MTL is, or goes")
    add("--source", help="where FDU-MTL's files come from")
    add("--settings", nargs="+", choices=list(SETTINGS), default=["headline"])
    add("--models", nargs="+", choices=MODELS, default=list(MODELS))
    add("--seeds", type=int, nargs="+", help="(five, of ablations three)")
    add("--results", type=Path, default=Path("runs/accuracy"), help="for the record")
    add("--out", type=Path, default=Path("runs/accuracy"), help="for what is not committed")
    add("--epoch-seconds", type=epoch_seconds, nargs="+", default=[], metavar="MODEL=SECONDS")
    add("--accelerator", default="auto")
    add("--quick", action="store_true", help="tiny sizes, whose numbers mean nothing")
    options = parser.parse_args(arguments)
    options.stages = options.stages or list(STAGES)
    if not set(options.stages) <= set(STAGES):
        parser.error(f"expected stages of {STAGES}, got {options.stages}")
    for name in options.settings:
        if unchanged(name, options.data):
            parser.error(f"{name} changes nothing on {options.data}")
    kept = set(PROTOCOLS[options.data].tuning_seeds)
    if set(options.seeds or ()) & kept:
        parser.error(f"seeds {sorted(kept)} are for tuning: they are not reported")
    return options


def main() -> None:
    logging.basicConfig(format="%(message)s")
    options = read_options()
    accuracy = Accuracy(options)
    for stage in STAGES:
        if stage in options.stages:
            getattr(accuracy, stage)()


if __name__ == "__main__":
    keep_memory()
    main()
