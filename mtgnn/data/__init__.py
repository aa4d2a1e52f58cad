"""Vocabulary, word vectors, encoded texts, and batches by length."""

from .batch import NO_LABEL, SequenceBatch
from .encoded import EncodedText, EncodedTexts
from .sampler import BucketBatchSampler
from .tokens import tokenize
from .vectors import WordVectors, read_vectors
from .vocabulary import Vocabulary
from .word2vec import train_vectors

__all__ = [
    "NO_LABEL",
    "BucketBatchSampler",
    "EncodedText",
    "EncodedTexts",
    "SequenceBatch",
    "Vocabulary",
    "WordVectors",
    "read_vectors",
    "tokenize",
    "train_vectors",
]
