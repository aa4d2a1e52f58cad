"""Pictures (extra ``plot``)."""

from .heatmap import plot_sentence
from .plot import plot_task_graphs

__all__ = [
    "plot_sentence",
    "plot_task_graphs",
]
