"""The command line of ``text_classification.py``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from _command_line import BASELINES, add_checkpoint, add_training, new_parser, read_given, usual

MODELS = ("single", "shared", "complete", "star")

# Where neither the command line nor a checkpoint says otherwise.
DEFAULTS: dict[str, Any] = {
    "data": "planted",
    "root": "data/fdu-mtl",
    "source": None,
    "model": list(MODELS),
    "epochs": 6,
    "patience": None,
    "batch_size": 64,
    "hidden_size": 100,
    "embedding_size": 100,
    "vectors": None,
    "max_length": 256,
    "min_count": 2,
    "learning_rate": 1e-3,
    "clip": None,
    "weight_decay": 0.0,
    "dropout": 0.2,
    "pooling": "max",
    "exchange": "mailbox",
    "memory": "all",
    "score": None,
    "common": True,
    "concat_messages": True,
    "seed": 0,
    "accelerator": "auto",
    "quick": False,
    "tokenize": False,
}
# Planted sentences are short, and their words few; who listens to whom is the point of them.
PLANTED: dict[str, Any] = {
    "exchange": "read",
    "model": [*MODELS, "oracle"],
    "epochs": 30,
    "batch_size": 32,
    "hidden_size": 50,
    "embedding_size": 50,
    "min_count": 1,
    "learning_rate": 1e-2,
    "weight_decay": 3e-4,
    "clip": 1.0,
}


def read_options(description: str, arguments: list[str] | None = None) -> dict[str, Any]:
    """The options: given ones, then those in the checkpoint, then defaults for the data."""
    parser = make_parser(description)
    given, kept = read_given(parser, arguments, "MultiTaskModel")
    if ("predict" in given) != ("task" in given):
        parser.error("--predict goes with --task")
    if given.get("vectors", "train") != "train" and "embedding_size" in given:
        parser.error("the file of --vectors says their size: leave out --embedding-size")
    data = given.get("data", kept.get("data", DEFAULTS["data"]))
    options = DEFAULTS | (PLANTED if data == "planted" else {}) | kept | given
    if options["score"] == "static" and "star" in options["model"]:
        parser.error(
            "--score static is for edges, and the star reads positions: leave out --model star"
        )
    if options["score"] == "static" and options["exchange"] == "mailbox":
        parser.error("--score static goes with --exchange read or mutual")
    if data != "planted" and "oracle" in options["model"]:
        parser.error("an oracle knows the true groups of tasks: only planted tasks have them")
    if data != "planted" and given.get("quick"):
        parser.error("--quick makes planted texts few: it goes with --data planted")
    if data in ("planted", "fdu-mtl") and options["tokenize"] and "predict" not in given:
        parser.error("--tokenize is for texts of your own: those of --data DIR, or of --predict")
    own = data not in ("planted", "fdu-mtl")
    if own and "predict" not in given and not Path(data).is_dir():  # a model predicts anywhere
        parser.error(f"expected --data as 'planted', 'fdu-mtl' or a folder, got {data!r}")
    return options


def make_parser(description: str) -> argparse.ArgumentParser:
    """The command line; what is not given there does not appear in the result."""

    def default(name: str) -> str:
        return usual(name, DEFAULTS, PLANTED)

    parser = new_parser(description)
    add = parser.add_argument_group("data").add_argument
    add("--data", metavar="planted|fdu-mtl|DIR", help=f"what to read {default('data')}")
    add("--root", metavar="PLACE", help=f"where FDU-MTL is, or goes {default('root')}")
    add("--source", metavar="ARCHIVE", help="folder, archive or address to take FDU-MTL from")
    shown = f"tokens read of a text {default('max_length')}"
    add("--max-length", type=int, metavar="N", help=shown)
    shown = f"rarer words are unknown {default('min_count')}"
    add("--min-count", type=int, metavar="N", help=shown)
    shown = "of a folder, or of lines to predict: lower case, and tokens as in FDU-MTL"
    add("--tokenize", action="store_true", help=shown)
    add("--quick", action="store_true", help="a few planted sentences: a look at the output")

    add = parser.add_argument_group("models").add_argument
    choices = [*MODELS, *BASELINES, "oracle"]
    shown = f"which (default: {', '.join(MODELS)}; planted tasks also have an oracle)"
    add("--model", nargs="+", choices=choices, help=shown)
    add("--hidden-size", type=int, metavar="H", help=f"size of a state {default('hidden_size')}")
    add("--embedding-size", type=int, metavar="E", help=f"of a word {default('embedding_size')}")
    add(
        "--vectors",
        metavar="train|FILE",
        help="word vectors to start from: trained on the texts for training and, of FDU-MTL, the "
        'unlabelled ones (pip install "mtgnn[vectors]"), or a file of GloVe or word2vec',
    )
    add("--pooling", choices=["last", "mean", "max", "attention"], help=default("pooling"))
    shown = f"on words and pooled states {default('dropout')}"
    add("--dropout", type=float, metavar="P", help=shown)
    add(
        "--exchange",
        choices=["mailbox", "read", "mutual"],
        help="of the complete graph: a task reads the others' whole text, their state at the same "
        f"word, or all read each other {default('exchange')}",
    )
    add("--memory", choices=["all", "past", "current"], help=f"of the star {default('memory')}")
    add(
        "--score",
        choices=["additive", "dot", "static", "uniform"],
        help="how an edge is weighed (default: by one learned number, static; in a mailbox, the "
        "star's or the complete graph's, positions by what stands there, additive; not static)",
    )
    choice = argparse.BooleanOptionalAction
    add("--common", action=choice, help="graph models: nodes have a part in common (default)")
    add("--concat-messages", action=choice, help="graph models: heads read messages too (default)")

    add_training(parser, DEFAULTS, PLANTED, "planted texts")
    add = add_checkpoint(parser, "classify the lines of a text file")
    add("--task", metavar="NAME", help="as which task")
    return parser
