"""What a trained model reads: attention, averaged or by word, position and sentence; answers."""

from .average import EdgeMean, average_attention
from .collect import collect_attention, mean_weights
from .mailbox import MailboxByWord, MailboxWords
from .position import EdgeByPosition, PositionWeights
from .reading import read_sentence
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
    "read_sentence",
]
