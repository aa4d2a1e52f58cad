"""Vocabulary, encoded texts, batches, and the sampler that forms batches by length."""

from .batch import NO_LABEL, SequenceBatch
from .encoded import EncodedText, EncodedTexts
from .sampler import BucketBatchSampler
from .vocabulary import Vocabulary

__all__ = [
    "NO_LABEL",
    "BucketBatchSampler",
    "EncodedText",
    "EncodedTexts",
    "SequenceBatch",
    "Vocabulary",
]
