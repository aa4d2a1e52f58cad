"""The LSTM of many nodes side by side, with messages: the plain path, by autograd.

Slots, blocks and tokens are those of :mod:`mtgnn.ops.layout`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import dropout as drop

from .layout import Layout
from .ran import note
from .words import Words

Channel = Callable[[int, Tensor, Tensor], tuple[Tensor, Tensor | None]]
"""A step's communication, over the s = blocks · width slots that have it:
``(t, h [s, H], x [s, E]) → (message [s, C], weights [s, J, P])``."""


class NodeWeights(NamedTuple):
    """Parameters of R rows; gate order i, f, g, o as in :class:`torch.nn.LSTM`.

    Attributes:
        input: ``[R, 4H, E]``.
        state: ``[R, 4H, H]``.
        message: ``[R, 4H, C]``, or ``None`` where nothing is received.
        bias: ``[R, 4H]``; ``by_slot`` ``[S, 4H]``.
        gate: ``[R, C, H + C]``, for ``fusion="gated"``, else ``None``.
        gate_bias: ``[R, C]``.
        by_slot: Whether each slot has a bias of its own: the nodes of a row differ in these alone.
    """

    input: Tensor
    state: Tensor
    message: Tensor | None
    bias: Tensor
    gate: Tensor | None = None
    gate_bias: Tensor | None = None
    by_slot: bool = False

    def of_blocks(self, block_row: Tensor | None) -> NodeWeights:
        """The parameters of each block; see :attr:`Layout.block_row`."""
        if block_row is None:
            return self
        of_rows = ("input", "state", "message", "gate", "gate_bias", *["bias"] * (not self.by_slot))
        there = {name: getattr(self, name) for name in of_rows if getattr(self, name) is not None}
        own: Any = {name: weight.index_select(0, block_row) for name, weight in there.items()}
        return self._replace(**own)


def recur(
    layout: Layout,
    words: Words,
    h: Tensor,
    c: Tensor,
    weights: NodeWeights,
    channel: Channel | None = None,
    message_dropout: float = 0.0,
) -> tuple[Tensor, Tensor, Tensor | None, list[Tensor]]:
    """Run every slot over its steps; at each, ``channel`` says what the nodes receive.

    Args:
        layout: The slots.
        words: What they read.
        h: ``[S, H]``, and ``c`` alike: the states before the first step.
        c: See ``h``.
        weights: The nodes' parameters.
        channel: The communication of one step; ``None``: no messages.
        message_dropout: Probability with which an element of a message is dropped.

    Returns:
        Hidden states ``[L, H]``, the cells ``[S, H]`` that slots end with, the messages ``[L, C]``
        as the gates took them, and each step's attention weights, where there are any.
    """
    note("reference")
    own = weights.of_blocks(layout.block_row)
    h, c = (state.view(layout.num_blocks, layout.width, -1) for state in (h, c))
    bias = own.bias.view(layout.num_blocks, layout.width if own.by_slot else 1, -1)
    hs, cs, messages, alphas = [], [], [], []
    for t, (blocks, width, _, _) in enumerate(layout.steps):
        word, h, c = words.at(layout, t), h[:blocks, :width], c[:blocks, :width]
        bias = bias[
            :blocks, :width
        ]  # anew of the last one, as of h: that is cheaper on the way back
        z = _linear(word, own.input) + _linear(h, own.state) + bias
        if channel is not None:
            assert own.message is not None
            flat, alpha = channel(t, h.flatten(0, 1), word.flatten(0, 1))
            message = flat.view(blocks, width, -1)
            if own.gate is not None and own.gate_bias is not None:
                opened = _linear(torch.cat([h, message], -1), own.gate)
                message = torch.sigmoid(opened + own.gate_bias[:blocks].unsqueeze(1)) * message
            if message_dropout > 0:
                message = drop(message, message_dropout)
            message = message.to(h.dtype)
            messages.append(message.flatten(0, 1))
            z = z + _linear(message, own.message)
            if alpha is not None:
                alphas.append(alpha)
        h, c = cell(z, c)
        hs.append(h.flatten(0, 1))
        cs.append(c.flatten(0, 1))
    end = torch.cat(cs)[layout.final]
    return torch.cat(hs), end, torch.cat(messages) if messages else None, alphas


def cell(z: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """The pointwise part of an LSTM step: gates ``z [..., 4H]`` and cells ``c [..., H]``."""
    i, f, g, o = z.chunk(4, dim=-1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


def _linear(x: Tensor, weight: Tensor) -> Tensor:
    """Blocks ``[blocks, width, F]`` times the first of their weights ``[G, O, F]``."""
    return torch.bmm(x, weight[: x.size(0)].mT)
