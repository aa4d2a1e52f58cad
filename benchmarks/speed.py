"""Time of mtgnn's layers beside a user's loop, its relatives and the floors.

    python benchmarks/speed.py --csv benchmarks/results/speed.csv --json speed.json
    python benchmarks/speed.py --rows mutual-16x64 --candidates loop auto silent
    python benchmarks/speed.py --fdu data/fdu-mtl --rows fdu     # lengths of real texts
    python benchmarks/speed.py --device cuda

A row is a layer at one size. It runs in a process of its own, which first checks that all that
compute the layer's mathematics agree, in values and in gradients of inputs and parameters, and
then times all candidates in turns, so that drift meets them alike. Candidates:

    loop        user_loop.py: MessagePassing a word and an LSTM cell a task
    loop-tuned  the same with one batched product for all tasks, and nn.LSTM for silent senders
    dense-gat   a loop with PyG's DenseGATConv, which computes something else: not checked
    gconv-lstm  a loop with PyG-Temporal's GConvLSTM, alike; left out, and says so, where
                pip install --no-deps torch-geometric-temporal was not run
    reference, auto, fused   mtgnn's kernels; "fused" is left out, and says so, where it raises
    native      "auto" with the loops in C++ that mtgnn.ops.compile_native builds
    triton      "auto" with mtgnn.ops.use_triton(True), on a GPU
    silent      as many nn.LSTM as nodes, which do not talk; for the star two
    products    the bare matrix products

forward is inference, without gradients; train is forward and backward, for parameters and inputs.
seconds is the median; tokens are real words (a task's states count once, whatever runs besides).
ratio_to_loop is the loop's time over this one's (more is better), ratio_to_silent this time over
that of the silent LSTMs (less is better). peak_mb is measured apart, see memory.py. On rows with
FDU-MTL's lengths a call runs six batches that stand for an epoch, and T is their limit. In a record
that is there already, the rows that are measured again on the same processor are replaced.
"""

from __future__ import annotations

import argparse
from typing import Any

from _candidates import Candidate, Skipped, check, names_of
from _cases import Case, make_batches
from _record import read, write
from _runner import Job, jobs, make_parser, start, work_or_run, write_json
from _timing import WHERE, Times, alternate, environment
from memory import peaks_of

SIZES = ["K", "B", "T", "E", "H", "dtype", "device"]
FIGURES = ["seconds", "tokens_per_s", "peak_mb", "ratio_to_loop", "ratio_to_silent"]
COLUMNS = ["name", *SIZES, "phase", *FIGURES, *WHERE]
PHASES = ("forward", "train")


def measure(case: Case, job: Job) -> dict[str, Any]:
    """Check and time a row: ``lines`` and ``skipped``."""
    device = job["device"]
    batches = make_batches(case, device, job["shapes"])
    candidates, skipped = [], {}
    for name in job["candidates"]:
        try:
            candidates.append(Candidate(case, name, device))
        except Skipped as reason:
            skipped[name] = str(reason)
    errors = check(case, candidates, batches[:2])  # more would take longer than the clock
    tokens = sum(int(lengths.sum()) for _, lengths, _ in batches)
    lines = []
    for phase in PHASES:
        calls = {c.name: c.call(batches, phase == "train") for c in candidates}
        times = alternate(calls, device, job["seconds"], job["rounds"])
        for name, time in times.items():
            line = {"candidate": name, "phase": phase, "seconds": time.median}
            line |= {"minimum": time.minimum, "rounds": time.rounds, "error": errors.get(name)}
            line |= {"tokens": tokens, "tokens_per_s": round(tokens / time.median, 1)}
            lines.append(line | ratios(times, name))
    return {"lines": lines, "skipped": skipped, **environment(device)}


def ratios(times: dict[str, Times], name: str) -> dict[str, float | None]:
    """How many times as fast as the loops, and how many times the floors' time."""

    def to(other: str, faster: bool) -> float | None:
        if other not in times:
            return None
        ratio = times[other].median / times[name].median
        return float(f"{ratio if faster else 1 / ratio:.4g}")

    return {
        "ratio_to_loop": to("loop", True),
        "ratio_to_loop_tuned": to("loop-tuned", True),
        "ratio_to_silent": to("silent", False),
        "ratio_to_products": to("products", False),
    }


def complete(case: Case, job: Job, memory: bool) -> dict[str, Any]:
    """A row's result with all columns of the record."""
    result = start(__file__, job)
    names = {line["candidate"] for line in result["lines"]} - {"products"}
    peaks = {name: peaks_of(job, name) for name in sorted(names)} if memory else {}
    where = {name: result[name] for name in WHERE}
    for line in result["lines"]:
        peak = peaks.get(line["candidate"], {}).get(line["phase"])
        line |= {**case.to_dict(), **where, "device": job["device"]}
        line["name"] = f"{case.name}/{line['candidate']}"
        line["peak_mb"] = None if peak is None else round(peak, 1)
        line["seconds"] = float(f"{line['seconds']:.4g}")
    return result


HEAD = ("seconds", "minimum", "tokens/s", "peak MB", "x loop", "x tuned", "/ silent", "/ products")
KEYS = ("seconds", "minimum", "tokens_per_s", "peak_mb", "ratio_to_loop", "ratio_to_loop_tuned")
KEYS += ("ratio_to_silent", "ratio_to_products")


def table(result: dict[str, Any]) -> str:
    """A row for people."""
    rows = []
    for phase in PHASES:
        rows.append(f"  {phase:12}" + "".join(f"{title:>11}" for title in HEAD))
        for line in result["lines"]:
            if line["phase"] == phase:
                cells = ["" if line[key] is None else f"{line[key]:.4g}" for key in KEYS]
                cells[2] = f"{line['tokens_per_s']:,.0f}"
                rows.append(f"  {line['candidate']:12}" + "".join(f"{c:>11}" for c in cells))
    rows += [f"  left out: {name}: {reason}" for name, reason in result["skipped"].items()]
    return "\n".join(rows)


def growth(lines: list[dict[str, Any]]) -> str:
    """Time of the star over K, against the fewest tasks; both in units of the silent LSTMs of the
    same process, whose work does not depend on K."""
    said = []
    for candidate in ("auto", "native", "triton"):
        mine = [
            line
            for line in lines
            if line["name"] == f"star-tasks/{candidate}"
            and line["phase"] == "train"
            and line["ratio_to_silent"] is not None
        ]
        if len(mine) > 1:
            first = mine[0]["ratio_to_silent"]
            parts = [f"K={line['K']}: {line['ratio_to_silent'] / first:.2f}" for line in mine[1:]]
            title = f"star, {candidate}, training time against K={mine[0]['K']}"
            said.append(f"{title}: {', '.join(parts)}")
    return "\n" + "\n".join(said) + "\n" if said else ""


def others(known: list[dict[str, str]], lines: list[dict[str, Any]]) -> list[dict[str, str]]:
    """What a record holds of rows that were not measured now, on this processor; the lines of a row
    belong to one run."""

    def row(line: dict[str, Any]) -> list[str]:
        names = (*SIZES, "processor")
        return [line["name"].partition("/")[0], *(str(line[name]) for name in names)]

    now = [row(line) for line in lines]
    return [line for line in known if row(line) not in now]


def run(options: argparse.Namespace) -> int:
    """Measure all rows; print, and write after each what was asked for. Returns a status."""
    lines: list[dict[str, Any]] = []
    skipped, failed = {}, {}
    for case, job in jobs(options):
        job |= {"candidates": names_of(case, options.candidates)}
        job |= {"seconds": options.seconds, "rounds": 1 if options.quick else options.rounds}
        print(f"\n{case.key}", flush=True)
        try:
            result = complete(case, job, not options.no_memory)
        except RuntimeError as error:
            failed[case.key] = str(error)
            print(f"  failed: {error}", flush=True)
            continue
        print(table(result), flush=True)
        lines += result["lines"]
        skipped[case.key] = result["skipped"]
        if options.csv:
            write(options.csv, COLUMNS, [*others(read(options.csv), lines), *lines])
        if options.json:
            write_json(options.json, {"lines": lines, "skipped": skipped, "failed": failed})
    print(growth(lines), end="")
    return 1 if failed else 0


def main() -> None:
    parser = make_parser(__doc__ or "")
    parser.add_argument("--seconds", type=float, default=60, help="time a phase of a row may take")
    parser.add_argument("--rounds", type=int, default=25, help="rounds a phase at most")
    parser.add_argument("--no-memory", action="store_true", help="leave peak_mb empty")
    work_or_run(parser.parse_args(), measure, run)


if __name__ == "__main__":
    main()
