"""Encoded texts or sentences in batches, without training on them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mtgnn.data import BucketBatchSampler, EncodedSentences, EncodedTexts


def numbered_batches(
    data: EncodedTexts | EncodedSentences, size: int
) -> Iterator[tuple[list[int], Any]]:
    """All items, those of similar length together: their numbers, and the batch of them."""
    for numbers in BucketBatchSampler(data.lengths, size, shuffle=False):
        yield numbers, data.collate([data[i] for i in numbers])
