"""docs/api.md lists what the modules offer, from their docstrings.

python tests/test_api_page.py     # writes it anew
"""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "api.md"
PARTS = ("nn", "data", "datasets", "lightning", "metrics", "explain", "ops", "testing")
HEAD = """# Names

What each module offers, in the first words of its docstrings, where the rest stands: shapes,
defaults, errors, sources. Written by `python tests/test_api_page.py`.
"""


def first_words(thing: object) -> str:
    """The first paragraph of a docstring, for a cell of a table."""
    text = " ".join((inspect.getdoc(thing) or "").split("\n\n")[0].split())
    text = re.sub(r":\w+:`~?([^`]*)`", lambda found: f"`{found[1].rpartition('.')[2]}`", text)
    text = re.sub(r"`([^`<]*) <([^>]*)>`_", r"[\1](\2)", text)
    return text.replace("``", "`")


def page() -> str:
    parts = [HEAD]
    for module in map(importlib.import_module, ("mtgnn", *(f"mtgnn.{part}" for part in PARTS))):
        parts.append(f"\n## {module.__name__}\n\n| name | |\n| --- | --- |\n")
        for name in sorted(module.__all__, key=str.lower):
            thing = getattr(module, name)
            if not name.startswith("__"):
                ours = getattr(thing, "__module__", "").startswith("mtgnn")
                said = (first_words(thing) if ours else f"`{thing!r}`").replace("|", r"\|")
                parts.append(f"| `{name}` | {said} |\n")
    return "".join(parts)


def test_the_page_is_that_of_the_docstrings() -> None:
    expected = "python tests/test_api_page.py writes it anew"
    assert PAGE.read_text(encoding="utf-8") == page(), expected


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
