"""Read task graphs off trained models."""

from .ablation import edge_ablation, edge_insertion
from .agreement import Agreement, graph_agreement
from .average import EdgeMean, average_attention
from .clusters import task_affinity, task_clusters, task_embedding
from .collect import collect_attention, mean_weights
from .cut import without_edges
from .effects import EdgeEffect, EdgeEffects
from .export import read_graphml, write_graphml
from .gradient import edge_gradient
from .heatmap import plot_sentence
from .mailbox import MailboxByWord, MailboxWords
from .plot import plot_task_graphs
from .position import EdgeByPosition, PositionWeights
from .profiles import profile_graph
from .reading import read_sentence
from .readout import Readout
from .recovery import Recovery, graph_recovery
from .report import report
from .sentences import SentenceSample, SentenceWeights
from .step import AttentionStep
from .words import EdgeByWord, WordWeight, WordWeights

__all__ = [
    "Agreement",
    "AttentionStep",
    "EdgeByPosition",
    "EdgeByWord",
    "EdgeEffect",
    "EdgeEffects",
    "EdgeMean",
    "MailboxByWord",
    "MailboxWords",
    "PositionWeights",
    "Readout",
    "Recovery",
    "SentenceSample",
    "SentenceWeights",
    "WordWeight",
    "WordWeights",
    "average_attention",
    "collect_attention",
    "edge_ablation",
    "edge_gradient",
    "edge_insertion",
    "graph_agreement",
    "graph_recovery",
    "mean_weights",
    "plot_sentence",
    "plot_task_graphs",
    "profile_graph",
    "read_graphml",
    "read_sentence",
    "report",
    "task_affinity",
    "task_clusters",
    "task_embedding",
    "without_edges",
    "write_graphml",
]
