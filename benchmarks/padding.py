"""How much of a batch is padding on FDU-MTL: random batches, buckets within tasks, and across.

python benchmarks/padding.py --root data/fdu-mtl [--source fdu-mtl.tar.gz]
"""

from __future__ import annotations

import argparse
import csv
import sys

import torch
from torch import Tensor

from mtgnn.data import BucketBatchSampler, EncodedTexts, Vocabulary
from mtgnn.datasets import FDUMTL

Batches = list[list[int]]


def padding(lengths: Tensor, batches: Batches) -> float:
    """Fraction of the cells of all batches that are padding."""
    real = sum(int(lengths[batch].sum()) for batch in batches)
    return 1 - real / sum(len(batch) * int(lengths[batch].max()) for batch in batches)


def tasks_in_a_batch(task: Tensor, batches: Batches) -> float:
    """Mean number of different tasks in a batch."""
    return sum(len(set(task[batch].tolist())) for batch in batches) / len(batches)


def kept_companions(first: Batches, second: Batches) -> float:
    """Fraction of an example's companions in one epoch that it has in the next one too."""
    one = {i: set(batch) for batch in first for i in batch}
    two = {i: set(batch) for batch in second for i in batch}
    return sum(len(one[i] & two[i]) - 1 for i in one) / sum(len(one[i]) - 1 for i in one)


def random_batches(lengths: Tensor, size: int, generator: torch.Generator) -> Batches:
    """Batches without regard to length."""
    order = torch.randperm(len(lengths), generator=generator)
    return [piece.tolist() for piece in order.split(size)]


def within_tasks(lengths: Tensor, task: Tensor, size: int, generator: torch.Generator) -> Batches:
    """A bucket of similar lengths from every task joined to a batch."""
    num_tasks = int(task.max()) + 1
    batches: Batches = []
    for number in range(num_tasks):
        own = torch.where(task == number)[0]
        buckets = own[torch.argsort(lengths[own])].split(size // num_tasks)
        for place, bucket in enumerate(torch.randperm(len(buckets), generator=generator).tolist()):
            if place == len(batches):
                batches.append([])
            batches[place] += buckets[bucket].tolist()
    return batches


def main() -> None:
    """Measure and print as CSV."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", required=True, help="folder for raw/ and processed/")
    parser.add_argument("--source", help="folder, archive or address (default: download)")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--max-length", type=int, default=256)
    options = parser.parse_args()
    dataset = FDUMTL(options.root, "train", options.source)
    data = EncodedTexts(dataset, Vocabulary.build(dataset.text), options.max_length)
    lengths, task, size = data.lengths, data.task, options.batch_size
    generator = torch.Generator().manual_seed(0)
    kinds = {
        "random": [random_batches(lengths, size, generator) for _ in range(2)],
        "buckets within tasks": [within_tasks(lengths, task, size, generator) for _ in range(2)],
    }
    for noise in (0.0, 0.05, 0.1, 0.2):
        sampler = BucketBatchSampler(lengths, size, noise=noise)
        epochs = [sampler.global_batches()]
        sampler.set_epoch(1)
        kinds[f"buckets across tasks, noise {noise}"] = [*epochs, sampler.global_batches()]
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["batches", "padding", "tasks_in_a_batch", "kept_companions"])
    for name, (first, second) in kinds.items():
        row = (
            padding(lengths, first),
            tasks_in_a_batch(task, first),
            kept_companions(first, second),
        )
        writer.writerow([name, *(f"{value:.3f}" for value in row)])


if __name__ == "__main__":
    main()
