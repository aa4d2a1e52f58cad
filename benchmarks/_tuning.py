"""The learning rates that dev chose: a JSON file that is committed beside the record."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from _files import locked, whole_file

Try = dict[str, Any]
BEYOND = 6  # rates beyond the grid at most


class Choices:
    """Every try of the grid, and what was chosen: data set → setting → model.

    Args:
        path: The file; it need not be there yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.content = self._read()

    def tries(self, data: str, setting: str, model: str) -> list[Try]:
        """What was tried: learning rate, seed, dev accuracy, epochs, seconds."""
        own: dict[str, Any] = self.content.get(data, {}).get(setting, {}).get(model, {})
        found: list[Try] = own.get("tried", [])
        return found

    def missing(
        self, data: str, setting: str, model: str, grid: tuple[float, ...], seeds: tuple[int, ...]
    ) -> list[tuple[float, int]]:
        """What is still to be tried: the grid and, while the best rate is at an end of what was
        tried, the next one beyond that end. A grid of one rate is left as it is."""
        self.content = self._read()
        tries = self.tries(data, setting, model)
        done = {(t["learning_rate"], t["seed"]) for t in tries}
        rates = sorted(grid)
        while len(rates) < len(grid) + BEYOND:
            left = [(rate, seed) for rate in rates for seed in seeds if (rate, seed) not in done]
            if left or len(grid) == 1:
                return left
            best = _best(tries, rates, seeds)
            if rates[0] < best < rates[-1]:
                return []
            rates = [rates[0] / 2, *rates] if best == rates[0] else [*rates, 2 * rates[-1]]
        return []

    def add(self, data: str, setting: str, model: str, tried: Try) -> None:
        """Keep a try, in the file too, unless another process has made it meanwhile."""
        with locked(self.path):
            tries = self._reread(data, setting, model).setdefault("tried", [])
            place = tried["learning_rate"], tried["seed"]
            if place not in [(one["learning_rate"], one["seed"]) for one in tries]:
                tries.append(tried)
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
        with locked(self.path):
            own = self._reread(data, setting, model)
            rates = {t["learning_rate"] for t in own["tried"] if t["seed"] in seeds}
            rate = _best(own["tried"], sorted(rates), seeds)
            if own.get("chosen", rate) != rate:
                raise ValueError(
                    f"{data}, {setting}, {model}: chosen was {own['chosen']}, now it would be "
                    f"{rate}; remove that choice and the rows that were made with it"
                )
            if "chosen" not in own:
                own["chosen"] = rate
                self._write()
        return rate

    def _read(self) -> dict[str, Any]:
        content: dict[str, Any] = {}
        if self.path.exists():
            content = json.loads(self.path.read_text("utf-8"))
        return content

    def _reread(self, data: str, setting: str, model: str) -> dict[str, Any]:
        """A model's entry, to be changed: with what other processes have written meanwhile."""
        self.content = self._read()
        place = self.content.setdefault(data, {}).setdefault(setting, {})
        own: dict[str, Any] = place.setdefault(model, {})
        return own

    def _write(self) -> None:
        with whole_file(self.path) as part:
            part.write_text(json.dumps(self.content, indent=1) + "\n", encoding="utf-8")


def _best(tries: Sequence[Try], rates: Sequence[float], seeds: Sequence[int]) -> float:
    """Of ascending rates the one with the best mean dev accuracy, the smaller of equals."""

    def dev(rate: float) -> float:
        own = [t["dev"] for t in tries if t["learning_rate"] == rate and t["seed"] in seeds]
        return statistics.mean(own)

    return max(rates, key=dev)
