"""Tables as Markdown."""

from __future__ import annotations

import re

from _comparison import Table


def markdown(table: Table) -> str:
    """A table: names to the left, numbers to the right."""
    header, rows = table
    numbers = [all(re.match(r"[-+–<\d]", row[i]) for row in rows) for i in range(len(header))]
    rule = [" ---: " if right and i else " --- " for i, right in enumerate(numbers)]
    lines = ["| " + " | ".join(header) + " |", "|" + "|".join(rule) + "|"]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])
