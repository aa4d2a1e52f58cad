"""Speed of reading the characters of a batch: of every cell, every word, or distinct words once.

python benchmarks/words.py --root data/conll2000 [--source FOLDER]

Prints CSV: median milliseconds, forward and backward, taking turns, after a check of equal values.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor

from mtgnn.data import EncodedSentences, SentenceEncoder
from mtgnn.datasets import CoNLL2000
from mtgnn.nn import CharacterCNN, CharacterLSTM
from mtgnn.nn.words import distinct

Reader = CharacterCNN | CharacterLSTM


def every_cell(reader: Reader, rows: Tensor) -> Tensor:
    """Padding too."""
    return reader(rows)


def every_word(reader: Reader, rows: Tensor) -> Tensor:
    """Each word, padding not."""
    place = rows.any(1).nonzero().squeeze(1)
    found = reader(rows[place])
    return found.new_zeros(len(rows), found.size(1)).index_copy(0, place, found)


def distinct_words(reader: Reader, rows: Tensor) -> Tensor:
    """Each spelling once: the time of finding them counts."""
    spelling, place = distinct(rows)
    return reader(spelling)[place]


WAYS = (every_cell, every_word, distinct_words)


def alternate(calls: list[Callable[[], object]], repeats: int) -> list[float]:
    """Median milliseconds of each, taking turns."""
    times: list[list[float]] = [[] for _ in calls]
    for _ in range(repeats):
        for call, own in zip(calls, times, strict=True):
            start = time.perf_counter()
            call()
            own.append(1e3 * (time.perf_counter() - start))
    return [statistics.median(own) for own in times]


def main() -> None:
    """Measure and print as CSV."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", required=True, help="folder for raw/ and processed/")
    parser.add_argument("--source", help="folder, archive or address (default: download)")
    parser.add_argument("--repeats", type=int, default=20)
    options = parser.parse_args()
    dataset = CoNLL2000(options.root, "train", options.source)
    encoder = SentenceEncoder.build(dataset.words, dataset.classes)
    writer = csv.writer(sys.stdout, lineterminator="\n")
    names = [f"ms_{way.__name__}" for way in WAYS]
    writer.writerow(["reader", "sentences", "cells", "words", "distinct", *names])
    for size in (16, 32, 64):
        data = EncodedSentences([dataset[i] for i in range(size)], encoder)
        rows = data.collate([data[i] for i in range(size)]).characters.flatten(0, 1)
        for reader in (CharacterCNN, CharacterLSTM):
            torch.manual_seed(0)
            net = reader(len(encoder.characters), dropout=0.0)
            values = [way(net, rows) for way in WAYS]
            for value in values[1:]:
                torch.testing.assert_close(value, values[0])
            calls = [lambda w=way, n=net, r=rows: w(n, r).sum().backward() for way in WAYS]
            found = [f"{value:.2f}" for value in alternate(calls, options.repeats)]
            counts = [len(rows), int(rows.any(1).sum()), len(distinct(rows)[0])]
            writer.writerow([reader.__name__, size, *counts, *found])


if __name__ == "__main__":
    main()
