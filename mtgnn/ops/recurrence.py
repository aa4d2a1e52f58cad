"""The LSTM of many nodes side by side, with and without messages."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import dropout as drop
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

Channel = Callable[[int, Tensor], tuple[Tensor, Tensor | None]]
"""A step's communication: ``(t, h [R, M, H]) → (message [R, M, C], weights [R, M, J, P])``."""


class NodeWeights(NamedTuple):
    """Parameters of R nodes, stacked; gate order i, f, g, o as in :class:`torch.nn.LSTM`.

    Attributes:
        hidden: ``[R, H, 4H]``, recurrent weights.
        message: ``[R, C, 4H]``, message weights.
        gate: ``[R, H + C, C]``, for ``fusion="gated"``, else ``None``.
        gate_bias: ``[R, 1, C]``.
    """

    hidden: Tensor
    message: Tensor
    gate: Tensor | None
    gate_bias: Tensor | None


def recur(
    projected: Tensor,
    h: Tensor,
    c: Tensor,
    weights: NodeWeights,
    channel: Channel,
    message_dropout: float = 0.0,
) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Run R nodes over T steps; at each step, ``channel`` says what the nodes receive.

    Args:
        projected: ``[T, R, M, 4H]``, inputs times input weights, plus bias.
        h: ``[R, M, H]``, and ``c`` alike: the states before the first step.
        c: See ``h``.
        weights: The nodes' parameters.
        channel: The communication of one step.
        message_dropout: Probability with which an element of a message is dropped.

    Returns:
        Hidden and cell states ``[T, R, M, H]`` of every step, and the attention weights of every
        step, where the channel gives them.
    """
    joint = torch.cat([weights.hidden, weights.message], dim=1)
    hs, cs, alphas = [], [], []
    for t, z in enumerate(projected.unbind(0)):
        message, alpha = channel(t, h)
        if weights.gate is not None:
            assert weights.gate_bias is not None
            opened = torch.cat([h, message], -1) @ weights.gate + weights.gate_bias
            message = torch.sigmoid(opened) * message
        if message_dropout > 0:
            message = drop(message, message_dropout)
        h, c = cell(z + torch.cat([h, message.to(h.dtype)], -1) @ joint, c)
        hs.append(h)
        cs.append(c)
        if alpha is not None:
            alphas.append(alpha)
    return torch.stack(hs), torch.stack(cs), alphas


def cell(z: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """The pointwise part of an LSTM step: gates ``z [..., 4H]`` and cells ``c [..., H]``."""
    i, f, g, o = z.chunk(4, dim=-1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


def silent(
    x: Tensor, lengths: Tensor, h: Tensor, c: Tensor, parameters: list[Tensor]
) -> tuple[Tensor, Tensor, Tensor]:
    """One node without messages: a plain LSTM, run by torch's own kernel on packed sequences.

    Args:
        x: ``[M, T, E]``.
        lengths: ``[M]``, on the CPU.
        h: ``[M, H]``, and ``c`` alike: the states before the first step.
        c: See ``h``.
        parameters: ``weight_ih, weight_hh, bias_ih, bias_hh``.

    Returns:
        Hidden states ``[M, T, H]``, zero beyond the lengths, and the final ``h`` and ``c``.
    """
    packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    order, inverse = packed.sorted_indices, packed.unsorted_indices
    start = (h[order].unsqueeze(0), c[order].unsqueeze(0))
    data, h, c = torch._VF.lstm(  # what torch.nn.LSTM itself calls
        packed.data, packed.batch_sizes, start, parameters, True, 1, 0.0, False, False
    )
    out, _ = pad_packed_sequence(
        packed._replace(data=data), batch_first=True, total_length=x.size(1)
    )
    return out, h[0][inverse], c[0][inverse]
