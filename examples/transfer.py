"""Add a task to a trained task graph, and train nothing but what is its own.

A complete graph and a star are trained on all tasks but one. Then the last one is added with a few
labelled texts, and compared with a model that is trained on these texts alone. Trained are its node
and head and, in the complete graph, the scores that say whom it listens to. What the others learned
stays exactly as it was; who the new task learned to listen to is printed and drawn.

    python examples/transfer.py                                # planted tasks: the groups are known
    python examples/transfer.py --new b2 --labels 20 60
    python examples/transfer.py --data my/folder --new books   # TASK.{train,dev,test}.tsv
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from _batches import numbered_batches
from _errors import one_line_errors
from _folders import out_folder
from _report import percent, table
from torch_geometric.data import Data

from mtgnn import TaskGraph
from mtgnn.data import EncodedTexts, Vocabulary, renumber_tasks
from mtgnn.datasets import PlantedTasks, TextFolder
from mtgnn.datasets.splits import SPLITS
from mtgnn.explain import average_attention, plot_task_graphs
from mtgnn.lightning import MultiTaskDataModule, fit
from mtgnn.nn import MultiTaskModel, add_task, freeze_except_task
from mtgnn.ops import keep_memory


def read_texts(options: argparse.Namespace) -> dict[str, Any]:
    """Train, dev and test texts: planted tasks, or a folder of one's own."""
    if options.data != "planted":
        return {part: TextFolder(options.data, part) for part in SPLITS}
    size = {"num_train": 20, "num_dev": 10, "num_test": 10} if options.quick else {}
    return {part: PlantedTasks(split=part, seed=options.seed, **size) for part in SPLITS}


def draw(items: list[Data], number: int, seed: int) -> list[Data]:
    """So many of the texts, at random."""
    generator = torch.Generator().manual_seed(seed)
    return [items[i] for i in torch.randperm(len(items), generator=generator)[:number].tolist()]


def possible(numbers: list[int], most: int) -> list[int]:
    """The numbers of texts that can be drawn of ``most``, in the place of larger ones all."""
    return list(dict.fromkeys(min(number, most) for number in numbers))


class Study:
    """One new task, and all others.

    Args:
        options: The command line.
        texts: The texts of all tasks.
    """

    def __init__(self, options: argparse.Namespace, texts: dict[str, Any]) -> None:
        self.options, self.texts, self.new = options, texts, options.new
        self.classes = texts["train"].classes
        self.others = [task for task in texts["train"].tasks if task != options.new]
        # Of the new task's texts only the words are used here, not the labels.
        self.vocabulary = Vocabulary.build(texts["train"].text)

    def build(self, encoder: str, tasks: Sequence[str]) -> MultiTaskModel:
        """A fresh model."""
        torch.manual_seed(self.options.seed)
        return MultiTaskModel(
            self.vocabulary,
            {task: self.classes[task] for task in tasks},
            encoder,
            embedding_size=self.options.hidden_size,
            hidden_size=self.options.hidden_size,
            dropout=0.2,
            encoder_options={"score_owner": "receiver"} if encoder == "complete" else {},
        )

    def train(self, model: MultiTaskModel, train: list[Data], dev: list[Data], title: str) -> None:
        """Train what is not frozen; the dev texts choose the epoch."""
        options = self.options
        size = min(32, max(4, len(train) // 6))  # few texts in small batches: more updates
        fit(
            model,
            MultiTaskDataModule(train, dev, None, self.vocabulary, size, seed=options.seed),
            max_epochs=options.epochs,
            learning_rate=5e-3,
            weight_decay=3e-4,
            clip=1.0,
            seed=options.seed,
            accelerator=options.accelerator,
            log_dir=options.out / title.strip().replace(" ", "-"),
            progress=f"{title:17}",
        )

    def of(self, part: str, tasks: Sequence[str]) -> list[Data]:
        """The texts of some tasks."""
        return renumber_tasks(self.texts[part], tasks)

    def pretrain(self, encoder: str) -> MultiTaskModel:
        """A model of all tasks but the new one."""
        model = self.build(encoder, self.others)
        parts = (self.of(part, self.others) for part in ("train", "dev"))
        self.train(model, *parts, f"{encoder} without {self.new}")
        return model

    def adapt(self, model: MultiTaskModel | None, labels: int, title: str) -> MultiTaskModel:
        """A trained model with the new task, or (``None``) a model of the new task alone."""
        if model is None:
            model = self.build("single", [self.new])
        else:
            torch.manual_seed(self.options.seed)
            model = add_task(model, self.new, self.classes[self.new])
            freeze_except_task(model, self.new)
        train, dev = (self._own(part, model) for part in ("train", "dev"))
        self.train(model, draw(train, labels, self.options.seed), dev, f"{title}, {labels} labels")
        return model

    def accuracy(self, model: MultiTaskModel) -> float:
        """Accuracy on the new task's test texts."""
        items = self._own("test", model)
        found = model.cpu().predict([item.text for item in items], self.new)
        names = self.classes[self.new]
        right = [p.label == names[int(i.y)] for p, i in zip(found, items, strict=True)]
        return sum(right) / len(right)

    def _own(self, part: str, model: MultiTaskModel) -> list[Data]:
        every = self.of(part, model.tasks)
        return [item for item in every if model.tasks[item.task] == self.new]

    def listening(self, model: MultiTaskModel) -> TaskGraph:
        """Who listens to whom on the dev texts, and how much."""
        dev = EncodedTexts(self.of("dev", model.tasks), self.vocabulary)
        batches = (batch for _, batch in numbered_batches(dev, 64))
        return average_attention(model.cpu(), batches)


def show_senders(graph: TaskGraph, new: str, groups: dict[str, int] | None) -> None:
    """Print the weights of the edges into the new task."""
    assert graph.edge_weight is not None
    weights = {
        graph.nodes[sender]: float(graph.edge_weight[edge])
        for edge, sender in graph.incoming(graph.index(new))
    }
    ranked = sorted(weights, key=lambda name: -weights[name])
    print(f"\n{new} listens to " + ", ".join(f"{name} {weights[name]:.2f}" for name in ranked))
    if groups is not None:
        own = [name for name in weights if groups[name] == groups[new]]
        share = sum(weights[name] for name in own)
        equal = len(own) / len(weights)
        print(f"its own group ({', '.join(own)}) has {share:.2f}; equal attention: {equal:.2f}")


def draw_graphs(learned: TaskGraph, texts: Any, path: Path) -> None:
    """Draw who listens to whom, beside the planted graph where there is one."""
    graphs, groups = {"learned": learned}, None
    if isinstance(texts, PlantedTasks):
        of_task = dict(zip(texts.tasks, texts.groups, strict=True))
        groups = [of_task[task] for task in learned.tasks]
        planted = TaskGraph.from_edges(texts.graph.edges, learned.tasks)
        graphs = {"planted": planted, **graphs}
    plot_task_graphs(graphs, path, groups)


def read_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--data", default="planted", metavar="planted|DIR", help="what to read")
    add("--new", metavar="TASK", help="the task that is added (default: the first one)")
    add("--labels", type=int, nargs="+", metavar="N", help="labels of it, at most (20 40 120)")
    add("--hidden-size", type=int, default=50, metavar="H")
    add("--epochs", type=int, default=20, metavar="N")
    add("--seed", type=int, default=0, metavar="N")
    add("--accelerator", default="auto", metavar="NAME", help="auto, cpu, gpu, …")
    add("--out", metavar="DIR", help="(default: a new folder runs/transfer)")
    add("--quick", action="store_true", help="a few planted sentences: a look at the output")
    options = parser.parse_args()
    options.labels = options.labels or ([10, 20] if options.quick else [20, 40, 120])
    return options


def main() -> None:
    """Do what the command line says."""
    logging.basicConfig(format="%(message)s")
    options = read_options()
    with out_folder(options.out, "runs/transfer") as options.out:
        compare(options)


def compare(options: argparse.Namespace) -> None:
    """Train on all tasks but one, add that one, and show what came of it."""
    texts = read_texts(options)
    tasks = texts["train"].tasks
    options.new = options.new or tasks[0]
    if options.new not in tasks or len(tasks) < 3:
        raise ValueError(f"expected --new as one of at least three tasks, got {tasks}")
    study = Study(options, texts)
    options.labels = possible(options.labels, len(study.of("train", [options.new])))
    start = {
        "scratch": None,
        "complete": study.pretrain("complete"),
        "star": study.pretrain("star"),
    }
    rows = []
    for labels in options.labels:
        models = {name: study.adapt(model, labels, name) for name, model in start.items()}
        rows.append([str(labels), *(percent(study.accuracy(m)) for m in models.values())])
    print(f"\nTest accuracy of {options.new}, by the number of its labelled texts\n")
    print(table(["labels", "from scratch", "complete graph", "star"], rows))
    learned = study.listening(models["complete"])
    groups = None
    if options.data == "planted":
        groups = dict(zip(tasks, texts["train"].groups, strict=True))
    show_senders(learned, options.new, groups)
    draw_graphs(learned, texts["train"], options.out / "transfer.png")
    print(f"In {options.out}/: transfer.png (who learned from whom), checkpoints and logs")


if __name__ == "__main__":
    keep_memory()
    with one_line_errors():
        main()
