"""The recurrences as functions on tensors."""

from .attention import ScoreWeights, attend
from .recurrence import NodeWeights, recur, silent

__all__ = ["NodeWeights", "ScoreWeights", "attend", "recur", "silent"]
