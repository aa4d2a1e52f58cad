"""Training as all benchmarks of accuracy do it."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

from _examples import group_rates
from _passes import SeveralPasses, passes_for
from torch_geometric.data import Data

from mtgnn.lightning import FitResult, fit
from mtgnn.nn import MultiTaskModel

EVAL_BATCH = 64  # texts at least: those of dev need no small batches


def train(
    model: MultiTaskModel,
    texts: Sequence[Data],
    dev: Sequence[Data],
    options: Mapping[str, Any],
    progress: bool | str = False,
) -> FitResult:
    """Train a model to its best epoch on dev; checkpoints and logs are thrown away.

    ``options`` may have ``updates``: how many an epoch has at least, by several passes; and
    ``rates``: those of groups of parameters, as multiples of the learning rate.
    """
    size = options["batch_size"]
    data = SeveralPasses(
        passes_for(options.get("updates", 1), len(texts), size),
        texts,
        dev,
        None,
        model.vocabulary,
        batch_size=size,
        eval_batch_size=max(size, EVAL_BATCH),
        max_length=options["max_length"],
        seed=options["seed"],
    )
    learning_rate = options["learning_rate"]
    rates = {group: share * learning_rate for group, share in options.get("rates", {}).items()}
    with tempfile.TemporaryDirectory() as folder:
        return fit(
            model,
            data,
            max_epochs=options["epochs"],
            patience=options["patience"],
            learning_rate=learning_rate,
            learning_rates=rates | (group_rates(model, learning_rate) or {}),
            weight_decay=options["weight_decay"],
            clip=options["clip"],
            seed=options["seed"],
            accelerator=options["accelerator"],
            log_dir=folder,
            progress=progress,
        )
