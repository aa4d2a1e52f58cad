"""How well a model's readouts recover the planted task graph.

For every seed and strength (the share of words whose meaning the groups dispute), trains
complete-graph models on planted tasks, with contextual and static scores, with and without
`detach`, and reads their edges off by attention, ablation and gradient, on dev texts. Against:
equal weights; `gradient cosine`, of the tasks' gradients in one shared model at its best epoch
(mean over batches); `task affinity` in the same model, by how much a step on one task lowers the
dev loss of another (Fifty et al. 2021, arXiv 2109.04617), mean over epochs; `representations`,
linear CKA of single-task encoders on all dev texts. Measured by AUROC and average precision, for
each receiver over all senders, mean over receivers.

    python benchmarks/recovery.py --quick
    python benchmarks/recovery.py --tasks 16 --groups 4 --seeds 0 1 2 3 4 5 6 7 8 9 \\
        --csv benchmarks/results/recovery.csv
"""

from __future__ import annotations

import argparse
import copy
import csv
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from scipy.stats import t as student
from torch import Tensor

from mtgnn import TaskGraph
from mtgnn.data import EncodedTexts, SequenceBatch, Vocabulary
from mtgnn.datasets import PlantedTasks
from mtgnn.explain import average_attention, edge_ablation, edge_gradient, graph_recovery
from mtgnn.nn import MultiTaskModel

COLUMNS = ["shape", "tasks", "groups", "strength", "method", "seed"]
COLUMNS += ["auroc", "average_precision", "accuracy"]
VARIANTS: dict[str, dict[str, Any]] = {
    "contextual": {},
    "contextual, detach": {"detach": True},
    "static": {"score": "static"},
    "static, detach": {"score": "static", "detach": True},
}
Texts = dict[str, EncodedTexts]


def read_texts(options: argparse.Namespace, strength: float, seed: int) -> tuple[Any, Texts, Any]:
    """The planted tasks, their texts and their vocabulary."""
    size = {"num_train": options.train, "num_dev": options.dev, "num_test": options.test}
    parts = {
        part: PlantedTasks(
            split=part,
            num_tasks=options.tasks,
            num_groups=options.groups,
            conflict=strength,
            seed=seed,
            **size,
        )
        for part in ("train", "dev", "test")
    }
    vocabulary = Vocabulary.build(item.text for item in parts["train"])
    texts = {part: EncodedTexts(data, vocabulary) for part, data in parts.items()}
    return parts["train"], texts, vocabulary


def batches(texts: EncodedTexts, size: int, shuffle: bool = False) -> Iterator[SequenceBatch]:
    order = torch.randperm(len(texts)) if shuffle else torch.arange(len(texts))
    for chosen in order.split(size):
        yield texts.collate([texts[int(i)] for i in chosen])


def of_task(texts: EncodedTexts, task: int, most: int | None = None) -> SequenceBatch:
    chosen = (texts.task == task).nonzero().flatten().tolist()[:most]
    return texts.collate([texts[i] for i in chosen])


def loss(model: MultiTaskModel, batch: SequenceBatch) -> Tensor:
    return model.loss_per_sample(model(batch.tokens, batch.lengths, batch.task), batch).mean()


@torch.no_grad()
def accuracy(model: MultiTaskModel, texts: EncodedTexts) -> float:
    """Every task has as many texts: this is the mean over tasks."""
    model.eval()
    right = [
        (model(b.tokens, b.lengths, b.task).argmax(1) == b.y).float() for b in batches(texts, 256)
    ]
    return float(torch.cat(right).mean())


def train(
    encoder: str, data: Any, texts: Texts, vocabulary: Vocabulary, options: argparse.Namespace,
    seed: int, encoder_options: dict[str, Any] | None = None, affinity: Tensor | None = None,
) -> MultiTaskModel:  # fmt: skip
    """A model after its best epoch on dev; adds task affinities to ``affinity`` where given."""
    torch.manual_seed(seed)
    model = MultiTaskModel(
        vocabulary,
        data.classes,
        encoder,
        embedding_size=options.hidden,
        hidden_size=options.hidden,
        dropout=0.2,
        encoder_options=encoder_options,
    )
    optimizer = torch.optim.Adam(
        model.parameters(), options.learning_rate, weight_decay=options.weight_decay
    )
    best, weights = -1.0, model.state_dict()
    for _ in range(options.epochs):
        model.train()
        for batch in batches(texts["train"], options.batch, shuffle=True):
            optimizer.zero_grad()
            loss(model, batch).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
        score = accuracy(model, texts["dev"])
        if score > best:
            best, weights = score, copy.deepcopy(model.state_dict())
        if affinity is not None:
            affinity += task_affinity(model, texts, options) / options.epochs
    model.load_state_dict(weights)
    return model.eval()


# Comparison methods: a matrix [K, K], row = receiver -----------------------------------------


def shared_gradients(model: MultiTaskModel, batch: SequenceBatch) -> tuple[Tensor, ...]:
    shared = [*model.embedding.parameters(), *model.encoder.parameters()]
    return torch.autograd.grad(loss(model, batch), shared)


def gradient_cosine(model: MultiTaskModel, texts: Texts) -> Tensor:
    tasks = range(len(model.tasks))
    flat = []
    for k in tasks:
        gradients = shared_gradients(model, of_task(texts["train"], k))
        flat.append(torch.cat([g.flatten() for g in gradients]))
    unit = torch.nn.functional.normalize(torch.stack(flat), dim=1)
    return unit @ unit.t()


def task_affinity(model: MultiTaskModel, texts: Texts, options: argparse.Namespace) -> Tensor:
    """1 − the ratio of each dev loss after and before a step of plain gradient descent."""
    model.eval()
    tasks = range(len(model.tasks))
    dev = [of_task(texts["dev"], k) for k in tasks]
    shared = [*model.embedding.parameters(), *model.encoder.parameters()]
    with torch.no_grad():
        before = torch.stack([loss(model, batch) for batch in dev])
    columns = []
    for i in tasks:
        gradients = shared_gradients(model, of_task(texts["train"], i, options.batch))
        with torch.no_grad():
            for parameter, gradient in zip(shared, gradients, strict=True):
                parameter -= options.lookahead * gradient
            after = torch.stack([loss(model, batch) for batch in dev])
            for parameter, gradient in zip(shared, gradients, strict=True):
                parameter += options.lookahead * gradient
        columns.append(1 - after / before)
    return torch.stack(columns, 1)


@torch.no_grad()
def representation_similarity(model: MultiTaskModel, texts: Texts) -> Tensor:
    """Linear CKA of the tasks' pooled states on the dev texts of all tasks (Kornblith 2019)."""
    pooled = []
    for k in range(len(model.tasks)):
        states = []
        for batch in batches(texts["dev"], 256):
            x = model.embedding(batch.tokens)
            out, _ = model.encoder(x, batch.lengths, torch.full_like(batch.task, k))
            states.append(model.pooling(out, batch.lengths))
        own = torch.cat(states).double()
        pooled.append(own - own.mean(0))
    norm = [torch.linalg.norm(a.t() @ a) for a in pooled]
    rows = [
        [
            torch.linalg.norm(a.t() @ b) ** 2 / (norm[i] * norm[j])
            for j, b in enumerate(pooled)
        ]
        for i, a in enumerate(pooled)
    ]  # fmt: skip
    return torch.tensor(rows)


def as_graph(matrix: Tensor, tasks: list[str]) -> TaskGraph:
    graph = TaskGraph.complete(tasks)
    sender, receiver = graph.edge_index
    return graph.with_weight(matrix[receiver, sender].float())


# All methods on one set of tasks --------------------------------------------------------------


def measure(options: argparse.Namespace, strength: float, seed: int) -> list[dict[str, Any]]:
    data, texts, vocabulary = read_texts(options, strength, seed)
    found: dict[str, tuple[TaskGraph, float]] = {}
    arguments = (data, texts, vocabulary, options, seed)
    for name, chosen in VARIANTS.items():
        model = train("complete", *arguments, encoder_options=chosen)
        score = accuracy(model, texts["test"])
        dev = list(batches(texts["dev"], 256))
        found[f"attention ({name})"] = average_attention(model, dev), score
        found[f"ablation ({name})"] = edge_ablation(model, dev).graph, score
        found[f"gradient ({name})"] = edge_gradient(model, dev).graph, score
    affinity = torch.zeros(options.tasks, options.tasks)
    shared = train("shared", *arguments, affinity=affinity)
    single = train("single", *arguments)
    score = accuracy(shared, texts["test"])
    found["uniform"] = as_graph(torch.ones_like(affinity), data.tasks), score
    found["gradient cosine"] = as_graph(gradient_cosine(shared, texts), data.tasks), score
    found["task affinity"] = as_graph(affinity, data.tasks), score
    similarity = representation_similarity(single, texts)
    found["representations"] = as_graph(similarity, data.tasks), accuracy(single, texts["test"])
    rows = []
    for method, (graph, score) in found.items():
        recovery = graph_recovery(graph, data.graph)
        values = ("groups", options.tasks, options.groups, strength, method, seed)
        numbers = (recovery.auroc, recovery.average_precision, score)
        rounded = (round(number, 4) for number in numbers)
        rows.append(dict(zip(COLUMNS, (*values, *rounded), strict=True)))
    return rows


def summary(rows: list[dict[str, Any]]) -> str:
    """Mean over seeds and half the width of its 95 % interval."""
    lines = [f"{'strength':>8}  {'method':32}  {'AUROC':>13}  {'AP':>13}  accuracy"]
    for strength, method in dict.fromkeys((row["strength"], row["method"]) for row in rows):
        own = [row for row in rows if (row["strength"], row["method"]) == (strength, method)]
        cells = [interval([row[name] for row in own]) for name in COLUMNS[-3:-1]]
        right = statistics.mean(row["accuracy"] for row in own)
        lines.append(f"{strength:8}  {method:32}  {cells[0]:>13}  {cells[1]:>13}  {right:.3f}")
    return "\n".join(lines)


def interval(values: list[float]) -> str:
    mean = statistics.mean(values)
    if len(values) < 2:
        return f"{mean:.3f}"
    half = student.ppf(0.975, len(values) - 1) * statistics.stdev(values) / len(values) ** 0.5
    return f"{mean:.3f} ± {half:.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--tasks", type=int, default=9)
    add("--groups", type=int, default=3)
    add("--strengths", type=float, nargs="+", default=[0.25, 0.5, 1.0])
    add("--seeds", type=int, nargs="+", default=[100, 101, 102], help="0 to 9 are for results")
    add("--train", type=int, default=120, help="training texts a task")
    add("--dev", type=int, default=100)
    add("--test", type=int, default=400)
    add("--epochs", type=int, default=30)
    add("--hidden", type=int, default=50)
    add("--batch", type=int, default=32)
    add("--learning-rate", type=float, default=5e-3)
    add("--weight-decay", type=float, default=3e-4)
    add("--lookahead", type=float, default=0.1, help="step of task affinity")
    add("--csv", type=Path, help="rows are added to it")
    add("--quick", action="store_true", help="a minute: tiny sizes, whose numbers mean nothing")
    options = parser.parse_args()
    if options.quick:
        tiny = {"tasks": 4, "groups": 2, "strengths": [1.0], "seeds": [100, 101], "train": 24}
        vars(options).update(tiny | {"dev": 16, "test": 16, "epochs": 2, "hidden": 8})
    rows: list[dict[str, Any]] = []
    for strength in options.strengths:
        for seed in options.seeds:
            start = time.perf_counter()
            new = measure(options, strength, seed)
            rows += new
            print(
                f"strength {strength}, seed {seed}: {time.perf_counter() - start:.0f} s", flush=True
            )
            if options.csv:
                write(new, options.csv)
    print(summary(rows))


def write(rows: list[dict[str, Any]], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        if fresh:
            writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
