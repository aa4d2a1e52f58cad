"""Layers: attention edges and recurrences over task graphs, heads, losses, whole models."""

import torch

from ..data.batch import is_labelled
from .balance import balanced_backward, split_parameters
from .baselines import (
    AdversarialLSTM,
    CrossStitchLSTM,
    HierarchicalLSTM,
    HierarchicalState,
    MixtureOfExpertsLSTM,
    SharedLSTM,
    SharedPrivateLSTM,
    SharedPrivateState,
    SharedState,
)
from .graph_lstm import CompleteGraphLSTM, GraphLSTM, GraphState, StarGraphLSTM, TaskAttentionConv
from .heads import (
    AllowedTransitions,
    ClassificationHeads,
    LinearChainCRF,
    Pooling,
    RegressionHeads,
    TaggingHeads,
    allowed_transitions,
    pool,
)
from .losses import MultiTaskLoss
from .models import (
    CharacterCNN,
    CharacterLSTM,
    MultiTaskModel,
    Output,
    Prediction,
    Samples,
    TaggingModel,
    Trainable,
    WordEmbedding,
    build_encoder,
)
from .transfer import (
    add_task,
    edge_logit_group,
    freeze,
    freeze_except_task,
    parameter_groups,
    unfreeze,
)

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
