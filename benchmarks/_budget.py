"""How many hours the runs that are left will take at most."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from _examples import table
from _record import Row
from _settings import SETTINGS, fraction
from _study import Run, Study
from _timing import middles
from _tuning import Choices

from mtgnn.data import BucketBatchSampler, EncodedTexts

MEASURED = 3  # batches of an epoch

Job = tuple[Run, str]
"""A run, and whether it is ``"tune"`` or ``"run"``."""


def budget(jobs: Sequence[Job], study: Study, per_epoch: Callable[[Run], float]) -> str:
    """Hours of all jobs if none stops early, by setting and model."""
    seconds: dict[tuple[str, str, str], list[float]] = {}
    for run, stage in jobs:
        cost = per_epoch(run) * study.options["epochs"]
        seconds.setdefault((stage, run.setting, run.model), []).append(cost)
    rows = [
        [*key, str(len(costs)), f"{costs[0] / study.options['epochs']:.1f}", hours(sum(costs))]
        for key, costs in seconds.items()
    ]
    rows.append(["in all", "", "", str(len(jobs)), "", hours(sum(map(sum, seconds.values())))])
    header = ["stage", "setting", "model", "runs", "s an epoch", "hours at most"]
    return table(header, rows)


def hours(seconds: float) -> str:
    return f"{seconds / 3600:.2f}"


class EpochCost:
    """Seconds of an epoch: given ones, else recorded ones, else measured on a few batches.

    Given ones are of the headline; for a part of the texts they are scaled, which is too little by
    what smaller batches cost. Recorded ones are of the same setting.

    Args:
        study: The data set.
        given: Seconds by model, for the headline.
        rows: The record.
        choices: The tries, which have seconds too.
    """

    def __init__(
        self, study: Study, given: dict[str, float], rows: Sequence[Row], choices: Choices
    ) -> None:
        self.study = study
        self._given = given
        self._known: dict[tuple[str, str], float] = {}
        for row in rows:
            if row["dataset"] == study.data and float(row["epochs"]):
                key = row["setting"], row["model"]
                self._known[key] = float(row["seconds"]) / float(row["epochs"])
        tuned: dict[str, Any] = choices.content.get(study.data, {})
        for setting, models in tuned.items():
            for model, own in models.items():
                for tried in own["tried"]:
                    cost = tried["seconds"] / tried["epochs"]
                    self._known.setdefault((setting, model), cost)
        self._known |= {("headline", model): cost for model, cost in given.items()}

    def __call__(self, run: Run) -> float:
        """Seconds of an epoch of this run."""
        key = run.setting, run.model
        if key not in self._known:
            alike = SETTINGS[run.setting]
            if run.model in self._given and not (alike.options or alike.encoder or alike.matched):
                share = fraction(run.setting, self.study.data)
                self._known[key] = self._given[run.model] * share
            else:
                self._known[key] = measure_epoch(self.study, run)
        return self._known[key]


def measure_epoch(study: Study, run: Run) -> float:
    """Seconds of an epoch of training, from batches in the middle of equal parts of it.

    Of the processor, so that others who use it do not count; reading dev texts is left out.
    """
    model = study.build(run, with_vectors=False)
    options = study.run_options(run)
    texts = EncodedTexts(study.train_texts(run), model.vocabulary, options["max_length"])
    sampler = BucketBatchSampler(texts.lengths, options["batch_size"], shuffle=False)
    every = list(sampler)
    chosen = middles(every, MEASURED)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3, fused=True)
    model.train()

    def step(numbers: list[int]) -> None:
        batch = texts.collate([texts[i] for i in numbers])
        optimizer.zero_grad()
        output = model.read(batch)
        loss = model.losses(output, batch).value.mean()
        if output.auxiliary is not None:
            loss = loss + output.auxiliary.mean()
        loss.backward()
        optimizer.step()

    step(chosen[-1])  # the first one is slower
    start = time.process_time()
    for numbers in chosen:
        step(numbers)
    return (time.process_time() - start) * len(every) / len(chosen)
