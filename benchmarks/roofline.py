"""Where a layer's time goes, and how far it is from what the processor can do.

    python benchmarks/roofline.py
    python benchmarks/roofline.py --rows read- mutual-16x64 --csv roofline.csv

Training, with the loops in C++. A profile splits a step into

    many steps  torch's products over many steps (words to gates, gradients of weights and words)
    loop        the loops over words: products of single steps, gates, scores, memory
    other       layouts, gathers, copies, sums

and the arithmetic of the matrix products into that of the first two. ``of_peak`` is a part's rate
as a share of the peak, which is that of torch's product of two large square matrices, timed in
turns with the layer and a user's loop. ``times_loop`` is how many times as fast as that loop the
layer is; ``bound`` how many times a layer would be that did nothing but its products, at the peak.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import Any

import torch
from _candidates import Candidate
from _cases import Case, make_batches
from _floors import Product, products
from _record import replace
from _runner import Job, jobs, make_parser, start, work_or_run
from _timing import WHERE, alternate, environment
from torch.profiler import ProfilerActivity, profile

SIZES = ["K", "B", "T", "E", "H", "dtype"]
FIGURES = ["seconds", "gflop", "gflop_per_s", "of_peak", "times_loop", "bound"]
COLUMNS = ["name", *SIZES, "part", *FIGURES, *WHERE]
ROWS = ["mutual-16x64x", "read-16x64x", "mailbox-16x64x", "star-dot-16x64x", "star-additive-16x64x"]
MANY, LOOP, OTHER, ALL = "many steps", "loop", "other", "all"
PRODUCTS = {"aten::bmm", "aten::baddbmm", "aten::baddbmm_", "aten::mm", "aten::addmm_"}
RECURRENCE = {"_Recurrence", "_RecurrenceBackward"}
SQUARE = 2048


def gflop(case: Case, lengths: torch.Tensor) -> dict[str, float]:
    """Arithmetic of a training step's products, by part."""
    forward = products(case, lengths)
    every = [*forward, *(p for product in forward for p in product.gradients())]
    total = {MANY: 0.0, LOOP: 0.0}
    for product in every:
        total[LOOP if product.count > 1 else MANY] += operations(product)
    return total


def operations(product: Product) -> float:
    """In units of 1e9."""
    return 2e-9 * product.count * product.batch * product.m * product.k * product.n


def shares(call: Callable[[], None], rounds: int) -> dict[str, float]:
    """Which share of a call's time belongs to which part."""
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        for _ in range(rounds):
            call()
    spent = dict.fromkeys((MANY, LOOP, OTHER), 0.0)
    for event in seen.key_averages():
        part = MANY if event.key in PRODUCTS else LOOP if event.key in RECURRENCE else OTHER
        spent[part] += event.self_cpu_time_total
    total = sum(spent.values())
    return {part: value / total for part, value in spent.items()}


def measure(case: Case, job: Job) -> dict[str, Any]:
    """The rows of the record of one row of the benchmarks."""
    batches = make_batches(case, "cpu", [])
    layer, loop = (Candidate(case, name, "cpu").call(batches, True) for name in ("native", "loop"))
    size = job["square"]
    a, b, out = torch.randn(3, size, size)
    calls = {"layer": layer, "loop": loop, "peak": lambda: torch.mm(a, b, out=out)}
    times = alternate(calls, "cpu", job["seconds"], job["rounds"])
    peak = operations(Product(1, 1, size, size, size)) / times["peak"].median
    seconds, work = times["layer"].median, gflop(case, batches[0][1])
    split = {part: share * seconds for part, share in shares(layer, job["rounds"]).items()}
    times_loop = times["loop"].median / seconds
    bound = times["loop"].median * peak / sum(work.values())
    lines = [line(part, spent, work.get(part), peak) for part, spent in split.items()]
    whole = line(ALL, seconds, sum(work.values()), peak)
    whole |= {"times_loop": f"{times_loop:.2f}", "bound": f"{bound:.2f}"}
    named = {"name": case.name, **{size: str(getattr(case, size)) for size in SIZES}}
    named |= environment("cpu")
    return {"lines": [{**named, **own} for own in [*lines, whole]], "peak": peak}


def line(part: str, seconds: float, work: float | None, peak: float) -> dict[str, str]:
    """A row of the record; a part without products has no rate."""
    found = dict.fromkeys(FIGURES, "") | {"part": part, "seconds": f"{seconds:.4g}"}
    if work is None:
        return found
    rate = work / seconds
    figures = {
        "gflop": f"{work:.4g}",
        "gflop_per_s": f"{rate:.4g}",
        "of_peak": f"{rate / peak:.2f}",
    }
    return found | figures


def table(lines: Sequence[dict[str, str]]) -> str:
    """For people."""
    header = ["part", *FIGURES]
    rows = [header, *([line[key] or "–" for key in header] for line in lines)]
    return "\n".join(f"  {row[0]:12}" + "".join(f"{cell:>13}" for cell in row[1:]) for row in rows)


def run(options: argparse.Namespace) -> None:
    """Each row in a process of its own."""
    if options.device != "cpu":
        sys.exit("the loops in C++ are for CPUs")
    options.rows = options.rows or ([] if options.quick else ROWS)
    for case, job in jobs(options):
        if case.kind == "sparse" or case.batches or case.dtype != "float32":
            print(f"\n{case.key}: left out, not all of its products are counted or of one rate")
            continue
        quick = {"seconds": 0.0, "rounds": 1, "square": 64}
        job |= quick if options.quick else {"seconds": 60.0, "rounds": 7, "square": SQUARE}
        result = start(__file__, job)
        print(
            f"\n{case.key}, peak {result['peak']:.0f} GFLOP/s\n{table(result['lines'])}", flush=True
        )
        if options.csv:
            replace(options.csv, COLUMNS, result["lines"], ["name", *SIZES])


def main() -> None:
    work_or_run(make_parser(__doc__ or "").parse_args(), measure, run)


if __name__ == "__main__":
    main()
