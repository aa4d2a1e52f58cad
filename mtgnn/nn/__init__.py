"""Layers: attention edges and recurrences over task graphs, heads, losses, whole models."""

from .adversarial import AdversarialLSTM
from .attention import TaskAttentionConv
from .balance import balanced_backward, split_parameters
from .complete import CompleteGraphLSTM
from .cross_stitch import CrossStitchLSTM
from .encoders import build_encoder
from .freezing import freeze, freeze_except_task, parameter_groups, unfreeze
from .graph_lstm import GraphLSTM
from .heads import ClassificationHeads, RegressionHeads
from .hierarchical import HierarchicalLSTM, HierarchicalState
from .losses import MultiTaskLoss, is_labelled
from .mixture import MixtureOfExpertsLSTM
from .model import MultiTaskModel, Prediction
from .pooling import Pooling, pool
from .shared import SharedLSTM, SharedState
from .shared_private import SharedPrivateLSTM, SharedPrivateState
from .star import StarGraphLSTM
from .state import GraphState
from .transfer import add_task

__all__ = [
    "AdversarialLSTM",
    "ClassificationHeads",
    "CompleteGraphLSTM",
    "CrossStitchLSTM",
    "GraphLSTM",
    "GraphState",
    "HierarchicalLSTM",
    "HierarchicalState",
    "MixtureOfExpertsLSTM",
    "MultiTaskLoss",
    "MultiTaskModel",
    "Pooling",
    "Prediction",
    "RegressionHeads",
    "SharedLSTM",
    "SharedPrivateLSTM",
    "SharedPrivateState",
    "SharedState",
    "StarGraphLSTM",
    "TaskAttentionConv",
    "add_task",
    "balanced_backward",
    "build_encoder",
    "freeze",
    "freeze_except_task",
    "is_labelled",
    "parameter_groups",
    "pool",
    "split_parameters",
    "unfreeze",
]
