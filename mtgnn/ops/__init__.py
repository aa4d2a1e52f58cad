"""The recurrences as functions on tensors: a plain path and a fast one."""

from .attention import CONTEXTUAL, SCORES, ScoreWeights, attend, normalise
from .blocks import fill_blocks
from .device import to_device
from .edges import Edges
from .fused import recur_fused
from .gpu import use_triton
from .keep_memory import keep_memory
from .layout import Layout
from .mailbox import Mailbox
from .native import compile_native
from .pairs import Pairs
from .ran import kernels_ran
from .recurrence import Channel, NodeWeights, recur
from .score import prepare
from .sparse import Sparse
from .talk import Drop, Talk
from .words import Words

__all__ = [
    "CONTEXTUAL",
    "SCORES",
    "Channel",
    "Drop",
    "Edges",
    "Layout",
    "Mailbox",
    "NodeWeights",
    "Pairs",
    "ScoreWeights",
    "Sparse",
    "Talk",
    "Words",
    "attend",
    "compile_native",
    "fill_blocks",
    "keep_memory",
    "kernels_ran",
    "normalise",
    "prepare",
    "recur",
    "recur_fused",
    "to_device",
    "use_triton",
]
