"""The settings of a record, in a file beside it: results of others never come into it."""

from __future__ import annotations

import argparse
import json
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from _record import read


def settings_file(record: Path) -> Path:
    """Where a record's settings stand."""
    return record.with_name(f"{record.stem}_settings.json")


def settings_of(options: argparse.Namespace, without: Collection[str]) -> dict[str, Any]:
    """Options that decide how results come out."""
    return {k: v for k, v in sorted(vars(options).items()) if k not in without}


def changes(kept: Mapping[str, Any], own: Mapping[str, Any], names: Iterable[str]) -> str:
    """Which of some settings differ from those that were kept; nothing if none does."""
    other = [name for name in names if kept.get(name) != own.get(name)]
    return ", ".join(f"{name} {kept.get(name)} (now {own.get(name)})" for name in other)


def keep_settings(record: Path, settings: Mapping[str, Any]) -> None:
    """Write down the settings of a record.

    Raises:
        SystemExit: If it has rows of others, or nobody knows of which.
    """
    path, own = settings_file(record), json.loads(json.dumps(settings))
    if read(record):
        if not path.exists():
            raise SystemExit(f"{record} has rows, and {path} does not say of what settings")
        kept = json.loads(path.read_text(encoding="utf-8"))
        said = changes(kept, own, {**kept, **own})
        if said:
            raise SystemExit(f"{record} has results with {said}: choose another --csv")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(own, indent=1) + "\n", encoding="utf-8")
