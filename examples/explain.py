"""Who learned from whom, and is it true? Trains a small model, and writes a page about it.

    python examples/explain.py                      # planted tasks, about a minute
    python examples/explain.py --checkpoint runs/fdu-mtl/complete/best.ckpt
    python examples/explain.py --checkpoint runs/planted-sentences/complete/best.ckpt

A checkpoint is one that ``text_classification.py`` or ``sequence_labelling.py`` wrote, of a
complete or a star graph. The page ``report.html`` needs no network; beside it stand a sentence as
PNG and SVG and, unless a star reads whole texts, the task graphs as pictures and as GraphML.
"""

from __future__ import annotations

import argparse
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import torch
from _corpora import read_corpus
from _errors import one_line_errors
from _folders import out_folder
from _models import build_model, fit_options
from _options import DEFAULTS, PLANTED
from text_classification import Texts, read_texts

from mtgnn import TaskGraph
from mtgnn.data import EncodedSentences, EncodedTexts, Vocabulary
from mtgnn.explain import (
    SentenceWeights,
    graph_agreement,
    graph_recovery,
    plot_sentence,
    plot_task_graphs,
    read_sentence,
    report,
    task_clusters,
    write_graphml,
)
from mtgnn.lightning import MultiTaskDataModule, fit, load_model, read_checkpoint
from mtgnn.nn import MultiTaskModel, TaggingModel

SHOWN = ("attention", "ablation", "profile")


class Told(NamedTuple):
    """What a model is explained by.

    Attributes:
        batches: Labelled test sequences.
        read: The first of them that has words, as the model reads it.
        truth: The true graph, where it is known.
        groups: The true groups of tasks, where there are any.
    """

    batches: torch.utils.data.DataLoader[Any]
    read: SentenceWeights
    truth: TaskGraph | None
    groups: list[int] | None


def told_by_texts(model: MultiTaskModel, options: dict[str, Any], texts: Texts) -> Told:
    """The test texts, and what is known of planted tasks."""
    test = EncodedTexts(texts.test, model.vocabulary, options["max_length"])
    first = next(item for item in texts.test if item.text.strip())
    words = first.text.split()[: options["max_length"]]
    read = read_sentence(model, " ".join(words), model.tasks[first.task])
    planted = options["data"] == "planted"
    truth, groups = (texts.train.graph, texts.train.groups) if planted else (None, None)
    return Told(batches(test, options), read, truth, groups)


def told_by_sentences(model: TaggingModel, options: dict[str, Any]) -> Told:
    """The test sentences, each once for every task that it has labels for."""
    corpus = read_corpus(options)
    items = corpus.parts["test"]
    test = EncodedSentences(items, model.sentences, by_task=True)
    read = read_sentence(model, items[0].words, model.tasks[0])
    return Told(batches(test, options), read, corpus.truth, None)


def batches(test: Any, options: dict[str, Any]) -> torch.utils.data.DataLoader[Any]:
    """Test sequences in order."""
    return torch.utils.data.DataLoader(test, options["batch_size"], collate_fn=test.collate)


def train(options: dict[str, Any], texts: Texts, out: Path) -> MultiTaskModel:
    """A complete-graph model on planted tasks."""
    vocabulary = Vocabulary.build(item.text for item in texts.train)
    model = build_model("complete", options, texts, vocabulary)
    data = MultiTaskDataModule(
        texts.train, texts.dev, None, vocabulary, options["batch_size"], seed=options["seed"]
    )
    done = fit(
        model,
        data,
        **fit_options(model, {**options, "accelerator": "cpu"}),
        log_dir=out / "complete",
        notes={**options, "model": ["complete"]},
    )
    print(f"dev accuracy {done.dev_accuracy:.1%} after epoch {done.best_epoch}")
    return model


def explain(model: MultiTaskModel | TaggingModel, told: Told, out: Path) -> None:
    """Write the page and the pictures."""
    graphs = report(
        model,
        told.batches,
        out / "report.html",
        truth=told.truth,
        num_clusters=None if told.groups is None else len(set(told.groups)),
    )
    for ending in ("png", "svg"):
        plot_sentence(told.read, out / f"sentence.{ending}")
    if "attention" in graphs:
        draw_graphs({name: graphs[name] for name in SHOWN if name in graphs}, told, out)


def draw_graphs(graphs: dict[str, TaskGraph], told: Told, out: Path) -> None:
    """Ways to weigh the edges side by side, and beside the truth where it is known."""
    for name, graph in graphs.items() if told.truth is not None else ():
        with suppress(ValueError):  # other edges: a star's
            auroc = graph_recovery(graph, told.truth).auroc
            print(f"{name}: a true edge weighs more than another with probability {auroc:.2f}")
    with suppress(ValueError):  # nobody has two senders to rank
        agreement = graph_agreement(graphs["attention"], graphs["ablation"])
        print(
            "rank correlation of attention and ablation: "
            f"{agreement.mean:.2f} ± {agreement.spread:.2f} over receivers"
        )
    groups = clusters(graphs) if told.groups is None else told.groups
    shown = graphs if told.truth is None else {"planted": told.truth, **graphs}
    for ending in ("png", "svg"):
        plot_task_graphs(shown, out / f"task_graphs.{ending}", groups)
    write_graphml(graphs["attention"], out / "attention.graphml")


def clusters(graphs: dict[str, TaskGraph]) -> list[int] | None:
    """Groups of tasks, by the last readout that has edges between tasks."""
    for graph in reversed(graphs.values()):
        with suppress(ValueError):
            return task_clusters(graph)
    return None


def read_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--checkpoint", metavar="FILE", help="a best.ckpt that another example wrote")
    add("--epochs", type=int, default=20, metavar="N", help="(default: %(default)s)")
    add("--seed", type=int, default=0, metavar="N", help="(default: %(default)s)")
    add("--out", metavar="DIR", help="(default: a new folder runs/explain)")
    add("--quick", action="store_true", help="a few planted sentences")
    return parser.parse_args()


def read_notes(checkpoint: str) -> dict[str, Any]:
    """The options that a model was trained with.

    Raises:
        ValueError: If no example trained it, or it is no graph.
    """
    options = read_checkpoint(checkpoint)["mtgnn"]["notes"]
    if "model" not in options:
        raise ValueError(f"expected a checkpoint that an example wrote, got {checkpoint}")
    if options["model"] not in (["complete"], ["star"]):
        raise ValueError(f"expected a complete or a star graph, got {options['model']}")
    return options


def tell(given: argparse.Namespace, out: Path) -> None:
    """Explain the model of a checkpoint, or a small one that is trained first."""
    if given.checkpoint:
        options, texts = read_notes(given.checkpoint), None
        model = load_model(given.checkpoint)
    else:
        small = {"hidden_size": 8, "embedding_size": 8} if given.quick else {}
        options = DEFAULTS | PLANTED | small | vars(given)
        texts = read_texts(options)
        model = train(options, texts, out)
    model.cpu()
    if isinstance(model, TaggingModel):
        told = told_by_sentences(model, options)
    else:
        told = told_by_texts(model, options, texts or read_texts(options))
    explain(model, told, out)
    print(f"In {out}/: {', '.join(sorted(p.name for p in out.iterdir() if p.is_file()))}")


def main() -> None:
    """Do what the command line says."""
    given = read_options()
    with out_folder(given.out, "runs/explain") as out:
        tell(given, out)


if __name__ == "__main__":
    with one_line_errors():
        main()
