"""What the tagging benchmark keeps of a run, and what it makes of it: scores, intervals, tables."""

from __future__ import annotations

import base64
import math
import statistics
import zlib
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from _files import whole_file
from _record import Row, key_of, select, spread, unique_keys
from _significance import half_width
from numpy.typing import NDArray

from mtgnn.data import NO_LABEL, read_spans

COLUMNS = (
    "corpus",
    "task",
    "model",
    "head",
    "seed",
    "dev",
    "test",
    "unknown_words",
    "sentences_per_s",
)
KEY = COLUMNS[:5]
JOINT = "joint:"  # before a corpus' name: it was trained with all the others
SAMPLES = 2000

Counts = NDArray[np.int64]


# Scores ---------------------------------------------------------------------------------------


def count(
    predicted: Sequence[Sequence[int]], true: Sequence[Sequence[int]], spans: Sequence[str] | None
) -> Counts:
    """What is correct, predicted and true in each sentence ``[n, 3]``: spans, or words.

    Args:
        predicted: Predicted tags of each sentence; none where there is no label does not count.
        true: The true ones, −100 where there is no label.
        spans: The names of the tags, where the tags are spans; None counts words.
    """
    rows = []
    for found, labels in zip(predicted, true, strict=True):
        pairs = [(p, t) for p, t in zip(found, labels, strict=True) if t != NO_LABEL]
        if spans is None:
            rows.append((sum(p == t for p, t in pairs), len(pairs), len(pairs)))
            continue
        if len(pairs) < len(labels):
            raise ValueError("expected a label for every word of a sentence with spans")
        guess, truth = (set(read_spans([spans[p[side]] for p in pairs])) for side in (0, 1))
        rows.append((len(guess & truth), len(guess), len(truth)))
    return np.array(rows, dtype=np.int64).reshape(-1, 3)


def score(counts: NDArray[Any]) -> NDArray[np.float64]:
    """F1 of spans, or the accuracy of words, from sums of counts ``[…, 3]``."""
    total = counts[..., 1] + counts[..., 2]
    return np.where(total > 0, 2 * counts[..., 0] / np.maximum(total, 1), 0.0)


def sentence_interval(ours: Counts, theirs: Counts, samples: int = SAMPLES) -> tuple[float, float]:
    """95 % interval of the difference of two models' mean scores over seeds.

    A paired bootstrap over test sentences: every sample draws sentences, and both models, with all
    their seeds, are scored on the same ones.

    Args:
        ours: Counts ``[seeds, sentences, 3]``.
        theirs: The same of the other model.
        samples: How many samples.
    """
    if ours.shape != theirs.shape:
        raise ValueError(f"expected the same sentences, got {ours.shape} and {theirs.shape}")
    number = ours.shape[1]
    drawn = np.random.default_rng(0).multinomial(number, np.full(number, 1 / number), samples)
    mean = [
        score(np.einsum("rn,snc->rsc", drawn, counts, optimize=True)).mean(1)
        for counts in (ours, theirs)
    ]
    low, high = np.percentile(mean[0] - mean[1], [2.5, 97.5])
    return float(low), float(high)


# The record -----------------------------------------------------------------------------------


def key(row: Mapping[str, str]) -> tuple[str, ...]:
    """Which result a row is."""
    return key_of(row, KEY)


# Predictions ----------------------------------------------------------------------------------


def pack(counts: Counts) -> Row:
    """Counts ``[n, 3]`` as short texts: numbers of two bytes, compressed, in base 85."""
    packed = base64.b85encode(zlib.compress(counts.astype("<u2").tobytes(), 9))
    return {"sentences": str(len(counts)), "counts": packed.decode()}


def unpack(row: Mapping[str, str]) -> Counts:
    """The counts that :func:`pack` made a row of."""
    flat = np.frombuffer(zlib.decompress(base64.b85decode(row["counts"])), dtype="<u2")
    return flat.reshape(int(row["sentences"]), 3).astype(np.int64)


def prediction_file(folder: Path, row: Mapping[str, str]) -> Path:
    """Where the predictions of a row are kept."""
    return folder / "predictions" / ("-".join(key(row)).replace(":", "-") + ".npz")


def keep(path: Path, tags: Sequence[str], **sentences: list[list[int]]) -> None:
    """Keep tags of test sentences, word after word, with ``lengths``."""
    lengths = np.array([len(row) for row in next(iter(sentences.values()))])
    flat = {name: np.array(list(chain(*rows)), dtype=np.int16) for name, rows in sentences.items()}
    with whole_file(path) as part, part.open("wb") as file:
        np.savez_compressed(file, tags=np.array(tags), lengths=lengths, **flat)


# Tables ---------------------------------------------------------------------------------------


def summary(rows: Sequence[Row], counts: Sequence[Row]) -> str:
    """Of each corpus and task: scores in per cent, mean ± deviation over seeds, beside single."""
    tables = []
    for corpus, task in unique_keys(rows, "corpus", "task"):
        own = select(rows, corpus=corpus, task=task)
        if corpus.startswith(JOINT):  # what it is compared with
            other = {"corpus": corpus.removeprefix(JOINT), "task": task, "model": "single"}
            own = select(rows, **other) + own
        head = f"{corpus}, {task}"
        lines = [
            f"{head:28}{'seeds':>6}{'dev':>14}{'test':>14}{'unknown words':>15}"
            f"{'sentences/s':>13}   minus single, 95 % interval"
        ]
        for model, head in unique_keys(own, "model", "head"):
            same = select(own, model=model, head=head)
            cells = [spread_or_dash([100 * float(r[name]) for r in same]) for name in COLUMNS[5:8]]
            speed = statistics.mean(float(row["sentences_per_s"]) for row in same)
            lines.append(
                f"{model + ', ' + head:28}{len(same):>6}{cells[0]:>14}{cells[1]:>14}"
                f"{cells[2]:>15}{speed:>13.0f}   {difference(same, rows, counts)}"
            )
        tables.append("\n".join(lines))
    return "\n\n".join(tables)


def spread_or_dash(values: list[float]) -> str:
    """Mean ± standard deviation; nothing where there was nothing to score."""
    return "–" if any(math.isnan(value) for value in values) else spread(values, ".2f")


def difference(
    ours: Sequence[Row], rows: Sequence[Row], counts: Sequence[Row], than: str = "single"
) -> str:
    """Difference to another model with the same head, over the seeds that both have: the mean, its
    interval over sentences, and of three seeds and more half of that over seeds.

    Args:
        ours: The rows of a model in a task.
        rows: All rows.
        counts: The record of counts.
        than: The other model; ``single`` would be the same in a joint run as with its own corpus.
    """
    if ours[0]["model"] == than:
        return ""
    others = {key(row): row for row in rows}
    pairs = []
    for row in ours:
        corpus = row["corpus"].removeprefix(JOINT) if than == "single" else row["corpus"]
        other = others.get(key({**row, "corpus": corpus, "model": than}))
        if other is not None:
            pairs.append((row, other))
    if not pairs:
        return f"{than} is missing"
    by_seed = [100 * (float(a["test"]) - float(b["test"])) for a, b in pairs]
    said = f"{statistics.mean(by_seed):+.2f}"
    seeds = f"{len(pairs)} seed{'s' * (len(pairs) > 1)}"
    if len(pairs) > 2:
        seeds += f" ± {half_width(by_seed):.2f}"
    known = {key(row): row for row in counts}
    sides = [[known.get(key(row)) for row in side] for side in zip(*pairs, strict=True)]
    if None in chain(*sides):
        return f"{said} (counts are missing); {seeds}"
    both = [np.stack([unpack(row) for row in side if row]) for side in sides]
    low, high = sentence_interval(*both)
    return f"{said} [{100 * low:+.2f}, {100 * high:+.2f}]; {seeds}"
