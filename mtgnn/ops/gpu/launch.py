"""How the Triton kernels are launched, and what they share."""

import contextlib
from collections.abc import Sequence
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor


@triton.jit
def sigmoid(x):
    """1 / (1 + exp(−x)), without overflow; a NaN stays one."""
    e = tl.exp(-tl.abs(x))
    return tl.where(x >= 0, 1.0, e) / (1.0 + e)


def interpreted() -> bool:
    """Whether Triton interprets: its own functions, which it takes in when imported, and ours."""
    kinds = {type(function).__name__ for function in (tl.sum, sigmoid)}
    return kinds == {"InterpretedFunction"}


def launch(kernel: Any, grid: tuple[int, ...], like: Tensor, *values: Any, **options: Any) -> None:
    """Run ``kernel`` on the device of ``like``, which need not be the current one."""
    device = torch.cuda.device(like.device) if like.is_cuda else contextlib.nullcontext()
    with device:
        kernel[grid](*values, WIDE=wide(like), **options)


def wide(like: Tensor) -> Any:
    """The type that is computed in."""
    return tl.float64 if like.dtype == torch.float64 else tl.float32


def wide_type(like: Tensor) -> torch.dtype:
    """The same, as torch names it."""
    return torch.float64 if like.dtype == torch.float64 else torch.float32


def factor(like: Tensor) -> Any:
    """The type of a product's factors: as they are stored, but for bfloat16 in the interpreter,
    which would multiply its bits as whole numbers."""
    if like.dtype == torch.bfloat16 and not interpreted():
        return tl.bfloat16
    return wide(like)


def precision(like: Tensor) -> str:
    """How products take factors in float32: as torch's own do, on NVIDIA's GPUs."""
    if like.dtype == torch.float64 or torch.version.hip is not None:
        return "ieee"
    matmul: Any = torch.backends.cuda.matmul
    # In later versions: where it is set, reading the older flag is an error.
    said = getattr(matmul, "fp32_precision", None)
    wanted = matmul.allow_tf32 if said is None else said == "tf32"
    return "tf32" if wanted else "ieee"


def check(tensor: Tensor, name: str, sizes: Sequence[int]) -> None:
    """Kernels do not look where they read: a tensor of other sizes must not come to them.

    Raises:
        ValueError: Unless it has these sizes and, where these have a last one of more than 1, is
            contiguous there.
    """
    if tensor.shape != tuple(sizes) or (sizes[-1] > 1 and tensor.stride(-1) != 1):
        raise ValueError(
            f"{name}: expected sizes {tuple(sizes)} with the last dimension contiguous, got "
            f"{tuple(tensor.shape)} with strides {tensor.stride()}"
        )


def check_contiguous(tensors: Sequence[Tensor]) -> None:
    """Many steps a launch reckon with rows one after the other.

    Raises:
        ValueError: If some tensor is not contiguous.
    """
    for tensor in tensors:
        if not tensor.is_contiguous():
            raise ValueError(f"expected contiguous tensors, got strides {tensor.stride()}")
