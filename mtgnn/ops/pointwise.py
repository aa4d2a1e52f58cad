"""The pointwise part of an LSTM step, forward and backward, in place where that is possible."""

from __future__ import annotations

import torch
from torch import Tensor

from . import gpu

LARGE = 1 << 14
"""Elements from which four passes with a sigmoid beat one with a tanh on a CPU."""


def tanh_(x: Tensor) -> Tensor:
    """``x.tanh_()``. On a CPU torch's tanh takes six times as long as its sigmoid, so for many
    elements it is tanh x = 2 σ(2x) − 1."""
    if x.is_cuda or x.numel() < LARGE:
        return x.tanh_()
    return x.mul_(2).sigmoid_().mul_(2).sub_(1)


def cell_forward(z: Tensor, c_before: Tensor, c: Tensor, h: Tensor) -> None:
    """One step of an LSTM; gate order i, f, g, o.

    Args:
        z: ``[…, 4H]``, the gates before their functions; changed in place into those after.
        c_before: ``[…, H]``.
        c: ``[…, H]``, where the cells go.
        h: ``[…, H]``, where the states go.
    """
    if z.dim() == 3 and gpu.serves(z):
        gpu.cell_forward(z, c_before, c, h)
        return
    size = c.size(-1)
    g = z[..., 2 * size : 3 * size]
    g.mul_(2)  # tanh by the sigmoid of all gates at once
    z.sigmoid_()
    g.mul_(2).sub_(1)
    i, f, _, o = z.chunk(4, -1)
    torch.mul(f, c_before, out=c).addcmul_(i, g)
    tanh_(h.copy_(c)).mul_(o)


def cell_backward(
    gates: Tensor, c_before: Tensor, c: Tensor, dh: Tensor, dc: Tensor, dz: Tensor
) -> None:
    """The gradient of a step's gates before their functions.

    Args:
        gates: ``[…, 4H]``, after their functions.
        c_before: ``[…, H]``, the cells that the step started from.
        c: ``[…, H]``, the cells it ended with.
        dh: ``[…, H]``, gradient of its states.
        dc: ``[…, H]``, gradient of ``c``; changed in place into that of ``c_before``.
        dz: ``[…, 4H]``, where the result goes.
    """
    if gates.dim() == 3 and gpu.serves(gates):
        gpu.cell_backward(gates, c_before, c, dh, dc, dz)
        return
    size = c.size(-1)
    i, f, g, o = gates.chunk(4, -1)
    d_i, d_f, d_g, d_o = dz.chunk(4, -1)
    bent = tanh_(c.clone())
    torch.mul(dh, bent, out=d_o)
    dc.addcmul_(torch.addcmul(dh, d_o, bent, value=-1), o)  # dh · o · (1 − tanh² c)
    torch.mul(dc, g, out=d_i)
    torch.mul(dc, c_before, out=d_f)
    torch.mul(dc, i, out=d_g)
    dc.mul_(f)
    aten = torch.ops.aten
    for gate, grad in ((gates[..., : 2 * size], dz[..., : 2 * size]), (o, d_o)):
        aten.sigmoid_backward.grad_input(grad, gate, grad_input=grad)
    aten.tanh_backward.grad_input(d_g, g, grad_input=d_g)
