"""Three small tasks, a small model, and a small training."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import torch
from torch_geometric.data import Data

from mtgnn.data import EncodedTexts, SequenceBatch, Vocabulary
from mtgnn.lightning import FitResult, MultiTaskDataModule, fit
from mtgnn.nn import MultiTaskModel

CLASSES = {"books": ["bad", "good"], "dvd": ["bad", "fair", "good"], "toys": ["bad", "good"]}
WORDS = ["good", "bad", "fine", "poor", "plot", "cast", "price"]
VOCABULARY = Vocabulary(WORDS)


def texts(number: int, seed: int, tasks: int = 3) -> list[Data]:
    """Texts of 1 to 9 words; the first one says the label, among two."""
    draw = random.Random(seed)
    items = []
    for i in range(number):
        y = draw.randrange(2)
        words = [WORDS[draw.choice([0, 2]) if y else draw.choice([1, 3])]]
        words += draw.choices(WORDS[4:], k=draw.randrange(9))
        items.append(Data(text=" ".join(words), task=i % tasks, y=y))
    return items


def items(number: int, seed: int) -> list[Data]:
    """The first word says the label of all tasks; every third text has none in the last one."""
    found = []
    for n, item in enumerate(texts(number, seed)):
        labels = {task: names[-1] if item.y else names[0] for task, names in CLASSES.items()}
        if n % 3 == 0:
            del labels["toys"]
        found.append(Data(text=item.text, labels=labels))
    return found


def encoded(number: int, seed: int, by_task: bool = False) -> EncodedTexts:
    """Texts with labels in several tasks."""
    return EncodedTexts(items(number, seed), VOCABULARY, classes=CLASSES, by_task=by_task)


def model(encoder: str = "complete", dropout: float = 0.0, **options: Any) -> MultiTaskModel:
    torch.manual_seed(1)
    return MultiTaskModel(
        VOCABULARY,
        CLASSES,
        encoder,
        embedding_size=6,
        hidden_size=5,
        dropout=dropout,
        encoder_options=options,
    )


def data(seed: int = 0, batch_size: int = 8, **parts: Any) -> MultiTaskDataModule:
    """The usual texts, or others for ``train``, ``dev`` or ``test``."""
    given = {"train": texts(40, 1), "dev": texts(21, 2), "test": texts(22, 3), **parts}
    return MultiTaskDataModule(**given, vocabulary=VOCABULARY, batch_size=batch_size, seed=seed)


def train(net: MultiTaskModel, folder: Path, **options: Any) -> FitResult:
    """Train on the CPU, quietly."""
    given = {"max_epochs": 2, "accelerator": "cpu", "progress": False, "learning_rate": 0.02}
    return fit(net, options.pop("data", None) or data(), log_dir=folder, **given | options)


def batch(*samples: tuple[int, int]) -> SequenceBatch:
    """Sequences of three words with the given tasks and labels."""
    task, y = torch.tensor(samples).unbind(1)
    tokens = torch.randint(3, len(VOCABULARY), (len(samples), 3))
    return SequenceBatch(tokens, torch.full((len(samples),), 3), task, y)
