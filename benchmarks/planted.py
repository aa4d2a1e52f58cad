"""The main job on planted tasks over several seeds: which part of the oracle's gap is closed?

Runs ``examples/text_classification.py`` once a seed, with its defaults, and keeps the rows of its
``results.csv``. Seeds that the record holds already are not run again. A model's part of the gap is
0 at the better of ``single`` and ``shared`` and 1 at the oracle. The defaults were chosen on seeds
from 100 on; results come from seeds 0 to 4.

    python benchmarks/planted.py --csv benchmarks/results/planted.csv
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from _examples import table
from _record import Row, append, read
from _tables import planted_table

EXAMPLE = Path(__file__).parent.parent / "examples" / "text_classification.py"
KEPT = ("model", "seed", "task", "dev", "test", "epochs", "best_epoch", "seconds", "parameters")


def run(seed: int, options: list[str]) -> list[Row]:
    """The rows of one seed."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(EXAMPLE), "--seed", str(seed), "--out", folder, *options]
        subprocess.run(command, check=True)
        found = read(Path(folder) / "results.csv")
        return [{name: row[name] for name in KEPT} for row in found]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--csv", type=Path, default=Path("planted.csv"), help="the record")
    arguments, options = parser.parse_known_args()  # the rest goes to the example
    rows = read(arguments.csv)
    for seed in arguments.seeds:
        if str(seed) not in {row["seed"] for row in rows}:
            new = run(seed, options)
            append(arguments.csv, KEPT, new)
            rows += new
    seeds = {str(seed) for seed in arguments.seeds}
    print(table(*planted_table([row for row in rows if row["seed"] in seeds])))


if __name__ == "__main__":
    main()
