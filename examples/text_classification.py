"""Train multi-task text classifiers side by side: who learns from whom, and what does it bring?

Without arguments: planted tasks (no download), four models and an oracle, in three to four minutes
of one core.

    python examples/text_classification.py
    python examples/text_classification.py --data fdu-mtl --root data/fdu-mtl --model complete star
    python examples/text_classification.py --data my/folder      # TASK.{train,dev,test}.tsv

A checkpoint that this wrote holds its model and its options. With

    python examples/text_classification.py --checkpoint runs/planted/star/best.ckpt

goes one of ``--resume --epochs 40``, ``--evaluate``, and ``--predict reviews.txt --task books``.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from _batches import numbered_batches
from _command_line import folder_of, read_lines
from _errors import one_line_errors
from _folders import out_folder
from _models import build_model, build_oracle, count_parameters, fit_options
from _options import read_options
from _report import Result, by_task, peak_memory, summary, write_csv
from _scoring import accuracies, is_right, kinds
from _vectors import start_vectors
from torch import Tensor
from torch_geometric.data import Data

from mtgnn.data import EncodedTexts, Vocabulary, tokenize
from mtgnn.datasets import FDUMTL, PlantedTasks, TextFolder
from mtgnn.datasets.splits import SPLITS
from mtgnn.explain import average_attention, plot_task_graphs
from mtgnn.lightning import MultiTaskDataModule, fit, load_model
from mtgnn.nn import MultiTaskModel
from mtgnn.ops import keep_memory


@dataclass
class Texts:
    """The three parts of a data set; every one has ``tasks`` and ``classes``."""

    train: Any
    dev: Any
    test: Any

    @property
    def classes(self) -> dict[str, list[str]]:
        """Label names of each task."""
        return self.train.classes


def read_texts(options: dict[str, Any]) -> Texts:
    """Planted tasks, FDU-MTL, or a folder of one's own."""
    name, seed = options["data"], options["seed"]
    if name == "planted":
        size = {"num_train": 20, "num_dev": 10, "num_test": 10} if options["quick"] else {}
        return Texts(*(PlantedTasks(split=part, seed=seed, **size) for part in SPLITS))
    if name == "fdu-mtl":
        root, source = options["root"], options["source"]
        return Texts(*(FDUMTL(root, part, source, seed=0) for part in SPLITS))
    change = split_item if options["tokenize"] else None
    return Texts(*(TextFolder(name, part, transform=change) for part in SPLITS))


def split_item(item: Data) -> Data:
    """An item whose text is in lower case and split into tokens."""
    item.text = split(item.text)
    return item


def split(text: str) -> str:
    """A text in lower case, its tokens apart."""
    return " ".join(tokenize(text))


def build_vocabulary(options: dict[str, Any], texts: Texts) -> Vocabulary:
    """The words of the training texts."""
    return Vocabulary.build((item.text for item in texts.train), options["min_count"])


# Training and testing -------------------------------------------------------------------------


def train(
    name: str,
    options: dict[str, Any],
    texts: Texts,
    out: Path,
    resume: str | None = None,
    vectors: Tensor | None = None,
) -> tuple[MultiTaskModel, Result]:
    """Train one model; the dev texts choose its epoch, and only then are the test texts read."""
    vocabulary = build_vocabulary(options, texts)
    model = build_model(name, options, texts, vocabulary, vectors)
    data = MultiTaskDataModule(
        texts.train,
        texts.dev,
        None,
        vocabulary,
        batch_size=options["batch_size"],
        max_length=options["max_length"],
        seed=options["seed"],
    )
    done = fit(
        model,
        data,
        **fit_options(model, options),
        log_dir=out / name if resume is None else folder_of(resume),
        resume=resume,
        progress=f"{name:8}",
        notes={**options, "model": [name]},
    )
    size, scores = count_parameters(model), test(model, texts, options)
    return model, Result(name, options["seed"], done, size, scores)


def test(
    model: MultiTaskModel, texts: Texts, options: dict[str, Any]
) -> dict[str, dict[str, float]]:
    """Accuracy by task on all test texts and, where the data marks leaked ones, without them."""
    encoded = EncodedTexts(texts.test, model.vocabulary, options["max_length"])
    right = is_right(model, encoded, options["batch_size"], options["accelerator"])
    return accuracies(right, encoded.task, kinds(texts.test), model.tasks)


# What a person sees ---------------------------------------------------------------------------


def compare(options: dict[str, Any], out: Path) -> None:
    """Train the models one after the other, and show what came of it."""
    resume = options["checkpoint"] if options.get("resume") else None
    texts = read_texts(options)
    vectors = None  # a checkpoint has its own
    if resume is None:
        vectors = start_vectors(options, texts, build_vocabulary(options, texts))
    if vectors is not None:
        options = {**options, "embedding_size": vectors.size(1)}
    results = []
    written = ["results.csv"]
    for name in options["model"]:
        model, result = train(name, options, texts, out, resume, vectors)
        results.append(result)
        if name == "complete":
            draw_graph(model, texts, options, out / "task_graph.png")
            written.append("task_graph.png (who learned from whom)")
    write_csv(results, out / "results.csv")
    if options["data"] != "planted":
        print("\n" + by_task(results))
    print("\n" + summary(results))
    print(f"\npeak memory: {peak_memory()}")
    written.append("MODEL/{best,last}.ckpt")
    print(f"In {out}/: {', '.join(written)}, MODEL/csv and MODEL/tensorboard (logs)")


def draw_graph(model: MultiTaskModel, texts: Texts, options: dict[str, Any], path: Path) -> None:
    """Draw who listened to whom on the dev texts, beside the planted graph where there is one."""
    dev = EncodedTexts(texts.dev, model.vocabulary, options["max_length"])
    batches = (batch for _, batch in numbered_batches(dev, options["batch_size"]))
    graphs = {"learned": average_attention(model.cpu(), batches)}
    groups = None
    if options["data"] == "planted":
        graphs, groups = {"planted": texts.train.graph, **graphs}, texts.train.groups
    plot_task_graphs(graphs, path, groups)


def evaluate(options: dict[str, Any]) -> None:
    """Test a trained model on the data it was trained for, or on other data with the same tasks."""
    texts = read_texts(options)
    [name] = options["model"]
    encoder = build_oracle(options, texts) if name == "oracle" else None
    model = load_model(options["checkpoint"], encoder)
    if texts.classes != model.classes:
        raise ValueError(f"expected texts of the model's {model.classes}, got {texts.classes}")
    size, scores = count_parameters(model), test(model, texts, options)
    print(by_task([Result(name, options["seed"], None, size, scores)]))


def predict(options: dict[str, Any]) -> None:
    """Print label, probability and text of every line."""
    if options["model"] == ["oracle"]:
        raise ValueError("an oracle predicts nothing for you: choose another model's checkpoint")
    lines, model = read_lines(options["predict"]), load_model(options["checkpoint"])
    if options["task"] not in model.tasks:
        raise ValueError(f"expected --task as one of {model.tasks}, got {options['task']!r}")
    texts = [split(line) for line in lines] if options["tokenize"] else lines
    tell_unknown(texts, model.vocabulary, options)
    predictions = model.predict(texts, options["task"], max_length=options["max_length"])
    for line, prediction in zip(lines, predictions, strict=True):
        print(f"{prediction.label}\t{prediction.probability:.3f}\t{line}")


def tell_unknown(texts: Sequence[str], vocabulary: Vocabulary, options: dict[str, Any]) -> None:
    """Say how many words a model does not know, beside its predictions."""
    words = [word for text in texts for word in text.split()]
    unknown = [word for word in words if word not in vocabulary]
    if not unknown:
        return
    advice = "" if options["tokenize"] else "; raw text wants --tokenize"
    some = ", ".join(dict.fromkeys(unknown[:5]))
    told = f"{len(unknown)} of {len(words)} words are unknown to the model, such as {some}{advice}"
    print(told, file=sys.stderr)


def main() -> None:
    """Do what the command line says."""
    logging.basicConfig(format="%(message)s")
    logging.getLogger("mtgnn").setLevel(logging.INFO)  # downloads, and how many texts were cut
    options = read_options(__doc__ or "")
    if options.get("predict"):
        predict(options)
    elif options.get("evaluate"):
        evaluate(options)
    else:
        name = os.path.basename(os.path.abspath(options["data"]))
        with out_folder(options.get("out"), f"runs/{name}") as out:
            compare(options, out)


if __name__ == "__main__":
    keep_memory()
    with one_line_errors():
        main()
