"""Who learned from whom, and is it true? Trains a small model, and writes a page about it.

    python examples/explain.py                      # planted tasks, about a minute
    python examples/explain.py --checkpoint runs/fdu-mtl/complete/best.ckpt

A checkpoint is one that ``text_classification.py`` wrote, of a complete or a star graph. The page
``report.html`` needs no network; beside it stand the pictures as PNG and SVG, and the task graph
as GraphML.
"""

from __future__ import annotations

import argparse
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from _models import build_model
from _options import DEFAULTS, PLANTED
from text_classification import Texts, read_texts

from mtgnn import TaskGraph
from mtgnn.data import EncodedTexts, Vocabulary
from mtgnn.explain import (
    SentenceSample,
    collect_attention,
    graph_agreement,
    graph_recovery,
    plot_sentence,
    plot_task_graphs,
    report,
    task_clusters,
    write_graphml,
)
from mtgnn.lightning import MultiTaskDataModule, fit, load_model, read_checkpoint
from mtgnn.nn import MultiTaskModel

CLUSTERS = 3  # as many groups as the planted tasks have
SHOWN = ("attention", "ablation", "profile")


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
        max_epochs=options["epochs"],
        learning_rate=options["learning_rate"],
        weight_decay=options["weight_decay"],
        clip=options["clip"],
        seed=options["seed"],
        accelerator="cpu",
        log_dir=out / "complete",
        notes={**options, "model": ["complete"]},
    )
    print(f"dev accuracy {done.dev_accuracy:.1%} after epoch {done.best_epoch}")
    return model


def explain(model: MultiTaskModel, options: dict[str, Any], texts: Texts, out: Path) -> None:
    """Write the page and the pictures about the test texts."""
    test = EncodedTexts(texts.test, model.vocabulary, options["max_length"])
    loader = torch.utils.data.DataLoader(
        test, options["batch_size"], collate_fn=EncodedTexts.collate
    )
    planted = options["data"] == "planted"
    truth = texts.train.graph if planted else None
    mailbox = getattr(model.encoder, "memory", "current") != "current"
    graphs = report(
        model,
        loader,
        out / "report.html",
        truth=truth,
        num_clusters=CLUSTERS if planted else None,
    )
    sample = SentenceSample(model.graph, model.vocabulary, per_task=1, mailbox=mailbox)
    [sentences] = collect_attention(model, loader, [sample])
    for ending in ("png", "svg"):
        plot_sentence(sentences[0], out / f"sentence.{ending}")
    if "attention" in graphs:
        draw_graphs({name: graphs[name] for name in SHOWN if name in graphs}, texts, out, planted)


def draw_graphs(graphs: dict[str, TaskGraph], texts: Texts, out: Path, planted: bool) -> None:
    """Ways to weigh the edges side by side, and beside the truth where it is known."""
    for name, graph in graphs.items() if planted else ():
        with suppress(ValueError):  # other edges: a star's
            auroc = graph_recovery(graph, texts.train.graph).auroc
            print(f"{name}: a true edge weighs more than another with probability {auroc:.2f}")
    with suppress(ValueError):  # nobody has two senders to rank
        agreement = graph_agreement(graphs["attention"], graphs["ablation"])
        print(
            "rank correlation of attention and ablation: "
            f"{agreement.mean:.2f} ± {agreement.spread:.2f} over receivers"
        )
    groups = texts.train.groups if planted else clusters(graphs)
    shown = {"planted": texts.train.graph, **graphs} if planted else graphs
    for ending in ("png", "svg"):
        plot_task_graphs(shown, out / f"task_graphs.{ending}", groups)
    write_graphml(graphs["attention"], out / "attention.graphml")


def clusters(graphs: dict[str, TaskGraph]) -> list[int] | None:
    """Groups of tasks, by the last readout that has edges between tasks."""
    for graph in reversed(graphs.values()):
        with suppress(ValueError):
            return task_clusters(graph)
    return None


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--checkpoint", metavar="FILE", help="a best.ckpt of text_classification.py"
    )
    parser.add_argument("--epochs", type=int, default=20, metavar="N", help="(default: 20)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="(default: 0)")
    parser.add_argument(
        "--out", default="runs/explain", metavar="DIR", help="(default: runs/explain)"
    )
    parser.add_argument("--quick", action="store_true", help="a few planted sentences")
    given = parser.parse_args()
    out = Path(given.out)
    out.mkdir(parents=True, exist_ok=True)
    if given.checkpoint:
        options = read_checkpoint(given.checkpoint)["mtgnn"]["notes"]
        if options["model"] not in (["complete"], ["star"]):
            parser.error(f"expected a complete or a star graph, got {options['model']}")
        texts, model = read_texts(options), load_model(given.checkpoint)
    else:
        small = {"hidden_size": 8, "embedding_size": 8} if given.quick else {}
        options = DEFAULTS | PLANTED | small | vars(given)
        texts = read_texts(options)
        model = train(options, texts, out)
    explain(model.cpu(), options, texts, out)
    print(f"In {out}/: {', '.join(sorted(p.name for p in out.iterdir() if p.is_file()))}")


if __name__ == "__main__":
    main()
