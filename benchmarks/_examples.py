"""What the benchmarks take from the examples, so that both train the same models."""

from __future__ import annotations

import sys
from pathlib import Path

# At the end: some programs have the same name in both folders.
sys.path.append(str(Path(__file__).parent.parent / "examples"))

from _batches import numbered_batches  # noqa: E402
from _models import (  # noqa: E402
    CONTROLS,
    GroupLSTM,
    build_model,
    count_parameters,
    fit_options,
    graph_options,
    group_rates,
)
from _options import DEFAULTS, PLANTED  # noqa: E402
from _report import gap_fractions, table  # noqa: E402
from _scoring import accuracies, is_right, kinds  # noqa: E402
from _vectors import start_vectors  # noqa: E402
from text_classification import Texts, read_texts  # noqa: E402

__all__ = [
    "CONTROLS",
    "DEFAULTS",
    "GroupLSTM",
    "PLANTED",
    "Texts",
    "accuracies",
    "build_model",
    "count_parameters",
    "fit_options",
    "gap_fractions",
    "graph_options",
    "group_rates",
    "is_right",
    "kinds",
    "numbered_batches",
    "read_texts",
    "start_vectors",
    "table",
]
