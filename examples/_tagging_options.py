"""The command line of ``sequence_labelling.py``."""

from __future__ import annotations

import argparse
from typing import Any

from _command_line import BASELINES, add_checkpoint, add_training, new_parser, read_given, usual

CORPORA = ("planted", "conll2000", "ud-ewt", "wnut17", "columns")
MODELS = ("single", "shared", "hierarchical", "complete", "star")

# Where neither the command line nor a checkpoint says otherwise.
DEFAULTS: dict[str, Any] = {
    "data": ["planted"],
    "root": "data",
    "source": None,
    "columns": None,
    "model": list(MODELS),
    "crf": True,
    "characters": "lstm",
    "character_size": 50,
    "embedding_size": 100,
    "hidden_size": 100,
    "min_count": 2,
    "dropout": 0.5,
    "exchange": "read",
    "memory": "current",
    "score": "additive",
    "common": True,
    "concat_messages": True,
    "epochs": 10,
    "patience": None,
    "batch_size": 32,
    "learning_rate": 2e-3,
    "clip": 5.0,
    "weight_decay": 0.0,
    "seed": 0,
    "accelerator": "auto",
    "quick": False,
    "tokenize": False,
}
# Planted sentences are short, and few.
PLANTED: dict[str, Any] = {
    "character_size": 20,
    "embedding_size": 30,
    "hidden_size": 30,
    "epochs": 20,
    "learning_rate": 1e-2,
    "dropout": 0.3,
}


def read_options(description: str, arguments: list[str] | None = None) -> dict[str, Any]:
    """The options: given ones, then those in the checkpoint, then defaults for the data."""
    parser = make_parser(description)
    given, kept = read_given(parser, arguments, "TaggingModel")
    data = given.get("data", kept.get("data", DEFAULTS["data"]))
    options = DEFAULTS | (PLANTED if data == ["planted"] else {}) | kept | given
    if len(data) > 1 and ({"planted", "columns"} & set(data) or len(set(data)) < len(data)):
        parser.error(f"only different downloaded corpora join, got {' '.join(data)}")
    if len(data) > 1 and options["source"] is not None:
        parser.error("--source is for one corpus: put the files of several into ROOT/CORPUS/raw")
    if (data == ["columns"]) != (options["columns"] is not None):
        parser.error("--data columns goes with --columns, such as --columns pos=1 chunk=2:IOB2")
    if data != ["planted"] and given.get("quick"):
        parser.error("--quick makes planted sentences few: it goes with --data planted")
    if options["tokenize"] and "predict" not in options:
        parser.error("--tokenize goes with --predict")
    return options


def make_parser(description: str) -> argparse.ArgumentParser:
    """The command line; what is not given there does not appear in the result."""

    def default(name: str) -> str:
        return usual(name, DEFAULTS, PLANTED)

    parser = new_parser(description)
    add = parser.add_argument_group("data").add_argument
    add("--data", nargs="+", choices=CORPORA, help=f"what to read {default('data')}")
    add(
        "--root",
        metavar="DIR",
        help="a corpus is, or goes, into DIR/CORPUS; of columns, DIR itself has train.txt, dev.txt "
        f"and test.txt {default('root')}",
    )
    add("--source", metavar="PLACE", help="folder, archive or address to take a corpus from")
    add(
        "--columns",
        nargs="+",
        metavar="TASK=N[:SCHEME]",
        help="columns of tags, counted from 0, which has the words, and the scheme (IOB1, IOB2, "
        "IOBES, BILOU) of those that are spans: pos=1 chunk=2:IOB2",
    )
    add("--min-count", type=int, metavar="N", help=f"rarer words: unknown {default('min_count')}")
    add("--quick", action="store_true", help="a few planted sentences: a look at the output")

    add = parser.add_argument_group("models").add_argument
    shown = f"which (default: {', '.join(MODELS)}); all read words through the same vectors"
    add("--model", nargs="+", choices=[*MODELS, *BASELINES], help=shown)
    choice = argparse.BooleanOptionalAction
    add("--crf", action=choice, help="score tags as whole sentences (default), or word by word")
    add("--hidden-size", type=int, metavar="H", help=f"of a direction {default('hidden_size')}")
    add("--embedding-size", type=int, metavar="E", help=f"of a word {default('embedding_size')}")
    shown = f"what reads them {default('characters')}"
    add("--characters", choices=["cnn", "lstm", "none"], help=shown)
    shown = f"of their vector {default('character_size')}"
    add("--character-size", type=int, metavar="E", help=shown)
    add("--dropout", type=float, metavar="P", help=f"on words and states {default('dropout')}")
    shown = f"of the complete graph {default('exchange')}"
    add("--exchange", choices=["read", "mutual"], help=shown)
    add("--memory", choices=["all", "past", "current"], help=f"of the star {default('memory')}")
    add(
        "--score",
        choices=["additive", "dot", "static", "uniform"],
        help="how an edge is weighed (default: additive, by the word; the star takes additive "
        "where this says static)",
    )
    add("--common", action=choice, help="graph models: nodes have a part in common (default)")
    add("--concat-messages", action=choice, help="graph models: heads read messages too (default)")

    add_training(parser, DEFAULTS, PLANTED, "planted sentences")
    add = add_checkpoint(parser, "tag the lines of a text file, a sentence each, blank ones apart")
    shown = "split the lines by mtgnn.data.tokenize, casing kept, not by white space"
    add("--tokenize", action="store_true", help=shown)
    return parser
