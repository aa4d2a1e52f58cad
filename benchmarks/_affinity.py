"""What else tells which tasks belong together: matrices ``[K, K]``, a row for each receiver."""

from __future__ import annotations

import argparse
from typing import Any

import torch
from _planted_training import Texts, accuracy, batches, mean_loss, of_task, train
from torch import Tensor

from mtgnn import TaskGraph
from mtgnn.data import EncodedTexts, SequenceBatch
from mtgnn.explain import profile_graph
from mtgnn.nn import MultiTaskModel

MATRICES = ("gradient cosine", "task affinity", "representations")
COMPARISONS = ("uniform", *MATRICES, *(f"{name}, profile" for name in MATRICES))


def comparisons(
    texts: Texts, options: argparse.Namespace, seed: int
) -> dict[str, tuple[TaskGraph, float]]:
    """The graph of every method, and the test accuracy of the model that it looked at."""
    size = len(texts.classes)
    affinity = torch.zeros(size, size)

    def add_affinity(model: MultiTaskModel) -> None:
        affinity.add_(lookahead_affinity(model, texts, options) / options.epochs)

    shared = train(texts, options, seed, "shared", after_epoch=add_affinity)
    single = train(texts, options, seed, "single", embedding="task")
    score = accuracy(shared, texts.test)
    found = {
        "uniform": (torch.ones(size, size), score),
        "gradient cosine": (gradient_cosine(shared, texts), score),
        "task affinity": (affinity, score),
        "representations": (
            representation_similarity(single, texts.dev),
            accuracy(single, texts.test),
        ),
    }
    graphs = {name: (_as_graph(matrix, texts), right) for name, (matrix, right) in found.items()}
    profiles = {
        f"{name}, profile": (profile_graph(graphs[name][0]), graphs[name][1]) for name in MATRICES
    }
    return graphs | profiles


def _as_graph(matrix: Tensor, texts: Texts) -> TaskGraph:
    graph = TaskGraph.complete(list(texts.classes))
    sender, receiver = graph.edge_index
    return graph.with_weight(matrix[receiver, sender].float())


def _shared_parameters(model: MultiTaskModel) -> list[Tensor]:
    return [*model.embedding.parameters(), *model.encoder.parameters()]


def _gradients(model: MultiTaskModel, batch: SequenceBatch) -> tuple[Tensor, ...]:
    return torch.autograd.grad(mean_loss(model, batch), _shared_parameters(model))


def gradient_cosine(model: MultiTaskModel, texts: Texts) -> Tensor:
    """Cosine of the gradients that the tasks' training losses have in a shared model."""
    flat = []
    for k in range(len(model.tasks)):
        gradients = _gradients(model, of_task(texts.train, k))
        flat.append(torch.cat([g.flatten() for g in gradients]))
    unit = torch.nn.functional.normalize(torch.stack(flat), dim=1)
    return unit @ unit.t()


def lookahead_affinity(model: MultiTaskModel, texts: Texts, options: argparse.Namespace) -> Tensor:
    """1 − the ratio of each dev loss after and before a step of plain gradient descent."""
    model.eval()
    tasks = range(len(model.tasks))
    dev = [of_task(texts.dev, k) for k in tasks]
    shared = _shared_parameters(model)
    with torch.no_grad():
        before = torch.stack([mean_loss(model, batch) for batch in dev])
    columns = []
    for i in tasks:
        gradients = _gradients(model, of_task(texts.train, i, options.batch))
        kept = [parameter.detach().clone() for parameter in shared]
        with torch.no_grad():
            for parameter, gradient in zip(shared, gradients, strict=True):
                parameter -= options.lookahead * gradient
            after = torch.stack([mean_loss(model, batch) for batch in dev])
            for parameter, old in zip(shared, kept, strict=True):
                parameter.copy_(old)
        columns.append(1 - after / before)
    return torch.stack(columns, 1)


@torch.no_grad()
def representation_similarity(model: MultiTaskModel, texts: EncodedTexts) -> Tensor:
    """Linear CKA of the tasks' pooled states on the texts of all tasks (Kornblith 2019)."""
    centred = []
    for k in range(len(model.tasks)):
        states = _pooled(model, texts, k).double()
        centred.append(states - states.mean(0))
    norm = [torch.linalg.norm(a.t() @ a) for a in centred]
    rows = [
        [torch.linalg.norm(a.t() @ b) ** 2 / (norm[i] * norm[j]) for j, b in enumerate(centred)]
        for i, a in enumerate(centred)
    ]
    return torch.tensor(rows)


def _pooled(model: MultiTaskModel, texts: EncodedTexts, task: int) -> Tensor:
    """The pooled states of all texts, read as those of one task."""
    states: list[Tensor] = []

    def keep(module: Any, given: Any, out: Tensor) -> None:
        states.append(out)

    hook = model.pooling.register_forward_hook(keep)
    for batch in batches(texts):
        model(batch.tokens, batch.lengths, torch.full_like(batch.task, task))
    hook.remove()
    return torch.cat(states)
