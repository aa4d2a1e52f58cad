"""Vocabulary, encoded texts and sentences, batches, and the sampler that forms them by length."""

from .batch import NO_LABEL, SequenceBatch
from .encoded import EncodedText, EncodedTexts
from .encoded_sentences import EncodedSentence, EncodedSentences
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
from .token_batch import TokenBatch
from .vocabulary import Vocabulary

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
]
