"""Parts of kernels that run many steps a launch.

A program has ``ROWS`` sequences of one block, and takes them from step to step by itself. Between
parts of a step its own threads wait for each other (those of other programs only where nodes hear
each other, see :mod:`~mtgnn.ops.gpu.wait`): what one part leaves for the next goes through global
memory, and stays in the caches on its way. Pointers named in the plural, such as
``states``, are ``[ROWS, 1]``, one a sequence; so is ``there``, which of them have the step.
"""

import triton
import triton.language as tl

from .launch import sigmoid

ROWS = 16  # sequences a program; the least that a product takes
# Chosen by what compiles without spilling registers, for programs that are few and have long to go:
# no GPU has run them.
WARPS = 8
DEPTH = 16  # of a part of a product
_COLUMNS = 64  # alike


def columns_of(size: int) -> int:
    """How many of ``size`` columns a part of a product has."""
    columns: int = min(_COLUMNS, max(16, triton.next_power_of_2(size)))
    return columns


@triton.jit
def slots_of(sizes, reach, last, width, tile, tiles, ROWS: tl.constexpr):
    """Of a program its block and its rows there ``[ROWS]``; their slots and how long these are,
    ``[ROWS, 1]``; and one more than its last step: its block has no more, or all are narrower. A
    launch has ``tiles`` programs a block, for the rows from ``tile`` times ``ROWS`` on."""
    block = (tl.program_id(0) // tiles).to(tl.int64)
    row = (tile + tl.program_id(0) % tiles) * ROWS + tl.arange(0, ROWS)
    slot = (block * width + row)[:, None]
    length = tl.load(sizes + slot, mask=(row < width)[:, None], other=0)
    wide = tl.max(tl.load(reach + row, mask=row < width, other=0), 0)
    end = tl.minimum(last, tl.minimum(tl.load(sizes + block * width), wide))
    return block, row, slot, length, end


@triton.jit
def tokens_of(table, t, block, row):
    """Which of a program's rows have step t, and their tokens; both ``[ROWS, 1]``."""
    wide = tl.load(table + t * 3)
    token = (tl.load(table + t * 3 + 1) + block * wide + row).to(tl.int64)
    return (row < wide)[:, None], token[:, None]


@triton.jit
def product(
    total, rows, there, matrix, e, WIDTH: tl.constexpr, BY_DEPTH: tl.constexpr,
    BY_COLUMN: tl.constexpr, DEEP: tl.constexpr, DEPTH: tl.constexpr, PRECISION: tl.constexpr,
    FACTOR: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """Add columns ``e``, of ``WIDTH``, of the product of ``DEEP`` numbers a row with a matrix."""
    for deep in range(0, DEEP, DEPTH):
        d = deep + tl.arange(0, DEPTH)
        known = there & (d < DEEP)[None, :]
        left = tl.load(rows + d[None, :], mask=known, other=0.0).to(FACTOR)
        place = matrix + d[:, None] * BY_DEPTH + e[None, :] * BY_COLUMN
        real = (d < DEEP)[:, None] & (e < WIDTH)[None, :]
        right = tl.load(place, mask=real, other=0.0).to(FACTOR)
        total = tl.dot(left, right, total, input_precision=PRECISION, out_dtype=WIDE)
    return total


@triton.jit
def add_to_gates(
    i, f, g, o, rows, there, matrix, e, SIZE: tl.constexpr, DEEP: tl.constexpr,
    DEPTH: tl.constexpr, PRECISION: tl.constexpr, FACTOR: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """Add what ``DEEP`` numbers a row say to the gates of elements ``e``; matrix [4 SIZE, DEEP]."""
    for deep in range(0, DEEP, DEPTH):
        d = deep + tl.arange(0, DEPTH)
        known = there & (d < DEEP)[None, :]
        left = tl.load(rows + d[None, :], mask=known, other=0.0).to(FACTOR)
        place = matrix + e[None, :] * DEEP + d[:, None]
        real = (d < DEEP)[:, None] & (e < SIZE)[None, :]
        right = tl.load(place, mask=real, other=0.0).to(FACTOR)
        i = tl.dot(left, right, i, input_precision=PRECISION, out_dtype=WIDE)
        right = tl.load(place + SIZE * DEEP, mask=real, other=0.0).to(FACTOR)
        f = tl.dot(left, right, f, input_precision=PRECISION, out_dtype=WIDE)
        right = tl.load(place + 2 * SIZE * DEEP, mask=real, other=0.0).to(FACTOR)
        g = tl.dot(left, right, g, input_precision=PRECISION, out_dtype=WIDE)
        right = tl.load(place + 3 * SIZE * DEEP, mask=real, other=0.0).to(FACTOR)
        o = tl.dot(left, right, o, input_precision=PRECISION, out_dtype=WIDE)
    return i, f, g, o


@triton.jit
def cell(
    words, states, matrix, messages, hearing, was, now, gates, out, there, real,
    SIZE: tl.constexpr, HEARD: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
    DEPTH: tl.constexpr, PRECISION: tl.constexpr, FACTOR: tl.constexpr, LEARNS: tl.constexpr,
    WIDE: tl.constexpr,
):  # fmt: skip
    """A step of the LSTM: from words, states and ``HEARD`` numbers of messages to ``out`` and, of
    real rows, cells ``now``."""
    for part in range(0, SIZE, COLUMNS):
        e = part + tl.arange(0, COLUMNS)
        here = there & (e < SIZE)[None, :]
        word = words + e[None, :]
        i = tl.load(word, mask=here, other=0.0).to(WIDE)
        f = tl.load(word + SIZE, mask=here, other=0.0).to(WIDE)
        g = tl.load(word + 2 * SIZE, mask=here, other=0.0).to(WIDE)
        o = tl.load(word + 3 * SIZE, mask=here, other=0.0).to(WIDE)
        i, f, g, o = add_to_gates(
            i, f, g, o, states, there, matrix, e, SIZE, SIZE, DEPTH, PRECISION, FACTOR, WIDE
        )
        if HEARD > 0:
            i, f, g, o = add_to_gates(
                i, f, g, o, messages, there, hearing, e, SIZE, HEARD, DEPTH, PRECISION, FACTOR,
                WIDE,
            )  # fmt: skip
        i, f, o = sigmoid(i), sigmoid(f), sigmoid(o)
        g = 2.0 * sigmoid(2.0 * g) - 1.0
        new = f * tl.load(was + e[None, :], mask=here, other=0.0).to(WIDE) + i * g
        if LEARNS:
            gate = gates + e[None, :]
            tl.store(gate, i, mask=here)
            tl.store(gate + SIZE, f, mask=here)
            tl.store(gate + 2 * SIZE, g, mask=here)
            tl.store(gate + 3 * SIZE, o, mask=here)
        tl.store(now + e[None, :], new, mask=here & real)
        tl.store(out + e[None, :], o * (2.0 * sigmoid(2.0 * new) - 1.0), mask=here)


@triton.jit
def _cell_backward(
    gates, was, now, given, given_end, carry, dc, gradient, there, final, SIZE: tl.constexpr,
    COLUMNS: tl.constexpr, GIVEN: tl.constexpr, ENDS: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """Gradients of a step's gates, and in ``dc`` of the cells before it; ``final``: rows that end
    here."""
    for part in range(0, SIZE, COLUMNS):
        e = (part + tl.arange(0, COLUMNS))[None, :]
        here = there & (e < SIZE)
        i = tl.load(gates + e, mask=here, other=0.0).to(WIDE)
        f = tl.load(gates + SIZE + e, mask=here, other=0.0).to(WIDE)
        g = tl.load(gates + 2 * SIZE + e, mask=here, other=0.0).to(WIDE)
        o = tl.load(gates + 3 * SIZE + e, mask=here, other=0.0).to(WIDE)
        before = tl.load(was + e, mask=here, other=0.0).to(WIDE)
        after = tl.load(now + e, mask=here, other=0.0).to(WIDE)
        d_state = tl.load(carry + e, mask=here, other=0.0).to(WIDE)
        if GIVEN:
            d_state += tl.load(given + e, mask=here, other=0.0).to(WIDE)
        d = tl.load(dc + e, mask=here, other=0.0).to(WIDE)
        if ENDS:
            d += tl.load(given_end + e, mask=here & final, other=0.0).to(WIDE)
        bent = 2.0 * sigmoid(2.0 * after) - 1.0
        d += d_state * o * (1.0 - bent * bent)
        tl.store(gradient + e, d * g * i * (1.0 - i), mask=here)
        tl.store(gradient + SIZE + e, d * before * f * (1.0 - f), mask=here)
        tl.store(gradient + 2 * SIZE + e, d * i * (1.0 - g * g), mask=here)
        tl.store(gradient + 3 * SIZE + e, d_state * bent * o * (1.0 - o), mask=here)
        tl.store(dc + e, d * f, mask=here)


@triton.jit
def step_backward(
    gates, was, now, given, given_end, carry, dc, gradient, there, final, matrix, read,
    given_messages, keep_messages, sent, SIZE: tl.constexpr, HEARD: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, DEPTH: tl.constexpr, PRECISION: tl.constexpr,
    FACTOR: tl.constexpr, GIVEN: tl.constexpr, ENDS: tl.constexpr, SAID: tl.constexpr,
    DROPS: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """Back through the LSTM of a step: gradients of gates, in ``carry`` and ``dc`` of states and
    cells before it, and in ``sent`` of the ``HEARD`` numbers of messages, in rows that ``read``.
    ``matrix`` has the weights of both, ``[4 SIZE, SIZE + HEARD]``."""
    BOTH: tl.constexpr = SIZE + HEARD
    _cell_backward(
        gates, was, now, given, given_end, carry, dc, gradient, there, final, SIZE, COLUMNS, GIVEN,
        ENDS, WIDE,
    )  # fmt: skip
    tl.debug_barrier()  # products read gradients of all gates
    for part in range(0, SIZE, COLUMNS):
        e = part + tl.arange(0, COLUMNS)
        d_state = product(
            tl.zeros([ROWS, COLUMNS], WIDE), gradient, there, matrix, e, SIZE, BOTH, 1, 4 * SIZE,
            DEPTH, PRECISION, FACTOR, WIDE,
        )  # fmt: skip
        tl.store(carry + e[None, :], d_state, mask=there & (e < SIZE)[None, :])
    for part in range(0, HEARD, COLUMNS):
        e = part + tl.arange(0, COLUMNS)
        d_message = product(
            tl.zeros([ROWS, COLUMNS], WIDE), gradient, there, matrix + SIZE, e, HEARD, BOTH, 1,
            4 * SIZE, DEPTH, PRECISION, FACTOR, WIDE,
        )  # fmt: skip
        here = read & (e < HEARD)[None, :]
        if SAID:
            d_message += tl.load(given_messages + e[None, :], mask=here, other=0.0).to(WIDE)
        if DROPS:
            d_message *= tl.load(keep_messages + e[None, :], mask=here, other=0.0).to(WIDE)
        tl.store(sent + e[None, :], d_message, mask=here)
    tl.debug_barrier()
