"""Programs of one launch that wait for each other, in Triton."""

import triton
import triton.language as tl

APART = tl.constexpr(32)
"""Counters have a cache line each."""


@triton.jit
def wait(arrived, group, count):
    """Go on when ``count`` programs of a group have come here, those of earlier times counted too.

    What they wrote before can then be read. All of them have to run at the same time, which a
    cooperative launch makes sure of; else a program would wait for one that never starts.
    """
    counter = arrived + group * APART
    tl.debug_barrier()  # all threads have written
    tl.atomic_add(counter, 1, sem="release", scope="gpu")
    while tl.atomic_add(counter, 0, sem="acquire", scope="gpu") < count:
        pass
    tl.debug_barrier()
