"""The learning rates that dev chose: a JSON file that is committed beside the record."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

Try = dict[str, Any]


class Choices:
    """Every try of the grid, and what was chosen: data set → setting → model.

    Args:
        path: The file; it need not be there yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        there = path.exists()
        self.content: dict[str, Any] = json.loads(path.read_text("utf-8")) if there else {}

    def tries(self, data: str, setting: str, model: str) -> list[Try]:
        """What was tried: learning rate, seed, dev accuracy, epochs, seconds."""
        own: dict[str, Any] = self.content.get(data, {}).get(setting, {}).get(model, {})
        found: list[Try] = own.get("tried", [])
        return found

    def missing(
        self, data: str, setting: str, model: str, grid: tuple[float, ...], seeds: tuple[int, ...]
    ) -> list[tuple[float, int]]:
        """What is still to be tried."""
        done = {(t["learning_rate"], t["seed"]) for t in self.tries(data, setting, model)}
        return [(rate, seed) for rate in grid for seed in seeds if (rate, seed) not in done]

    def add(self, data: str, setting: str, model: str, tried: Try) -> None:
        """Keep a try, in the file too."""
        own = self.content.setdefault(data, {}).setdefault(setting, {}).setdefault(model, {})
        own.setdefault("tried", []).append(tried)
        self._write()

    def choose(
        self, data: str, setting: str, model: str, grid: tuple[float, ...], seeds: tuple[int, ...]
    ) -> float:
        """The learning rate with the best mean dev accuracy, the smaller one of equals.

        Raises:
            ValueError: If something of the grid has not been tried, or another rate was chosen
                before: runs with that one may stand in the record.
        """
        missing = self.missing(data, setting, model, grid, seeds)
        if missing:
            raise ValueError(f"{data}, {setting}, {model}: not yet tried are {missing}")
        tries = self.tries(data, setting, model)

        def dev(rate: float) -> float:
            own = [t["dev"] for t in tries if t["learning_rate"] == rate and t["seed"] in seeds]
            return statistics.mean(own)

        rate = max(sorted(grid), key=dev)
        own = self.content[data][setting][model]
        if own.setdefault("chosen", rate) != rate:
            raise ValueError(
                f"{data}, {setting}, {model}: chosen was {own['chosen']}, now it would be {rate}; "
                "remove that choice and the rows that were made with it"
            )
        self._write()
        return rate

    def _write(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        part = self.path.with_suffix(".part")
        part.write_text(json.dumps(self.content, indent=1) + "\n", encoding="utf-8")
        part.replace(self.path)
