"""How much room the planted tasks leave for a task graph.

Trains, with nothing but torch's own layers, `single` (every task its own embedding, LSTM and
head), `shared` (one embedding and LSTM for all, a head a task) and `oracle` (one embedding and
LSTM for each true group, a head a task), and prints the mean test accuracy of each and the gap:
oracle minus the better of the other two. All three make the same number of updates, on batches
that hold examples of all tasks alike, and are read off at their best epoch on dev.

    python benchmarks/planted_gap.py --seeds 100 101 102 103 104 --csv planted_gap.csv
"""

from __future__ import annotations

import argparse
import copy
import csv
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from mtgnn.data import Vocabulary
from mtgnn.datasets import PlantedTasks

SETTINGS = ("embedding", "hidden", "epochs", "batch", "learning_rate", "dropout")

Split = tuple[Tensor, Tensor, Tensor, Tensor]  # tokens [n, T], lengths, task, y


class Classifier(nn.Module):
    """One embedding and LSTM, the maximum over the words, a linear head for each task."""

    def __init__(self, num_words: int, num_tasks: int, options: argparse.Namespace) -> None:
        super().__init__()
        self.embedding = nn.Embedding(num_words, options.embedding, padding_idx=0)
        self.lstm = nn.LSTM(options.embedding, options.hidden, batch_first=True)
        self.dropout = nn.Dropout(options.dropout)
        self.heads = nn.Linear(options.hidden, num_tasks * 2)

    def forward(self, tokens: Tensor, lengths: Tensor, task: Tensor) -> Tensor:
        states, _ = self.lstm(self.dropout(self.embedding(tokens)))
        padding = torch.arange(tokens.size(1)) >= lengths[:, None]
        pooled = states.masked_fill(padding[..., None], -torch.inf).amax(1)
        logits = self.heads(self.dropout(pooled)).view(len(task), -1, 2)
        return logits[torch.arange(len(task)), task]


def encode(dataset: PlantedTasks, vocabulary: Vocabulary) -> Split:
    ids = [torch.tensor(vocabulary.encode(text)) for text in dataset.text]
    tokens = nn.utils.rnn.pad_sequence(ids, batch_first=True)
    return tokens, torch.tensor([len(i) for i in ids]), dataset.task, dataset.y


def of_tasks(data: Split, tasks: list[int]) -> Split:
    tokens, lengths, task, y = data
    mine = torch.isin(task, torch.tensor(tasks))
    return tokens[mine], lengths[mine], task[mine], y[mine]


def accuracy(model: nn.Module, data: Split) -> Tensor:
    """Which of the examples are right."""
    model.eval()
    with torch.no_grad():
        return (model(*data[:3]).argmax(1) == data[3]).float()


def batches(data: Split, size: int) -> Iterator[Split]:
    for chosen in torch.randperm(len(data[0])).split(size):
        tokens, lengths, task, y = (part[chosen] for part in data)
        yield tokens[:, : int(lengths.max())], lengths, task, y


def train(model: nn.Module, data: dict[str, Split], size: int, options: argparse.Namespace) -> None:
    """Train, and leave the model as it was after its best epoch on dev."""
    optimizer = torch.optim.Adam(model.parameters(), options.learning_rate)
    best, weights = -1.0, model.state_dict()
    for _ in range(options.epochs):
        model.train()
        for tokens, lengths, task, y in batches(data["train"], size):
            loss = nn.functional.cross_entropy(model(tokens, lengths, task), y)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
        score = float(accuracy(model, data["dev"]).mean())
        if score > best:
            best, weights = score, copy.deepcopy(model.state_dict())
    model.load_state_dict(weights)


def parts(name: str, groups: list[int]) -> list[list[int]]:
    """The tasks that share an encoder in the model called ``name``."""
    owner = {"single": list(range(len(groups))), "shared": [0] * len(groups), "oracle": groups}
    return [[i for i, o in enumerate(owner[name]) if o == part] for part in sorted({*owner[name]})]


def run(name: str, seed: int, options: argparse.Namespace) -> float:
    """Mean test accuracy over all tasks, in percent."""
    splits = {split: PlantedTasks(split=split, seed=seed) for split in ("train", "dev", "test")}
    vocabulary = Vocabulary.build(splits["train"].text)
    data = {split: encode(dataset, vocabulary) for split, dataset in splits.items()}
    groups = splits["train"].groups
    torch.manual_seed(seed)
    right = []
    for tasks in parts(name, groups):
        mine = {split: of_tasks(whole, tasks) for split, whole in data.items()}
        model = Classifier(len(vocabulary), len(groups), options)
        train(model, mine, max(1, options.batch * len(tasks) // len(groups)), options)
        right.append(accuracy(model, mine["test"]))
    return 100 * float(torch.cat(right).mean())


def line(name: str, values: list[float]) -> str:
    """The values of all seeds, their mean and their standard deviation."""
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    each = " ".join(f"{value:5.1f}" for value in values)
    return f"{name:7} {each}   mean {statistics.mean(values):.1f} ± {spread:.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[100, 101, 102, 103, 104])
    parser.add_argument("--models", nargs="+", default=["single", "shared", "oracle"])
    parser.add_argument("--embedding", type=int, default=50)
    parser.add_argument("--hidden", type=int, default=50)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--batch", type=int, default=32, help="examples a batch, of all tasks")
    parser.add_argument("--learning-rate", type=float, default=5e-3)
    parser.add_argument("--dropout", type=float, default=0.2)
    parser.add_argument("--csv", type=Path, help="write one row for each model and seed")
    options = parser.parse_args()
    rows = []
    scores = {}
    for name in options.models:
        start = time.perf_counter()
        scores[name] = [run(name, seed, options) for seed in options.seeds]
        seconds = (time.perf_counter() - start) / len(options.seeds)
        print(f"{line(name, scores[name])}   {seconds:.1f} s a seed", flush=True)
        settings = [vars(options)[setting] for setting in SETTINGS]
        rows += [
            [name, seed, *settings, f"{score:.1f}"]
            for seed, score in zip(options.seeds, scores[name], strict=True)
        ]
    if scores.keys() >= {"single", "shared", "oracle"}:
        three = zip(scores["single"], scores["shared"], scores["oracle"], strict=True)
        print(line("gap", [oracle - max(single, shared) for single, shared, oracle in three]))
    if options.csv:
        with options.csv.open("w", newline="") as file:
            writer = csv.writer(file)
            names = ["model", "seed", *SETTINGS, "accuracy"]
            writer.writerows([names, *rows])


if __name__ == "__main__":
    main()
