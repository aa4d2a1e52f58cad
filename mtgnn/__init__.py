"""Multi-task sequence learning over task graphs, on PyTorch Geometric."""

from .graph import TaskGraph

__version__ = "0.1.0"
__all__ = ["TaskGraph", "__version__"]
