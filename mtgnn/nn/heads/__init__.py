"""From states to answers: pooling, linear heads, and tags with a CRF."""

from .crf import LinearChainCRF
from .linear import ClassificationHeads, RegressionHeads
from .pooling import Pooling, pool
from .tag_scheme import AllowedTransitions, allowed_transitions
from .tagging import TaggingHeads

__all__ = [
    "AllowedTransitions",
    "ClassificationHeads",
    "LinearChainCRF",
    "Pooling",
    "RegressionHeads",
    "TaggingHeads",
    "allowed_transitions",
    "pool",
]
