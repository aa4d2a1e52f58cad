"""Memory that is used again and again within one run."""

from __future__ import annotations

import math

from torch import Tensor


class Room:
    """Gives out the same memory under changing shapes; what was given out before is overwritten.

    Large short-lived tensors are dear: the system hands out their pages, zeroed, one by one.

    Args:
        like: A tensor of the wanted type and device.
    """

    def __init__(self, like: Tensor) -> None:
        self._memory = like.new_empty(0)

    def take(self, *shape: int) -> Tensor:
        """A contiguous tensor of any content."""
        size = math.prod(shape)
        if self._memory.numel() < size:
            self._memory = self._memory.new_empty(size)
        return self._memory[:size].view(shape)
