"""Options that the programs for tagging have in common."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from _tagging_data import TASKS

QUICK = {"embedding_size": 8, "hidden_size": 6, "character_size": 4, "batch_size": 16}
FILES = ("conll2000", "ewt", "wnut17")  # in the order of TASKS


def make_parser(description: str | None) -> argparse.ArgumentParser:
    """A command line with data and models."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument_group("data").add_argument
    add("--root", type=Path, default=Path("data"), help="folder with a folder for each corpus")
    for name in FILES:
        add(f"--{name}", help="folder, archive or address of its files (default: download)")
    add("--quick", action="store_true", help="tiny generated files and models")
    add = parser.add_argument_group("models").add_argument
    add("--embedding-size", type=int, default=100)
    add("--characters", choices=["cnn", "lstm", "none"], default="cnn")
    add("--character-size", type=int, default=50)
    add("--hidden-size", type=int, default=100, help="of each direction")
    add("--exchange", choices=["read", "mutual"], default="read", help="of the complete graph")
    scores = ["static", "dot", "additive", "uniform"]
    add("--score", choices=scores, default="static", help="of the complete graph")
    add("--memory", choices=["all", "past", "current"], default="current", help="of the star")
    add("--own-rank", type=int, metavar="R", help="of graphs' nodes (default: whole matrices)")
    add("--min-count", type=int, default=2, help="rarer words are the unknown word")
    add("--lower", action=argparse.BooleanOptionalAction, default=True, help="words; not letters")
    add("--batch-size", type=int, default=16)
    add("--threads", type=int, default=1)
    add("--accelerator", default="cpu")
    return parser


def parse(
    parser: argparse.ArgumentParser, arguments: list[str] | None, quick: Mapping[str, Any]
) -> argparse.Namespace:
    """The options; with ``--quick`` those of ``quick`` where nothing else was said."""
    options = parser.parse_args(arguments)
    if options.quick:
        for name, value in {**QUICK, **quick}.items():
            if getattr(options, name) == parser.get_default(name):
                setattr(options, name, value)
    places = [options.__dict__.pop(name) for name in FILES]
    options.sources = dict(zip(TASKS, places, strict=True))
    return options
