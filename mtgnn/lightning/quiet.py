"""Training without chatter, and without a trace in the process."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_BESIDE_THE_POINT = (
    ".*does not have many workers",  # the texts are in memory, encoded
    ".*exists and is not empty",  # said in the docstring of fit
    ".*GPU available but not used",  # asked for
    ".*find_unused_parameters=True was specified",  # only some batches lack a task
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
def flags_kept() -> Iterator[None]:
    """Give PyTorch's process-wide flags, and the state of its random numbers, back as they were."""
    algorithms = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    filling = torch.utils.deterministic.fill_uninitialized_memory
    benchmark = torch.backends.cudnn.benchmark
    try:
        with torch.random.fork_rng(range(torch.cuda.device_count())):
            yield
    finally:
        torch.use_deterministic_algorithms(algorithms, warn_only=warn_only)
        torch.utils.deterministic.fill_uninitialized_memory = filling
        torch.backends.cudnn.benchmark = benchmark
