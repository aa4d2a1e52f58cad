"""Which texts a model classifies as labelled, and which of them count."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from _batches import numbered_batches
from torch import Tensor, nn

from mtgnn.data import EncodedTexts


@torch.no_grad()
def is_right(model: nn.Module, texts: EncodedTexts, batch_size: int, accelerator: str) -> Tensor:
    """Which texts the model classifies as labelled ``[n]``."""
    gpu = torch.cuda.is_available() and accelerator in ("auto", "gpu", "cuda")
    device = torch.device("cuda" if gpu else "cpu")
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
