"""Early errors of what should be texts, or names of their labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def check_several(texts: Any) -> None:
    """Raise where there is one string in the place of several."""
    if isinstance(texts, str):
        raise ValueError(f"texts must be several strings, got the string {texts[:40]!r}")


def check_text(text: Any) -> None:
    """Raise where a text is no string."""
    if not isinstance(text, str):
        raise ValueError(f"expected texts as strings, got {text!r:.60}")


def check_classes(classes: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Raise where label names are missing or occur twice; else return a copy."""
    if not isinstance(classes, Mapping):
        raise ValueError(f"expected classes as a dict, label names by task, got {classes!r:.60}")
    if not classes:
        raise ValueError("expected classes of at least one task, got none")
    for task, labels in classes.items():
        names = isinstance(labels, Sequence) and all(isinstance(label, str) for label in labels)
        if isinstance(labels, str) or not names:
            raise ValueError(f"expected label names of task {task!r}, got {labels!r}")
        if not labels or len(set(labels)) != len(labels):
            raise ValueError(f"expected unique label names of task {task!r}, got {list(labels)}")
    return {task: list(labels) for task, labels in classes.items()}
