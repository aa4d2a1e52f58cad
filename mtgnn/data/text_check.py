"""Early errors of what should be texts."""

from __future__ import annotations

from typing import Any


def check_several(texts: Any) -> None:
    """Raise where there is one string in the place of several."""
    if isinstance(texts, str):
        raise ValueError(f"texts must be several strings, got the string {texts[:40]!r}")


def check_text(text: Any) -> None:
    """Raise where a text is no string."""
    if not isinstance(text, str):
        raise ValueError(f"expected texts as strings, got {text!r:.60}")
