"""Layers: attention edges and recurrences over task graphs."""

from .attention import TaskAttentionConv
from .complete import CompleteGraphLSTM
from .graph_lstm import GraphLSTM
from .star import StarGraphLSTM
from .state import GraphState

__all__ = [
    "CompleteGraphLSTM",
    "GraphLSTM",
    "GraphState",
    "StarGraphLSTM",
    "TaskAttentionConv",
]
