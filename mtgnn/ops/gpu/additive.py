"""Additive scores with their softmax in Triton. Their inside ``[n, Q, J, A]`` is never stored.

Forwards a program has one receiver, and walks over the channels a few at a time, with the scores of
all its senders at hand for the softmax.

Backwards a program has a few channels of all receivers and senders of one n: so the keys' gradient
is summed over the receivers in registers, and the query's over the senders. Only the vector's is a
sum over programs: each leaves its part, and a second launch adds these up, always in the same
order. Atomic additions would save that launch, but results would differ from run to run.
"""

import triton
import triton.language as tl
from torch import Tensor

from .launch import check, launch, sigmoid, wide_type

_TILE = 2048  # elements of the inside that a program has at hand
_CHANNELS = 32  # backwards at most, so that there are programs enough
_ROWS = 64  # of the vector's parts, that a program has at hand
# What changes from step to step; else each new value might compile another kernel.
_FORWARD = ["senders", "q_0", "q_1", "k_0", "k_1", "m_0", "m_1", "m_2"]
_FORWARD += ["out_0", "out_1", "out_2"]
_BACKWARD = [*_FORWARD[:5], "a_0", "a_1", "a_2", "da_0", "da_1", "da_2"]
_BACKWARD += ["dq_0", "dq_1", "dk_0", "dk_1"]


def forward(query: Tensor, keys: Tensor, att: Tensor, mask: Tensor | None, out: Tensor) -> None:
    """See :func:`mtgnn.ops.score.additive_weights`."""
    (n, receivers, senders), size = out.shape, att.size(0)
    check(query, "query", (n, receivers, size))
    check(keys, "keys", (n, senders, size))
    check(att, "att", (size,))
    masked = mask is not None
    heard = out if mask is None else mask.expand(out.shape)  # any tensor where none is read
    launch(
        _forward, (n * receivers,), query, query, keys, att, heard, out, senders,
        *query.stride()[:2], *keys.stride()[:2], *heard.stride(), *out.stride(),
        SIZE=size, RECEIVERS=receivers, MASKED=masked, **_tile(senders, size),
    )  # fmt: skip


def backward(
    query: Tensor,
    keys: Tensor,
    att: Tensor,
    alpha: Tensor,
    d_alpha: Tensor,
    d_query: Tensor,
    d_keys: Tensor,
    d_att: Tensor,
    add: bool,
) -> None:
    """See :func:`mtgnn.ops.score.additive_weights_backward`."""
    (n, receivers, senders), size = alpha.shape, att.size(0)
    for tensor, name in ((query, "query"), (d_query, "d_query")):
        check(tensor, name, (n, receivers, size))
    for tensor, name in ((keys, "keys"), (d_keys, "d_keys")):
        check(tensor, name, (n, senders, size))
    for tensor, name in ((att, "att"), (d_att, "d_att")):
        check(tensor, name, (size,))
    if d_alpha.shape != alpha.shape:
        raise ValueError(f"d_alpha: expected {tuple(alpha.shape)}, got {tuple(d_alpha.shape)}")
    tile = _tile(senders, min(size, _CHANNELS))
    parts = att.new_empty(n, size, dtype=wide_type(att))
    launch(
        _backward, (n, triton.cdiv(size, tile["CHANNELS"])), query,
        query, keys, att, alpha, d_alpha, d_query, d_keys, parts, senders,
        *query.stride()[:2], *keys.stride()[:2], *alpha.stride(), *d_alpha.stride(),
        *d_query.stride()[:2], *d_keys.stride()[:2],
        SIZE=size, RECEIVERS=receivers, ADD=add, **tile,
    )  # fmt: skip
    channels = min(16, triton.next_power_of_2(size))
    blocks = triton.next_power_of_2(triton.cdiv(n, _ROWS))  # few values, each one kernel
    launch(
        _add_rows, (triton.cdiv(size, channels),), query, parts, d_att, n,
        SIZE=size, BLOCKS=blocks, ROWS=_ROWS, CHANNELS=channels,
    )  # fmt: skip


def _tile(senders: int, size: int) -> dict[str, int]:
    """All senders, and as many channels as there is room for."""
    rows = triton.next_power_of_2(senders)
    channels = min(triton.next_power_of_2(size), max(1, _TILE // rows))
    return {"SENDERS": rows, "CHANNELS": channels}


@triton.jit(do_not_specialize=_FORWARD)
def _forward(
    query, keys, att, mask, out, senders, q_0, q_1, k_0, k_1, m_0, m_1, m_2,
    out_0, out_1, out_2, SIZE: tl.constexpr, RECEIVERS: tl.constexpr, MASKED: tl.constexpr,
    WIDE: tl.constexpr, SENDERS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    n = (tl.program_id(0) // RECEIVERS).to(tl.int64)
    q = (tl.program_id(0) % RECEIVERS).to(tl.int64)
    j = tl.arange(0, SENDERS)
    heard = j < senders
    if MASKED:
        heard = heard & (tl.load(mask + n * m_0 + q * m_1 + j * m_2, mask=heard, other=0) != 0)
    mine, theirs = query + n * q_0 + q * q_1, keys + n * k_0
    logits = tl.zeros([SENDERS], WIDE)
    for start in range(0, SIZE, CHANNELS):
        a = start + tl.arange(0, CHANNELS)
        vector = tl.load(att + a, mask=a < SIZE, other=0.0).to(WIDE)
        asked = tl.load(mine + a, mask=a < SIZE, other=0.0).to(WIDE)
        there = heard[:, None] & (a < SIZE)[None, :]
        key = tl.load(theirs + j[:, None] * k_1 + a[None, :], mask=there, other=0.0).to(WIDE)
        logits += tl.sum(vector[None, :] * sigmoid(asked[None, :] + key), 1)
    most = tl.max(tl.where(heard, logits, -float("inf")), 0)
    weights = tl.where(heard, tl.exp(tl.where(heard, logits - most, 0.0)), 0.0)
    total = tl.sum(weights, 0)
    weights = weights / tl.where(total == 0, 1.0, total)  # 0 where nobody is heard
    tl.store(out + n * out_0 + q * out_1 + j * out_2, weights, mask=j < senders)


@triton.jit(do_not_specialize=_BACKWARD)
def _backward(
    query, keys, att, alpha, d_alpha, d_query, d_keys, parts, senders,
    q_0, q_1, k_0, k_1, a_0, a_1, a_2, da_0, da_1, da_2, dq_0, dq_1, dk_0, dk_1,
    SIZE: tl.constexpr, RECEIVERS: tl.constexpr, ADD: tl.constexpr, WIDE: tl.constexpr,
    SENDERS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    n = tl.program_id(0).to(tl.int64)
    j = tl.arange(0, SENDERS)
    a = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    inside = a < SIZE
    there = (j < senders)[:, None] & inside[None, :]
    vector = tl.load(att + a, mask=inside, other=0.0).to(WIDE)
    theirs = keys + n * k_0 + j[:, None] * k_1 + a[None, :]
    key = tl.load(theirs, mask=there, other=0.0).to(WIDE)
    d_key = tl.zeros([SENDERS, CHANNELS], WIDE)
    d_vector = tl.zeros([CHANNELS], WIDE)
    for q in range(RECEIVERS):
        weights = alpha + n * a_0 + q * a_1 + j * a_2
        weight = tl.load(weights, mask=j < senders, other=0.0).to(WIDE)
        given = d_alpha + n * da_0 + q * da_1 + j * da_2
        d_weight = tl.load(given, mask=j < senders, other=0.0).to(WIDE)
        d_logit = weight * (d_weight - tl.sum(weight * d_weight, 0))
        asked = tl.load(query + n * q_0 + q * q_1 + a, mask=inside, other=0.0).to(WIDE)
        bent = sigmoid(asked[None, :] + key)
        d_vector += tl.sum(d_logit[:, None] * bent, 0)
        d_bent = d_logit[:, None] * bent * (1.0 - bent)
        d_key += d_bent
        tl.store(d_query + n * dq_0 + q * dq_1 + a, vector * tl.sum(d_bent, 0), mask=inside)
    to = d_keys + n * dk_0 + j[:, None] * dk_1 + a[None, :]
    if ADD:
        d_key += tl.load(to, mask=there, other=0.0).to(WIDE)
    else:
        d_key = d_key * vector[None, :]
    tl.store(to, d_key, mask=there)
    tl.store(parts + n * SIZE + a, d_vector, mask=inside)


@triton.jit(do_not_specialize=["count"])
def _add_rows(
    parts, total, count, SIZE: tl.constexpr, BLOCKS: tl.constexpr, ROWS: tl.constexpr,
    WIDE: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """Add the sum of ``parts [count, SIZE]`` over its rows to ``total [SIZE]``."""
    a = tl.program_id(0) * CHANNELS + tl.arange(0, CHANNELS)
    inside = a < SIZE
    sums = tl.zeros([ROWS, CHANNELS], WIDE)
    for block in range(BLOCKS):
        row = block * ROWS + tl.arange(0, ROWS)
        there = (row < count)[:, None] & inside[None, :]
        place = row[:, None].to(tl.int64) * SIZE + a[None, :]
        sums += tl.load(parts + place, mask=there, other=0.0)
    so_far = tl.load(total + a, mask=inside, other=0.0).to(WIDE)
    tl.store(total + a, so_far + tl.sum(sums, 0), mask=inside)
