"""Multi-task sequence learning over task graphs, on PyTorch Geometric."""

from . import cut_graph as cut_graph  # checkpoints may hold such a graph
from .graph import TaskGraph

__version__ = "0.1.0"
__all__ = ["TaskGraph", "__version__"]
