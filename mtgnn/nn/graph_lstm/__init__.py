"""``GraphLSTM``, its two kinds of the paper, and what they are put together from."""

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
