"""The floors: LSTMs that do not talk, and the matrix products alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from _cases import Batch, Case
from torch import Tensor, nn


class SilentLSTMs(nn.Module):
    """As many ``nn.LSTM`` as there are nodes, on the whole batch: K, for the star 2.

    Args:
        case: The row.
    """

    def __init__(self, case: Case) -> None:
        super().__init__()
        number = 2 if case.kind == "star" else case.K
        self.lstms = nn.ModuleList(nn.LSTM(case.E, case.H, batch_first=True) for _ in range(number))

    def forward(self, x: Tensor, lengths: Tensor, task: Tensor) -> list[Tensor]:
        """All states, ``[B, T, H]`` each."""
        return [lstm(x)[0] for lstm in self.lstms]


class Product(NamedTuple):
    """``count`` products, one after the other, each ``[batch, m, k] @ [batch, k, n]``.

    Attributes:
        fixed: Whether the second factor is the same for all: then its gradient is one product.
    """

    count: int
    batch: int
    m: int
    k: int
    n: int
    fixed: bool = True

    def gradients(self) -> list[Product]:
        """What the backward pass multiplies."""
        second = (1, self.batch, self.k, self.m * self.count, self.n)
        if not self.fixed:
            second = (self.count, self.batch, self.k, self.m, self.n)
        return [Product(self.count, self.batch, self.m, self.n, self.k), Product(*second)]


def products(case: Case, lengths: Tensor) -> list[Product]:
    """The matrix products of a forward pass; finished sequences and padding cost nothing.

    What depends on no state is one product for all words; the rest is one for each word, over the
    mean number of sequences that have it. Sums over the edges of a sparse graph, the mixing of a
    mailbox's senders and the score's dot products over A are no matrix products here.
    """
    K, E, H = case.K, case.E, case.H
    steps, tokens = int(lengths.max()), int(lengths.sum())
    rows = -(-tokens // steps)
    found = [Product(1, 1, tokens, E, H)]  # the word's part of the score
    if case.kind in ("mutual", "sparse"):
        found += [Product(1, 1, tokens, E, 4 * H * K), Product(steps, K, rows, 2 * H, 4 * H)]
        found.append(Product(steps, 1, K * rows, H, 2 * H))  # queries and keys
        if case.kind == "mutual":
            found.append(Product(steps, rows, K, K, H, False))
            found += [Product(steps, rows, K, H, K, False)] * (case.score == "dot")
        return found
    groups = min(K, rows)
    star = case.kind == "star"
    whole = star or case.kind == "mailbox"  # texts, which a receiver reads at every step
    found.append(Product(1, 1, tokens, E, 4 * H * (2 if star else K)))
    found.append(Product(steps, 1 if star else K - 1, rows, H, 4 * H))
    found.append(Product(steps, groups, -(-rows // groups), 2 * H, 4 * H))
    found.append(Product(1, 1, tokens * (1 if whole else K - 1), H, H))  # keys
    found.append(Product(steps, 1, rows, H, H))  # queries
    senders = steps if whole else K - 1
    found.append(Product(steps, rows, 1, senders, H, whole))
    found += [Product(steps, rows, 1, H, senders, whole)] * (case.score == "dot")
    return found


def product_call(case: Case, batches: list[Batch], device: str, train: bool) -> Callable[[], None]:
    """All products of a row, into memory that is there already."""
    dtype = getattr(torch, case.dtype)
    work = []
    for _, lengths, _ in batches:
        forward = products(case, lengths)
        every = forward + [p for one in forward for p in one.gradients()] * train
        for p in every:
            a = torch.randn(p.batch, p.m, p.k, device=device, dtype=dtype)
            b = torch.randn(p.batch, p.k, p.n, device=device, dtype=dtype)
            work.append((p.count, a, b, torch.empty(p.batch, p.m, p.n, device=device, dtype=dtype)))

    def call() -> None:
        for count, a, b, out in work:
            for _ in range(count):
                torch.bmm(a, b, out=out)

    return call
