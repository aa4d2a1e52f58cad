"""The pointwise part of an LSTM step in Triton: one launch forwards, one backwards.

Elements ``[blocks, width, H]`` are counted through and dealt out to programs. Blocks and rows may
lie at any distance from each other.
"""

import triton
import triton.language as tl
from torch import Tensor

from .launch import check, launch, sigmoid

_BLOCK = 256  # elements a program
# What changes from step to step; else each new value might compile another kernel.
_FORWARD = ["total", "width", "z_0", "z_1", "was_0", "was_1", "c_0", "c_1", "h_0", "h_1"]
_BACKWARD = [*_FORWARD[:8], "dh_0", "dh_1", "dc_0", "dc_1", "dz_0", "dz_1"]


def forward(z: Tensor, c_before: Tensor, c: Tensor, h: Tensor) -> None:
    """See :func:`mtgnn.ops.pointwise.cell_forward`."""
    sizes, size = c.shape, c.size(2)
    check(z, "z", (*sizes[:2], 4 * size))
    rows = (c_before, c, h)
    for tensor, name in zip(rows, ("c_before", "c", "h"), strict=True):
        check(tensor, name, sizes)
    _launch(_forward, (z, *rows), c)


def backward(
    gates: Tensor, c_before: Tensor, c: Tensor, dh: Tensor, dc: Tensor, dz: Tensor
) -> None:
    """See :func:`mtgnn.ops.pointwise.cell_backward`."""
    sizes, size = c.shape, c.size(2)
    check(gates, "gates", (*sizes[:2], 4 * size))
    check(dz, "dz", (*sizes[:2], 4 * size))
    rows = (c_before, c, dh, dc)
    for tensor, name in zip(rows, ("c_before", "c", "dh", "dc"), strict=True):
        check(tensor, name, sizes)
    _launch(_backward, (gates, *rows, dz), c)


def _launch(kernel: object, tensors: tuple[Tensor, ...], c: Tensor) -> None:
    total = c.numel()
    strides = [stride for tensor in tensors for stride in tensor.stride()[:2]]
    grid = (triton.cdiv(total, _BLOCK),)
    launch(kernel, grid, c, *tensors, total, c.size(1), *strides, SIZE=c.size(2), BLOCK=_BLOCK)


@triton.jit
def _places(total, width, SIZE: tl.constexpr, BLOCK: tl.constexpr):
    """Block, row, place in it, and whether they are there, of this program's elements."""
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    row = at // SIZE
    return (row // width).to(tl.int64), (row % width).to(tl.int64), at % SIZE, at < total


@triton.jit(do_not_specialize=_FORWARD)
def _forward(
    z, was, c, h, total, width, z_0, z_1, was_0, was_1, c_0, c_1, h_0, h_1,
    SIZE: tl.constexpr, BLOCK: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    block, row, e, there = _places(total, width, SIZE, BLOCK)
    gate = z + block * z_0 + row * z_1 + e
    i = sigmoid(tl.load(gate, mask=there, other=0.0).to(WIDE))
    f = sigmoid(tl.load(gate + SIZE, mask=there, other=0.0).to(WIDE))
    g = 2.0 * sigmoid(2.0 * tl.load(gate + 2 * SIZE, mask=there, other=0.0).to(WIDE)) - 1.0
    o = sigmoid(tl.load(gate + 3 * SIZE, mask=there, other=0.0).to(WIDE))
    before = tl.load(was + block * was_0 + row * was_1 + e, mask=there, other=0.0).to(WIDE)
    now = f * before + i * g
    tl.store(gate, i, mask=there)
    tl.store(gate + SIZE, f, mask=there)
    tl.store(gate + 2 * SIZE, g, mask=there)
    tl.store(gate + 3 * SIZE, o, mask=there)
    tl.store(c + block * c_0 + row * c_1 + e, now, mask=there)
    state = o * (2.0 * sigmoid(2.0 * now) - 1.0)
    tl.store(h + block * h_0 + row * h_1 + e, state, mask=there)


@triton.jit(do_not_specialize=_BACKWARD)
def _backward(
    gates, was, c, dh, dc, dz, total, width, z_0, z_1, was_0, was_1, c_0, c_1,
    dh_0, dh_1, dc_0, dc_1, dz_0, dz_1,
    SIZE: tl.constexpr, BLOCK: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    block, row, e, there = _places(total, width, SIZE, BLOCK)
    gate = gates + block * z_0 + row * z_1 + e
    i = tl.load(gate, mask=there, other=0.0).to(WIDE)
    f = tl.load(gate + SIZE, mask=there, other=0.0).to(WIDE)
    g = tl.load(gate + 2 * SIZE, mask=there, other=0.0).to(WIDE)
    o = tl.load(gate + 3 * SIZE, mask=there, other=0.0).to(WIDE)
    before = tl.load(was + block * was_0 + row * was_1 + e, mask=there, other=0.0).to(WIDE)
    now = tl.load(c + block * c_0 + row * c_1 + e, mask=there, other=0.0).to(WIDE)
    d_state = tl.load(dh + block * dh_0 + row * dh_1 + e, mask=there, other=0.0).to(WIDE)
    cell = dc + block * dc_0 + row * dc_1 + e
    bent = 2.0 * sigmoid(2.0 * now) - 1.0
    d = tl.load(cell, mask=there, other=0.0).to(WIDE) + d_state * o * (1.0 - bent * bent)
    to = dz + block * dz_0 + row * dz_1 + e
    tl.store(to, d * g * i * (1.0 - i), mask=there)
    tl.store(to + SIZE, d * before * f * (1.0 - f), mask=there)
    tl.store(to + 2 * SIZE, d * i * (1.0 - g * g), mask=there)
    tl.store(to + 3 * SIZE, d_state * bent * o * (1.0 - o), mask=there)
    tl.store(cell, d * f, mask=there)
