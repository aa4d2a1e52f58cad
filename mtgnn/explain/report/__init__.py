"""One HTML page about a model; ``page/`` is what it is made of."""

from .report import report

__all__ = [
    "report",
]
