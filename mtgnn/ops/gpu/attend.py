"""What a row receives from its box of known states, and the way back: parts of a step in Triton.

A row is a sequence of a program, see :mod:`~mtgnn.ops.gpu.tiles`; its box has up to ``end``
positions. Pointers in the plural are ``[ROWS, 1]``: of a row's box (``keys``, ``values``,
``mask``), of its weights, or of what it asks; ``by_key`` and the like say how far apart the places
of a box are. ``there`` are the rows whose box is read.
"""

import triton
import triton.language as tl

from .launch import sigmoid
from .tiles import product

PLACES, CHANNELS = 16, 32  # of a box, and of a key, that a program has at hand


@triton.jit
def heard_in(mask, there, j, end):
    """Where the boxes have states, ``[ROWS, PLACES]``."""
    here = there & (j < end)[None, :]
    return here & (tl.load(mask + j[None, :], mask=here, other=0) != 0)


@triton.jit
def of_box(states, by_place, heard, j, e, SIZE: tl.constexpr, WIDE: tl.constexpr):
    """Elements ``e``, of ``SIZE``, of what is at places j, ``[ROWS, PLACES, …]``."""
    at = states[:, :, None] + j[None, :, None] * by_place + e[None, None, :]
    here = heard[:, :, None] & (e < SIZE)[None, None, :]
    return tl.load(at, mask=here, other=0.0).to(WIDE)


@triton.jit
def of_row(numbers, there, e, SIZE: tl.constexpr, WIDE: tl.constexpr):
    """Elements ``e``, of ``SIZE``, of a row's own numbers, ``[ROWS, …]``."""
    here = there & (e < SIZE)[None, :]
    return tl.load(numbers + e[None, :], mask=here, other=0.0).to(WIDE)


@triton.jit
def ask(
    words, states, there, matrix, by_depth, asked, ASKED: tl.constexpr, SIZE: tl.constexpr,
    WORDS: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, DEPTH: tl.constexpr,
    PRECISION: tl.constexpr, FACTOR: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """Queries of all heads, from what words ask and from states; without words, keys."""
    for part in range(0, ASKED, COLUMNS):
        a = part + tl.arange(0, COLUMNS)
        query = tl.zeros([ROWS, COLUMNS], WIDE)
        if WORDS:
            query = of_row(words, there, a, ASKED, WIDE)
        query = product(
            query, states, there, matrix, a, ASKED, by_depth, 1, SIZE, DEPTH, PRECISION, FACTOR,
            WIDE,
        )  # fmt: skip
        tl.store(asked + a[None, :], query, mask=there & (a < ASKED)[None, :])


@triton.jit
def weigh(
    asked, att, keys, by_key, mask, there, end, scratch, alpha, by_weight, SIZE: tl.constexpr,
    ASKS: tl.constexpr, ADDITIVE: tl.constexpr, ROWS: tl.constexpr, PLACES: tl.constexpr,
    CHANNELS: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """A head's weights, a softmax over the box; equal ones where nothing is asked. ``scratch`` has
    room for scores."""
    most = tl.full([ROWS], -float("inf"), WIDE)
    total = tl.zeros([ROWS], WIDE)
    for start in range(0, end, PLACES):
        j = start + tl.arange(0, PLACES)
        heard = heard_in(mask, there, j, end)
        scores = tl.zeros([ROWS, PLACES], WIDE)
        if ASKS:
            for part in range(0, SIZE, CHANNELS):
                a = part + tl.arange(0, CHANNELS)
                query = of_row(asked, there, a, SIZE, WIDE)[:, None, :]
                key = of_box(keys, by_key, heard, j, a, SIZE, WIDE)
                if ADDITIVE:
                    vector = tl.load(att + a, mask=a < SIZE, other=0.0).to(WIDE)
                    scores += tl.sum(vector[None, None, :] * sigmoid(query + key), 2)
                else:
                    scores += tl.sum(query * key, 2)
        tl.store(scratch + j[None, :], scores, mask=heard)
        above = tl.maximum(most, tl.max(tl.where(heard, scores, -float("inf")), 1))
        base = tl.where(above == -float("inf"), 0.0, above)
        shares = tl.where(heard, tl.exp(tl.where(heard, scores - base[:, None], 0.0)), 0.0)
        total = total * tl.exp(most - base) + tl.sum(shares, 1)
        most = above
    base = tl.where(most == -float("inf"), 0.0, most)
    total = tl.where(total == 0, 1.0, total)  # no weight where nobody is heard
    tl.debug_barrier()  # scores may have been written by other threads
    for start in range(0, end, PLACES):
        j = start + tl.arange(0, PLACES)
        heard = heard_in(mask, there, j, end)
        scores = tl.load(scratch + j[None, :], mask=heard, other=0.0)
        shares = tl.exp(tl.where(heard, scores - base[:, None], 0.0)) / total[:, None]
        weights = tl.where(heard, shares, 0.0)
        tl.store(alpha + j[None, :] * by_weight, weights, mask=there & (j < end)[None, :])


@triton.jit
def copy_weights(fixed, there, end, alpha, by_weight, PLACES: tl.constexpr):
    """A head's weights, which are known."""
    for start in range(0, end, PLACES):
        j = (start + tl.arange(0, PLACES))[None, :] * by_weight
        here = there & (j < end * by_weight)
        tl.store(alpha + j, tl.load(fixed + j, mask=here, other=0.0), mask=here)


@triton.jit
def receive(
    values, by_value, mask, there, filled, end, alpha, by_weight, keep_alpha, keep_message, message,
    SIZE: tl.constexpr, THINS: tl.constexpr, DROPS: tl.constexpr, ROWS: tl.constexpr,
    PLACES: tl.constexpr, CHANNELS: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """A head's message, the weighted sum of a box; zeros in rows of ``filled`` that read none."""
    for part in range(0, SIZE, CHANNELS):
        e = part + tl.arange(0, CHANNELS)
        total = tl.zeros([ROWS, CHANNELS], WIDE)
        for start in range(0, end, PLACES):
            j = start + tl.arange(0, PLACES)
            heard = heard_in(mask, there, j, end)
            at = j[None, :] * by_weight
            weights = tl.load(alpha + at, mask=heard, other=0.0).to(WIDE)
            if THINS:
                weights *= tl.load(keep_alpha + at, mask=heard, other=0.0).to(WIDE)
            value = of_box(values, by_value, heard, j, e, SIZE, WIDE)
            total += tl.sum(weights[:, :, None] * value, 1)
        if DROPS:
            total *= of_row(keep_message, filled, e, SIZE, WIDE)
        tl.store(message + e[None, :], total, mask=filled & (e < SIZE)[None, :])


@triton.jit
def weights_backward(
    sent, values, by_value, mask, there, end, alpha, by_weight, keep_alpha, given, scratch,
    SIZE: tl.constexpr, THINS: tl.constexpr, GIVEN: tl.constexpr, ROWS: tl.constexpr,
    PLACES: tl.constexpr, CHANNELS: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """The gradient of a head's weights, into ``scratch``; returns its mean under the weights."""
    total, weight = tl.zeros([ROWS], WIDE), tl.zeros([ROWS], WIDE)
    for start in range(0, end, PLACES):
        j = start + tl.arange(0, PLACES)
        heard = heard_in(mask, there, j, end)
        back = tl.zeros([ROWS, PLACES], WIDE)
        for part in range(0, SIZE, CHANNELS):
            e = part + tl.arange(0, CHANNELS)
            d_message = of_row(sent, there, e, SIZE, WIDE)
            value = of_box(values, by_value, heard, j, e, SIZE, WIDE)
            back += tl.sum(d_message[:, None, :] * value, 2)
        places = j[None, :] * by_weight
        if THINS:
            back *= tl.load(keep_alpha + places, mask=heard, other=0.0).to(WIDE)
        if GIVEN:
            back += tl.load(given + places, mask=heard, other=0.0).to(WIDE)
        weights = tl.load(alpha + places, mask=heard, other=0.0).to(WIDE)
        total, weight = total + tl.sum(weights * back, 1), weight + tl.sum(weights, 1)
        tl.store(scratch + j[None, :], back, mask=there & (j < end)[None, :])
    # Weights that were rounded need not add up to 1, but the scores' gradients to 0.
    return total / tl.where(weight == 0, 1.0, weight)


@triton.jit
def _scores_gradient(scratch, alpha, by_weight, mean, heard, j, WIDE: tl.constexpr):
    """The gradient of a head's scores at places j, ``[ROWS, PLACES]``."""
    weights = tl.load(alpha + j[None, :] * by_weight, mask=heard, other=0.0).to(WIDE)
    back = tl.load(scratch + j[None, :], mask=heard, other=0.0)
    return tl.where(heard, weights * (back - mean[:, None]), 0.0)


@triton.jit
def store_scores(
    scratch, alpha, by_weight, mean, mask, there, end, d_scores, FIXED: tl.constexpr,
    PLACES: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """A head's gradient of scores, or of weights that are known, for products to come."""
    for start in range(0, end, PLACES):
        j = start + tl.arange(0, PLACES)
        heard = heard_in(mask, there, j, end)
        if FIXED:
            back = tl.load(scratch + j[None, :], mask=heard, other=0.0)
        else:
            back = _scores_gradient(scratch, alpha, by_weight, mean, heard, j, WIDE)
        tl.store(d_scores + j[None, :] * by_weight, back, mask=there & (j < end)[None, :])


@triton.jit
def asked_backward(
    scratch, alpha, by_weight, mean, asked, att, keys, by_key, mask, there, filled, end, d_asked,
    d_word, d_keys, d_att, kept, SIZE: tl.constexpr, ADDITIVE: tl.constexpr, LEAVES: tl.constexpr,
    ADDS: tl.constexpr, ROWS: tl.constexpr, PLACES: tl.constexpr, CHANNELS: tl.constexpr,
    WIDE: tl.constexpr,
):  # fmt: skip
    """A head's gradient of queries; of additive scores that of the vector, which is added to.

    ``LEAVES``, for products to come: the queries' gradient for ``d_word`` too; of additive scores
    those of keys, without the vector, which may be added to what other steps left there; of dot
    scores the queries."""
    for part in range(0, SIZE, CHANNELS):
        a = part + tl.arange(0, CHANNELS)
        own = of_row(asked, there, a, SIZE, WIDE)
        query = own[:, None, :]
        d_query = tl.zeros([ROWS, CHANNELS], WIDE)
        d_vector = tl.zeros([CHANNELS], WIDE)
        for start in range(0, end, PLACES):
            j = start + tl.arange(0, PLACES)
            heard = heard_in(mask, there, j, end)
            back = _scores_gradient(scratch, alpha, by_weight, mean, heard, j, WIDE)[:, :, None]
            key = of_box(keys, by_key, heard, j, a, SIZE, WIDE)
            if ADDITIVE:
                bent = sigmoid(query + key)
                d_vector += tl.sum(tl.sum(back * bent, 1), 0)
                d_bent = back * bent * (1.0 - bent)
                d_query += tl.sum(d_bent, 1)
                d_key = d_bent
                if ADDS:
                    d_key += of_box(d_keys, by_key, heard, j, a, SIZE, WIDE)
                if LEAVES:
                    at = d_keys[:, :, None] + j[None, :, None] * by_key + a[None, None, :]
                    here = heard[:, :, None] & (a < SIZE)[None, None, :]
                    tl.store(at, d_key, mask=here)
            else:
                d_query += tl.sum(back * key, 1)
        inside = a < SIZE
        if ADDITIVE:
            d_query *= tl.load(att + a, mask=inside, other=0.0).to(WIDE)[None, :]
            so_far = tl.load(d_att + a, mask=inside, other=0.0)
            tl.store(d_att + a, so_far + d_vector, mask=inside)
        elif LEAVES:
            tl.store(kept + a[None, :], own, mask=there & inside[None, :])
        here = filled & inside[None, :]
        tl.store(d_asked + a[None, :], d_query, mask=here)
        if LEAVES:
            tl.store(d_word + a[None, :], d_query, mask=here)
