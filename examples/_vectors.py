"""Word vectors for ``text_classification.py`` to start from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor

from mtgnn.data import Vocabulary, read_vectors, tokenize, train_vectors
from mtgnn.datasets import FDUMTL

TOKENISED = ("imdb", "MR")  # the unlabelled reviews of all other domains are raw text


def start_vectors(options: dict[str, Any], texts: Any, vocabulary: Vocabulary) -> Tensor | None:
    """Vectors ``[V, E]`` from a file, or trained on the texts for training; ``None`` for none."""
    if options["vectors"] is None:
        return None
    if options["vectors"] != "train":
        return read_vectors(options["vectors"], vocabulary).values
    lines = [*texts.train.text, *unlabelled(options)]
    size, seed = options["embedding_size"], options["seed"]
    return train_vectors(lines, vocabulary, size, seed=seed).values


def unlabelled(options: dict[str, Any]) -> Iterator[str]:
    """Further texts without a label, tokenised: only FDU-MTL has any."""
    if options["data"] != "fdu-mtl":
        return
    reviews = FDUMTL(options["root"], "unlabelled", options["source"])
    for text, task in zip(reviews.text, reviews.task.tolist(), strict=True):
        raw = reviews.tasks[task] not in TOKENISED
        yield " ".join(tokenize(text)) if raw else text
