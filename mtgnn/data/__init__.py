"""Vocabulary, word vectors, encoded texts and sentences, and batches by length."""

from .batch import NO_LABEL, SequenceBatch
from .encoded import EncodedText, EncodedTexts
from .encoded_sentences import EncodedSentence, EncodedSentences
from .renumber import renumber_tasks
from .sampler import BucketBatchSampler
from .schemes import (
    SCHEMES,
    Span,
    check_tags,
    convert_tags,
    read_spans,
    repair_tags,
    scheme_tags,
    write_tags,
)
from .sentence_encoder import EncodedWords, SentenceEncoder, WordForm
from .task_weights import task_weights
from .token_batch import TokenBatch
from .tokens import tokenize
from .vectors import WordVectors, read_vectors
from .vocabulary import Vocabulary
from .word2vec import train_vectors

__all__ = [
    "NO_LABEL",
    "SCHEMES",
    "BucketBatchSampler",
    "EncodedSentence",
    "EncodedSentences",
    "EncodedText",
    "EncodedTexts",
    "EncodedWords",
    "SentenceEncoder",
    "SequenceBatch",
    "Span",
    "TokenBatch",
    "Vocabulary",
    "WordForm",
    "check_tags",
    "convert_tags",
    "read_spans",
    "repair_tags",
    "scheme_tags",
    "write_tags",
    "WordVectors",
    "read_vectors",
    "renumber_tasks",
    "task_weights",
    "tokenize",
    "train_vectors",
]
