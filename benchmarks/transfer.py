"""Leave tasks out, train on the others, adapt to each that was left out by itself.

Methods, each at every number of labels:

- ``complete``, ``star``: a graph over the other tasks is trained; ``add_task``; all is frozen but
  the new node and head and, in the complete graph, the numbers that weigh the edges into it.
- ``complete-mailbox``: the same with a complete graph whose tasks read whole texts.
- ``complete-own``: a complete graph whose weights depend on the word; every task has score
  parameters of its own, and those of the new one are trained with it.
- ``complete-tuned``, ``star-tuned``: the same start, and nothing is frozen.
- ``shared_private``, ``adversarial``: the literature's transfer: the shared extractor is frozen, a
  new private LSTM and head are trained. ``shared``: a frozen LSTM that all share, and a new head.
- ``scratch``: an LSTM and head of its own, trained on the task alone.

``--leave-out`` is how many tasks are left out at a time, ``--share`` the share of the other tasks'
training texts that is learned from: four at a time and a quarter for FDU-MTL, so that a seed takes
hours and not days. The new task has as many labels as ``--labels`` says, up to all.

All see the same labelled texts (balanced, the smaller sets within the larger ones), the same
vocabulary (of all training texts; labels are not needed for it), word vectors, sizes, batches and
epochs. The task's dev texts choose the epoch and, where several are given, the learning rate; only
then are its test texts read, once. The dev set has its full size at every number of labels: what is
compared is training, not tuning, on few labels.

    python benchmarks/transfer.py --csv benchmarks/results/transfer.csv
    python benchmarks/transfer.py --data fdu-mtl --root data/fdu-mtl --vectors train

Finished rows in the CSV file are kept and not run again, and trained models of the other tasks are
kept in ``--out``, so a run that was cut off goes on where it was.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

from _record import Row, append, by_seed, read, select, spread
from _transfer import METHODS, Run, missing

from mtgnn.ops import keep_memory

COLUMNS = ("task", "method", "labels", "seed", "reviews", "test")
DEFAULTS = {
    "planted": {
        "labels": ["all", "50", "20"],
        "leave_out": 1,
        "share": 1.0,
        "hidden_size": 50,
        "embedding_size": 50,
        "epochs": 30,
        "batch_size": 32,
        "learning_rate": [5e-3],
        "weight_decay": 3e-4,
        "clip": 1.0,
        "min_count": 1,
    },
    "fdu-mtl": {
        "labels": ["all", "200", "50", "20"],
        "leave_out": 4,
        "share": 0.25,
        "hidden_size": 100,
        "embedding_size": 100,
        "epochs": 15,
        "batch_size": 64,
        "learning_rate": [1e-3],
        "weight_decay": 0.0,
        "clip": 1.0,
        "min_count": 2,
    },
}


def summary(rows: list[Row], labels: Sequence[str]) -> str:
    """Mean test accuracy over tasks of each method, ± over seeds; all reviews, then unleaked."""
    lines = []
    for reviews in dict.fromkeys(row["reviews"] for row in rows):
        lines.append(f"{reviews + ' reviews':18}" + "".join(f"{n:>15}" for n in labels))
        for method in dict.fromkeys(row["method"] for row in rows):
            cells = [cell(rows, reviews=reviews, method=method, labels=n) for n in labels]
            lines.append(f"{method:18}" + "".join(f"{text:>15}" for text in cells))
    return "\n".join(lines)


def cell(rows: list[Row], **wanted: str) -> str:
    """Mean over tasks, then mean ± deviation over seeds, in per cent."""
    chosen = select(rows, **wanted)
    if not chosen:
        return "–"
    try:
        return spread([100 * mean for mean in by_seed(chosen).values()])
    except ValueError:
        return "unfinished"


def read_options() -> argparse.Namespace:
    """The command line, with defaults that depend on the data."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    add = parser.add_argument
    add("--data", choices=list(DEFAULTS), default="planted")
    add("--root", default="data/fdu-mtl", help="where FDU-MTL is, or goes")
    add("--source", help="where FDU-MTL's files come from")
    add("--csv", type=Path, default=Path("transfer.csv"), help="the record")
    add("--out", type=Path, default=Path("runs/transfer"), help="for trained models")
    add("--methods", nargs="+", choices=list(METHODS), default=list(METHODS))
    add("--tasks", nargs="+", metavar="TASK", help="which to leave out, one at a time (all)")
    add("--leave-out", type=int, metavar="N", help="how many tasks at a time")
    add("--share", type=float, help="of the other tasks' training texts")
    add("--labels", nargs="+", metavar="N|all")
    add("--seeds", type=int, nargs="+", default=[0, 1, 2])
    add("--vectors", metavar="train|FILE", help="word vectors to start from")
    add("--max-length", type=int, default=256)
    add("--min-count", type=int)
    add("--hidden-size", type=int)
    add("--embedding-size", type=int)
    add("--dropout", type=float, default=0.2)
    add("--epochs", type=int)
    add("--batch-size", type=int)
    add("--learning-rate", type=float, nargs="+", help="several: dev chooses")
    add("--weight-decay", type=float)
    add("--clip", type=float)
    add("--accelerator", default="auto")
    add("--quick", action="store_true", help="a few planted sentences: a look at the output")
    options = parser.parse_args()
    for name, value in DEFAULTS[options.data].items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    if options.leave_out < 1 or not 0 < options.share <= 1:
        parser.error(
            "expected --leave-out of at least 1 and --share in (0, 1], "
            f"got {options.leave_out} and {options.share}"
        )
    return options


def main() -> None:
    options = read_options()
    logging.basicConfig(format="%(message)s")
    methods = []
    for method in options.methods:
        reason = missing(method)
        if reason:
            print(f"{method} is skipped: {reason}")
        else:
            methods.append(method)
    rows = read(options.csv)
    done = {(row["task"], row["method"], row["labels"], row["seed"]) for row in rows}
    for seed in options.seeds:
        run = Run(options, seed)
        for task in options.tasks or run.tasks:
            for method in methods:
                for labels in options.labels:
                    if (task, method, labels, str(seed)) in done:
                        continue
                    scores = run.adapt(method, task, labels)
                    values = {"task": task, "method": method, "labels": labels, "seed": str(seed)}
                    new = [
                        {**values, "reviews": reviews, "test": f"{score:.4f}"}
                        for reviews, score in scores.items()
                    ]
                    append(options.csv, COLUMNS, new)
                    rows += new
                    print(*values.values(), new[0]["test"], flush=True)
    print(summary(rows, options.labels))


if __name__ == "__main__":
    keep_memory()
    main()
