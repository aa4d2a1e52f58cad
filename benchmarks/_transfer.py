"""The methods of ``transfer.py``: what is trained on the other tasks, and what on the new one."""

from __future__ import annotations

import argparse
import zlib
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
from _by_task import PARTS, TextsByTask, draw
from _examples import is_right, kinds, start_vectors
from _settings import SMALLEST_BATCH
from _training import train as fit_to_dev
from torch import Tensor
from torch_geometric.data import Data

from mtgnn.data import EncodedTexts, Vocabulary
from mtgnn.datasets import FDUMTL, PlantedTasks
from mtgnn.nn import (
    MultiTaskModel,
    add_task,
    build_encoder,
    edge_logit_group,
    freeze,
    freeze_except_task,
    unfreeze,
)

GRAPH: dict[str, Any] = {"common": True, "concat_messages": True}
COMPLETE: dict[str, Any] = {**GRAPH, "score": "static"}
MAILBOX: dict[str, Any] = {**GRAPH, "memory": "all"}
# Encoder, its options, and whether everything is trained on the new task.
METHODS: dict[str, tuple[str, dict[str, Any], bool]] = {
    "scratch": ("single", {}, True),
    "complete": ("complete", COMPLETE, False),
    "complete-own": ("complete", {**GRAPH, "score_owner": "receiver"}, False),
    "complete-mailbox": ("complete", MAILBOX, False),
    "star": ("star", GRAPH, False),
    "shared_private": ("shared_private", {}, False),
    "adversarial": ("adversarial", {}, False),
    "shared": ("shared", {}, False),
    "complete-tuned": ("complete", COMPLETE, True),
    "star-tuned": ("star", GRAPH, True),
}
# Options that say nothing of how a model of the other tasks is trained.
ELSEWHERE = ("accelerator", "csv", "labels", "methods", "out", "root", "seeds", "source", "tasks")


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

    def others(self, task: str) -> list[str]:
        """The tasks that are not left out together with ``task``."""
        size = self.options.leave_out
        fold = self.tasks.index(task) // size
        return [name for number, name in enumerate(self.tasks) if number // size != fold]

    def adapt(self, method: str, task: str, labels: str) -> dict[str, float]:
        """Test accuracy on all reviews of ``task``, and on those that are not leaked."""
        number = 0 if method == "scratch" else len(self.others(task))  # a new task is the last one
        train = draw(self.texts.of("train", task, number), labels, self.seed)
        dev = self.texts.of("dev", task, number)
        # Few texts in small batches, so that an epoch has several updates.
        size = min(self.options.batch_size, max(4, len(train) // 6))
        best: tuple[float, MultiTaskModel] | None = None
        for rate in self.options.learning_rate:
            model = self.start(method, task)
            score = self.fit(model, train, dev, rate, size)
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
            freeze_others(model, task)
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
        """A model of all tasks but those that are left out, from the file if it is there."""
        name = "-".join([encoder, *(f"{key}={value}" for key, value in options.items())])
        others = self.others(task)
        left_out = "+".join(name for name in self.tasks if name not in others)
        path = self.options.out / self.settings / f"{name}-without-{left_out}-{self.seed}.pt"
        if not path.exists():
            train, dev = (
                [item for k, name in enumerate(others) for item in self.known(part, name, k)]
                for part in ("train", "dev")
            )
            # With a share of the texts as many updates as with all of them.
            size = max(SMALLEST_BATCH, round(self.options.batch_size * self.options.share))
            best: tuple[float, MultiTaskModel] | None = None
            for rate in self.options.learning_rate:
                model = self.build(encoder, options, others)
                score = self.fit(model, train, dev, rate, size)
                if best is None or score > best[0]:
                    best = score, model
            assert best is not None
            path.parent.mkdir(parents=True, exist_ok=True)
            best[1].cpu().save(path.with_suffix(".part"))
            path.with_suffix(".part").replace(path)
        return MultiTaskModel.load(path).train()

    def known(self, part: str, task: str, number: int) -> list[Data]:
        """The texts of a task that is not left out: of those for training, a share."""
        items = self.texts.of(part, task, number)
        if part == "dev" or self.options.share == 1:
            return items
        return draw(items, str(round(self.options.share * len(items))), self.seed)

    def fit(
        self, model: MultiTaskModel, train: list[Data], dev: list[Data], rate: float, size: int
    ) -> float:
        """Train to the best epoch on dev; its accuracy there."""
        own = {"seed": self.seed, "batch_size": size, "learning_rate": rate, "patience": None}
        return fit_to_dev(model, train, dev, vars(self.options) | own).dev_accuracy


def freeze_others(model: MultiTaskModel, task: str) -> None:
    """Freeze all but a task's node and head, and the scores of edges into it."""
    logits = edge_logit_group(model)
    if logits is None:
        freeze_except_task(model, task)
        return
    # Logits of edges are one parameter. Where only this task's texts are read, those of the edges
    # into other tasks have no part in what it computes.
    freeze(model)
    unfreeze(model, [f"nodes.{task}", f"heads.{task}", logits])


def read_texts(options: argparse.Namespace, seed: int) -> TextsByTask:
    """Planted tasks of this seed, or FDU-MTL, which is the same for all seeds."""
    if options.data == "planted":
        size = {"num_train": 24, "num_dev": 10, "num_test": 10} if options.quick else {}
        return TextsByTask(*(PlantedTasks(split=part, seed=seed, **size) for part in PARTS))
    return TextsByTask(*(FDUMTL(options.root, part, options.source) for part in PARTS))


def accuracy(
    model: MultiTaskModel, items: list[Data], options: argparse.Namespace
) -> dict[str, float]:
    """Accuracy on all items and, where the data marks leaked ones, without them."""
    texts = EncodedTexts(items, model.vocabulary, options.max_length)
    right = is_right(model, texts, options.batch_size, options.accelerator)
    return {kind: float(right[counted].float().mean()) for kind, counted in kinds(items).items()}


def missing(method: str) -> str | None:
    """Why a method cannot be run here; ``None`` if it can."""
    try:
        encoder, options, _ = METHODS[method]
        build_encoder(encoder, 2, 2, 2, **options)
    except ValueError as error:
        return str(error)
    return None
