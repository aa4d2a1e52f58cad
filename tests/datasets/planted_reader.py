"""Planted texts, read with the meanings alone."""

from __future__ import annotations

import math

from mtgnn.datasets import PlantedTasks
from mtgnn.datasets.planted_texts import Meaning


def rows(dataset: PlantedTasks) -> list[tuple[str, int, int]]:
    return list(zip(dataset.text, dataset.task.tolist(), dataset.y.tolist(), strict=True))


def label(text: str, meaning: Meaning) -> int:
    """What the text says, read from its words alone: 1 for a positive text."""
    words = text.split()
    joints = [place for place, word in enumerate(words) if word in meaning.counts]
    if joints:
        (place,) = joints
        after = meaning.counts[words[place]] == 1
        words = words[place + 1 :] if after else words[:place]
    signs = [{**meaning.polarity, **meaning.factor}.get(word, 1) for word in words]
    assert sum(word in meaning.polarity for word in words) == 1
    return int(math.prod(signs) > 0)
