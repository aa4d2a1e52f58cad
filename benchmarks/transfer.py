"""Leave one task out, train on the others, adapt to the one that was left out.

Methods, each at every number of labels:

- ``complete``, ``star``: a graph over the other tasks is trained; ``add_task``; all is frozen but
  the new node and head.
- ``complete-own``: every task has score parameters of its own, and those of the new one are trained
  with it. (Where they are shared, they are frozen.)
- ``complete-tuned``, ``star-tuned``: the same start, and nothing is frozen.
- ``shared_private``, ``adversarial``: the literature's transfer: the shared extractor is frozen, a
  new private LSTM and head are trained. ``shared``: a frozen LSTM that all share, and a new head.
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
import copy
import csv
import logging
import statistics
import sys
import tempfile
import zlib
from collections.abc import Sequence
from functools import cached_property
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
OWN: dict[str, Any] = {"score_owner": "receiver"}
# Encoder, its options, and whether everything is trained on the new task.
METHODS: dict[str, tuple[str, dict[str, Any], bool]] = {
    "scratch": ("single", {}, True),
    "complete": ("complete", {}, False),
    "complete-own": ("complete", OWN, False),
    "star": ("star", {}, False),
    "shared_private": ("shared_private", {}, False),
    "adversarial": ("adversarial", {}, False),
    "shared": ("shared", {}, False),
    "complete-tuned": ("complete", {}, True),
    "star-tuned": ("star", {}, True),
}
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


class Texts:
    """The three parts of a data set, by task.

    Args:
        train: A dataset; ``dev`` and ``test`` alike.
    """

    def __init__(self, train: Any, dev: Any, test: Any) -> None:
        self.train, self.tasks, self.classes = train, list(train.tasks), dict(train.classes)
        self._items: dict[str, dict[str, list[Data]]] = {}
        for part, dataset in zip(PARTS, (train, dev, test), strict=True):
            self._items[part] = {task: [] for task in self.tasks}
            for item in dataset:
                self._items[part][self.tasks[int(item.task)]].append(item)

    def of(self, part: str, task: str, number: int) -> list[Data]:
        """The items of a task, as those of task ``number``."""
        items = [copy.copy(item) for item in self._items[part][task]]
        for item in items:
            item.task = number
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
        self.tasks, self.classes = self.texts.tasks, self.texts.classes
        self.vocabulary = Vocabulary.build(self.texts.train.text, options.min_count)
        settings = {k: v for k, v in vars(options).items() if k not in ELSEWHERE}
        # Models of other settings stand elsewhere, and are never taken for these.
        self.settings = f"{options.data}-{zlib.crc32(repr(sorted(settings.items())).encode()):08x}"

    @cached_property
    def vectors(self) -> Tensor | None:
        """Word vectors to start from; labels are not needed for them."""
        options = {**vars(self.options), "seed": self.seed}
        return start_vectors(options, self.texts, self.vocabulary)

    def adapt(self, method: str, task: str, labels: str) -> dict[str, float]:
        """Test accuracy on all reviews of ``task``, and on those that are not leaked."""
        number = 0 if method == "scratch" else len(self.tasks) - 1  # a new task is the last one
        train = draw(self.texts.of("train", task, number), labels, self.seed)
        dev = self.texts.of("dev", task, number)
        best: tuple[float, MultiTaskModel] | None = None
        for rate in self.options.learning_rate:
            model = self.start(method, task)
            score = self.fit(model, train, dev, rate)
            if best is None or score > best[0]:
                best = score, model
        assert best is not None
        return accuracy(best[1], self.texts.of("test", task, number), self.options)

    def start(self, method: str, task: str) -> MultiTaskModel:
        """The model to adapt: with what is not to be trained frozen."""
        encoder, options, tuned = METHODS[method]
        if method == "scratch":
            return self.build(encoder, options, [task])
        model = self.pretrained(encoder, options, task)
        torch.manual_seed(self.seed)
        model = add_task(model, task, self.classes[task])
        if not tuned:
            freeze_except_task(model, task)
        return model

    def build(self, encoder: str, options: dict[str, Any], tasks: Sequence[str]) -> MultiTaskModel:
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
            encoder_options=options,
            vectors=self.vectors,
        )

    def pretrained(self, encoder: str, options: dict[str, Any], task: str) -> MultiTaskModel:
        """A model of all tasks but one, from the file if it is there."""
        name = "-".join([encoder, *options.values()])
        path = self.options.out / self.settings / f"{name}-without-{task}-{self.seed}.pt"
        if not path.exists():
            others = [name for name in self.tasks if name != task]
            train, dev = (
                [item for k, name in enumerate(others) for item in self.texts.of(part, name, k)]
                for part in ("train", "dev")
            )
            best: tuple[float, MultiTaskModel] | None = None
            for rate in self.options.learning_rate:
                model = self.build(encoder, options, others)
                score = self.fit(model, train, dev, rate)
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
        encoder, options, _ = METHODS[method]
        build_encoder(encoder, 2, 2, 2, **options)
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
    add("--methods", nargs="+", choices=list(METHODS), default=list(METHODS))
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
