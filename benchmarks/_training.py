"""Training as all benchmarks of accuracy do it."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

from _examples import fit_options
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
    fitting, rates = fit_options(model, options), options.get("rates", {})
    own = {group: share * options["learning_rate"] for group, share in rates.items()}
    fitting["learning_rates"] = own | fitting["learning_rates"]
    with tempfile.TemporaryDirectory() as folder:
        return fit(model, data, **fitting, log_dir=folder, progress=progress)
