"""Scores of sequence labelling, summed up over batches. They need nothing but torch.

They stand apart from :mod:`mtgnn.data`, which makes numbers of sentences, and from
:mod:`mtgnn.lightning`, which needs an extra, so that any loop can use them.
"""

from .spans import SpanF1, SpanScore, SpanScores, score_spans
from .surfaces import score_surfaces
from .token_accuracy import TokenAccuracy, TokenScore

__all__ = [
    "SpanF1",
    "SpanScore",
    "SpanScores",
    "TokenAccuracy",
    "TokenScore",
    "score_spans",
    "score_surfaces",
]
