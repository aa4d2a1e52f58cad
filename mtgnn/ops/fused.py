"""The recurrence over fixed senders, with a backward pass of its own.

Equal to :func:`mtgnn.ops.recurrence.recur`, and much faster on a CPU: no graph of small operations
is recorded, weight gradients are one product per node after the loop, and the attention's scores
are computed anew instead of stored. (``torch.nn.LSTM`` on packed sequences is no way out: its
backward pass fills a gradient of the whole input with zeros at every step, quadratic in T.)
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .layout import Layout
from .recurrence import NodeWeights
from .senders import Senders, attend, attend_backward


class Query(NamedTuple):
    """Score parameters of the receivers, shared by all.

    Attributes:
        weight: ``[E + H, P·A]``, of the word and the state; E may be missing.
        bias: ``[P·A]`` for additive scores, else ``None``.
        att: ``[P, A]`` for additive scores, else ``None``: the score is a scaled dot product.
    """

    weight: Tensor
    bias: Tensor | None
    att: Tensor | None


def recur_fused(
    layout: Layout,
    source: Tensor,
    index: Tensor,
    h: Tensor,
    c: Tensor,
    weights: NodeWeights,
    query: Query | None = None,
    senders: Senders | None = None,
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Like :func:`~mtgnn.ops.recurrence.recur`; twice differentiable it is not.

    Args:
        layout: See there; so are ``source``, ``index``, ``h``, ``c``.
        source: ``[*, E]``.
        index: ``[L]``.
        h: ``[S, H]``.
        c: ``[S, H]``.
        weights: The nodes' parameters, without a gate.
        query: Score parameters; ``None``: no messages.
        senders: Who sends what.

    Returns:
        Hidden and cell states ``[L, H]``, and the attention weights: for edges ``[L, J, P]``, for
        a mailbox ``[S, T, T', P]``.
    """
    if weights.gate is not None:
        raise ValueError("the fused recurrence has no gated fusion")
    values = keys = weight = bias = att = None
    if query is not None and senders is not None:
        values, keys = senders.values, senders.keys
        weight, bias, att = query
    with torch.autocast(source.device.type, enabled=False):
        tensors = (source, h, c, weights.weight, weights.bias, values, keys, weight, bias, att)
        dtype = weights.weight.dtype
        cast = [None if value is None else value.to(dtype) for value in tensors]
        return _Recurrence.apply(*cast, index, layout, senders)


class _Recurrence(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        source: Tensor,
        h: Tensor,
        c: Tensor,
        weight: Tensor,
        bias: Tensor,
        values: Tensor | None,
        keys: Tensor | None,
        query_weight: Tensor | None,
        query_bias: Tensor | None,
        att: Tensor | None,
        index: Tensor,
        layout: Layout,
        senders: Senders | None,
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        slots, size = h.shape
        tokens = layout.num_tokens
        hs, cs = h.new_empty(slots + tokens, size), h.new_empty(slots + tokens, size)
        hs[:slots], cs[:slots] = h, c  # so that the state before a token is always a row
        gates = h.new_empty(tokens, 4 * size)
        matrices = [matrix.t() for matrix in weight]
        talk = None
        if senders is not None:
            assert values is not None and query_weight is not None
            talk = senders.start(values, keys, query_weight, query_bias, att, layout)
            talk.prepare()
        before = 0
        for t, width in enumerate(layout.widths):
            here = slice(layout.offsets[t], layout.offsets[t] + width)
            h_t, c_t = hs[before : before + width], cs[before : before + width]
            parts = [source.index_select(0, index[here]), h_t]
            if talk is not None:
                parts.append(attend(talk, t, here, parts[0], h_t))
            z = gates[here]
            z.copy_(layout.groups(width).product(torch.cat(parts, -1), matrices, bias))
            activate(z)
            before = slots + here.start
            i, f, g, o = z.chunk(4, -1)
            new_h, new_c = hs[before : before + width], cs[before : before + width]
            torch.mul(f, c_t, out=new_c).addcmul_(i, g)
            torch.tanh(new_c, out=new_h).mul_(o)
        alpha = None if talk is None else talk.alpha
        kept = (None,) * 3 if talk is None else (talk.query, talk.message, alpha)
        parameters = (values, keys, query_weight, query_bias, att)
        ctx.save_for_backward(source, weight, hs, cs, gates, index, *kept, *parameters)
        ctx.layout, ctx.senders = layout, senders
        ctx.set_materialize_grads(False)
        return hs[slots:], cs[slots:], alpha

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, grad_hs: Tensor | None, grad_cs: Tensor | None, grad_alpha: Tensor | None
    ) -> Any:
        source, weight, hs, cs, gates, index, *rest = ctx.saved_tensors
        layout: Layout = ctx.layout
        slots, size, inputs = layout.num_slots, hs.size(1), source.size(1)
        talk = None
        if ctx.senders is not None:
            talk = ctx.senders.start(*rest[3:], layout)
            talk.resume(*rest[:3], grad_alpha)
        dz = torch.empty_like(gates)
        d_source = torch.zeros_like(source)
        carry_h, carry_c = hs.new_zeros(slots, size), hs.new_zeros(slots, size)
        matrices = list(weight)
        for t in range(len(layout.widths) - 1, -1, -1):
            width = layout.widths[t]
            here = slice(layout.offsets[t], layout.offsets[t] + width)
            before = slots + layout.offsets[t - 1] if t else 0
            dh, dc = carry_h[:width], carry_c[:width]
            if grad_hs is not None:
                dh += grad_hs[here]
            if grad_cs is not None:
                dc += grad_cs[here]
            after = cs[slots + here.start : slots + here.stop]
            cell_backward(gates[here], cs[before : before + width], after, dh, dc, dz[here])
            d_in = layout.groups(width).product(dz[here], matrices)
            d_word = d_in[:, :inputs]
            dh.copy_(d_in[:, inputs : inputs + size])
            if talk is not None:
                d_state = attend_backward(talk, t, here, d_in[:, inputs + size :])
                dh += d_state[:, -size:]
                if d_state.size(1) > size:
                    d_word = d_word + d_state[:, :inputs]
            d_source.index_add_(0, index[here], d_word)
        states = _Products(source, hs, index, layout)
        message = None if talk is None else talk.message
        d_weight, d_bias = states.node_gradients(dz, message)
        grads: tuple[Tensor | None, ...] = (None,) * 5
        if talk is not None:
            sees_word = talk.weight.size(0) > size
            grads = (*talk.finish(), *states.query_gradients(talk, sees_word))
        return (d_source, carry_h, carry_c, d_weight, d_bias, *grads, None, None, None)


class _Products:
    """What every token read, for the weight gradients after the loop."""

    def __init__(self, source: Tensor, hs: Tensor, index: Tensor, layout: Layout) -> None:
        self.source, self.hs, self.index, self.layout = source, hs, index, layout
        slots = layout.num_slots
        start = torch.cat([layout.start.new_tensor([-slots]), layout.start[:-1]]) + slots
        self.before = start[layout.time] + layout.slot  # row of hs that a token started from

    def node_gradients(self, dz: Tensor, message: Tensor | None) -> tuple[Tensor, Tensor]:
        """Gradients of the nodes' weights ``[R, 4H, F]`` and biases ``[R, 4H]``."""
        rows = self.layout.num_rows
        row = self.layout.row[self.layout.slot]
        order = torch.argsort(row, stable=True) if rows > 1 else None
        sizes = [0] * rows
        for own, length in zip(self.layout.rows, self.layout.lengths, strict=True):
            sizes[own] += length
        weights, biases = [], []
        orders: Any = [slice(None)] if order is None else order.split(sizes)
        for tokens in orders:
            grad = dz[tokens]
            parts = [self.source[self.index[tokens]], self.hs[self.before[tokens]]]
            if message is not None:
                parts.append(message[tokens])
            weights.append(torch.cat([grad.t() @ part for part in parts], -1))
            biases.append(grad.sum(0))
        return torch.stack(weights), torch.stack(biases)

    def query_gradients(
        self, talk: Any, sees_word: bool
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Gradients of the query's weight, bias and the score's vector."""
        parts = [self.source[self.index]] if sees_word else []
        parts.append(self.hs[self.before])
        weight = torch.cat([part.t() @ talk.d_query for part in parts])
        additive = talk.att is not None
        return weight, talk.d_query.sum(0) if additive else None, talk.d_att if additive else None


def activate(z: Tensor) -> None:
    """Apply the gates' functions to ``z [..., 4H]`` in place."""
    size = z.size(-1) // 4
    z[..., : 2 * size].sigmoid_()
    z[..., 2 * size : 3 * size].tanh_()
    z[..., 3 * size :].sigmoid_()


def cell_backward(
    gates: Tensor, c_before: Tensor, c: Tensor, dh: Tensor, dc: Tensor, dz: Tensor
) -> None:
    """The gradient of a step's gates before their functions.

    Args:
        gates: ``[S, 4H]``, after their functions.
        c_before: ``[S, H]``, the cells that the step started from.
        c: ``[S, H]``, the cells it ended with.
        dh: ``[S, H]``, gradient of its hidden states.
        dc: ``[S, H]``, gradient of ``c``; changed in place into that of ``c_before``.
        dz: ``[S, 4H]``, where the result goes.
    """
    i, f, g, o = gates.chunk(4, -1)
    d_i, d_f, d_g, d_o = dz.chunk(4, -1)
    bent = torch.tanh(c)
    torch.mul(dh, bent, out=d_o)
    dc += torch.addcmul(dh, d_o, bent, value=-1) * o  # dh · o · (1 − tanh² c)
    torch.mul(dc, g, out=d_i)
    torch.mul(dc, c_before, out=d_f)
    torch.mul(dc, i, out=d_g)
    slope = torch.addcmul(gates, gates, gates, value=-1)  # σ' = σ (1 − σ)
    size = g.size(-1)
    torch.mul(g, g, out=slope[:, 2 * size : 3 * size])
    slope[:, 2 * size : 3 * size].neg_().add_(1)  # tanh' = 1 − tanh²
    dz *= slope
    dc *= f
