"""What the command lines of the programs that train have in common."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mtgnn.lightning import read_checkpoint

Options = dict[str, Any]
BASELINES = ("shared_private", "adversarial", "cross_stitch", "mixture")  # trained when named


def new_parser(description: str) -> argparse.ArgumentParser:
    """A command line; what is not given there does not appear in the result."""
    return argparse.ArgumentParser(
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,
    )


def usual(name: str, defaults: Mapping[str, Any], planted: Mapping[str, Any]) -> str:
    """What an option is by default, for its help."""
    values = [defaults[name], *([planted[name]] if name in planted else [])]
    return f"(default: {', planted '.join(map(_shown, values))})"


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(value)
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else f"{value}"


def add_training(
    parser: argparse.ArgumentParser,
    defaults: Mapping[str, Any],
    planted: Mapping[str, Any],
    drawn: str,
) -> None:
    """Options of the training; ``drawn`` is what the seed is of, beside weights and batches."""
    add = parser.add_argument_group("training").add_argument

    def add_value(option: str, kind: type, sign: str, text: str = "") -> None:
        name = option.removeprefix("--").replace("-", "_")
        add(
            option, type=kind, metavar=sign, help=f"{text} {usual(name, defaults, planted)}".strip()
        )

    add_value("--epochs", int, "N", "at most")
    add("--patience", type=int, metavar="N", help="stop after N epochs without a better dev score")
    add_value("--batch-size", int, "B")
    add_value("--learning-rate", float, "R")
    add_value("--clip", float, "N", "greatest gradient norm")
    add_value("--weight-decay", float, "W")
    add_value("--seed", int, "N", f"of {drawn}, weights and batches")
    add_value("--accelerator", str, "NAME", "auto, cpu, gpu, …")
    add("--out", metavar="DIR", help="where everything goes (default: a new folder runs/DATA)")


def add_checkpoint(parser: argparse.ArgumentParser, predict: str) -> Any:
    """What to do with a model that was trained; returns what adds further options to these."""
    add = parser.add_argument_group("a model that was trained").add_argument
    add("--checkpoint", metavar="FILE", help="a best.ckpt or last.ckpt; brings its options along")
    add("--resume", action="store_true", help="train it further in its place, up to --epochs")
    add("--evaluate", action="store_true", help="test it")
    add("--predict", metavar="FILE", help=predict)
    return add


def read_given(
    parser: argparse.ArgumentParser, arguments: list[str] | None, model: str
) -> tuple[Options, Options]:
    """What the command line gives, and what the options were that a checkpoint was trained with.

    Stops with a message where these do not fit each other, or the checkpoint is not of a ``model``.
    """
    given = vars(parser.parse_args(arguments))
    checkpoint = given.get("checkpoint")
    actions = [name for name in ("resume", "evaluate", "predict") if given.get(name)]
    if (checkpoint is not None) != (len(actions) == 1):
        parser.error("--checkpoint goes with one of --resume, --evaluate and --predict")
    if checkpoint is None:
        return given, {}
    if "out" in given:
        parser.error("--out is for new trainings: leave out --out beside --checkpoint")
    try:
        content = read_checkpoint(checkpoint)["mtgnn"]
    except (OSError, ValueError) as error:
        parser.error(str(error))
    if content["model"]["format"] != f"mtgnn.{model}":
        parser.error(f"expected a checkpoint of a {model}, got one of {content['model']['format']}")
    if "model" in given:
        parser.error("the checkpoint says which model it is: leave out --model")
    if "model" not in content["notes"] and "predict" not in given:
        parser.error(f"expected a checkpoint that this program wrote, got {checkpoint}")
    if "resume" in given:
        given["out"] = str(folder_of(checkpoint).parent)
    return given, content["notes"]


def folder_of(checkpoint: str) -> Path:
    """Where a checkpoint is, and its training goes on, whatever the folder is called by now."""
    return Path(checkpoint).absolute().parent


def read_lines(path: str) -> list[str]:
    """The lines of a text file.

    Raises:
        ValueError: If it is not UTF-8.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:  # which does not say what file
        raise ValueError(f"expected a text in UTF-8, got {path} ({error})") from error
    return text.removesuffix("\n").split("\n")
