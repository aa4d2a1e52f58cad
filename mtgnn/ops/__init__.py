"""The recurrences as functions on tensors: a plain path and a fast one."""

from .attention import SCORES, ScoreWeights, attend
from .fused import Query, recur_fused
from .layout import Layout
from .recurrence import Channel, NodeWeights, recur
from .senders import Senders

__all__ = [
    "SCORES",
    "Channel",
    "Layout",
    "NodeWeights",
    "Query",
    "ScoreWeights",
    "Senders",
    "attend",
    "recur",
    "recur_fused",
]
