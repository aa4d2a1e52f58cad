"""Peak memory of a forward pass and of training, each candidate in a process of its own.

    python benchmarks/memory.py --csv memory.csv [--rows mutual] [--device cuda]

What is held before (parameters, inputs, the libraries) is taken off, so the figures are what a
pass needs beyond it; values are checked before, on a small batch. On a CPU this is resident memory,
with what the allocator keeps for itself; on a GPU it is what torch allocated. FDU-MTL rows run
their batches one after the other, and the figure is that of the largest.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from typing import Any

from _candidates import Candidate, Skipped, check, names_of
from _cases import Case, make_batches
from _record import write
from _runner import Job, jobs, make_parser, start, work_or_run, write_json
from _timing import WHERE, Peak, environment

COLUMNS = ["name", "K", "B", "T", "E", "H", "dtype", "device", "phase", "peak_mb", "ratio_to_loop"]
COLUMNS += WHERE


def measure(case: Case, job: Job) -> dict[str, Any]:
    """Peaks in MB of ``forward`` and ``train``, or why it was ``skipped``.

    Raises:
        AssertionError: If a few short sequences give other values than the reference.
    """
    device = job["device"]
    try:
        candidate = Candidate(case, job["candidate"], device)
    except Skipped as reason:
        return {"skipped": str(reason)}
    # What a library sets up at its first call is nobody's peak.
    small = make_batches(replace(case, B=2, T=2, batches=""), device, [])
    check(case, [candidate], small)
    batches = make_batches(case, device, job["shapes"])
    for train in (False, True):
        candidate.call(small, train)()
    peaks = {}
    peak = Peak(device)
    for phase in ("forward", "train"):  # the larger one last: a process keeps what it has freed
        candidate.call(batches, phase == "train")()
        peaks[phase] = peak.read()
    return peaks


def peaks_of(job: Job, candidate: str) -> dict[str, Any]:
    """``measure`` in a process of its own."""
    return start(__file__, {**job, "candidate": candidate})


def lines_of(case: Case, job: Job, names: list[str], where: dict[str, str]) -> list[dict[str, Any]]:
    """The lines of a row."""
    peaks = {name: peaks_of(job, name) for name in names}
    lines = []
    for phase in ("forward", "train"):
        loop = peaks.get("loop", {}).get(phase)
        for name, found in peaks.items():
            if phase not in found:
                continue
            line = {**case.to_dict(), **where, "name": f"{case.name}/{name}", "phase": phase}
            line["device"] = job["device"]
            line["peak_mb"] = round(found[phase], 1)
            line["ratio_to_loop"] = round(loop / found[phase], 2) if loop and found[phase] else None
            lines.append(line)
    return lines


def run(options: argparse.Namespace) -> None:
    """Measure all rows; print, and write what was asked for."""
    lines: list[dict[str, Any]] = []
    chosen = jobs(options)
    where = environment(options.device)
    for case, job in chosen:
        print(f"\n{case.key}\n  {'':24}{'phase':>8}{'peak MB':>10}{'less than loop':>16}")
        names = [name for name in names_of(case, options.candidates) if name != "products"]
        found = lines_of(case, job, names, where)
        for line in found:
            ratio = line["ratio_to_loop"] or float("nan")
            print(f"  {line['name']:24}{line['phase']:>8}{line['peak_mb']:10.1f}{ratio:15.2f}x")
        sys.stdout.flush()
        lines += found
    if options.csv:
        write(options.csv, COLUMNS, lines)
    if options.json:
        write_json(options.json, lines)


def main() -> None:
    work_or_run(make_parser(__doc__ or "").parse_args(), measure, run)


if __name__ == "__main__":
    main()
