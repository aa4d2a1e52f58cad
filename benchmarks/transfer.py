"""Leave tasks out, train on the others, adapt to each that was left out by itself.

Methods, each at every number of labels:

- ``scratch``: an LSTM and head, trained on the new task alone; ``star-scratch``: the same with a
  star graph of one task, which tells what its reading of whole texts brings.
- ``star``: a star graph over the other tasks is trained; ``add_task``; all is frozen but the new
  node and head. ``star-head``: but the new head, so that the new node is the part that all nodes
  have in common. ``star-tuned``: nothing is frozen.
- ``complete-mailbox``, ``complete``, ``complete-tuned``: the same with complete graphs, whose
  tasks read whole texts or (the last two) word by word; the numbers that weigh the edges into the
  new node learn too. ``complete-own``: weights depend on the word; every task has score parameters
  of its own, and those of the new one are trained.
- ``shared_private``, ``adversarial``: the literature's transfer: the shared extractor is frozen, a
  new private LSTM and head are trained; ``-head``: a new head alone, on what is shared alone;
  ``shared_private-tuned``: nothing is frozen.
- ``shared``: a frozen LSTM that all share, and a new head; ``shared_mailbox``: a frozen star with
  one node for all tasks, and a new head, which tells what reading whole texts brings by itself;
  ``-tuned``: nothing is frozen.

``--leave-out`` is how many tasks are left out at a time, ``--share`` the share of the other tasks'
training texts that is learned from: four at a time and a quarter for FDU-MTL, so that a seed takes
hours and not days. The new task has as many labels as ``--labels`` says, up to all.

Models of the other tasks train as in ``accuracy.py``, on FDU-MTL with the rates that it chose (of
graphs, for those that read whole texts). Adapting is the same for all methods: an epoch has at
least ``--updates`` updates, of few texts by several passes, and the task's dev texts choose the
epoch; only then are its test texts read, once. Its rate, one of ``--adapt-learning-rate`` or, while
the best one stands at an end of these, beyond, is chosen by dev for each method and number of
labels, on four tasks of a seed that is not reported, ``--tuning-seed``. All see the same labelled
texts (balanced, the smaller sets within the larger ones), vocabulary and word vectors; these come
from the training and unlabelled texts of all tasks, also the new one: they need no labels. The dev
set has its full size at every number of labels: what is compared is training, not the choice of an
epoch, on few labels.

    python benchmarks/transfer.py
    python benchmarks/transfer.py --data fdu-mtl --root data/fdu-mtl

Finished rows in the CSV file are kept and not run again, and trained models of the other tasks are
kept in ``--out``, so a run that was cut off goes on where it was. Beside the record stand its
settings (runs with others go into another record), the rates that were tried, and of each run its
rates, dev accuracy, epochs, seconds and which test texts it had right. Set ``MTGNN_NATIVE=1``, and
``--threads 1`` for one process a core; let processes have seeds or methods of their own.
"""

from __future__ import annotations

import argparse
import logging
import time
from functools import partial
from pathlib import Path

import torch
from _examples import table
from _record import Row, append_new, read, replace, select
from _settings import PROTOCOLS
from _settings_file import keep_settings, settings_of
from _transfer import ELSEWHERE, Run, rates
from _transfer_methods import METHODS, Method
from _transfer_tables import transfer_table
from _tuning import Choices

from mtgnn.lightning import FitResult
from mtgnn.ops import keep_memory

COLUMNS = ("task", "method", "labels", "seed", "reviews", "test")
KEY = COLUMNS[:4]
RUNS = (*KEY, "pretrained_at", "learning_rate", "dev", "best_epoch", "epochs", "seconds", "right")
TUNING_TASKS = 4
SLOW = ("complete-mailbox", "complete", "complete-own", "complete-tuned")  # hours on FDU-MTL
TRAINING = (
    *("vectors", "hidden_size", "embedding_size", "epochs", "patience", "batch_size"),
    *("weight_decay", "clip", "min_count"),
)
# As models train in accuracy.py, and what is of transfer alone.
DEFAULTS = {
    data: {key: protocol.options[key] for key in TRAINING} for data, protocol in PROTOCOLS.items()
}
DEFAULTS["planted"] |= {
    "csv": Path("transfer_planted.csv"),
    "methods": list(METHODS),
    "labels": ["all", "50", "20"],
    "leave_out": 1,
    "share": 1.0,
    "learning_rate": 5e-3,
    "adapt_learning_rate": [1e-3, 4e-3, 1.6e-2],
    # Words that only the new task has get no gradient before: decay would take them to zero.
    "weight_decay": 0.0,
}
DEFAULTS["fdu-mtl"] |= {
    "csv": Path("transfer.csv"),
    "methods": [name for name in METHODS if name not in SLOW],
    "labels": ["all", "200", "50", "20"],
    "leave_out": 4,
    "share": 0.25,
    "adapt_learning_rate": [2.5e-4, 1e-3, 4e-3],
}


def labels(text: str) -> str:
    """A number of labels, or ``all``."""
    if text != "all" and not (text.isdecimal() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"expected a number of labels or all, got {text!r}")
    return text


def read_options(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line, with defaults that depend on the data."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--data", choices=list(DEFAULTS), default="planted")
    add("--root", default="data/fdu-mtl", help="where FDU-MTL is, or goes")
    add("--source", help="where FDU-MTL's files come from")
    add("--csv", type=Path, help="the record")
    add("--out", type=Path, default=Path("runs/transfer"), help="for trained models")
    add("--methods", nargs="+", choices=list(METHODS), help="(of FDU-MTL those that are cheap)")
    add("--tasks", nargs="+", metavar="TASK", help="which to adapt to (all)")
    add("--leave-out", type=int, metavar="N", help="how many tasks at a time")
    add("--share", type=float, help="of the other tasks' training texts")
    add("--labels", nargs="+", type=labels, metavar="N|all")
    add("--seeds", type=int, nargs="+", default=[0, 1, 2])
    add("--vectors", metavar="train|FILE", help="word vectors to start from")
    add("--max-length", type=int, default=256)
    add("--min-count", type=int)
    add("--hidden-size", type=int)
    add("--embedding-size", type=int)
    add("--dropout", type=float, default=0.2)
    add("--batch-size", type=int)
    add("--clip", type=float)
    add("--threads", type=int, help="(torch's choice)")
    add("--accelerator", default="auto")
    add("--quick", action="store_true", help="a few planted sentences: a look at the output")
    add = parser.add_argument_group("models of the other tasks").add_argument
    add("--epochs", type=int)
    add("--patience", type=int)
    add("--learning-rate", type=float, help="(of FDU-MTL what accuracy.py chose)")
    add("--weight-decay", type=float)
    add = parser.add_argument_group("adapting to the new one").add_argument
    add("--adapt-epochs", type=int, default=20)
    add("--adapt-patience", type=int, default=5)
    add("--adapt-learning-rate", type=float, nargs="+", help="several: dev chooses")
    add("--tuning-seed", type=int, default=100, help="that rates are chosen on; is not reported")
    add("--updates", type=int, default=20, help="at least so many an epoch")
    options = parser.parse_args(arguments)
    for name, value in DEFAULTS[options.data].items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    if options.leave_out < 1 or not 0 < options.share <= 1:
        parser.error(
            "expected --leave-out of at least 1 and --share in (0, 1], "
            f"got {options.leave_out} and {options.share}"
        )
    return options


def beside(record: Path, what: str) -> Path:
    """A file beside the record."""
    return record.with_name(f"{record.stem}_{what}")


def check_rates(options: argparse.Namespace, own: dict[str, float]) -> None:
    """Raise where the record has a method whose models of the other tasks had another rate."""
    for row in read(beside(options.csv, "runs.csv")):
        rate = own.get(METHODS[row["method"]].encoder)
        if row["method"] in options.methods and row["pretrained_at"] not in ("", str(rate)):
            raise SystemExit(
                f"{options.csv} has {row['method']} from models trained at {row['pretrained_at']}, "
                f"now it would be {rate}: remove its rows, or choose another --csv"
            )


def tune(run: Run, choices: Choices) -> dict[tuple[str, str], float]:
    """The rate of each method and number of labels; what is missing is tried."""
    options = run.options
    tasks = sorted(run.tasks, key=run.fold)[:TUNING_TASKS]
    place = tuple(options.adapt_learning_rate), (run.seed,)
    chosen = {}
    for method in options.methods:
        for number in options.labels:
            key = (options.data, number, method)
            while left := choices.missing(*key, *place):
                rate, start = left[0][0], time.perf_counter()
                dev = [run.adapt(method, task, number, rate)[1].dev_accuracy for task in tasks]
                mean, took = sum(dev) / len(dev), round(time.perf_counter() - start, 1)
                found = {"learning_rate": rate, "seed": run.seed, "dev": round(mean, 4)}
                choices.add(*key, {**found, "seconds": took})
                print("tune", method, number, rate, f"{mean:.4f}", f"{took:.0f} s", flush=True)
            chosen[method, number] = choices.choose(*key, *place)
    return chosen


def adapt_all(run: Run, chosen: dict[tuple[str, str], float]) -> None:
    """Make all runs of a seed that are missing."""
    options = run.options
    for task in options.tasks or run.tasks:
        for (method, number), rate in chosen.items():
            key = dict(zip(KEY, (task, method, number, str(run.seed)), strict=True))
            if select(read(options.csv), **key):  # another process may add some meanwhile
                continue
            model, result = run.adapt(method, task, number, rate)
            scores, right = run.test(method, task, model)
            rows = [{**key, "reviews": kind, "test": f"{s:.4f}"} for kind, s in scores.items()]
            about = {**key, **details(run, METHODS[method], rate, result), "right": right}
            keep = partial(replace, beside(options.csv, "runs.csv"), RUNS, [about], KEY)
            if append_new(options.csv, COLUMNS, rows, KEY, before=keep):
                print(*key.values(), rows[0]["test"], f"{result.seconds:.0f} s", flush=True)


def details(run: Run, method: Method, rate: float, result: FitResult) -> Row:
    """What stands beside a run's rows."""
    return {
        "pretrained_at": str(run.rates[method.encoder]) if method.pretrained else "",
        "learning_rate": str(rate),
        "dev": f"{result.dev_accuracy:.4f}",
        "best_epoch": str(result.best_epoch),
        "epochs": str(result.epochs),
        "seconds": f"{result.seconds:.1f}",
    }


def main() -> None:
    options = read_options()
    logging.basicConfig(format="%(message)s")
    if options.threads:
        torch.set_num_threads(options.threads)
    keep_settings(options.csv, settings_of(options, ELSEWHERE))
    found = rates(options)
    check_rates(options, found)
    run = Run(options, options.tuning_seed, found)
    unknown = sorted(set(options.tasks or ()) - set(run.tasks))
    if unknown:
        raise SystemExit(f"expected tasks among {run.tasks}, got {unknown}")
    if options.tuning_seed in options.seeds:
        raise SystemExit(f"expected seeds without {options.tuning_seed}, which tunes")
    chosen = tune(run, Choices(beside(options.csv, "choices.json")))
    for seed in options.seeds:
        adapt_all(Run(options, seed, found), chosen)
    print(table(*transfer_table(read(options.csv))))


if __name__ == "__main__":
    keep_memory()
    main()
