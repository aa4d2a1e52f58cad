"""Two tasks that tag sentences, a small model, and a small training."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import torch
from torch_geometric.data import Data

from mtgnn.data import EncodedSentences, SentenceEncoder
from mtgnn.lightning import FitResult, MultiTaskDataModule, fit
from mtgnn.nn import TaggingModel

CLASSES = {"pos": ["DT", "NN", "VB"], "chunk": ["O", "B-NP", "I-NP"]}
POS = {"a": "DT", "the": "DT", "dog": "NN", "cat": "NN", "sees": "VB", "barks": "VB"}


def sentences(number: int, seed: int) -> list[Data]:
    """Random words, whose part of speech is fixed and whose chunks follow from the one before."""
    draw = random.Random(seed)
    items = []
    for i in range(number):
        words = draw.choices(list(POS), k=draw.randrange(1, 8))
        pos, chunks = [POS[word] for word in words], []
        for t, tag in enumerate(pos):
            inside = t > 0 and tag == "NN" and pos[t - 1] == "DT"
            chunks.append("O" if tag == "VB" else "I-NP" if inside else "B-NP")
        tags: dict[str, Any] = {"pos": pos, "chunk": chunks}
        if i % 4 == 0:
            del tags["pos"]
        items.append(Data(words=words, tags=tags))
    return items


ENCODER = SentenceEncoder.build([list(POS)], CLASSES)


def data(by_task: bool = False) -> MultiTaskDataModule:
    parts = [EncodedSentences(sentences(n, n), ENCODER, by_task) for n in (40, 21, 22)]
    return MultiTaskDataModule(*parts, batch_size=8)


def model(**options: Any) -> TaggingModel:
    torch.manual_seed(1)
    sizes: dict = {"embedding_size": 6, "character_size": 4, "hidden_size": 5, **options}
    return TaggingModel(ENCODER, sizes.pop("encoder", "complete"), **sizes)


def train(net: TaggingModel, folder: Path, **options: Any) -> FitResult:
    given = {"max_epochs": 2, "accelerator": "cpu", "progress": False, "learning_rate": 0.02}
    return fit(net, options.pop("data", None) or data(), log_dir=folder, **given | options)


def accuracy(net: TaggingModel, items: list[Data]) -> dict[str, float]:
    """Accuracy of each task, word by word."""
    right: dict[str, list[bool]] = {task: [] for task in CLASSES}
    for item in items:
        [found] = net.predict([item.words])
        for task, tags in item.tags.items():
            right[task] += map(str.__eq__, found[task], tags)
    return {task: sum(hits) / len(hits) for task, hits in right.items()}
