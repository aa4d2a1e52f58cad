"""A step of LSTMs that hear known states, and many of them, in Triton.

As in :mod:`~mtgnn.ops.gpu.lstm`; within a step a program also asks, weighs and receives. On the way
back it leaves what products over many tokens take up, see :mod:`mtgnn.ops.boxes`. Arguments are
those of :class:`~mtgnn.ops.gpu.program.Program`.
"""

import triton
import triton.language as tl

from .attend import (
    ask,
    asked_backward,
    copy_weights,
    receive,
    store_scores,
    weigh,
    weights_backward,
)
from .gate import gate_backward, open_gate
from .tiles import cell, product, slots_of, step_backward, tokens_of

# What changes from call to call; else each new value might compile another kernel.
_CHANGES = ["first", "last", "origin", "columns", "width", "tiles", "senders", "times", "past"]
_CHANGES += ["first_token"]


@triton.jit
def _boxes(box, slot, token, t, times, first_token, there, real, BOXED: tl.constexpr):
    """Of each row: whether its box is read, the number of the box, the row of its mask, that of
    its weights, and that of what goes back."""
    if BOXED:  # a filler reads none
        own = tl.load(box + slot, mask=real, other=0)
        return real, own, own, own * times + t, own * times + t
    own = token - first_token
    return there, own, token, token, own


@triton.jit(do_not_specialize=_CHANGES)
def forward(
    projected, weight, hearing, h, c, hs, cs, gates, message, keep_message, received, opened,
    gate, bias,
    values, keys, query, word, att, mask, fixed, box, alpha, keep_alpha, asked, scratch,
    table, sizes, reach, first, last, origin, columns, width, tiles, senders, times, past,
    first_token,
    SIZE: tl.constexpr, HEADS: tl.constexpr, ASKED: tl.constexpr, ASKS: tl.constexpr,
    ADDITIVE: tl.constexpr, FIXED: tl.constexpr, BOXED: tl.constexpr, OWNED: tl.constexpr,
    THINS: tl.constexpr, DROPS: tl.constexpr, GATED: tl.constexpr, ROWS: tl.constexpr,
    COLUMNS: tl.constexpr, DEPTH: tl.constexpr, PLACES: tl.constexpr, CHANNELS: tl.constexpr,
    PRECISION: tl.constexpr, FACTOR: tl.constexpr, LEARNS: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    HEARD: tl.constexpr = HEADS * SIZE
    BOTH: tl.constexpr = SIZE + HEARD
    EACH: tl.constexpr = ASKED // HEADS
    block, row, slot, length, end = slots_of(sizes, reach, last, width, 0, tiles, ROWS)
    begun = tl.load(table + origin * 3 + 2)
    if OWNED:
        query, att = query + block * SIZE * ASKED, att + block * ASKED
    for t in range(first, end):
        there, token = tokens_of(table, t, block, row)
        column = block * columns + tl.load(table + t * 3 + 2) - begun + row[:, None]
        states, was, now = h + slot * SIZE, c + slot * SIZE, cs + token * SIZE
        if t > 0:
            _, before = tokens_of(table, t - 1, block, row)
            states = hs + before * SIZE
            if LEARNS:
                was = cs + before * SIZE
        real = there & (length > t)
        if ASKS:
            ask(
                word + token * ASKED, states, there, query, ASKED, asked + slot * ASKED, ASKED,
                SIZE, True, ROWS, COLUMNS, DEPTH, PRECISION, FACTOR, WIDE,
            )  # fmt: skip
            tl.debug_barrier()  # here as below: what follows reads what other threads have written
        read, own, masked, weighed, _ = _boxes(
            box, slot, token, t, times, first_token, there, real, BOXED
        )
        reach_of_box = tl.minimum(past + t, senders)
        for p in range(HEADS):
            weights = alpha + weighed * senders * HEADS + p
            if FIXED:
                copy_weights(
                    fixed + weighed * senders * HEADS + p, read, reach_of_box, weights, HEADS,
                    PLACES,
                )  # fmt: skip
            else:
                weigh(
                    asked + slot * ASKED + p * EACH, att + p * EACH,
                    keys + own * senders * ASKED + p * EACH, ASKED, mask + masked * senders, read,
                    reach_of_box, scratch + slot * senders, weights, HEADS, EACH, ASKS, ADDITIVE,
                    ROWS, PLACES, CHANNELS, WIDE,
                )  # fmt: skip
            tl.debug_barrier()
            receive(
                values + own * senders * SIZE, SIZE, mask + masked * senders, read, there,
                reach_of_box, weights, HEADS, keep_alpha + weighed * senders * HEADS + p,
                keep_message + token * HEARD + p * SIZE, received + token * HEARD + p * SIZE, SIZE,
                THINS, DROPS and not GATED, ROWS, PLACES, CHANNELS, WIDE,
            )  # fmt: skip
            tl.debug_barrier()
        if GATED:
            open_gate(
                states, received + token * HEARD, there, gate + block * HEARD * BOTH,
                bias + block * HEARD, opened + token * HEARD, keep_message + token * HEARD,
                message + token * HEARD, SIZE, HEARD, DROPS, COLUMNS, DEPTH, PRECISION, FACTOR,
                WIDE,
            )  # fmt: skip
            tl.debug_barrier()
        if not LEARNS:  # a filler goes on from a sequence that is over
            was, now = cs + slot * SIZE, cs + slot * SIZE
        cell(
            projected + column * (4 * SIZE), states, weight + block * 4 * SIZE * SIZE,
            message + token * HEARD, hearing + block * 4 * SIZE * HEARD, was, now,
            gates + token * (4 * SIZE), hs + token * SIZE, there, there if LEARNS else real, SIZE,
            HEARD, ROWS, COLUMNS, DEPTH, PRECISION, FACTOR, LEARNS, WIDE,
        )  # fmt: skip
        tl.debug_barrier()


@triton.jit(do_not_specialize=_CHANGES)
def backward(
    joined, h, c, hs, cs, gates, grad_hs, grad_end, carry, dc, dz, keep_message, received,
    opened, gate, d_opened, given_message, given_alpha, sent, d_keys, d_scores, queries, d_word,
    d_asked, d_att,
    values, keys, query, word, att, mask, fixed, box, alpha, keep_alpha, asked, scratch,
    table, sizes, reach, first, last, origin, columns, width, tiles, senders, times, past,
    first_token,
    SIZE: tl.constexpr, HEADS: tl.constexpr, ASKED: tl.constexpr, ASKS: tl.constexpr,
    ADDITIVE: tl.constexpr, FIXED: tl.constexpr, BOXED: tl.constexpr, OWNED: tl.constexpr,
    THINS: tl.constexpr, DROPS: tl.constexpr, GATED: tl.constexpr, ROWS: tl.constexpr,
    COLUMNS: tl.constexpr, DEPTH: tl.constexpr, PLACES: tl.constexpr, CHANNELS: tl.constexpr,
    PRECISION: tl.constexpr, FACTOR: tl.constexpr, GIVEN: tl.constexpr, ENDS: tl.constexpr,
    LEFT: tl.constexpr, SAID: tl.constexpr, SHOWN: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    HEARD: tl.constexpr = HEADS * SIZE
    BOTH: tl.constexpr = SIZE + HEARD
    EACH: tl.constexpr = ASKED // HEADS
    block, row, slot, length, end = slots_of(sizes, reach, last, width, 0, tiles, ROWS)
    begun = tl.load(table + origin * 3 + 2)
    d_att += tl.program_id(0) * ASKED
    if OWNED:
        query, att = query + block * SIZE * ASKED, att + block * ASKED
    for back in range(first, end):
        t = first + end - 1 - back
        there, token = tokens_of(table, t, block, row)
        column = block * columns + tl.load(table + t * 3 + 2) - begun + row[:, None]
        gradient, states, was = dz + column * (4 * SIZE), h + slot * SIZE, c + slot * SIZE
        if t > 0:
            _, before = tokens_of(table, t - 1, block, row)
            states, was = hs + before * SIZE, cs + before * SIZE
        real = there & (length > t)
        read, own, masked, weighed, fresh = _boxes(
            box, slot, token, t, times, first_token, there, real, BOXED
        )
        reach_of_box = tl.minimum(past + t, senders)
        step_backward(
            gates + token * (4 * SIZE), was, cs + token * SIZE, grad_hs + token * SIZE,
            grad_end + slot * SIZE, carry + slot * SIZE, dc + slot * SIZE, gradient, there,
            there & (length == t + 1), joined + block * 4 * SIZE * BOTH, read,
            given_message + token * HEARD, keep_message + token * HEARD, sent + fresh * HEARD, SIZE,
            HEARD, ROWS, COLUMNS, DEPTH, PRECISION, FACTOR, GIVEN, ENDS, SAID, DROPS, WIDE,
        )  # fmt: skip
        if GATED:
            gate_backward(
                sent + fresh * HEARD, received + token * HEARD, opened + token * HEARD, read, there,
                gate + block * HEARD * BOTH, d_opened + column * HEARD, carry + slot * SIZE, SIZE,
                HEARD, COLUMNS, DEPTH, PRECISION, FACTOR, WIDE,
            )  # fmt: skip
        if ASKS:
            ask(
                word + token * ASKED, states, there, query, ASKED, asked + slot * ASKED, ASKED,
                SIZE, True, ROWS, COLUMNS, DEPTH, PRECISION, FACTOR, WIDE,
            )  # fmt: skip
        if ASKS or FIXED:
            tl.debug_barrier()
            for p in range(HEADS):
                weights, lines = alpha + weighed * senders * HEADS + p, scratch + slot * senders
                heard = mask + masked * senders
                mean = weights_backward(
                    sent + fresh * HEARD + p * SIZE, values + own * senders * SIZE, SIZE, heard,
                    read, reach_of_box, weights, HEADS,
                    keep_alpha + weighed * senders * HEADS + p,
                    given_alpha + weighed * senders * HEADS + p, lines, SIZE, THINS, SHOWN, ROWS,
                    PLACES, CHANNELS, WIDE,
                )  # fmt: skip
                tl.debug_barrier()
                if LEFT:
                    store_scores(
                        lines, weights, HEADS, mean, heard, read, reach_of_box,
                        d_scores + fresh * senders * HEADS + p, FIXED, PLACES, WIDE,
                    )  # fmt: skip
                if ASKS:
                    asked_backward(
                        lines, weights, HEADS, mean, asked + slot * ASKED + p * EACH,
                        att + p * EACH, keys + own * senders * ASKED + p * EACH, ASKED, heard,
                        read, there, reach_of_box, d_asked + column * ASKED + p * EACH,
                        d_word + token * ASKED + p * EACH,
                        d_keys + own * senders * ASKED + p * EACH, d_att + p * EACH,
                        queries + fresh * ASKED + p * EACH, EACH, ADDITIVE, True, BOXED, ROWS,
                        PLACES, CHANNELS, WIDE,
                    )  # fmt: skip
                tl.debug_barrier()
        if ASKS:
            for part in range(0, SIZE, COLUMNS):
                e = part + tl.arange(0, COLUMNS)
                here, place = there & (e < SIZE)[None, :], carry + slot * SIZE + e[None, :]
                total = product(
                    tl.load(place, mask=here, other=0.0).to(WIDE), d_asked + column * ASKED, there,
                    query, e, SIZE, 1, ASKED, ASKED, DEPTH, PRECISION, FACTOR, WIDE,
                )  # fmt: skip
                tl.store(place, total, mask=here)
        tl.debug_barrier()
