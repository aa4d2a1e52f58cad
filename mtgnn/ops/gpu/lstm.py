"""Many steps of LSTMs that hear nobody, in Triton: one launch for all of them.

Sequences do not know of each other, so a program has some sequences of one block, and runs them
from the first step to the last by itself. Only its own threads wait for each other, between parts
of a step: states go through global memory, and stay in the caches on their way.
"""

from typing import Any

import triton
import triton.language as tl
from torch import Tensor

from ..layout import Chunk, Layout
from .launch import check, factor, launch, precision, sigmoid

_ROWS = 16  # sequences a program; the least that a product takes
_COLUMNS, _DEPTH = 32, 16  # of a part of a product
# What changes from call to call; else each new value might compile another kernel.
_CHANGES = ["first", "last", "width", "tiles"]
_Named = dict[str, Tensor | None]


def forward(
    layout: Layout,
    chunk: Chunk,
    projected: Tensor,
    weight: Tensor,
    h: Tensor,
    c: Tensor,
    hs: Tensor,
    cs: Tensor,
    gates: Tensor | None,
) -> None:
    """The steps of a chunk; those before it are done.

    Args:
        layout: The slots.
        chunk: The steps.
        projected: ``[G, columns, 4H]``, what words and biases add to the gates.
        weight: ``[G, 4H, H]``.
        h: ``[S, H]``, before the first step of all.
        c: Alike.
        hs: ``[L, H]``, where states go.
        cs: ``[L, H]``, where cells go; without ``gates`` ``[S, H]``, cells of now.
        gates: ``[L, 4H]``, where gates go, after their functions, or ``None``.
    """
    slots: _Named = {"h": h, "c": c}
    tokens: _Named = {"hs": hs}
    (slots if gates is None else tokens)["cs"] = cs
    _check(layout, chunk, weight, {"projected": projected}, slots, tokens, gates)
    _launch(
        _forward, layout, chunk, h,
        (projected, weight, h, c, hs, cs, cs if gates is None else gates), LEARNS=gates is not None,
    )  # fmt: skip


def backward(
    layout: Layout,
    chunk: Chunk,
    weight: Tensor,
    c: Tensor,
    cs: Tensor,
    gates: Tensor,
    grad_hs: Tensor | None,
    grad_end: Tensor | None,
    carry: Tensor,
    dc: Tensor,
    dz: Tensor,
) -> None:
    """Back through the steps of a chunk; those after it are done.

    Args:
        layout: The slots.
        chunk: The steps.
        weight: ``[G, 4H, H]``.
        c: ``[S, H]``, cells before the first step of all.
        cs: ``[L, H]``.
        gates: ``[L, 4H]``.
        grad_hs: ``[L, H]``, gradient of the states, or ``None``.
        grad_end: ``[S, H]``, gradient of the cells that slots end with, or ``None``.
        carry: ``[G, width, H]``, what comes back to the states; changed in place.
        dc: Alike, to the cells.
        dz: ``[G, columns, 4H]``, where the gradients of the gates go.
    """
    slots: _Named = {"c": c, "grad_end": grad_end}
    _check(layout, chunk, weight, {"dz": dz}, slots, {"cs": cs, "grad_hs": grad_hs}, gates)
    for tensor, name in ((carry, "carry"), (dc, "dc")):
        check(tensor, name, (layout.num_blocks, layout.width, c.size(1)))
    _launch(
        _backward, layout, chunk, c,
        (weight, c, cs, gates, cs if grad_hs is None else grad_hs,
         cs if grad_end is None else grad_end, carry, dc, dz),
        GIVEN=grad_hs is not None, ENDS=grad_end is not None,
    )  # fmt: skip


def _check(
    layout: Layout,
    chunk: Chunk,
    weight: Tensor,
    columns: _Named,
    slots: _Named,
    tokens: _Named,
    gates: Tensor | None,
) -> None:
    """Raise unless tensors of a chunk's columns, of slots and of tokens have their sizes."""
    size, blocks = weight.size(2), layout.num_blocks
    check(weight, "weight", (blocks, 4 * size, size))
    for named, sizes in (
        (columns, (blocks, chunk.columns[-1], 4 * size)),
        (slots, (layout.num_slots, size)),
        (tokens, (layout.num_tokens, size)),
        ({"gates": gates}, (layout.num_tokens, 4 * size)),
    ):
        for name, tensor in named.items():
            if tensor is not None:
                check(tensor, name, sizes)


def _launch(
    kernel: Any,
    layout: Layout,
    chunk: Chunk,
    like: Tensor,
    tensors: tuple[Tensor, ...],
    **options: bool,
) -> None:
    for tensor in tensors:
        if not tensor.is_contiguous():
            raise ValueError(f"expected contiguous tensors, got strides {tensor.stride()}")
    size, tiles = like.size(1), triton.cdiv(layout.width, _ROWS)
    columns = min(_COLUMNS, max(16, triton.next_power_of_2(size)))
    launch(
        kernel, (layout.num_blocks * tiles,), like, *tensors, layout.table, layout.sizes,
        layout.reach, chunk.first, chunk.last, chunk.columns[-1], layout.width, tiles,
        SIZE=size, ROWS=_ROWS, COLUMNS=columns, DEPTH=_DEPTH, PRECISION=precision(like),
        FACTOR=factor(like), **options,
    )  # fmt: skip


@triton.jit
def _end(longest, reach, row, width, last):
    """One more than the last step of a program: its block has no more, or all are narrower."""
    wide = tl.max(tl.load(reach + row, mask=row < width, other=0), 0)
    return tl.minimum(last, tl.minimum(tl.load(longest), wide))


@triton.jit
def _tokens(table, t, block, row):
    """Which of a program's rows have step t, and their tokens."""
    wide = tl.load(table + t * 3)
    return row < wide, (tl.load(table + t * 3 + 1) + block * wide + row).to(tl.int64)


@triton.jit(do_not_specialize=_CHANGES)
def _forward(
    projected, weight, h, c, hs, cs, gates, table, sizes, reach, first, last, columns,
    width, tiles,
    SIZE: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, DEPTH: tl.constexpr,
    PRECISION: tl.constexpr, FACTOR: tl.constexpr, LEARNS: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    block = (tl.program_id(0) // tiles).to(tl.int64)
    row = (tl.program_id(0) % tiles) * ROWS + tl.arange(0, ROWS)
    slot = block * width + row
    length = tl.load(sizes + slot, mask=row < width, other=0)
    matrix = weight + block * 4 * SIZE * SIZE
    begun = tl.load(table + first * 3 + 2)
    end = _end(sizes + block * width, reach, row, width, last)
    for t in range(first, end):
        there, token = _tokens(table, t, block, row)
        column = (tl.load(table + t * 3 + 2) - begun + row).to(tl.int64)
        states, cells = h + slot[:, None] * SIZE, c + slot[:, None] * SIZE
        if t > 0:
            _, before = _tokens(table, t - 1, block, row)
            states, cells = hs + before[:, None] * SIZE, cs + before[:, None] * SIZE
        if not LEARNS:
            cells = cs + slot[:, None] * SIZE
        for part in range(0, SIZE, COLUMNS):
            e = part + tl.arange(0, COLUMNS)
            inside = (e < SIZE)[None, :]
            here = there[:, None] & inside
            word = projected + (block * columns + column[:, None]) * (4 * SIZE) + e[None, :]
            i = tl.load(word, mask=here, other=0.0).to(WIDE)
            f = tl.load(word + SIZE, mask=here, other=0.0).to(WIDE)
            g = tl.load(word + 2 * SIZE, mask=here, other=0.0).to(WIDE)
            o = tl.load(word + 3 * SIZE, mask=here, other=0.0).to(WIDE)
            for deep in range(0, SIZE, DEPTH):
                d = deep + tl.arange(0, DEPTH)
                known = there[:, None] & (d < SIZE)[None, :]
                state = tl.load(states + d[None, :], mask=known, other=0.0).to(FACTOR)
                own, real = matrix + e[None, :] * SIZE + d[:, None], (d < SIZE)[:, None] & inside
                weights = tl.load(own, mask=real, other=0.0).to(FACTOR)
                i = tl.dot(state, weights, i, input_precision=PRECISION, out_dtype=WIDE)
                weights = tl.load(own + SIZE * SIZE, mask=real, other=0.0).to(FACTOR)
                f = tl.dot(state, weights, f, input_precision=PRECISION, out_dtype=WIDE)
                weights = tl.load(own + 2 * SIZE * SIZE, mask=real, other=0.0).to(FACTOR)
                g = tl.dot(state, weights, g, input_precision=PRECISION, out_dtype=WIDE)
                weights = tl.load(own + 3 * SIZE * SIZE, mask=real, other=0.0).to(FACTOR)
                o = tl.dot(state, weights, o, input_precision=PRECISION, out_dtype=WIDE)
            i, f, o = sigmoid(i), sigmoid(f), sigmoid(o)
            g = 2.0 * sigmoid(2.0 * g) - 1.0
            now = f * tl.load(cells + e[None, :], mask=here, other=0.0).to(WIDE) + i * g
            if LEARNS:
                gate = gates + token[:, None] * (4 * SIZE) + e[None, :]
                tl.store(gate, i, mask=here)
                tl.store(gate + SIZE, f, mask=here)
                tl.store(gate + 2 * SIZE, g, mask=here)
                tl.store(gate + 3 * SIZE, o, mask=here)
                tl.store(cs + token[:, None] * SIZE + e[None, :], now, mask=here)
            else:  # a filler goes on from a sequence that is over
                real = here & (length > t)[:, None]
                tl.store(cs + slot[:, None] * SIZE + e[None, :], now, mask=real)
            out = o * (2.0 * sigmoid(2.0 * now) - 1.0)
            tl.store(hs + token[:, None] * SIZE + e[None, :], out, mask=here)
        tl.debug_barrier()  # the next step reads what other threads have written


@triton.jit(do_not_specialize=_CHANGES)
def _backward(
    weight, c, cs, gates, grad_hs, grad_end, carry, dc, dz, table, sizes, reach, first, last,
    columns, width, tiles, SIZE: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
    DEPTH: tl.constexpr, PRECISION: tl.constexpr, FACTOR: tl.constexpr, GIVEN: tl.constexpr,
    ENDS: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    block = (tl.program_id(0) // tiles).to(tl.int64)
    row = (tl.program_id(0) % tiles) * ROWS + tl.arange(0, ROWS)
    slot = block * width + row
    length = tl.load(sizes + slot, mask=row < width, other=0)
    matrix = weight + block * 4 * SIZE * SIZE
    begun = tl.load(table + first * 3 + 2)
    end = _end(sizes + block * width, reach, row, width, last)
    for back in range(first, end):
        t = first + end - 1 - back
        there, token = _tokens(table, t, block, row)
        column = (tl.load(table + t * 3 + 2) - begun + row).to(tl.int64)
        gradient = dz + (block * columns + column[:, None]) * (4 * SIZE)
        cells = c + slot[:, None] * SIZE
        if t > 0:
            _, before = _tokens(table, t - 1, block, row)
            cells = cs + before[:, None] * SIZE
        for part in range(0, SIZE, COLUMNS):
            e = part + tl.arange(0, COLUMNS)
            here = there[:, None] & (e < SIZE)[None, :]
            gate = gates + token[:, None] * (4 * SIZE) + e[None, :]
            i = tl.load(gate, mask=here, other=0.0).to(WIDE)
            f = tl.load(gate + SIZE, mask=here, other=0.0).to(WIDE)
            g = tl.load(gate + 2 * SIZE, mask=here, other=0.0).to(WIDE)
            o = tl.load(gate + 3 * SIZE, mask=here, other=0.0).to(WIDE)
            was = tl.load(cells + e[None, :], mask=here, other=0.0).to(WIDE)
            place = token[:, None] * SIZE + e[None, :]
            now = tl.load(cs + place, mask=here, other=0.0).to(WIDE)
            kept = slot[:, None] * SIZE + e[None, :]
            d_state = tl.load(carry + kept, mask=here, other=0.0).to(WIDE)
            if GIVEN:
                d_state += tl.load(grad_hs + place, mask=here, other=0.0).to(WIDE)
            d = tl.load(dc + kept, mask=here, other=0.0).to(WIDE)
            if ENDS:
                final = here & (length == t + 1)[:, None]
                d += tl.load(grad_end + kept, mask=final, other=0.0).to(WIDE)
            bent = 2.0 * sigmoid(2.0 * now) - 1.0
            d += d_state * o * (1.0 - bent * bent)
            to = gradient + e[None, :]
            tl.store(to, d * g * i * (1.0 - i), mask=here)
            tl.store(to + SIZE, d * was * f * (1.0 - f), mask=here)
            tl.store(to + 2 * SIZE, d * i * (1.0 - g * g), mask=here)
            tl.store(to + 3 * SIZE, d_state * bent * o * (1.0 - o), mask=here)
            tl.store(dc + kept, d * f, mask=here)
        tl.debug_barrier()  # products read gradients of all gates
        for part in range(0, SIZE, COLUMNS):
            e = part + tl.arange(0, COLUMNS)
            inside = (e < SIZE)[None, :]
            total = tl.zeros([ROWS, COLUMNS], WIDE)
            for deep in range(0, 4 * SIZE, DEPTH):
                d = deep + tl.arange(0, DEPTH)
                real = (d < 4 * SIZE)[None, :]
                z = tl.load(gradient + d[None, :], mask=there[:, None] & real, other=0.0).to(FACTOR)
                own = matrix + d[:, None] * SIZE + e[None, :]
                weights = tl.load(own, mask=(d < 4 * SIZE)[:, None] & inside, other=0.0)
                weights = weights.to(FACTOR)
                total = tl.dot(z, weights, total, input_precision=PRECISION, out_dtype=WIDE)
            kept = slot[:, None] * SIZE + e[None, :]
            tl.store(carry + kept, total, mask=there[:, None] & inside)
        tl.debug_barrier()  # the step before reads what other threads have written
