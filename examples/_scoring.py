"""Which texts a model classifies as labelled, and which of them count."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from _batches import numbered_batches
from torch import Tensor, nn

from mtgnn.data import EncodedTexts


def device_of(accelerator: str) -> torch.device:
    """Where to test what was trained with this option."""
    gpu = torch.cuda.is_available() and accelerator in ("auto", "gpu", "cuda")
    return torch.device("cuda" if gpu else "cpu")


@torch.no_grad()
def is_right(model: nn.Module, texts: EncodedTexts, batch_size: int, accelerator: str) -> Tensor:
    """Which texts the model classifies as labelled ``[n]``."""
    device = device_of(accelerator)
    model.to(device).eval()
    right = torch.zeros(len(texts), dtype=torch.bool)
    for numbers, batch in numbered_batches(texts, batch_size):
        logits = model(batch.tokens.to(device), batch.lengths, batch.task)
        right[numbers] = logits.argmax(-1).cpu() == batch.y
    return right


def kinds(items: Sequence[Any]) -> dict[str, Tensor]:
    """All texts and, where the data marks leaked ones, those that are not: masks ``[n]``."""
    masks = {"all": torch.ones(len(items), dtype=torch.bool)}
    if "leaked" in items[0]:
        masks["unleaked"] = ~torch.tensor([bool(item.leaked) for item in items])
    return masks


def accuracies(
    right: Tensor, task: Tensor, kinds: Mapping[str, Tensor], tasks: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Accuracy by task, for each kind of texts.

    Args:
        right: Which texts are classified as labelled ``[n]``.
        task: The number of each one's task ``[n]``.
        kinds: See :func:`kinds`.
        tasks: Names of the tasks.
    """
    return {
        kind: {
            name: float(right[counted & (task == number)].float().mean())
            for number, name in enumerate(tasks)
        }
        for kind, counted in kinds.items()
    }
