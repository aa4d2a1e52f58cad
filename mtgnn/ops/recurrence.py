"""The LSTM of many nodes side by side, with messages: the plain path, by autograd.

Slots and tokens are those of :mod:`mtgnn.ops.layout`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import dropout as drop

from .layout import Layout

Channel = Callable[[int, Tensor, Tensor], tuple[Tensor, Tensor | None]]
"""A step's communication: ``(t, h [s, H], x [s, E]) → (message [s, C], weights [s, J, P])``."""


class NodeWeights(NamedTuple):
    """Parameters of R nodes; gate order i, f, g, o as in :class:`torch.nn.LSTM`.

    Attributes:
        weight: ``[R, 4H, E + H + C]``, weights of input, state and message side by side.
        bias: ``[R, 4H]``.
        gate: ``[R, C, H + C]``, for ``fusion="gated"``, else ``None``.
        gate_bias: ``[R, C]``.
    """

    weight: Tensor
    bias: Tensor
    gate: Tensor | None = None
    gate_bias: Tensor | None = None


def recur(
    layout: Layout,
    source: Tensor,
    index: Tensor,
    h: Tensor,
    c: Tensor,
    weights: NodeWeights,
    channel: Channel | None = None,
    message_dropout: float = 0.0,
) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Run every slot over its steps; at each, ``channel`` says what the nodes receive.

    Args:
        layout: The slots.
        source: ``[*, E]``, inputs.
        index: ``[L]``, the row of ``source`` that each token reads.
        h: ``[S, H]``, and ``c`` alike: the states before the first step.
        c: See ``h``.
        weights: The nodes' parameters.
        channel: The communication of one step; ``None``: no messages.
        message_dropout: Probability with which an element of a message is dropped.

    Returns:
        Hidden and cell states ``[L, H]``, and each step's attention weights, where there are any.
    """
    matrices = [matrix.t() for matrix in weights.weight]
    gates = None if weights.gate is None else [matrix.t() for matrix in weights.gate]
    hs, cs, alphas = [], [], []
    for t, (width, x) in enumerate(zip(layout.widths, index.split(layout.widths), strict=True)):
        word, h, c = source.index_select(0, x), h[:width], c[:width]
        groups = layout.groups(width)
        parts = [word, h]
        if channel is not None:
            message, alpha = channel(t, h, word)
            if gates is not None:
                opened = groups.product(torch.cat([h, message], -1), gates, weights.gate_bias)
                message = torch.sigmoid(opened) * message
            if message_dropout > 0:
                message = drop(message, message_dropout)
            parts.append(message.to(h.dtype))
            if alpha is not None:
                alphas.append(alpha)
        h, c = cell(groups.product(torch.cat(parts, -1), matrices, weights.bias), c)
        hs.append(h)
        cs.append(c)
    return torch.cat(hs), torch.cat(cs), alphas


def cell(z: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """The pointwise part of an LSTM step: gates ``z [..., 4H]`` and cells ``c [..., H]``."""
    i, f, g, o = z.chunk(4, dim=-1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c
