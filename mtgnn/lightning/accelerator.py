"""Which processor Lightning is to train on."""

from __future__ import annotations

import torch


def pick_accelerator(accelerator: str) -> str:
    """Lightning's name of it; ``"auto"`` is the CPU where it would be an Apple GPU.

    Raises:
        ValueError: If an Apple GPU is asked for, or a GPU where there is none.
    """
    apple = torch.backends.mps.is_available()
    if apple and accelerator in ("mps", "gpu"):
        raise ValueError(
            f'expected accelerator="cpu" here, got {accelerator!r}: an Apple GPU has no float64, '
            "in which chains and means over an epoch are computed"
        )
    if accelerator in ("gpu", "cuda", "mps") and not torch.cuda.is_available():
        raise ValueError(
            f'expected accelerator="cpu" here, got {accelerator!r}: PyTorch finds no such GPU'
        )
    return "cpu" if apple and accelerator == "auto" else accelerator
