"""From the CPU to where a layer computes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def to_device(values: Tensor | Sequence[int], device: torch.device) -> Tensor:
    """Numbers from the CPU on a device, without waiting for what it is still at."""
    return torch.as_tensor(values).to(device, non_blocking=True)
