"""What edges do to the loss: by cutting them, by themselves, by gradients."""

from .ablation import edge_ablation, edge_insertion
from .cut import without_edges
from .effects import EdgeEffect, EdgeEffects
from .gradient import edge_gradient

__all__ = [
    "EdgeEffect",
    "EdgeEffects",
    "edge_ablation",
    "edge_gradient",
    "edge_insertion",
    "without_edges",
]
