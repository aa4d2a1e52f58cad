"""Inner loops of the fast path in C++, for CPUs: optional, and compiled where they are asked for.

A step of the recurrence is a few large products, which torch does, and pointwise work around them,
for which torch has a dozen passes over memory. Here each is one pass. :func:`compile_native` builds
them once, with the machine's own compiler and for its own processor; without them everything works,
and gives the same values.
"""

from __future__ import annotations

import hashlib
import platform
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

_SOURCE = Path(__file__).with_name("kernels.cpp")
# As -ffast-math, but a NaN stays one. The macro makes glibc's headers offer exp for vectors.
_FLAGS = [
    *("-O3", "-march=native", "-fopenmp", "-ffast-math", "-fno-finite-math-only"),
    "-D__FAST_MATH__",
]
_built: Any = None


def compile_native(verbose: bool = False) -> None:
    """Build the C++ loops, or find them where an earlier call built them, and use them from now on.

    The first call on a machine takes about a minute. It needs a C++ compiler and ninja (extra
    ``native``). What it builds lies in PyTorch's folder of extensions, see
    :func:`torch.utils.cpp_extension.load`.

    Args:
        verbose: Print what the compiler says.

    Raises:
        RuntimeError: If there is no compiler or ninja, or the compiler fails.
    """
    global _built
    if _built is not None:
        return
    try:
        from torch.utils import cpp_extension  # brings setuptools along: only where it is wanted

        _built = cpp_extension.load(
            f"mtgnn_native_{_place()}",
            [str(_SOURCE)],
            extra_cflags=_FLAGS,
            extra_ldflags=["-fopenmp"],
            verbose=verbose,
        )
    except (ImportError, OSError, RuntimeError) as error:
        raise RuntimeError(
            f"cannot build mtgnn's C++ loops, which need a C++ compiler and ninja: {error}"
        ) from error


def _place() -> str:
    """What a build is good for: a torch, a processor and these sources."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    features = [line for line in lines if line.startswith(("flags", "Features"))][:1]
    told = [torch.__version__, platform.machine(), platform.processor(), *features, *_FLAGS]
    told.append(_SOURCE.read_text(encoding="utf-8"))
    return hashlib.sha256("\n".join(told).encode()).hexdigest()[:12]


def serves(tensor: Tensor) -> bool:
    """Whether the C++ loops are there and can take such tensors."""
    return _built is not None and tensor.is_cpu and tensor.dtype in (torch.float32, torch.float64)


def cell_forward(z: Tensor, c_before: Tensor, c: Tensor, h: Tensor) -> None:
    """See :func:`mtgnn.ops.pointwise.cell_forward`; tensors have three dimensions."""
    _built.cell_forward(z, c_before, c, h)


def cell_backward(
    gates: Tensor, c_before: Tensor, c: Tensor, dh: Tensor, dc: Tensor, dz: Tensor
) -> None:
    """See :func:`mtgnn.ops.pointwise.cell_backward`; tensors have three dimensions."""
    _built.cell_backward(gates, c_before, c, dh, dc, dz)


def additive_weights(query: Tensor, keys: Tensor, att: Tensor, mask: Tensor, out: Tensor) -> None:
    """Softmax over the senders of :math:`\\mathbf{u}^\\top \\sigma(\\mathbf{q} + \\mathbf{k})`.

    Args:
        query: ``[n, Q, A]``.
        keys: ``[n, J, A]``.
        att: ``[A]``.
        mask: ``[n, Q, J]``, or 1 in the place of n or Q: where there is a sender.
        out: ``[n, Q, J]``, where the weights go; zeros where there is no sender.
    """
    _built.scores_forward(query, keys, att, mask, out)


def additive_backward(
    query: Tensor,
    keys: Tensor,
    att: Tensor,
    weights: Tensor,
    d_weights: Tensor,
    d_query: Tensor,
    d_keys: Tensor,
    d_att: Tensor,
) -> None:
    """Gradients of those weights.

    Args:
        query: ``[n, Q, A]``.
        keys: ``[n, J, A]``.
        att: ``[A]``.
        weights: ``[n, Q, J]``.
        d_weights: ``[n, Q, J]``, their gradient.
        d_query: ``[n, Q, A]``, where the queries' gradient goes.
        d_keys: ``[n, J, A]``, to which the keys' is added.
        d_att: ``[A]``, to which the vector's is added.
    """
    _built.scores_backward(query, keys, att, weights, d_weights, d_query, d_keys, d_att)
