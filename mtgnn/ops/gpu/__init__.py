"""Inner loops of the fast path in Triton, for GPUs: used by who asks for them.

For CPUs there is :mod:`mtgnn.ops.native`. A launch is many steps or, of large states and sparse
edges, a part of one. None waits for the GPU. For a CPU Triton has an interpreter, in which the
tests run them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

_DTYPES = (torch.float32, torch.float64, torch.bfloat16)
_wanted: bool | None = None  # None: as the environment says. For all threads: autograd has its own


@contextmanager
def use_triton(on: bool) -> Iterator[None]:
    """Take the Triton kernels, or do without them.

    They are for a GPU, where Triton is installed (it comes with PyTorch for CUDA; extra
    ``triton``); ``MTGNN_TRITON=1`` in the environment takes them there for the whole program. By
    default torch's operations run instead: no GPU has seen these kernels yet. On a CPU they run in
    Triton's interpreter alone, which is slow, and only if ``TRITON_INTERPRET=1`` was set before
    Triton was imported, which torch_geometric does. This holds for all threads, and from step to
    step: ``backward()`` belongs inside, too.

    Args:
        on: Whether they are used.

    Raises:
        RuntimeError: If they are wanted, and Triton is not installed, or has neither a GPU nor its
            interpreter.

    Example:
        >>> import torch
        >>> from mtgnn.nn import CompleteGraphLSTM
        >>> from mtgnn.ops import use_triton
        >>> layer = CompleteGraphLSTM(3, 4, num_tasks=5)
        >>> device = "cuda" if torch.cuda.is_available() else "cpu"
        >>> with use_triton(device == "cuda"):
        ...     out, state = layer.to(device)(torch.randn(2, 6, 3, device=device))
        ...     out.sum().backward()
    """
    global _wanted
    devices = ["cuda", "cpu"] if torch.cuda.is_available() else ["cpu"]
    if on and not any(_there(torch.device(device)) for device in devices):
        raise RuntimeError(
            "expected Triton with a GPU, or with its interpreter (TRITON_INTERPRET=1, set before "
            "torch_geometric is imported): there is neither"
        )
    before, _wanted = _wanted, on
    try:
        yield
    finally:
        _wanted = before


def serves(tensor: Tensor) -> bool:
    """Whether the Triton kernels are to take such tensors."""
    wanted = _wanted
    if wanted is None:
        wanted = tensor.is_cuda and os.environ.get("MTGNN_TRITON") == "1"
        if wanted and not _there(tensor.device):
            raise RuntimeError(
                "MTGNN_TRITON=1 asks for Triton, which is not installed, or cannot run on this GPU"
            )
    return wanted and tensor.dtype in _DTYPES and _there(tensor.device)


@lru_cache
def _there(device: torch.device) -> bool:
    """Whether Triton can run on a device."""
    if find_spec("triton") is None:
        return False
    if device.type == "cpu":
        interpreted: bool = _module("launch").interpreted()
        return interpreted
    if device.type != "cuda":
        return False
    return torch.version.hip is not None or torch.cuda.get_device_capability(device) >= (7, 0)


@lru_cache
def _module(name: str) -> Any:
    """A module that imports Triton, which is loaded where it is used."""
    return import_module(f"{__name__}.{name}")


def _kernel(module: str, name: str) -> Callable[..., Any]:
    """A function of a module that imports Triton, which is loaded when it is first called."""

    def call(*arguments: Any) -> Any:
        return getattr(_module(module), name)(*arguments)

    return call


# Many steps a launch, see lstm.py, boxes.py and pairs.py.
box_program = _kernel("program", "Program")
pair_program = _kernel("pair_launch", "PairProgram")
programs_at_once = _kernel("pair_launch", "programs_at_once")
lstm_forward, lstm_backward = _kernel("lstm", "forward"), _kernel("lstm", "backward")
# Called like the functions of pointwise.py and score.py that choose between them and torch.
cell_forward, cell_backward = _kernel("cell", "forward"), _kernel("cell", "backward")
additive_weights = _kernel("additive", "forward")
additive_backward = _kernel("additive", "backward")
