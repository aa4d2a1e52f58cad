"""A step of LSTMs that hear each other, one step before, and many of them, in Triton.

A program has some sequences of one node, as in :mod:`~mtgnn.ops.gpu.lstm`; those of all nodes have
the same sequences. What a node says its program leaves in global memory, and once a step the
programs of the same sequences wait for each other (:func:`~mtgnn.ops.gpu.wait.wait`), between
``PART`` 1 of the step and 2. Where programs do not run side by side, as in Triton's interpreter,
each part of each step is a launch; 0: both parts, and waiting, in one.

Arguments are those of :class:`~mtgnn.ops.gpu.pair_launch.PairProgram`.
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
from .senders import heard_back, keys_back
from .tiles import cell, product, slots_of, step_backward, tokens_of
from .wait import wait

# What changes from call to call; else each new value might compile another kernel.
_CHANGES = ["first", "last", "origin", "columns", "width", "tile", "tiles", "nodes", "total"]


@triton.jit
def _before(table, t, block, row, slot, h, hs, width, SIZE: tl.constexpr):
    """Of each row: the states that a node's step t starts from, those of the first node, how far
    apart nodes' are; and the token before."""
    wide = tl.load(table + tl.maximum(t - 1, 0) * 3)  # at first as wide as the layout
    _, token = tokens_of(table, tl.maximum(t - 1, 0), block, row)
    states, every = h + slot * SIZE, h + row[:, None] * SIZE
    if t > 0:
        states, every = hs + token * SIZE, hs + (token - block * wide) * SIZE
    return states, every, wide * SIZE, token


@triton.jit(do_not_specialize=_CHANGES)
def forward(
    projected, weight, hearing, h, c, hs, cs, gates, message, keep_message, received, opened,
    gate, bias,
    pair, word, att, mask, fixed, alpha, keep_alpha, spoken, scratch, arrived,
    table, sizes, reach, first, last, origin, columns, width, tile, tiles, nodes, total,
    SIZE: tl.constexpr, HEADS: tl.constexpr, ASKED: tl.constexpr, ASKS: tl.constexpr,
    ADDITIVE: tl.constexpr, OWN_WORDS: tl.constexpr, KEEPS: tl.constexpr, THINS: tl.constexpr,
    DROPS: tl.constexpr, GATED: tl.constexpr, PART: tl.constexpr, ROWS: tl.constexpr,
    COLUMNS: tl.constexpr, DEPTH: tl.constexpr, PLACES: tl.constexpr, CHANNELS: tl.constexpr,
    PRECISION: tl.constexpr, FACTOR: tl.constexpr, LEARNS: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    HEARD: tl.constexpr = HEADS * SIZE
    BOTH: tl.constexpr = SIZE + HEARD
    EACH: tl.constexpr = ASKED // HEADS
    block, row, slot, _, end = slots_of(sizes, reach, last, width, tile, tiles, ROWS)
    begun = tl.load(table + origin * 3 + 2)
    # Of many nodes, heads and texts there may be more numbers than 32 bits count.
    width, columns, total = width.to(tl.int64), columns.to(tl.int64), total.to(tl.int64)
    every_row = row[:, None].to(tl.int64)
    heard = mask + block * nodes + every_row * 0
    for t in range(first, end):
        there, token = tokens_of(table, t, block, row)
        place = tl.load(table + t * 3 + 2) + every_row  # of a sequence at a step, whoever reads it
        states, every, apart, before = _before(table, t, block, row, slot, h, hs, width, SIZE)
        # What nodes say at one step is read until all have come to the next one: room for two.
        said = spoken + ((t % 2) * nodes * width + every_row) * 2 * ASKED
        own = said + block * width * 2 * ASKED
        if PART != 2 and ASKS:
            words = word + place * ASKED
            if OWN_WORDS:
                words = word + token * ASKED
            ask(
                words, states, there, pair, 2 * ASKED, own, ASKED, SIZE, True, ROWS, COLUMNS,
                DEPTH, PRECISION, FACTOR, WIDE,
            )  # fmt: skip
            ask(
                words, states, there, pair + ASKED, 2 * ASKED, own + ASKED, ASKED, SIZE, False,
                ROWS, COLUMNS, DEPTH, PRECISION, FACTOR, WIDE,
            )  # fmt: skip
        if PART == 0:
            wait(arrived, tl.program_id(0) % tiles, nodes * (t - first + 1))
        if PART != 1:
            kept = (place if KEEPS else every_row) * nodes + block
            for p in range(HEADS):
                weights = alpha + ((p * total + place) * nodes + block) * nodes
                if ASKS:
                    weigh(
                        own + p * EACH, att + p * EACH, said + ASKED + p * EACH, width * 2 * ASKED,
                        heard, there, nodes, scratch + slot * nodes, weights, 1, EACH, ASKS,
                        ADDITIVE, ROWS, PLACES, CHANNELS, WIDE,
                    )  # fmt: skip
                else:
                    known = fixed + (p * nodes + block) * nodes + every_row * 0
                    copy_weights(known, there, nodes, weights, 1, PLACES)
                tl.debug_barrier()  # here as below: what follows reads what other threads wrote
                receive(
                    every, apart, heard, there, there, nodes, weights, 1,
                    keep_alpha + ((p * total + place) * nodes + block) * nodes,
                    keep_message + kept * HEARD + p * SIZE, received + kept * HEARD + p * SIZE,
                    SIZE, THINS, DROPS and not GATED, ROWS, PLACES, CHANNELS, WIDE,
                )  # fmt: skip
                tl.debug_barrier()
            if GATED:
                open_gate(
                    states, received + kept * HEARD, there, gate + block * HEARD * BOTH,
                    bias + block * HEARD, opened + kept * HEARD, keep_message + kept * HEARD,
                    message + kept * HEARD, SIZE, HEARD, DROPS, COLUMNS, DEPTH, PRECISION, FACTOR,
                    WIDE,
                )  # fmt: skip
                tl.debug_barrier()
            was, now = cs + slot * SIZE, cs + slot * SIZE  # cells of now
            if LEARNS:
                was, now = c + slot * SIZE, cs + token * SIZE
                if t > 0:
                    was = cs + before * SIZE
            cell(
                projected + (block * columns + place - begun) * (4 * SIZE), states,
                weight + block * 4 * SIZE * SIZE, message + kept * HEARD,
                hearing + block * 4 * SIZE * HEARD, was, now, gates + token * (4 * SIZE),
                hs + token * SIZE, there, there, SIZE, HEARD, ROWS, COLUMNS, DEPTH, PRECISION,
                FACTOR, LEARNS, WIDE,
            )  # fmt: skip
            tl.debug_barrier()


@triton.jit(do_not_specialize=_CHANGES)
def backward(
    joined, h, c, hs, cs, gates, grad_hs, grad_end, carry, dc, dz, keep_message, received,
    opened, gate, d_opened, given_message, given_alpha, sent, d_scores, spoken, d_spoken, d_att,
    pair, att, mask, hears, learns, alpha, keep_alpha, scratch, arrived,
    table, sizes, reach, first, last, origin, columns, width, tile, tiles, nodes, total,
    SIZE: tl.constexpr, HEADS: tl.constexpr, ASKED: tl.constexpr, ASKS: tl.constexpr,
    ADDITIVE: tl.constexpr, SOME: tl.constexpr, THINS: tl.constexpr, DROPS: tl.constexpr,
    GATED: tl.constexpr, PART: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
    DEPTH: tl.constexpr, PLACES: tl.constexpr, CHANNELS: tl.constexpr, PRECISION: tl.constexpr,
    FACTOR: tl.constexpr, GIVEN: tl.constexpr, ENDS: tl.constexpr, SAID: tl.constexpr,
    SHOWN: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    HEARD: tl.constexpr = HEADS * SIZE
    BOTH: tl.constexpr = SIZE + HEARD
    EACH: tl.constexpr = ASKED // HEADS
    block, row, slot, length, end = slots_of(sizes, reach, last, width, tile, tiles, ROWS)
    begun = tl.load(table + origin * 3 + 2)
    # Of many nodes, heads and texts there may be more numbers than 32 bits count.
    width, columns, total = width.to(tl.int64), columns.to(tl.int64), total.to(tl.int64)
    every_row = row[:, None].to(tl.int64)
    heard = mask + block * nodes + every_row * 0
    heard_by = hears + block * nodes + every_row * 0
    scores, back_to = scratch + slot * nodes, carry + slot * SIZE
    d_att += (block * tl.cdiv(width, ROWS) + tile + tl.program_id(0) % tiles) * ASKED
    for back in range(first, end):
        t = first + end - 1 - back
        there, token = tokens_of(table, t, block, row)
        place = tl.load(table + t * 3 + 2) + every_row  # of a sequence at a step, whoever reads it
        there_column = place - begun
        column = block * columns + there_column
        _, every, apart, before = _before(table, t, block, row, slot, h, hs, width, SIZE)
        own = spoken + column * 2 * ASKED
        keys, d_own = spoken + there_column * 2 * ASKED + ASKED, d_spoken + column * 2 * ASKED
        sent_here = sent + column * HEARD
        if PART != 2:
            was = c + slot * SIZE
            if t > 0:
                was = cs + before * SIZE
            kept = (place * nodes + block) * HEARD
            step_backward(
                gates + token * (4 * SIZE), was, cs + token * SIZE, grad_hs + token * SIZE,
                grad_end + slot * SIZE, back_to, dc + slot * SIZE, dz + column * 4 * SIZE, there,
                there & (length == t + 1), joined + block * 4 * SIZE * BOTH, there,
                given_message + kept, keep_message + kept, sent_here, SIZE, HEARD, ROWS, COLUMNS,
                DEPTH, PRECISION, FACTOR, GIVEN, ENDS, SAID, DROPS, WIDE,
            )  # fmt: skip
            if GATED:
                gate_backward(
                    sent_here, received + kept, opened + kept, there, there,
                    gate + block * HEARD * BOTH, d_opened + column * HEARD, back_to, SIZE, HEARD,
                    COLUMNS, DEPTH, PRECISION, FACTOR, WIDE,
                )  # fmt: skip
            for p in range(HEADS):
                weighed = ((p * total + place) * nodes + block) * nodes
                mean = weights_backward(
                    sent_here + p * SIZE, every, apart, heard, there, nodes, alpha + weighed, 1,
                    keep_alpha + weighed, given_alpha + weighed, scores, SIZE, THINS, SHOWN, ROWS,
                    PLACES, CHANNELS, WIDE,
                )  # fmt: skip
                tl.debug_barrier()
                store_scores(
                    scores, alpha + weighed, 1, mean, heard, there, nodes,
                    d_scores + ((p * columns + there_column) * nodes + block) * nodes, not ASKS,
                    PLACES, WIDE,
                )  # fmt: skip
                if ASKS:
                    asked_backward(
                        scores, alpha + weighed, 1, mean, own + p * EACH, att + p * EACH,
                        keys + p * EACH, columns * 2 * ASKED, heard, there, there, nodes,
                        d_own + p * EACH, d_own, d_own, d_att + p * EACH, d_own, EACH, ADDITIVE,
                        False, False, ROWS, PLACES, CHANNELS, WIDE,
                    )  # fmt: skip
                tl.debug_barrier()
        if PART == 0:
            wait(arrived, tl.program_id(0) % tiles, nodes * (back - first + 1))
        if PART != 1:
            weighed = place * nodes * nodes + block
            heard_back(
                sent + there_column * HEARD, columns * HEARD, heard_by, there, nodes,
                alpha + weighed, keep_alpha + weighed, total * nodes * nodes, back_to,
                learns + block, HEADS, SIZE, SOME, THINS, ROWS, PLACES, CHANNELS, WIDE,
            )  # fmt: skip
            if ASKS:
                for p in range(HEADS):
                    keys_back(
                        keys - ASKED + p * EACH, own + ASKED + p * EACH, columns * 2 * ASKED,
                        heard_by, there, nodes,
                        d_scores + (p * columns + there_column) * nodes * nodes + block,
                        att + p * EACH, d_own + ASKED + p * EACH, EACH, ADDITIVE, ROWS, PLACES,
                        CHANNELS, WIDE,
                    )  # fmt: skip
                tl.debug_barrier()
                for part in range(0, SIZE, COLUMNS):
                    e = part + tl.arange(0, COLUMNS)
                    d_state = product(
                        tl.zeros([ROWS, COLUMNS], WIDE), d_own + ASKED, there, pair + ASKED, e,
                        SIZE, 1, 2 * ASKED, ASKED, DEPTH, PRECISION, FACTOR, WIDE,
                    )  # fmt: skip
                    if SOME:
                        d_state *= tl.load(learns + block).to(WIDE)
                    here, at = there & (e < SIZE)[None, :], back_to + e[None, :]
                    d_state += tl.load(at, mask=here, other=0.0).to(WIDE)
                    d_state = product(
                        d_state, d_own, there, pair, e, SIZE, 1, 2 * ASKED, ASKED, DEPTH,
                        PRECISION, FACTOR, WIDE,
                    )  # fmt: skip
                    tl.store(at, d_state, mask=here)
            tl.debug_barrier()
