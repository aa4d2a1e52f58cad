"""A batch of sentences whose words are labelled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass  # not frozen: Lightning converts batches for some precisions
class TokenBatch:
    """Sentences whose words have labels in one task or in several, padded to the longest.

    Attributes:
        tokens: Word numbers ``[B, T]``, padded with 0.
        characters: Character numbers of each word ``[B, T, C]``, padded with 0.
        lengths: Number of words ``[B]``, at least 1; stays on the CPU, where packing needs it.
        task: Task of each sentence ``[B]``; or its tasks ``[B, K]``, boolean; or None: all tasks.
            Stays on the CPU, where models read it.
        y: Class of each word ``[B, T]`` in the sentence's task, or ``[B, T, K]`` in several; −100
            for "no label" and for padding.
        unknown: Which words the training text does not have ``[B, T]``, False for padding; None
            where nobody has said what the training text has.
    """

    tokens: Tensor
    characters: Tensor
    lengths: Tensor
    task: Tensor | None
    y: Tensor
    unknown: Tensor | None = None

    def to(self, device: torch.device | str | int, non_blocking: bool = False) -> TokenBatch:
        """This batch with everything but ``lengths`` and ``task`` on ``device``."""
        return self._map(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> TokenBatch:
        """This batch in page-locked memory; ``DataLoader(pin_memory=True)`` calls this."""
        return self._map(Tensor.pin_memory)

    def _map(self, change: Callable[[Tensor], Tensor]) -> TokenBatch:
        return TokenBatch(
            change(self.tokens),
            change(self.characters),
            self.lengths,
            self.task,
            change(self.y),
            None if self.unknown is None else change(self.unknown),
        )

    def __len__(self) -> int:
        return self.tokens.size(0)
