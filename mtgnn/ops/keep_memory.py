"""Memory of large tensors, kept for the next ones."""

from __future__ import annotations

import ctypes
import platform

# Of malloc.h: what mallopt sets, and to what.
_OPTIONS = {
    -4: 0,  # M_MMAP_MAX: no block comes straight from the system
    -1: -1,  # M_TRIM_THRESHOLD: no free memory goes back to it
    -2: 1 << 28,  # M_TOP_PAD: so many bytes more are asked for at once
}


def keep_memory() -> bool:
    """Let this process keep the memory that large tensors on the CPU leave behind.

    A program that trains gets and frees the same large tensors at every step, and on Linux the
    system hands out their pages one by one, zeroed, every time: a fifth of a training step may go
    into that. From this call on the C library keeps what is freed, and the process does not
    shrink. It is for programs that train, and holds for all that they do: no layer calls it.

    Returns:
        Whether it could: False where the C library is not glibc, and nothing is changed.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return all(mallopt(option, value) == 1 for option, value in _OPTIONS.items())
