"""Many steps of LSTMs that hear known states, in Triton: one launch for all of them.

As in :mod:`~mtgnn.ops.gpu.lstm`; within a step a program also asks, weighs and receives. On the way
back it leaves what products over many tokens take up, see :mod:`mtgnn.ops.boxes`.
"""

from typing import Any

import triton
import triton.language as tl
from torch import Tensor

from ..boxes import Back, Boxes, Span
from ..edges import EdgesRunning
from ..layout import Chunk, Layout
from ..mailbox import MailboxRunning
from ..steps import Received, States
from .attend import (
    CHANNELS,
    PLACES,
    asked_backward,
    copy_weights,
    receive,
    store_scores,
    weigh,
    weights_backward,
)
from .launch import check, factor, launch, precision, wide_type
from .tiles import DEPTH, ROWS, WARPS, cell, cell_backward, columns_of, end_of, product, tokens_of

# What changes from call to call; else each new value might compile another kernel.
_CHANGES = ["first", "last", "origin", "columns", "width", "tiles", "senders", "times", "past"]
_CHANGES += ["first_token"]
Heard = EdgesRunning | MailboxRunning


class Program:
    """Launches over the slots of a run.

    Args:
        layout: The slots.
        states: Where results go, or where they are.
        running: The communication, prepared or resumed.
        boxes: Its boxes; open, for the steps that are run.
    """

    def __init__(self, layout: Layout, states: States, running: Heard, boxes: Boxes) -> None:
        self.layout, self.states, self.running, self.boxes = layout, states, running, boxes
        self.like, self.tiles = states.h, triton.cdiv(layout.width, ROWS)
        self.asked = 1 if running.query is None else running.query.size(2)
        wide = wide_type(self.like)
        places = boxes.mask.size(1)
        given = (running.query, running.word, running.att, boxes.mask, boxes.fixed, boxes.box)
        self.known = (
            *(None if tensor is None else tensor.contiguous() for tensor in given),
            running.alpha, running.keep_alpha,
            self.like.new_empty(layout.num_slots, self.asked, dtype=wide),  # a slot's query
            self.like.new_empty(layout.num_slots, places, dtype=wide),  # its scores of one head
        )  # fmt: skip
        #: ``[G, programs a block, P·A]``, for each program its part of the vectors' gradient.
        self.d_att: Tensor | None = None
        if running.d_att is not None:
            parts = layout.num_blocks, self.tiles, self.asked
            self.d_att = self.like.new_zeros(parts, dtype=wide)

    def forward(self, chunk: Chunk, span: Span, projected: Tensor, received: Received) -> None:
        """Some steps of a chunk; those before them are done.

        Args:
            chunk: The chunk.
            span: The steps.
            projected: ``[G, columns, 4H]``, what words and biases add to the gates of the chunk.
            received: The weights.
        """
        self._check(chunk, "projected", projected)
        assert received.message is not None
        states, running = self.states, self.running
        tensors = (projected, *received, *states, running.message, running.keep_message)
        self._launch(_forward, chunk, span, tensors, LEARNS=states.gates is not None)

    def backward(
        self, chunk: Chunk, span: Span, joined: Tensor, back: Back,
        grads: tuple[Tensor | None, Tensor | None], carry: Tensor, dc: Tensor, dz: Tensor,
        d_asked: Tensor | None,
    ) -> None:  # fmt: skip
        """Back through some steps of a chunk; those after them are done.

        Args:
            chunk: The chunk.
            span: The steps.
            joined: ``[G, 4H, H + C]``, weights of states and messages.
            back: Where gradients go of what the boxes hold.
            grads: Of states ``[L, H]``, and of the cells ``[S, H]`` that slots end with.
            carry: ``[G, width, H]``, what comes back to the states; changed in place.
            dc: Alike, to the cells.
            dz: ``[G, columns, 4H]``, where gradients of the gates go.
            d_asked: ``[G, columns, P·A]``, where those of queries go, or ``None``.
        """
        self._check(chunk, "dz", dz)
        running, given = self.running, self.running.grad_message
        tensors = (
            joined, *self.states, *grads, carry, dc, dz, running.keep_message, given,
            running.grad_alpha, *back, running.d_word, d_asked, self.d_att,
        )  # fmt: skip
        self._launch(
            _backward, chunk, span, tensors, GIVEN=grads[0] is not None, ENDS=grads[1] is not None,
            LEFT=back.scores is not None, KEPT=back.queries is not None, SAID=given is not None,
            SHOWN=running.grad_alpha is not None,
        )  # fmt: skip

    def _check(self, chunk: Chunk, name: str, columns: Tensor) -> None:
        check(columns, name, (self.layout.num_blocks, chunk.columns[-1], 4 * self.like.size(1)))

    def _launch(
        self, kernel: Any, chunk: Chunk, span: Span, tensors: tuple[Tensor | None, ...],
        **options: bool,
    ) -> None:  # fmt: skip
        layout, running, boxes = self.layout, self.running, self.boxes
        size, senders = self.like.size(1), boxes.values.size(1)
        few = boxes.box is None  # senders of an edge, which a graph has; mailboxes are long
        places = min(PLACES, triton.next_power_of_2(senders)) if few else PLACES
        every = (*tensors, boxes.values, boxes.keys, *self.known)
        given = [self.like if tensor is None else tensor for tensor in every]
        for tensor in given:
            if not tensor.is_contiguous():
                raise ValueError(f"expected contiguous tensors, got strides {tensor.stride()}")
        launch(
            kernel, (layout.num_blocks * self.tiles,), self.like, *given, layout.table,
            layout.sizes, layout.reach, *span, chunk.first, chunk.columns[-1], layout.width,
            self.tiles, senders, len(boxes.ends), boxes.ends[0] if boxes.ends else senders,
            boxes.first_token,
            SIZE=size, HEADS=running.heads, ASKED=self.asked, ASKS=running.query is not None,
            ADDITIVE=running.att is not None, FIXED=boxes.fixed is not None,
            BOXED=boxes.box is not None, OWNED=running.query is not None and len(running.query) > 1,
            THINS=running.keep_alpha is not None, DROPS=running.keep_message is not None,
            ROWS=ROWS, COLUMNS=columns_of(size), DEPTH=DEPTH, PLACES=places, CHANNELS=CHANNELS,
            PRECISION=precision(self.like), FACTOR=factor(self.like),
            num_warps=WARPS, **options,
        )  # fmt: skip


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
def _forward(
    projected, weight, hearing, h, c, hs, cs, gates, message, keep_message,
    values, keys, query, word, att, mask, fixed, box, alpha, keep_alpha, asked, scratch,
    table, sizes, reach, first, last, origin, columns, width, tiles, senders, times, past,
    first_token,
    SIZE: tl.constexpr, HEADS: tl.constexpr, ASKED: tl.constexpr, ASKS: tl.constexpr,
    ADDITIVE: tl.constexpr, FIXED: tl.constexpr, BOXED: tl.constexpr, OWNED: tl.constexpr,
    THINS: tl.constexpr, DROPS: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
    DEPTH: tl.constexpr, PLACES: tl.constexpr, CHANNELS: tl.constexpr, PRECISION: tl.constexpr,
    FACTOR: tl.constexpr, LEARNS: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    HEARD: tl.constexpr = HEADS * SIZE
    EACH: tl.constexpr = ASKED // HEADS
    block = (tl.program_id(0) // tiles).to(tl.int64)
    row = (tl.program_id(0) % tiles) * ROWS + tl.arange(0, ROWS)
    slot = (block * width + row)[:, None]
    length = tl.load(sizes + slot, mask=(row < width)[:, None], other=0)
    begun = tl.load(table + origin * 3 + 2)
    end = end_of(sizes + block * width, reach, row, width, last)
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
            for part in range(0, ASKED, COLUMNS):
                a = part + tl.arange(0, COLUMNS)
                here = there & (a < ASKED)[None, :]
                own = tl.load(word + token * ASKED + a[None, :], mask=here, other=0.0).to(WIDE)
                own = product(
                    own, states, there, query, a, ASKED, ASKED, 1, SIZE, DEPTH, PRECISION, FACTOR,
                    WIDE,
                )  # fmt: skip
                tl.store(asked + slot * ASKED + a[None, :], own, mask=here)
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
                    keys + own * senders * ASKED + p * EACH, mask + masked * senders, read,
                    reach_of_box, scratch + slot * senders, weights, ASKED, EACH, HEADS, ASKS,
                    ADDITIVE, ROWS, PLACES, CHANNELS, WIDE,
                )  # fmt: skip
            tl.debug_barrier()
            receive(
                values + own * senders * SIZE, mask + masked * senders, read, there, reach_of_box,
                weights, keep_alpha + weighed * senders * HEADS + p,
                keep_message + token * HEARD + p * SIZE, message + token * HEARD + p * SIZE, SIZE,
                HEADS, THINS, DROPS, ROWS, PLACES, CHANNELS, WIDE,
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
def _backward(
    joined, h, c, hs, cs, gates, grad_hs, grad_end, carry, dc, dz, keep_message, given_message,
    given_alpha, sent, d_keys, d_scores, queries, d_word, d_asked, d_att,
    values, keys, query, word, att, mask, fixed, box, alpha, keep_alpha, asked, scratch,
    table, sizes, reach, first, last, origin, columns, width, tiles, senders, times, past,
    first_token,
    SIZE: tl.constexpr, HEADS: tl.constexpr, ASKED: tl.constexpr, ASKS: tl.constexpr,
    ADDITIVE: tl.constexpr, FIXED: tl.constexpr, BOXED: tl.constexpr, OWNED: tl.constexpr,
    THINS: tl.constexpr, DROPS: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
    DEPTH: tl.constexpr, PLACES: tl.constexpr, CHANNELS: tl.constexpr, PRECISION: tl.constexpr,
    FACTOR: tl.constexpr, GIVEN: tl.constexpr, ENDS: tl.constexpr, LEFT: tl.constexpr,
    KEPT: tl.constexpr, SAID: tl.constexpr, SHOWN: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    HEARD: tl.constexpr = HEADS * SIZE
    BOTH: tl.constexpr = SIZE + HEARD
    EACH: tl.constexpr = ASKED // HEADS
    block = (tl.program_id(0) // tiles).to(tl.int64)
    row = (tl.program_id(0) % tiles) * ROWS + tl.arange(0, ROWS)
    slot = (block * width + row)[:, None]
    length = tl.load(sizes + slot, mask=(row < width)[:, None], other=0)
    begun = tl.load(table + origin * 3 + 2)
    end = end_of(sizes + block * width, reach, row, width, last)
    matrix = joined + block * 4 * SIZE * BOTH
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
        cell_backward(
            gates + token * (4 * SIZE), was, cs + token * SIZE, grad_hs + token * SIZE,
            grad_end + slot * SIZE, carry + slot * SIZE, dc + slot * SIZE, gradient, there,
            there & (length == t + 1), SIZE, COLUMNS, GIVEN, ENDS, WIDE,
        )  # fmt: skip
        tl.debug_barrier()  # here as below: what follows reads what other threads have written
        for part in range(0, SIZE, COLUMNS):
            e = part + tl.arange(0, COLUMNS)
            total = product(
                tl.zeros([ROWS, COLUMNS], WIDE), gradient, there, matrix, e, SIZE, BOTH, 1,
                4 * SIZE, DEPTH, PRECISION, FACTOR, WIDE,
            )  # fmt: skip
            here = there & (e < SIZE)[None, :]
            tl.store(carry + slot * SIZE + e[None, :], total, mask=here)
        for part in range(0, HEARD, COLUMNS):
            e = part + tl.arange(0, COLUMNS)
            total = product(
                tl.zeros([ROWS, COLUMNS], WIDE), gradient, there, matrix + SIZE, e, HEARD, BOTH, 1,
                4 * SIZE, DEPTH, PRECISION, FACTOR, WIDE,
            )  # fmt: skip
            here, place = read & (e < HEARD)[None, :], token * HEARD + e[None, :]
            if SAID:
                total += tl.load(given_message + place, mask=here, other=0.0).to(WIDE)
            if DROPS:
                total *= tl.load(keep_message + place, mask=here, other=0.0).to(WIDE)
            tl.store(sent + fresh * HEARD + e[None, :], total, mask=here)
        if ASKS:
            for part in range(0, ASKED, COLUMNS):
                a = part + tl.arange(0, COLUMNS)
                here = there & (a < ASKED)[None, :]
                words = tl.load(word + token * ASKED + a[None, :], mask=here, other=0.0).to(WIDE)
                words = product(
                    words, states, there, query, a, ASKED, ASKED, 1, SIZE, DEPTH, PRECISION,
                    FACTOR, WIDE,
                )  # fmt: skip
                tl.store(asked + slot * ASKED + a[None, :], words, mask=here)
                if KEPT:
                    to = queries + fresh * ASKED + a[None, :]
                    tl.store(to, words, mask=read & (a < ASKED)[None, :])
        if ASKS or FIXED:
            tl.debug_barrier()
            for p in range(HEADS):
                weights, lines = alpha + weighed * senders * HEADS + p, scratch + slot * senders
                heard = mask + masked * senders
                mean = weights_backward(
                    sent + fresh * HEARD + p * SIZE, values + own * senders * SIZE, heard, read,
                    reach_of_box, weights, keep_alpha + weighed * senders * HEADS + p,
                    given_alpha + weighed * senders * HEADS + p, lines, SIZE, HEADS, THINS, SHOWN,
                    ROWS, PLACES, CHANNELS, WIDE,
                )  # fmt: skip
                tl.debug_barrier()
                if LEFT:
                    store_scores(
                        lines, weights, mean, heard, read, reach_of_box,
                        d_scores + fresh * senders * HEADS + p, HEADS, FIXED, PLACES, WIDE,
                    )  # fmt: skip
                if ASKS:
                    asked_backward(
                        lines, weights, mean, asked + slot * ASKED + p * EACH, att + p * EACH,
                        keys + own * senders * ASKED + p * EACH, heard, read, there, reach_of_box,
                        d_asked + column * ASKED + p * EACH, d_word + token * ASKED + p * EACH,
                        d_keys + own * senders * ASKED + p * EACH, d_att + p * EACH, ASKED, EACH,
                        HEADS, ADDITIVE, BOXED, ROWS, PLACES, CHANNELS, WIDE,
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
