"""Planted tasks, their texts, and models trained on them for ``recovery.py``."""

from __future__ import annotations

import argparse
import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from _examples import group_rates
from _held_out import HeldOutScores
from torch import Tensor
from torch_geometric.utils import softmax

from mtgnn import TaskGraph
from mtgnn.data import EncodedTexts, SequenceBatch, Vocabulary
from mtgnn.datasets import PlantedTasks
from mtgnn.lightning.rates import rate_groups
from mtgnn.nn import MultiTaskModel

DROPOUT = 0.2
CLIP = 1.0
EVALUATED = 256  # texts read at once without training
# Of scores that learn from held-out texts: texts a step, after how many other steps, and its rate.
HELD_OUT, HELD_OUT_EVERY, HELD_OUT_RATE = 128, 2, 0.3


@dataclass
class Texts:
    """The texts of one set of planted tasks, encoded."""

    train: EncodedTexts
    dev: EncodedTexts
    test: EncodedTexts
    vocabulary: Vocabulary
    classes: dict[str, list[str]]
    graph: TaskGraph


def read_texts(options: argparse.Namespace, shape: str, strength: float, seed: int) -> Texts:
    """Draw the texts; ``options.noise`` of the training labels are turned round."""
    size = {"num_train": options.train, "num_dev": options.dev, "num_test": options.test}
    parts = {
        part: PlantedTasks(
            split=part,
            num_tasks=options.tasks,
            num_groups=options.groups,
            conflict=strength,
            seed=seed,
            shape=shape,
            **size,
        )
        for part in ("train", "dev", "test")
    }
    vocabulary = Vocabulary.build(item.text for item in parts["train"])
    encoded = {part: EncodedTexts(data, vocabulary) for part, data in parts.items()}
    y = encoded["train"].y
    chance = torch.rand(len(y), generator=torch.Generator().manual_seed(seed))
    encoded["train"].y = torch.where(chance < options.noise, 1 - y, y)
    data = parts["train"]
    return Texts(**encoded, vocabulary=vocabulary, classes=data.classes, graph=data.graph)


def batches(
    texts: EncodedTexts, size: int = EVALUATED, shuffle: bool = False
) -> Iterator[SequenceBatch]:
    """All texts, so many at once."""
    order = torch.randperm(len(texts)) if shuffle else torch.arange(len(texts))
    for chosen in order.split(size):
        yield texts.collate([texts[int(i)] for i in chosen])


class DevBatches:
    """Shuffled batches, again and again."""

    def __init__(self, texts: EncodedTexts) -> None:
        self.texts = texts

    def __iter__(self) -> Iterator[SequenceBatch]:
        return batches(self.texts, HELD_OUT, shuffle=True)


def of_task(texts: EncodedTexts, task: int, most: int | None = None) -> SequenceBatch:
    """The first texts of one task."""
    chosen = (texts.task == task).nonzero().flatten().tolist()[:most]
    return texts.collate([texts[i] for i in chosen])


def mean_loss(model: MultiTaskModel, batch: SequenceBatch) -> Tensor:
    """The mean loss of a batch."""
    return model.loss_per_sample(model(batch.tokens, batch.lengths, batch.task), batch).mean()


@torch.no_grad()
def accuracy(model: MultiTaskModel, texts: EncodedTexts) -> float:
    """On dev and test texts, of which every task has as many: this is the mean over tasks."""
    model.eval()
    right = [(model(b.tokens, b.lengths, b.task).argmax(1) == b.y).float() for b in batches(texts)]
    return float(torch.cat(right).mean())


def train(
    texts: Texts,
    options: argparse.Namespace,
    seed: int,
    encoder: str,
    encoder_options: dict[str, Any] | None = None,
    *,
    embedding: str = "shared",
    held_out: bool = False,
    entropy: float = 0.0,
    after_epoch: Callable[[MultiTaskModel], None] = lambda model: None,
) -> MultiTaskModel:
    """A model after its best epoch on the dev texts; where ``held_out``, these train its scores.

    The entropy of static scores counts ``entropy`` times in the loss.
    """
    torch.manual_seed(seed)
    model = MultiTaskModel(
        texts.vocabulary,
        texts.classes,
        encoder,
        embedding_size=options.hidden,
        hidden_size=options.hidden,
        dropout=DROPOUT,
        embedding=embedding,
        encoder_options=encoder_options,
    )
    scores, rate = None, options.learning_rate
    learning: list[Any] = learning_groups(model, rate)
    if held_out:
        scores = HeldOutScores(model, DevBatches(texts.dev), mean_loss, HELD_OUT_RATE)
        learning = scores.others
    optimizer = torch.optim.Adam(learning, rate, weight_decay=options.weight_decay)
    best, weights = -1.0, model.state_dict()
    for _ in range(options.epochs):
        model.train()
        for number, batch in enumerate(batches(texts.train, options.batch, shuffle=True)):
            optimizer.zero_grad()
            loss = mean_loss(model, batch)
            if entropy:
                loss = loss + entropy * static_entropy(model)
            loss.backward()
            clipped = model.parameters() if scores is None else scores.others
            torch.nn.utils.clip_grad_norm_(clipped, CLIP)
            optimizer.step()
            if scores is not None and number % HELD_OUT_EVERY == 0:
                scores.step()
        score = accuracy(model, texts.dev)
        if score > best:
            best, weights = score, copy.deepcopy(model.state_dict())
        after_epoch(model)
    model.load_state_dict(weights)
    return model.eval()


def static_entropy(model: MultiTaskModel) -> Tensor:
    """Entropy in nats of the static weights into a receiver, mean over receivers."""
    graph = model.graph
    weight = softmax(model.encoder.convs["l0"]["shared"].logit, graph.edge_index[1])
    return torch.special.entr(weight).sum() / graph.num_tasks


def learning_groups(model: MultiTaskModel, rate: float) -> list[dict[str, Any]]:
    """All parameters as optimisers take them; logits of edges have a rate of their own."""
    return rate_groups(model, model, rate, group_rates(model, rate))
