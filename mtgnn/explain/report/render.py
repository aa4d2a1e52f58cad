"""From the content of a report to one HTML file that loads nothing."""

from __future__ import annotations

import json
from importlib import resources
from string import Template
from typing import Any

SCRIPTS = ("common", "answers", "graph", "agreement", "map", "words", "sentences", "main")


def render_page(content: dict[str, Any]) -> str:
    """The page: style, scripts and content in one file.

    Args:
        content: Plain values; ``title`` becomes the page's.
    """
    title = str(content["title"])
    for character, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        title = title.replace(character, entity)
    # "<" never stands in the data as such, so that no text can end the script it stands in.
    data = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Template(_read("page.html")).substitute(
        title=title,
        style=_read("page.css"),
        data=data.replace("<", "\\u003c"),
        script="".join(_read(f"{name}.js") for name in SCRIPTS),
    )


def _read(name: str) -> str:
    return resources.files(__package__).joinpath("page", name).read_text(encoding="utf-8")
