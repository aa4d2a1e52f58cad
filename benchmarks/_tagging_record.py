"""The record of the tagging benchmark, and what stands beside it."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from _record import Row, append, key_of, read, replace
from _settings_file import changes, settings_file, settings_of
from _tagging_graphs import EDGE
from _tagging_plan import TOGETHER
from _tagging_scores import COLUMNS, JOINT, KEY

# Options that say nothing of what a result is.
ELSEWHERE = (
    *("accelerator", "csv", "estimate", "heads", "models", "out", "progress", "root", "scopes"),
    *("seeds", "sources", "summary", "threads"),
)


class Part(NamedTuple):
    """A file of the record: what its name ends with, what a row is of, and what it says."""

    ending: str
    key: tuple[str, ...]
    values: tuple[str, ...]


SCORES = Part("", KEY, COLUMNS[len(KEY) :])
COUNTS = Part("_counts", KEY, ("sentences", "counts"))
EDGES = Part("_graphs", EDGE, ("attention", "change", "error"))
SIZES = Part("_sizes", ("scope", "tasks", "model", "head"), ("encoder", "parameters"))
WORDS = Part("_words", (*EDGE, "word"), ("weight", "occurrences"))


class Record:
    """Files that grow by the rows of each finished run.

    Args:
        path: That of the scores.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.settings = settings_file(path)

    def file(self, part: Part) -> Path:
        """Where a part is."""
        return self.path.with_name(f"{self.path.stem}{part.ending}{self.path.suffix}")

    def read(self, part: Part) -> list[Row]:
        """The rows of a part."""
        return read(self.file(part))

    def add(self, part: Part, rows: Sequence[Row]) -> None:
        """Append the rows that are not there; a run that was cut off may have written some."""
        known = {key_of(row, part.key) for row in self.read(part)}
        new = [row for row in rows if key_of(row, part.key) not in known]
        if new:
            append(self.file(part), (*part.key, *part.values), new)

    def replace(self, part: Part, rows: Sequence[Row]) -> None:
        """Put rows in the place of those with the same key."""
        if rows:
            replace(self.file(part), (*part.key, *part.values), rows, part.key)

    def check_settings(self, options: argparse.Namespace) -> None:
        """Stop where a scope has results of other settings, or nobody knows of which."""
        kept, own = self._settings(), settings_of(options, ELSEWHERE)
        for scope in {scope_of(row) for row in self.read(SCORES)} & set(options.scopes):
            if scope not in kept:
                raise SystemExit(
                    f"{self.path} has rows of {scope}, and {self.settings} does not say of what "
                    "settings"
                )
            said = changes(kept[scope], own, own)
            if said:
                raise SystemExit(
                    f"{self.path} has results of {scope} with {said}: choose another --csv"
                )

    def keep_settings(self, options: argparse.Namespace) -> None:
        """Write down the settings of the scopes that are about to be run."""
        own = settings_of(options, ELSEWHERE)
        kept = self._settings() | dict.fromkeys(options.scopes, own)
        self.settings.parent.mkdir(parents=True, exist_ok=True)
        self.settings.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")

    def _settings(self) -> dict[str, dict[str, Any]]:
        if not self.settings.exists():
            return {}
        kept: dict[str, dict[str, Any]] = json.loads(self.settings.read_text(encoding="utf-8"))
        return kept


def scope_of(row: Row) -> str:
    """The scope of the run that a row of the scores is of."""
    return TOGETHER if row["corpus"].startswith(JOINT) else row["corpus"]
