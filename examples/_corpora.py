"""Tagged corpora, or several as one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from _planted_sentences import CLASSES, GRAPH, SCHEMES, planted_sentences
from torch_geometric.data import Data

from mtgnn import TaskGraph
from mtgnn.datasets import WNUT17, ColumnCorpus, CoNLL2000, UniversalDependencies
from mtgnn.datasets.splits import SPLITS

SIZES = {"train": 240, "dev": 150, "test": 500}
FEW = {"train": 40, "dev": 20, "test": 20}


@dataclass
class Corpus:
    """Sentences with tags in several tasks.

    Attributes:
        parts: The items for training, for choosing the epoch, and to test on.
        classes: The tags of each task.
        schemes: The tasks whose tags are spans, each with its scheme.
        truth: Which task depends on which, where that is known.
    """

    parts: dict[str, Sequence[Data]]
    classes: dict[str, list[str]]
    schemes: dict[str, str]
    truth: TaskGraph | None = None

    @property
    def words(self) -> set[str]:
        """The words of the training sentences."""
        return {word for item in self.parts["train"] for word in item.words}


def read_corpus(options: dict[str, Any]) -> Corpus:
    """Planted sentences, columns of one's own, or downloaded corpora joined to one."""
    if options["data"] == ["planted"]:
        sizes = FEW if options["quick"] else SIZES
        return Corpus(planted_sentences(sizes, options["seed"]), CLASSES, SCHEMES, GRAPH)
    corpora = [_read(name, options) for name in options["data"]]
    return Corpus(
        {part: [item for own in corpora for item in own[part]] for part in SPLITS},
        {task: tags for own in corpora for task, tags in own["train"].classes.items()},
        {task: scheme for own in corpora for task, scheme in own["train"].schemes.items()},
    )


def _read(name: str, options: dict[str, Any]) -> dict[str, Any]:
    """The datasets of the three parts."""
    root, source = Path(options["root"]), options["source"]
    if name == "columns":
        columns, schemes = parse_columns(options["columns"])
        return {part: ColumnCorpus(root, part, columns=columns, schemes=schemes) for part in SPLITS}
    if name == "ud-ewt":
        tasks = ["upos", "xpos"]
        return {
            part: UniversalDependencies(root / name, part, source, tasks=tasks) for part in SPLITS
        }
    dataset = {"conll2000": CoNLL2000, "wnut17": WNUT17}[name]
    return {part: dataset(root / name, part, source) for part in SPLITS}


def parse_columns(given: Sequence[str]) -> tuple[dict[str, int], dict[str, str]]:
    """``pos=1 chunk=2:IOB2`` as the column of each task, and the scheme of those with spans."""
    columns, schemes = {}, {}
    for text in given:
        task, _, place = text.partition("=")
        number, _, scheme = place.partition(":")
        if not task or not number.isdecimal():
            raise ValueError(f"expected --columns as TASK=N or TASK=N:SCHEME, got {text!r}")
        columns[task] = int(number)
        if scheme:
            schemes[task] = scheme
    return columns, schemes
