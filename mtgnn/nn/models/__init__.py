"""Whole models, from text to answers, and what training asks of a model."""

from .encoders import build_encoder
from .multi_task_model import MultiTaskModel
from .tagging_model import TaggingModel
from .text_answers import Prediction
from .trainable import Output, Samples, Trainable
from .words import CharacterCNN, CharacterLSTM, WordEmbedding

__all__ = [
    "CharacterCNN",
    "CharacterLSTM",
    "MultiTaskModel",
    "Output",
    "Prediction",
    "Samples",
    "TaggingModel",
    "Trainable",
    "WordEmbedding",
    "build_encoder",
]
