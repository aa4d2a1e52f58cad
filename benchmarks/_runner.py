"""What the programs share: options, rows, and a process for each measurement."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from _candidates import NAMES
from _cases import Case, Shape, all_cases, quick_cases
from _fdu import FDUBatches
from _timing import check_device

FDU_BATCHES = 6
Job = dict[str, Any]


def make_parser(description: str) -> argparse.ArgumentParser:
    """The options that all programs have."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, help="write everything here")
    parser.add_argument("--csv", type=Path, help="write the record here")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: does it run?")
    parser.add_argument("--rows", nargs="+", help="rows whose name contains one of these")
    parser.add_argument("--candidates", nargs="+", choices=NAMES, help="these alone")
    parser.add_argument("--list", action="store_true", help="print the rows, and stop")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--threads", type=int, help="torch's threads (default: torch's own)")
    parser.add_argument("--fdu", help="folder for FDU-MTL: adds rows with its lengths")
    parser.add_argument("--fdu-source", help="folder, archive or address of FDU-MTL")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    return parser


def jobs(options: argparse.Namespace) -> list[tuple[Case, Job]]:
    """The chosen rows, and what a process must know to measure them."""
    check_device(options.device)
    cases = all_cases(options.device, options.fdu is not None)
    if options.quick:
        cases = quick_cases(cases)
    if options.rows:
        cases = [case for case in cases if any(part in case.key for part in options.rows)]
    if options.list or not cases:
        sys.exit("\n".join(case.key for case in cases) or f"no row contains {options.rows}")
    data = FDUBatches(options.fdu, options.fdu_source) if options.fdu else None
    shapes: dict[str, list[Shape]] = {}
    found = []
    for case in cases:
        if case.batches and case.batches not in shapes:
            assert data is not None
            shapes[case.batches] = data.shapes(case.batches, FDU_BATCHES)
        job = {
            "case": case.to_dict(),
            "shapes": shapes.get(case.batches, []),
            "device": options.device,
            "threads": options.threads,
        }
        found.append((case, job))
    return found


def start(script: str, job: Job) -> Job:
    """Run a job in a process of its own; what it printed last is its result.

    Raises:
        RuntimeError: If it failed.
    """
    command = [sys.executable, script, "--worker", json.dumps(job)]
    # Else all candidates would run the C++ loops, also those that are to do without.
    environment = {name: value for name, value in os.environ.items() if name != "MTGNN_NATIVE"}
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=environment)
    if done.returncode != 0:
        raise RuntimeError(f"the process ended with status {done.returncode}")
    result: Job = json.loads(done.stdout.splitlines()[-1])
    return result


def read_job(text: str) -> tuple[Case, Job]:
    """The job of this process."""
    job = json.loads(text)
    if job["threads"]:
        torch.set_num_threads(job["threads"])
    return Case(**job["case"]), job


def work_or_run(
    options: argparse.Namespace,
    measure: Callable[[Case, Job], object],
    run: Callable[[argparse.Namespace], int | None],
) -> None:
    """Do the job of a worker and print its result; else what the command line says."""
    if options.worker:
        print(json.dumps(measure(*read_job(options.worker))))
    else:
        sys.exit(run(options))


def write_json(path: Path, content: Any) -> None:
    """Write everything."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
