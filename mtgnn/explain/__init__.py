"""Read task graphs off trained models."""

from .average import EdgeMean, average_attention
from .collect import collect_attention, mean_weights
from .heatmap import plot_sentence
from .mailbox import MailboxByWord, MailboxWords
from .plot import plot_task_graphs
from .position import EdgeByPosition, PositionWeights
from .readout import Readout
from .sentences import SentenceSample, SentenceWeights
from .words import EdgeByWord, WordWeight, WordWeights

__all__ = [
    "EdgeByPosition",
    "EdgeByWord",
    "EdgeMean",
    "MailboxByWord",
    "MailboxWords",
    "PositionWeights",
    "Readout",
    "SentenceSample",
    "SentenceWeights",
    "WordWeight",
    "WordWeights",
    "average_attention",
    "collect_attention",
    "mean_weights",
    "plot_sentence",
    "plot_task_graphs",
]
