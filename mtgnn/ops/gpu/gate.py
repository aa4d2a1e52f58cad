"""Gated fusion within a step in Triton: a gate opens what a row received.

``gate`` is a block's matrix ``[C, H + C]``, of states and what was received. Pointers in the plural
are as in :mod:`~mtgnn.ops.gpu.attend`.
"""

import triton
import triton.language as tl

from .attend import of_row
from .launch import sigmoid
from .tiles import product


@triton.jit
def open_gate(
    states, received, there, gate, bias, opened, keep_messages, messages, SIZE: tl.constexpr,
    HEARD: tl.constexpr, DROPS: tl.constexpr, COLUMNS: tl.constexpr, DEPTH: tl.constexpr,
    PRECISION: tl.constexpr, FACTOR: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """How far gates are ``opened``, and the messages that they let through, after dropout."""
    BOTH: tl.constexpr = SIZE + HEARD
    for part in range(0, HEARD, COLUMNS):
        e = part + tl.arange(0, COLUMNS)
        here = there & (e < HEARD)[None, :]
        total = tl.load(bias + e[None, :], mask=here, other=0.0).to(WIDE)
        total = product(
            total, states, there, gate, e, HEARD, 1, BOTH, SIZE, DEPTH, PRECISION, FACTOR, WIDE
        )
        total = product(
            total, received, there, gate + SIZE, e, HEARD, 1, BOTH, HEARD, DEPTH, PRECISION,
            FACTOR, WIDE,
        )  # fmt: skip
        through = sigmoid(total)
        tl.store(opened + e[None, :], through, mask=here)
        through *= of_row(received, there, e, HEARD, WIDE)
        if DROPS:
            through *= of_row(keep_messages, there, e, HEARD, WIDE)
        tl.store(messages + e[None, :], through, mask=here)


@triton.jit
def gate_backward(
    sent, received, opened, read, there, gate, d_opened, carry, SIZE: tl.constexpr,
    HEARD: tl.constexpr, COLUMNS: tl.constexpr, DEPTH: tl.constexpr, PRECISION: tl.constexpr,
    FACTOR: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """From the gradient of messages, in ``sent``, that of what was received, in its place, that of
    gates before their function, and what comes back to ``carry``. Rows that do not ``read``
    received zeros: nothing comes back through their gates."""
    BOTH: tl.constexpr = SIZE + HEARD
    for part in range(0, HEARD, COLUMNS):
        e = part + tl.arange(0, COLUMNS)
        d_message, through = (
            of_row(sent, read, e, HEARD, WIDE),
            of_row(opened, read, e, HEARD, WIDE),
        )
        back = d_message * of_row(received, read, e, HEARD, WIDE) * through * (1.0 - through)
        inside = (e < HEARD)[None, :]
        tl.store(d_opened + e[None, :], back, mask=there & inside)
        tl.store(sent + e[None, :], d_message * through, mask=read & inside)
    tl.debug_barrier()  # products read what other threads have written
    for part in range(0, SIZE, COLUMNS):
        e = part + tl.arange(0, COLUMNS)
        total = product(
            of_row(carry, there, e, SIZE, WIDE), d_opened, there, gate, e, SIZE, BOTH, 1, HEARD,
            DEPTH, PRECISION, FACTOR, WIDE,
        )  # fmt: skip
        tl.store(carry + e[None, :], total, mask=there & (e < SIZE)[None, :])
    for part in range(0, HEARD, COLUMNS):
        e = part + tl.arange(0, COLUMNS)
        total = product(
            of_row(sent, read, e, HEARD, WIDE), d_opened, there, gate + SIZE, e, HEARD, BOTH, 1,
            HEARD, DEPTH, PRECISION, FACTOR, WIDE,
        )  # fmt: skip
        tl.store(sent + e[None, :], total, mask=read & (e < HEARD)[None, :])
    tl.debug_barrier()
