"""A batch of sequences of several tasks."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

NO_LABEL = -100
"""The class label of an example without one: ``ignore_index`` of PyTorch's losses."""


def is_labelled(y: Tensor) -> Tensor:
    """Which labels are there: integers other than −100, floats other than NaN."""
    return ~y.isnan() if y.is_floating_point() else y != NO_LABEL


@dataclass  # not frozen: Lightning converts batches for some precisions
class SequenceBatch:
    """Sequences of any mixture of tasks, padded to the longest.

    Attributes:
        tokens: Token numbers ``[B, T]``, padded with 0.
        lengths: Number of real tokens ``[B]``; stays on the CPU, where packing needs it.
        task: Task of each sequence ``[B]``; or its tasks ``[B, K]``, boolean. Stays on the CPU,
            where models read it.
        y: Label of each sequence ``[B]``: integer classes with −100 for "no label", or floats
            for regression with NaN for "no label" (compute losses of ``y.nan_to_num()``). Or its
            label in each task ``[B, K]``.
    """

    tokens: Tensor
    lengths: Tensor
    task: Tensor
    y: Tensor

    def to(self, device: torch.device | str | int, non_blocking: bool = False) -> SequenceBatch:
        """This batch with everything but ``lengths`` and ``task`` on ``device``."""
        tokens = self.tokens.to(device, non_blocking=non_blocking)
        y = self.y.to(device, non_blocking=non_blocking)
        return SequenceBatch(tokens, self.lengths, self.task, y)

    def pin_memory(self) -> SequenceBatch:
        """This batch in page-locked memory; ``DataLoader(pin_memory=True)`` calls this."""
        return SequenceBatch(self.tokens.pin_memory(), self.lengths, self.task, self.y.pin_memory())

    def __len__(self) -> int:
        return self.tokens.size(0)
