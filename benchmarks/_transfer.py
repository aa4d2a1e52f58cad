"""A seed of ``transfer.py``: models of the other tasks, and what a new task makes of them."""

from __future__ import annotations

import argparse
import zlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from _by_task import TextsByTask, draw
from _examples import CONTROLS, DEFAULTS, GroupLSTM, build_model, is_right, kinds
from _files import whole_file
from _reviews import pack
from _settings import PROTOCOLS, SMALLEST_BATCH
from _settings_file import settings_of
from _training import train as fit_to_dev
from _transfer_methods import METHODS, Method, freeze_for
from _tuning import Choices
from _word_vectors import kept_vectors
from torch import Tensor
from torch_geometric.data import Data

from mtgnn.data import EncodedTexts, Vocabulary
from mtgnn.datasets import FDUMTL, PlantedTasks
from mtgnn.datasets.splits import SPLITS
from mtgnn.lightning import FitResult
from mtgnn.nn import MultiTaskModel, add_task

CHOICES = Path(__file__).parent / "results" / "accuracy_choices.json"
# Options that say nothing of what a result is.
ELSEWHERE = (
    *("accelerator", "csv", "labels", "methods", "out", "root", "seeds", "source", "tasks"),
    "threads",
)
# Of the rest, those that say nothing of how a model of the other tasks is trained.
ADAPTING = ("adapt_epochs", "adapt_learning_rate", "adapt_patience", "tuning_seed", "updates")


class Run:
    """Everything for one seed.

    Args:
        options: The command line.
        seed: Of planted texts, weights, batches and the draw of labelled texts.
        rates: See :func:`rates`.
    """

    def __init__(self, options: argparse.Namespace, seed: int, rates: Mapping[str, float]) -> None:
        self.options, self.seed, self.rates = options, seed, rates
        self.texts = read_texts(options, seed)
        self.tasks, self.classes = self.texts.tasks, self.texts.classes
        self.vocabulary = Vocabulary.build(self.texts.train.text, options.min_count)
        settings = settings_of(options, (*ELSEWHERE, *ADAPTING))
        # Models of other settings stand elsewhere, and are never taken for these.
        self.settings = f"{options.data}-{zlib.crc32(repr(sorted(settings.items())).encode()):08x}"

    @cached_property
    def vectors(self) -> Tensor | None:
        """Word vectors to start from; labels are not needed for them."""
        return kept_vectors(self.options.out, vars(self.options), self.texts, self.vocabulary)

    def fold(self, task: str) -> int:
        """Number of the tasks that are left out together with ``task``: not neighbours, which are
        alike in some data sets."""
        return self.tasks.index(task) % -(-len(self.tasks) // self.options.leave_out)

    def others(self, task: str) -> list[str]:
        """The tasks that are not left out together with ``task``."""
        return [name for name in self.tasks if self.fold(name) != self.fold(task)]

    def number(self, name: str, task: str) -> int:
        """Number of a new task in the model of a method: it is the last one."""
        return len(self.others(task)) if METHODS[name].pretrained else 0

    def adapt(
        self, name: str, task: str, labels: str, learning_rate: float
    ) -> tuple[MultiTaskModel, FitResult]:
        """A model of the new task after its best epoch on dev."""
        method, options, number = METHODS[name], self.options, self.number(name, task)
        train = draw(self.texts.of("train", task, number), labels, self.seed)
        dev = self.texts.of("dev", task, number)
        how = {
            "batch_size": min(options.batch_size, max(4, -(-len(train) // 6))),
            "epochs": options.adapt_epochs,
            "learning_rate": learning_rate,
            "patience": options.adapt_patience,
            "updates": options.updates,
            # The numbers of edges into other tasks have no gradient, and shall stay.
            "weight_decay": 0.0,
        }
        model = self.start(method, task)
        return model, self.fit(model, train, dev, how)

    def test(self, name: str, task: str, model: MultiTaskModel) -> tuple[dict[str, float], str]:
        """Accuracy on all test texts of a task, and on those that are not leaked; and which
        texts were right, see ``_reviews.py``."""
        items, options = self.texts.of("test", task, self.number(name, task)), self.options
        texts = EncodedTexts(items, model.vocabulary, options.max_length)
        right = is_right(model, texts, options.batch_size, options.accelerator)
        scores = {
            kind: float(right[counted].float().mean()) for kind, counted in kinds(items).items()
        }
        return scores, pack(right)

    def start(self, method: Method, task: str) -> MultiTaskModel:
        """The model to adapt: with what is not to be trained frozen."""
        if not method.pretrained:
            return self.build(method, [task])
        model = self.pretrained(method, task)
        torch.manual_seed(self.seed)
        model = self.extended(method, model, task)
        freeze_for(model, task, method.trained)
        return model

    def extended(self, method: Method, model: MultiTaskModel, task: str) -> MultiTaskModel:
        """A model with one task more."""
        if not isinstance(model.encoder, GroupLSTM):
            return add_task(model, task, self.classes[task])
        # All tasks are one to its encoder: but for a head it is the same model.
        new = self.build(method, [*model.tasks, task])
        lacking = new.load_state_dict(model.state_dict(), strict=False)
        assert not lacking.unexpected_keys
        assert all(name.startswith(f"heads.heads.{task}.") for name in lacking.missing_keys)
        return new

    def build(self, method: Method, tasks: Sequence[str]) -> MultiTaskModel:
        """A fresh model, as ``accuracy.py`` has it."""
        options = {**DEFAULTS, **vars(self.options), **method.options, "seed": self.seed}
        if self.vectors is not None:
            options["embedding_size"] = self.vectors.size(1)
        texts = argparse.Namespace(
            classes={task: self.classes[task] for task in tasks},
            train=argparse.Namespace(tasks=list(tasks)),
        )
        parts = options, texts, self.vocabulary, self.vectors
        return build_model(method.encoder, *parts, **method.further)

    def pretrained(self, method: Method, task: str) -> MultiTaskModel:
        """A model of all tasks but those that are left out, from the file if it is there."""
        others, rate = self.others(task), self.rates[method.encoder]
        told = [f"{k}={value}" for k, value in {**method.options, **method.further}.items()]
        name = "-".join([method.encoder, *told, f"rate={rate}"])
        left_out = "+".join(name for name in self.tasks if name not in others)
        path = self.options.out / self.settings / f"{name}-without-{left_out}-{self.seed}.pt"
        if not path.exists():
            train, dev = (
                [item for k, name in enumerate(others) for item in self.known(part, name, k)]
                for part in ("train", "dev")
            )
            # With a share of the texts as many updates as with all of them.
            size = max(SMALLEST_BATCH, round(self.options.batch_size * self.options.share))
            model = self.build(method, others)
            self.fit(model, train, dev, {"batch_size": size, "learning_rate": rate, "updates": 1})
            with whole_file(path) as part:  # another process may be at it too
                model.cpu().save(part)
        known = self.build(method, others).encoder if method.encoder in CONTROLS else None
        return MultiTaskModel.load(path, known).train()

    def known(self, part: str, task: str, number: int) -> list[Data]:
        """The texts of a task that is not left out: of those for training, a share."""
        items = self.texts.of(part, task, number)
        if part == "dev" or self.options.share == 1:
            return items
        return draw(items, str(round(self.options.share * len(items))), self.seed)

    def fit(
        self, model: MultiTaskModel, train: list[Data], dev: list[Data], how: dict[str, Any]
    ) -> FitResult:
        """Train to the best epoch on dev."""
        return fit_to_dev(model, train, dev, {**vars(self.options), **how, "seed": self.seed})


def rates(options: argparse.Namespace) -> dict[str, float]:
    """For each encoder the rate for a model of the other tasks: as was said, or as ``accuracy.py``
    chose for it (of graphs, for those that read whole texts).

    Raises:
        SystemExit: If neither was done.
    """
    methods = (METHODS[name] for name in options.methods)
    encoders = dict.fromkeys(method.encoder for method in methods if method.pretrained)
    if options.learning_rate is not None:
        return {encoder: float(options.learning_rate) for encoder in encoders}
    protocol, choices = PROTOCOLS[options.data], Choices(CHOICES)
    place = protocol.grid, protocol.tuning_seeds
    try:
        return {e: choices.choose(options.data, protocol.base, e, *place) for e in encoders}
    except ValueError as error:
        raise SystemExit(
            f"{CHOICES.name}: {error}; tune by accuracy.py, or say --learning-rate"
        ) from error


def read_texts(options: argparse.Namespace, seed: int) -> TextsByTask:
    """Planted tasks of this seed, or FDU-MTL, which is the same for all seeds."""
    if options.data == "planted":
        size = {"num_train": 24, "num_dev": 10, "num_test": 10} if options.quick else {}
        return TextsByTask(*(PlantedTasks(split=part, seed=seed, **size) for part in SPLITS))
    return TextsByTask(*(FDUMTL(options.root, part, options.source) for part in SPLITS))
