"""A model for each task, trained by itself to its own best epoch, as one does who has one task."""

from __future__ import annotations

import statistics
from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from _examples import build_model
from _settings import SMALLEST_BATCH
from _training import train
from torch import Tensor, nn

from mtgnn.data import Vocabulary, renumber_tasks
from mtgnn.lightning import FitResult
from mtgnn.nn import MultiTaskModel

SHARE = 4  # of the batch of all tasks
UPDATES = 80  # an epoch: a pass over all texts of FDU-MTL, and two over a quarter


class SeparateModels(nn.Module):
    """Models of one task each, called like one of all.

    Args:
        models: In the order of the tasks.
    """

    def __init__(self, models: Sequence[MultiTaskModel]) -> None:
        super().__init__()
        self.models = nn.ModuleList(models)
        self.tasks = tuple(model.tasks[0] for model in models)
        self.vocabulary = models[0].vocabulary

    def forward(self, tokens: Tensor, lengths: Tensor, task: Tensor) -> Tensor:
        """Logits ``[B, C]``, −∞ beyond a task's own classes."""
        width = max(len(model.classes[name]) for name, model in self.by_task())
        out = torch.full((len(task), width), -torch.inf, device=tokens.device)
        for k in task.unique().tolist():
            own = (task == k).nonzero().squeeze(1)
            there = own.to(tokens.device)
            logits = self.models[k](tokens[there], lengths[own], torch.zeros_like(own))
            out[there, : logits.size(1)] = logits
        return out

    def by_task(self) -> list[tuple[str, Any]]:
        """Names and models."""
        return list(zip(self.tasks, self.models, strict=True))


def train_alone(
    name: str,
    texts: Any,
    dev: Any,
    classes: Mapping[str, Sequence[str]],
    vocabulary: Vocabulary,
    vectors: Tensor | None,
    options: Mapping[str, Any],
    progress: bool | str = False,
    **encoder_options: Any,
) -> tuple[SeparateModels, FitResult]:
    """Train a model of every task; arguments as for ``build_model`` and ``train``.

    In the result, what is no mean, sum or most over tasks is of the first one.
    """
    size = max(SMALLEST_BATCH, options["batch_size"] // SHARE)
    own = {**options, "batch_size": min(size, options["batch_size"]), "updates": UPDATES}
    models, found = [], {}
    for task, names in classes.items():
        texts_of = Namespace(classes={task: names})
        model = build_model(name, own, texts_of, vocabulary, vectors, **encoder_options)
        title = f"{progress}, {task}" if progress else progress
        parts = (renumber_tasks(part, [task]) for part in (texts, dev))
        found[task] = train(model, *parts, own, title)
        models.append(model)
    done = list(found.values())
    by_task = {task: one.dev_accuracy for task, one in found.items()}
    together = replace(
        done[0],
        dev_accuracy=statistics.mean(by_task.values()),
        dev_accuracy_by_task=by_task,
        epochs=max(one.epochs for one in done),
        seconds=sum(one.seconds for one in done),
    )
    return SeparateModels(models), together
