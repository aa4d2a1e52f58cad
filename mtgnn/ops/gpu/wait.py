"""Programs of one launch that wait for each other, in Triton."""

import triton
import triton.language as tl


@triton.jit
def wait(arrived, count):
    """Go on when ``count`` programs have come here, those of earlier times counted too.

    What they wrote before can then be read. All of them have to run at the same time, which a
    cooperative launch makes sure of; else a program would wait for one that never starts.
    """
    tl.debug_barrier()  # all threads have written
    tl.atomic_add(arrived, 1, sem="acq_rel", scope="gpu")
    while tl.atomic_add(arrived, 0, sem="acq_rel", scope="gpu") < count:
        pass
    tl.debug_barrier()
