"""Read task graphs off trained models."""

from .average import average_attention
from .plot import plot_task_graphs

__all__ = ["average_attention", "plot_task_graphs"]
