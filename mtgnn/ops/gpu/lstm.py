"""Many steps of LSTMs that hear nobody, in Triton: one launch for all of them.

Sequences do not know of each other, so a program has some sequences of one block, and runs them
from the first step to the last by itself, see :mod:`~mtgnn.ops.gpu.tiles`.
"""

from typing import Any

import triton
import triton.language as tl
from torch import Tensor

from ..layout import Chunk, Layout
from .launch import check, check_contiguous, factor, launch, precision
from .tiles import DEPTH, ROWS, WARPS, cell, columns_of, slots_of, step_backward, tokens_of

# What changes from call to call; else each new value might compile another kernel.
_CHANGES = ["first", "last", "columns", "width", "tiles"]
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
    check_contiguous(tensors)
    size, tiles = like.size(1), triton.cdiv(layout.width, ROWS)
    launch(
        kernel, (layout.num_blocks * tiles,), like, *tensors, layout.table, layout.sizes,
        layout.reach, chunk.first, chunk.last, chunk.columns[-1], layout.width, tiles,
        SIZE=size, ROWS=ROWS, COLUMNS=columns_of(size), DEPTH=DEPTH, PRECISION=precision(like),
        FACTOR=factor(like), num_warps=WARPS, **options,
    )  # fmt: skip


@triton.jit(do_not_specialize=_CHANGES)
def _forward(
    projected, weight, h, c, hs, cs, gates, table, sizes, reach, first, last, columns,
    width, tiles,
    SIZE: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, DEPTH: tl.constexpr,
    PRECISION: tl.constexpr, FACTOR: tl.constexpr, LEARNS: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    block, row, slot, length, end = slots_of(sizes, reach, last, width, 0, tiles, ROWS)
    matrix = weight + block * 4 * SIZE * SIZE
    begun = tl.load(table + first * 3 + 2)
    for t in range(first, end):
        there, token = tokens_of(table, t, block, row)
        column = block * columns + tl.load(table + t * 3 + 2) - begun + row[:, None]
        states, was, now = h + slot * SIZE, c + slot * SIZE, cs + token * SIZE
        if t > 0:
            _, before = tokens_of(table, t - 1, block, row)
            states = hs + before * SIZE
            if LEARNS:
                was = cs + before * SIZE
        real = there
        if not LEARNS:  # a filler goes on from a sequence that is over
            was, now, real = cs + slot * SIZE, cs + slot * SIZE, there & (length > t)
        cell(
            projected + column * (4 * SIZE), states, matrix, states, matrix, was, now,
            gates + token * (4 * SIZE), hs + token * SIZE, there, real, SIZE, 0, ROWS, COLUMNS,
            DEPTH, PRECISION, FACTOR, LEARNS, WIDE,
        )  # fmt: skip
        tl.debug_barrier()  # the next step reads what other threads have written


@triton.jit(do_not_specialize=_CHANGES)
def _backward(
    weight, c, cs, gates, grad_hs, grad_end, carry, dc, dz, table, sizes, reach, first, last,
    columns, width, tiles, SIZE: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
    DEPTH: tl.constexpr, PRECISION: tl.constexpr, FACTOR: tl.constexpr, GIVEN: tl.constexpr,
    ENDS: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    block, row, slot, length, end = slots_of(sizes, reach, last, width, 0, tiles, ROWS)
    matrix = weight + block * 4 * SIZE * SIZE
    begun = tl.load(table + first * 3 + 2)
    for back in range(first, end):
        t = first + end - 1 - back
        there, token = tokens_of(table, t, block, row)
        column = block * columns + tl.load(table + t * 3 + 2) - begun + row[:, None]
        gradient, was = dz + column * (4 * SIZE), c + slot * SIZE
        if t > 0:
            _, before = tokens_of(table, t - 1, block, row)
            was = cs + before * SIZE
        step_backward(
            gates + token * (4 * SIZE), was, cs + token * SIZE, grad_hs + token * SIZE,
            grad_end + slot * SIZE, carry + slot * SIZE, dc + slot * SIZE, gradient, there,
            there & (length == t + 1), matrix, there, gradient, gradient, gradient, SIZE, 0, ROWS,
            COLUMNS, DEPTH, PRECISION, FACTOR, GIVEN, ENDS, False, False, WIDE,
        )  # fmt: skip
