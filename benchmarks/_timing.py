"""Clocks, memory and what a record says of where it was made."""

from __future__ import annotations

import ctypes
import gc
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch

HERE = Path(__file__).parent
WHERE = ("commit", "torch", "processor")  # columns of a record
Name = TypeVar("Name")


class Times(NamedTuple):
    """Seconds of one call."""

    median: float
    minimum: float
    rounds: int


def synchronise(device: str) -> None:
    """Wait until a GPU is done."""
    if device == "cuda":
        torch.cuda.synchronize()


def alternate(
    calls: Mapping[Name, Callable[[], object]], device: str, seconds: float, rounds: int
) -> dict[Name, Times]:
    """Time calls in turns (A B C A B C …), so that a machine's drift meets all of them alike.

    Before each timed call the same is called untimed: in training a step finds the memory that the
    step before has left, not what another model has given back to the system.

    Args:
        calls: What to time.
        device: ``"cpu"`` or ``"cuda"``.
        seconds: Begin no round after this time, but always three (or ``rounds``, if fewer).
        rounds: At most so many rounds.
    """
    taken: dict[Name, list[float]] = {name: [] for name in calls}
    start = time.perf_counter()
    for number in range(rounds):
        if number >= 3 and time.perf_counter() - start > seconds:
            break
        for name, call in calls.items():
            call()
            synchronise(device)
            before = time.perf_counter()
            call()
            synchronise(device)
            taken[name].append(time.perf_counter() - before)
    return {
        name: Times(statistics.median(each), min(each), len(each)) for name, each in taken.items()
    }


def middles(items: Sequence[Any], number: int) -> list[Any]:
    """A part of items that stand in order of their cost: the middles of equal pieces."""
    number = min(number, len(items))
    return [items[int((i + 0.5) * len(items) / number)] for i in range(number)]


class Peak:
    """Peak memory in MB from here on, beyond what is held now.

    On a GPU what torch allocated; on Linux the process's resident memory, whose peak the kernel
    resets on request; elsewhere ``ru_maxrss``, which never falls.
    """

    def __init__(self, device: str) -> None:
        self.device = device
        gc.collect()
        if device == "cuda":
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
            self.held = torch.cuda.memory_allocated() / 2**20
        elif sys.platform == "linux":
            _give_back()
            Path("/proc/self/clear_refs").write_text("5")
            self.held = _status("VmRSS")
        else:
            self.held = _maxrss()

    def read(self) -> float:
        """MB."""
        if self.device == "cuda":
            torch.cuda.synchronize()
            return torch.cuda.max_memory_allocated() / 2**20 - self.held
        # Not ru_maxrss on Linux: a new process inherits the peak of the one that started it.
        now = _status("VmHWM") if sys.platform == "linux" else _maxrss()
        return now - self.held


def _give_back() -> None:
    """Return freed memory to the system (glibc), or a pass would live on it unseen."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _status(name: str) -> float:
    """A line of the process's status, in MB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) / 2**10
    raise RuntimeError(f"there is no {name} in /proc/self/status")


def _maxrss() -> float:
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def check_device(device: str) -> None:
    """Stop with a clear word where there is no GPU."""
    if device == "cuda" and not torch.cuda.is_available():
        sys.exit("--device cuda: torch sees no CUDA device here; nothing was measured")


def environment(device: str) -> dict[str, str]:
    """The columns ``WHERE``."""
    return dict(zip(WHERE, (_commit(), torch.__version__, _processor(device)), strict=True))


def _commit() -> str:
    """The commit, with a ``+`` where files differ from it; ``unknown`` outside a repository."""
    try:
        command = ["git", "-C", str(HERE), "rev-parse", "--short", "HEAD"]
        commit = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
        command = ["git", "-C", str(HERE), "status", "--porcelain", "-uno"]
        changed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return commit + ("+" if changed else "")


def _processor(device: str) -> str:
    if device == "cuda":
        return torch.cuda.get_device_name()
    name = platform.processor() or platform.machine()
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                name = line.partition(":")[2].strip()
                break
    return f"{name}, {torch.get_num_threads()} threads"
