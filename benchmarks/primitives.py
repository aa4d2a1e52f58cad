"""The figures about torch's operations that the kernels were built on; see docs/kernels.md.

python benchmarks/primitives.py
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

TASKS, HIDDEN, BATCH, ROUNDS = 16, 100, 64, 20


def seconds(call: Callable[[], object]) -> float:
    """Median time of a call."""
    times = []
    for _ in range(ROUNDS + 3):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times[3:])


def pointwise() -> None:
    """A sigmoid and a tanh."""
    x = torch.randn(1_600_000)
    out = torch.empty_like(x)
    for name in ("sigmoid", "tanh"):
        spent = seconds(lambda name=name: getattr(torch, name)(x, out=out))
        print(f"{name:8} {1e9 * spent / x.numel():.2f} ns an element")


def products() -> None:
    """A state's product for all tasks: batched, and one task after the other."""
    weight = torch.randn(TASKS, HIDDEN, 4 * HIDDEN)
    for width in (4, 16, 64):
        h, z = torch.randn(TASKS, width, HIDDEN), torch.randn(TASKS, width, 4 * HIDDEN)
        work = 2 * h.numel() * 4 * HIDDEN
        batched = work / seconds(lambda h=h, z=z: z.baddbmm_(h, weight)) / 1e9
        single = work / seconds(
            lambda h=h, z=z: [z[k].addmm_(h[k], weight[k]) for k in range(TASKS)]
        )
        print(f"{width:3} sequences a task: {batched:.0f} GFLOP/s, singly {single / 1e9:.0f}")


def scores() -> None:
    """The inside of additive scores of all pairs, at once and in pieces of the batch."""
    query, keys = torch.randn(2, BATCH, TASKS, HIDDEN).unbind()
    att, room = torch.randn(HIDDEN), torch.empty(BATCH, TASKS, TASKS, HIDDEN)

    def run(pieces: int) -> list[Tensor]:
        out = []
        for q, k, r in zip(*(part.chunk(pieces) for part in (query, keys, room)), strict=True):
            torch.add(q.unsqueeze(2), k.unsqueeze(1), out=r).sigmoid_()
            out.append(torch.mv(r.view(-1, HIDDEN), att))
        return out

    for pieces in (1, 2, 4, 8, 16):
        print(f"scores in {pieces:2} pieces: {1e3 * seconds(lambda p=pieces: run(p)):.2f} ms")


if __name__ == "__main__":
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    pointwise()
    products()
    scores()
