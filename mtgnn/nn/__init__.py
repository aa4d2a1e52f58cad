"""Layers: attention edges and recurrences over task graphs."""

from .attention import TaskAttentionConv
from .complete import CompleteGraphLSTM
from .graph_lstm import GraphLSTM, GraphState
from .star import StarGraphLSTM

__all__ = [
    "CompleteGraphLSTM",
    "GraphLSTM",
    "GraphState",
    "StarGraphLSTM",
    "TaskAttentionConv",
]
