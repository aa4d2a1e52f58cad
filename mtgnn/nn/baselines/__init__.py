"""Encoders of the literature, called as ``GraphLSTM`` is."""

from .adversarial import AdversarialLSTM
from .cross_stitch import CrossStitchLSTM
from .hierarchical import HierarchicalLSTM, HierarchicalState
from .mixture import MixtureOfExpertsLSTM
from .shared import SharedLSTM, SharedState
from .shared_private import SharedPrivateLSTM, SharedPrivateState

__all__ = [
    "AdversarialLSTM",
    "CrossStitchLSTM",
    "HierarchicalLSTM",
    "HierarchicalState",
    "MixtureOfExpertsLSTM",
    "SharedLSTM",
    "SharedPrivateLSTM",
    "SharedPrivateState",
    "SharedState",
]
