"""What comes back to nodes from those that heard them: parts of a step in Triton.

Pointers in the plural are as in :mod:`~mtgnn.ops.gpu.attend`; ``by_receiver`` and the like say how
far apart nodes are, ``hears`` is the mask of who hears a row's node.
"""

import triton
import triton.language as tl

from .attend import heard_in, of_box, of_row
from .launch import sigmoid


@triton.jit
def heard_back(
    sent, by_receiver, hears, there, nodes, alpha, keep_alpha, by_head, carry, learns,
    HEADS: tl.constexpr, SIZE: tl.constexpr, SOME: tl.constexpr, THINS: tl.constexpr,
    ROWS: tl.constexpr, PLACES: tl.constexpr, CHANNELS: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """Add to ``carry`` what comes back to a node's states from all who received them."""
    for part in range(0, SIZE, CHANNELS):
        e = part + tl.arange(0, CHANNELS)
        back = tl.zeros([ROWS, CHANNELS], WIDE)
        for p in range(HEADS):
            for start in range(0, nodes, PLACES):
                i = start + tl.arange(0, PLACES)
                hear = heard_in(hears, there, i, nodes)
                at = p * by_head + i[None, :] * nodes
                weights = tl.load(alpha + at, mask=hear, other=0.0).to(WIDE)
                if THINS:
                    weights *= tl.load(keep_alpha + at, mask=hear, other=0.0).to(WIDE)
                d_message = of_box(sent + p * SIZE, by_receiver, hear, i, e, SIZE, WIDE)
                back += tl.sum(weights[:, :, None] * d_message, 1)
        if SOME:
            back *= tl.load(learns).to(WIDE)
        here = there & (e < SIZE)[None, :]
        so_far = tl.load(carry + e[None, :], mask=here, other=0.0).to(WIDE)
        tl.store(carry + e[None, :], so_far + back, mask=here)


@triton.jit
def keys_back(
    queries, key, by_receiver, hears, there, nodes, d_scores, att, d_key, SIZE: tl.constexpr,
    ADDITIVE: tl.constexpr, ROWS: tl.constexpr, PLACES: tl.constexpr, CHANNELS: tl.constexpr,
    WIDE: tl.constexpr,
):  # fmt: skip
    """A head's gradient of a node's key, from all who asked."""
    for part in range(0, SIZE, CHANNELS):
        a = part + tl.arange(0, CHANNELS)
        own = of_row(key, there, a, SIZE, WIDE)[:, None, :]
        total = tl.zeros([ROWS, CHANNELS], WIDE)
        for start in range(0, nodes, PLACES):
            i = start + tl.arange(0, PLACES)
            hear = heard_in(hears, there, i, nodes)
            at = d_scores + i[None, :] * nodes
            back = tl.load(at, mask=hear, other=0.0).to(WIDE)[:, :, None]
            query = of_box(queries, by_receiver, hear, i, a, SIZE, WIDE)
            if ADDITIVE:
                bent = sigmoid(query + own)
                total += tl.sum(back * bent * (1.0 - bent), 1)
            else:
                total += tl.sum(back * query, 1)
        if ADDITIVE:
            total *= tl.load(att + a, mask=a < SIZE, other=0.0).to(WIDE)[None, :]
        tl.store(d_key + a[None, :], total, mask=there & (a < SIZE)[None, :])
