"""Layers: attention edges and recurrences over task graphs, heads, losses, whole models."""

import torch

from ..data.batch import is_labelled
from .adversarial import AdversarialLSTM
from .attention import TaskAttentionConv
from .balance import balanced_backward, split_parameters
from .complete import CompleteGraphLSTM
from .crf import LinearChainCRF
from .cross_stitch import CrossStitchLSTM
from .encoders import build_encoder
from .freezing import (
    edge_logit_group,
    freeze,
    freeze_except_task,
    parameter_groups,
    unfreeze,
)
from .graph_lstm import GraphLSTM
from .heads import ClassificationHeads, RegressionHeads
from .hierarchical import HierarchicalLSTM, HierarchicalState
from .losses import MultiTaskLoss
from .mixture import MixtureOfExpertsLSTM
from .model import MultiTaskModel, Prediction
from .pooling import Pooling, pool
from .shared import SharedLSTM, SharedState
from .shared_private import SharedPrivateLSTM, SharedPrivateState
from .star import StarGraphLSTM
from .state import GraphState
from .tag_scheme import AllowedTransitions, allowed_transitions
from .tagging import TaggingHeads
from .tagging_model import TaggingModel
from .trainable import Output, Samples, Trainable
from .transfer import add_task
from .words import CharacterCNN, CharacterLSTM, WordEmbedding

# Tuples of tensors: torch.load(weights_only=True) may read what was saved of a stream.
torch.serialization.add_safe_globals(
    [GraphState, HierarchicalState, SharedPrivateState, SharedState]
)

__all__ = [
    "AdversarialLSTM",
    "AllowedTransitions",
    "CharacterCNN",
    "CharacterLSTM",
    "ClassificationHeads",
    "CompleteGraphLSTM",
    "CrossStitchLSTM",
    "GraphLSTM",
    "GraphState",
    "HierarchicalLSTM",
    "HierarchicalState",
    "LinearChainCRF",
    "MixtureOfExpertsLSTM",
    "MultiTaskLoss",
    "MultiTaskModel",
    "Output",
    "Pooling",
    "Prediction",
    "RegressionHeads",
    "Samples",
    "SharedLSTM",
    "SharedPrivateLSTM",
    "SharedPrivateState",
    "SharedState",
    "StarGraphLSTM",
    "TaggingHeads",
    "TaggingModel",
    "TaskAttentionConv",
    "Trainable",
    "WordEmbedding",
    "add_task",
    "allowed_transitions",
    "balanced_backward",
    "build_encoder",
    "edge_logit_group",
    "freeze",
    "freeze_except_task",
    "is_labelled",
    "parameter_groups",
    "pool",
    "split_parameters",
    "unfreeze",
]
