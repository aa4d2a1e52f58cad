"""Trains with a number of processes, in float64, and writes what each rank saw and came to.

``python run_ddp.py PROCESSES FOLDER``, started by ``test_ddp.py``.
"""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path
from typing import Any

import lightning.pytorch as L
import tiny_tagging
import torch
from tiny import VOCABULARY, model, texts, train
from torch_geometric.data import Data

from mtgnn import TaskGraph
from mtgnn.lightning import MultiTaskDataModule
from mtgnn.metrics import span_f1
from mtgnn.nn import MultiTaskLoss, MultiTaskModel


class Record(L.Callback):
    """Tasks and labels of this rank at each step, and its gradients before Adam's step."""

    def __init__(self) -> None:
        self.seen: list[list[tuple[int, int]]] = []
        self.grads: list[dict[str, Any]] = []

    def on_train_batch_start(
        self, trainer: L.Trainer, module: L.LightningModule, batch: Any, index: int
    ) -> None:
        self.seen.append(list(zip(batch.task.tolist(), batch.y.tolist(), strict=True)))

    def on_before_optimizer_step(
        self, trainer: L.Trainer, module: L.LightningModule, optimizer: Any
    ) -> None:
        grads = {
            name: None if parameter.grad is None else parameter.grad.clone()
            for name, parameter in module.named_parameters()
        }
        self.grads.append(grads)


def texts_of_two_tasks() -> list[Data]:
    """Task 1 has one text, so that it is on one rank only; task 2 has none."""
    items = texts(23, 1, tasks=1)
    for number in (0, 1, 2):
        del items[number].y  # unlabelled, wherever they fall: the ranks' counts of labels differ
    return [*items, Data(text="good price plot", task=1, y=1)]


def graph_model() -> MultiTaskModel:
    """Two tasks that talk, and one that does not."""
    graph = TaskGraph.from_edges([("books", "dvd"), ("dvd", "books")], ["books", "dvd", "toys"])
    return model("graph", graph=graph, exchange="mutual").double()


def adversarial_model() -> MultiTaskModel:
    """A model with auxiliary losses, which count for unlabelled texts too."""
    return model("adversarial", adversarial_weight=1.0, orthogonality_weight=10.0).double()


def run(processes: int, folder: Path, net: MultiTaskModel, loss: MultiTaskLoss) -> dict[str, Any]:
    """Train, and tell what this rank saw and came to."""
    dev = texts(21, 2)
    data = MultiTaskDataModule(texts_of_two_tasks(), dev, dev, VOCABULARY, batch_size=7, seed=3)
    record = Record()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "no labels for 'train'")  # of toys
        result = train(net, folder, data=data, devices=processes, loss=loss, callbacks=[record])
    return {
        "seen": record.seen,
        "grads": record.grads,
        "weights": net.state_dict(),
        "dev": result.dev_accuracy_by_task,
        "mean": result.dev_accuracy,
    }


def run_tagger(processes: int, folder: Path) -> dict[str, Any]:
    """Train a model that tags, whose score is no mean of the ranks' scores."""
    net = tiny_tagging.model(crf=True).double()
    result = tiny_tagging.train(net, folder, devices=processes, scores={"chunk": span_f1})
    return {"score": result.dev_score_by_task, "mean": result.dev_score, "best": result.best_epoch}


def main(processes: int, folder: Path) -> dict[str, dict[str, Any]]:
    """Train with each of two losses, with auxiliary ones, and to tag."""
    weighted = MultiTaskLoss(3, weights=[1.0, 2.0, 1.0])
    uncertain = MultiTaskLoss(3, weights="uncertainty", reduction="task").double()
    runs = {
        "sample": (graph_model(), weighted),
        "task": (graph_model(), uncertain),
        "auxiliary": (adversarial_model(), weighted),
    }
    found = {name: run(processes, folder / name, *given) for name, given in runs.items()}
    return {**found, "tags": run_tagger(processes, folder / "tags")}


if __name__ == "__main__":
    place = Path(sys.argv[2])
    content = main(int(sys.argv[1]), place)
    torch.save(content, place / f"rank{os.environ.get('LOCAL_RANK', '0')}.pt")
