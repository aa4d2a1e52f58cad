"""Scores of sequence labelling, summed up over batches.

They stand apart from :mod:`mtgnn.lightning`, which needs an extra, so that any loop can use them.
"""

from .spans import SpanF1, SpanScore, SpanScores, score_spans, span_f1
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
    "span_f1",
]
