"""Leave one task out, train on the others, adapt to the one that was left out.

Methods, each at every number of labels:

- ``complete``, ``star``: a graph over the other tasks is trained; ``add_task``; all is frozen but
  the new node and head.
- ``complete-tuned``, ``star-tuned``: the same start, and nothing is frozen.
- ``shared_private``: the literature's transfer: the shared extractor is frozen, a new private LSTM
  and head are trained. ``shared``: a frozen LSTM that all tasks share, and a new head.
- ``scratch``: an LSTM and head of its own, trained on the task alone.

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
import csv
import logging
import statistics
import sys
import tempfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data

from mtgnn.data import BucketBatchSampler, EncodedTexts, Vocabulary
from mtgnn.datasets import FDUMTL, PlantedTasks
from mtgnn.lightning import MultiTaskDataModule, fit
from mtgnn.nn import MultiTaskModel, add_task, build_encoder, freeze_except_task

sys.path.insert(0, str(Path(__file__).parent.parent / "examples"))
from _vectors import start_vectors  # noqa: E402

PARTS = ("train", "dev", "test")
COLUMNS = ("task", "method", "labels", "seed", "reviews", "test")
ENCODERS = ("complete", "star", "shared_private", "shared")
METHODS = ("scratch", *ENCODERS, "complete-tuned", "star-tuned")
DEFAULTS = {
    "planted": {
        "labels": ["all", "50", "20"],
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
# Options that say nothing of how a model of the other tasks is trained.
ELSEWHERE = ("accelerator", "csv", "labels", "methods", "out", "root", "seeds", "source", "tasks")

Row = dict[str, str]


@dataclass
class Texts:
    """The three parts of a data set."""

    train: Any
    dev: Any
    test: Any

    def of(self, part: str, tasks: Sequence[int]) -> list[Data]:
        """The items of some tasks, which are numbered anew in the given order."""
        number = {task: i for i, task in enumerate(tasks)}
        items = []
        for item in getattr(self, part):
            if int(item.task) in number:
                item.task = number[int(item.task)]
                items.append(item)
        return items


class Run:
    """Everything for one seed.

    Args:
        options: The command line.
        seed: Of planted texts, weights, batches and the draw of labelled texts.
    """

    def __init__(self, options: argparse.Namespace, seed: int) -> None:
        self.options, self.seed = options, seed
        self.texts = read_texts(options, seed)
        self.tasks: list[str] = self.texts.train.tasks
        self.classes: dict[str, list[str]] = self.texts.train.classes
        self.vocabulary = Vocabulary.build(self.texts.train.text, options.min_count)
        self.vectors = start_vectors({**vars(options), "seed": seed}, self.texts, self.vocabulary)
        settings = {k: v for k, v in vars(options).items() if k not in ELSEWHERE}
        # Models of other settings stand elsewhere, and are never taken for these.
        self.settings = f"{options.data}-{zlib.crc32(repr(sorted(settings.items())).encode()):08x}"

    def adapt(self, method: str, task: str, labels: str) -> dict[str, float]:
        """Test accuracy on all reviews of ``task``, and on those that are not leaked."""
        left = self.tasks.index(task)
        others = [k for k in range(len(self.tasks)) if k != left]
        order = [left] if method == "scratch" else [*others, left]
        train = self.texts.of("train", order)
        train = draw([item for item in train if item.task == len(order) - 1], labels, self.seed)
        dev = [i for i in self.texts.of("dev", order) if i.task == len(order) - 1]
        best: tuple[float, MultiTaskModel] | None = None
        for rate in self.options.learning_rate:
            model = self.start(method, task)
            score = self.fit(model, train, dev, rate)
            if best is None or score > best[0]:
                best = score, model
        assert best is not None
        test = [i for i in self.texts.of("test", order) if i.task == len(order) - 1]
        return accuracy(best[1], test, self.options)

    def start(self, method: str, task: str) -> MultiTaskModel:
        """The model to adapt: with what is not to be trained frozen."""
        if method == "scratch":
            return self.build("single", [task])
        encoder, _, tuned = method.partition("-")
        model = self.pretrained(encoder, task)
        torch.manual_seed(self.seed)
        model = add_task(model, task, self.classes[task])
        if not tuned:
            freeze_except_task(model, task)
        return model

    def build(self, encoder: str, tasks: Sequence[str]) -> MultiTaskModel:
        """A fresh model."""
        torch.manual_seed(self.seed)
        classes = {task: self.classes[task] for task in tasks}
        size = self.options.embedding_size if self.vectors is None else self.vectors.size(1)
        return MultiTaskModel(
            self.vocabulary,
            classes,
            encoder,
            embedding_size=size,
            hidden_size=self.options.hidden_size,
            dropout=self.options.dropout,
            vectors=self.vectors,
        )

    def pretrained(self, encoder: str, task: str) -> MultiTaskModel:
        """A model of all tasks but one, from the file if it is there."""
        path = self.options.out / self.settings / f"{encoder}-without-{task}-{self.seed}.pt"
        if not path.exists():
            others = [k for k, name in enumerate(self.tasks) if name != task]
            best: tuple[float, MultiTaskModel] | None = None
            for rate in self.options.learning_rate:
                model = self.build(encoder, [self.tasks[k] for k in others])
                parts = (self.texts.of(part, others) for part in ("train", "dev"))
                score = self.fit(model, *parts, rate)
                if best is None or score > best[0]:
                    best = score, model
            assert best is not None
            path.parent.mkdir(parents=True, exist_ok=True)
            best[1].cpu().save(path.with_suffix(".part"))
            path.with_suffix(".part").replace(path)
        return MultiTaskModel.load(path).train()

    def fit(self, model: MultiTaskModel, train: list[Data], dev: list[Data], rate: float) -> float:
        """Train to the best epoch on dev; its accuracy there."""
        options = self.options
        data = MultiTaskDataModule(
            train,
            dev,
            None,
            self.vocabulary,
            # Few texts in small batches, so that an epoch has several updates.
            batch_size=min(options.batch_size, max(4, len(train) // 6)),
            max_length=options.max_length,
            seed=self.seed,
        )
        with tempfile.TemporaryDirectory() as folder:
            done = fit(
                model,
                data,
                max_epochs=options.epochs,
                learning_rate=rate,
                weight_decay=options.weight_decay,
                clip=options.clip,
                seed=self.seed,
                log_dir=folder,
                accelerator=options.accelerator,
                progress=False,
            )
        return done.dev_accuracy


def read_texts(options: argparse.Namespace, seed: int) -> Texts:
    """Planted tasks of this seed, or FDU-MTL, which is the same for all seeds."""
    if options.data == "planted":
        size = {"num_train": 24, "num_dev": 10, "num_test": 10} if options.quick else {}
        return Texts(*(PlantedTasks(split=part, seed=seed, **size) for part in PARTS))
    return Texts(*(FDUMTL(options.root, part, options.source) for part in PARTS))


def draw(items: list[Data], labels: str, seed: int) -> list[Data]:
    """So many labelled texts, balanced; a smaller draw is part of a larger one."""
    if labels == "all":
        return items
    generator = torch.Generator().manual_seed(seed)
    shuffled = [items[i] for i in torch.randperm(len(items), generator=generator).tolist()]
    classes = sorted({int(item.y) for item in items})
    drawn = []
    for place, label in enumerate(classes):
        share = (int(labels) + place) // len(classes)
        drawn += [item for item in shuffled if int(item.y) == label][:share]
    if len(drawn) < int(labels):
        raise SystemExit(f"expected {labels} balanced texts, got {len(drawn)} of {len(items)}")
    return drawn


@torch.no_grad()
def accuracy(
    model: MultiTaskModel, items: list[Data], options: argparse.Namespace
) -> dict[str, float]:
    """Accuracy on all items and, where the data marks leaked ones, without them."""
    texts = EncodedTexts(items, model.vocabulary, options.max_length)
    gpu = torch.cuda.is_available() and options.accelerator != "cpu"
    model.to("cuda" if gpu else "cpu").eval()
    right = torch.zeros(len(texts), dtype=torch.bool)
    for numbers in BucketBatchSampler(texts.lengths, options.batch_size, shuffle=False):
        batch = texts.collate([texts[i] for i in numbers])
        tokens = batch.tokens.to(model.embedding.weight.device)
        right[numbers] = model(tokens, batch.lengths, batch.task).argmax(-1).cpu() == batch.y
    kept: dict[str, Tensor] = {"all": torch.ones_like(right)}
    if "leaked" in items[0]:
        kept["unleaked"] = ~torch.tensor([bool(item.leaked) for item in items])
    return {name: float(right[mask].float().mean()) for name, mask in kept.items()}


def missing(method: str) -> str | None:
    """Why a method cannot be run here; ``None`` if it can."""
    try:
        build_encoder("single" if method == "scratch" else method.partition("-")[0], 2, 2, 2)
    except ValueError as error:
        return str(error)
    return None


# The record -----------------------------------------------------------------------------------


def read(path: Path) -> list[Row]:
    """The rows that are there."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def append(path: Path, rows: list[Row]) -> None:
    """Add the rows of a finished run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        if new:
            writer.writeheader()
        writer.writerows(rows)


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
    chosen = [row for row in rows if wanted.items() <= row.items()]
    by_seed: dict[str, list[float]] = {}
    for row in chosen:
        by_seed.setdefault(row["seed"], []).append(100 * float(row["test"]))
    means = [statistics.mean(values) for values in by_seed.values()]
    if not means:
        return "–"
    if len({len(values) for values in by_seed.values()}) > 1:
        return "unfinished"
    spread = f" ± {statistics.stdev(means):.1f}" if len(means) > 1 else ""
    return f"{statistics.mean(means):.1f}{spread}"


def read_options() -> argparse.Namespace:
    """The command line, with defaults that depend on the data."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    add = parser.add_argument
    add("--data", choices=list(DEFAULTS), default="planted")
    add("--root", default="data/fdu-mtl", help="where FDU-MTL is, or goes")
    add("--source", help="where FDU-MTL's files come from")
    add("--csv", type=Path, default=Path("transfer.csv"), help="the record")
    add("--out", type=Path, default=Path("runs/transfer"), help="for trained models")
    add("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    add("--tasks", nargs="+", metavar="TASK", help="which to leave out, one at a time (all)")
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
                    append(options.csv, new)
                    rows += new
                    print(*values.values(), new[0]["test"], flush=True)
    print(summary(rows, options.labels))


if __name__ == "__main__":
    main()
