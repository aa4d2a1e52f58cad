"""Devices: from the CPU to where a layer computes, and autocast there."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor


def to_device(values: Tensor | Sequence[int], device: torch.device) -> Tensor:
    """Numbers from the CPU on a device, without waiting for what it is still at."""
    return torch.as_tensor(values).to(device, non_blocking=True)


def no_autocast(device: str) -> AbstractContextManager[Any]:
    """No autocast, also on a device that has none."""
    if not torch.amp.is_autocast_available(device):
        return nullcontext()
    return torch.autocast(device, enabled=False)
