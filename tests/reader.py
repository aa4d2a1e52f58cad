"""A small model on tokens, and batches of mixed tasks and lengths."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mtgnn.data import SequenceBatch, Vocabulary
from mtgnn.testing import randomise

WORDS = Vocabulary([f"w{i}" for i in range(6)])  # nine tokens with the special ones


class Reader(nn.Module):
    """An encoder on embedded tokens."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.embedding, self.encoder = nn.Embedding(len(WORDS), 4), encoder

    def forward(self, tokens: Tensor, lengths: Tensor, task: Tensor, **options: bool) -> tuple:
        return self.encoder(self.embedding(tokens), lengths, task, **options)


def reader(encoder: nn.Module) -> Reader:
    """With random parameters in float64, large enough for uneven attention."""
    return randomise(Reader(encoder), scale=1.5)


def make_batches(tasks: int, sizes: tuple[int, ...] = (5, 3), seed: int = 0) -> list[SequenceBatch]:
    """Every batch has a full sentence and shorter ones; tokens beyond the lengths are garbage."""
    generator = torch.Generator().manual_seed(seed)
    made = []
    for size in sizes:
        tokens = torch.randint(1, len(WORDS), (size, 6), generator=generator)
        lengths = torch.randint(1, 7, (size,), generator=generator)
        lengths[0] = 6
        task = torch.arange(size) % tasks
        made.append(SequenceBatch(tokens, lengths, task, torch.arange(size) % 2))
    return made


class Elsewhere:
    """A batch on a device on which nothing can be computed, until it is asked for."""

    def __init__(self, batch: SequenceBatch) -> None:
        self.batch, far = batch, batch.to("meta")
        self.tokens, self.y, self.lengths, self.task = far.tokens, far.y, far.lengths, far.task

    def to(self, device: torch.device) -> SequenceBatch:
        assert device == torch.device("cpu")
        return self.batch


def steps(model: nn.Module, batches: list[SequenceBatch]) -> list[tuple[int, int, int, Tensor]]:
    """(task, position, token, weights) of every real step, one at a time, by plain loops."""
    found = []
    with torch.no_grad():
        for batch in batches:
            for b in range(len(batch)):
                length = int(batch.lengths[b])
                # Each sentence alone: no padding, no companions.
                one = (batch.tokens[b : b + 1, :length], batch.lengths[b : b + 1])
                *_, attention = model(*one, batch.task[b : b + 1], return_attention_weights=True)
                for t in range(length):
                    layers = [alpha[0, t].mean(-1) for _, alpha in attention]
                    weights = sum(layers) / len(layers)
                    found.append((int(batch.task[b]), t, int(batch.tokens[b, t]), weights))
    return found
