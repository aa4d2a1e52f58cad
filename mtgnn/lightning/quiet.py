"""Training without chatter, and without a trace in the process."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import lightning.pytorch as L
import torch
from torch import nn

_BESIDE_THE_POINT = (
    ".*does not have many workers",  # the texts are in memory, encoded
    ".*exists and is not empty",  # said in the docstring of fit
    ".*GPU available but not used",  # asked for
    ".*find_unused_parameters=True was specified",  # only some batches lack a task
    # fit's own: dev texts and patience may come and go with a resume
    r".*add the following callbacks: \[(\"(_Checkpoint|Patience)\{[^\"]*\"(, )?)+\]",
    ".*`training_step` returned `None`",  # as its docstring says
    r".*isinstance\(treespec, LeafSpec\)",  # Lightning's own call
)


@contextmanager
def quietly() -> Iterator[None]:
    """Without Lightning's tips, and its advice that does not hold here."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    with warnings.catch_warnings():
        for message in _BESIDE_THE_POINT:
            warnings.filterwarnings("ignore", message=message)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


@contextmanager
def device_kept(module: nn.Module) -> Iterator[None]:
    """Give a module back on the device that it was on; Lightning leaves it on the CPU."""
    device = next(module.parameters()).device
    try:
        yield
    finally:
        module.to(device)


@contextmanager
def free_again(data: L.LightningDataModule) -> Iterator[None]:
    """Take the trainer away from a data module when it is over: its batches would go on being those
    of the trainer's last epoch and rank."""
    before = data.trainer
    try:
        yield
    finally:
        data.trainer = before


@contextmanager
def flags_kept() -> Iterator[None]:
    """Give PyTorch's process-wide flags, and the state of its random numbers, back as they were.

    Meanwhile deterministic algorithms do not fill with NaN every tensor that is about to be
    written.
    """
    memory: Any = torch.utils.deterministic
    algorithms = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    benchmark, filling = torch.backends.cudnn.benchmark, memory.fill_uninitialized_memory
    memory.fill_uninitialized_memory = False
    try:
        with torch.random.fork_rng(range(torch.cuda.device_count())):
            yield
    finally:
        torch.use_deterministic_algorithms(algorithms, warn_only=warn_only)
        memory.fill_uninitialized_memory = filling
        torch.backends.cudnn.benchmark = benchmark
