"""Characters of words as tensors: a word a row."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def spell(characters: Tensor, sizes: Tensor) -> Tensor:
    """Characters ``[T, C]`` of each word, padded with 0 to the longest.

    Args:
        characters: ``[Σ sizes]``, word after word.
        sizes: ``[T]``, how many each word has.
    """
    real = torch.arange(int(sizes.max())) < sizes.unsqueeze(1)
    return torch.zeros(real.shape, dtype=torch.long).masked_scatter_(real, characters)


def pad_spelling(sentences: Sequence[Tensor]) -> Tensor:
    """Characters ``[T, C]`` of some sentences in one tensor, padded with 0."""
    words, longest = (max(spelt.size(side) for spelt in sentences) for side in (0, 1))
    out = torch.zeros(len(sentences), words, longest, dtype=torch.long)
    for row, spelt in zip(out, sentences, strict=True):
        row[: spelt.size(0), : spelt.size(1)] = spelt
    return out
