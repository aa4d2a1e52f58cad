"""An epoch of training on FDU-MTL: mtgnn against a user's loop.

    python benchmarks/epoch.py --root data/fdu-mtl [--source fdu-mtl.tar.gz] --csv epoch.csv
    python benchmarks/epoch.py --root data/fdu-mtl --batches 0         # all of them

A whole step is timed: embedding (100), one layer (H 100), mean over the words, a linear head for
each task, cross entropy, backward and Adam, on batches of 64 texts of at most 256 words. The loop
and the layer have the same parameters, and their losses on the first batch are compared before
anything is timed. They take turns on every batch.

The layer is named by its kernel: ``fused``, or with ``MTGNN_NATIVE=1`` in the environment
``native``.

Unless ``--batches 0`` asks for all, the loop's epoch is *extrapolated* from a part: batches are put
in order of their padded length, the middles of ``--batches`` equal pieces are timed, and their mean
is multiplied by the number of batches. So is the layer's, unless ``--whole`` asks for all of its
batches. The output says so in every line; the ratio is that on the batches which both had.
"""

from __future__ import annotations

import argparse
import copy
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from _cases import Case, build
from _fdu import BATCH_SIZE, FDUBatches
from _record import write
from _runner import write_json
from _timing import WHERE, check_device, environment, middles, synchronise
from torch import Tensor, nn
from user_loop import user_loop

from mtgnn.data import EncodedTexts, SequenceBatch
from mtgnn.ops import kernels_ran

SIZE = 100  # of embeddings and of states
KINDS = ("mutual", "read", "star")
BATCHES = ("random", "bucketed")
COLUMNS = ["name", "batches", "seconds", "ratio_to_loop", "timed_batches", "all_batches"]
COLUMNS += ["extrapolated", "words", "device", *WHERE]


class Classifier(nn.Module):
    """Embedding, layer or loop, mean over the words, a head for each task.

    Args:
        encoder: Called as ``encoder(x, lengths, task)``.
        num_words: Size of the vocabulary.
        num_tasks: Number of heads.
    """

    def __init__(self, encoder: nn.Module, num_words: int, num_tasks: int) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.embedding = nn.Embedding(num_words, SIZE, padding_idx=0)
        self.encoder = encoder
        self.head = nn.Parameter(torch.randn(num_tasks, SIZE, 2) / SIZE**0.5)

    def forward(self, batch: SequenceBatch) -> Tensor:
        """The mean loss of a batch that is on the CPU, where lengths and tasks are wanted."""
        here = batch.to(self.head.device)
        out = self.encoder(self.embedding(here.tokens), batch.lengths, batch.task)
        out = out[0] if isinstance(out, tuple) else out  # [B, T, H], zero beyond the lengths
        mean = out.sum(1) / batch.lengths.to(out.device)[:, None]
        logits = torch.einsum("bh,bhc->bc", mean, self.head[here.task])
        return nn.functional.cross_entropy(logits, here.y)


class Trainer:
    """A model and its Adam."""

    def __init__(self, model: Classifier, device: str) -> None:
        self.model, self.device = model.to(device), device
        self.optimizer = torch.optim.Adam(model.parameters())

    def step(self, batch: SequenceBatch) -> float:
        """Seconds of a training step."""
        synchronise(self.device)
        before = time.perf_counter()
        self.optimizer.zero_grad()
        self.model(batch).backward()
        self.optimizer.step()
        synchronise(self.device)
        return time.perf_counter() - before


@dataclass
class Epoch:
    """What was timed.

    Attributes:
        layer: Seconds of the layer, on the batches that the loop had too.
        loop: Seconds of the loop.
        rest: Seconds of the layer on all other batches; ``None`` where it did not have them.
        kernel: The layer's.
        timed: Number of batches that both had.
        every: Number of batches.
        words: Number of words.
    """

    layer: float
    loop: float
    rest: float | None
    kernel: str
    timed: int
    every: int
    words: int

    def lines(self, name: str, batches: str, loop: str) -> list[dict[str, Any]]:
        """The lines of the record: layer and loop."""
        shared = {"batches": batches, "all_batches": self.every, "words": self.words}
        scale = self.every / self.timed
        part = (self.layer * scale, self.timed)
        whole = part if self.rest is None else (self.layer + self.rest, self.every)
        rows = ((self.kernel, self.layer, *whole), (loop, self.loop, self.loop * scale, self.timed))
        return [
            {
                **shared,
                "name": f"{name}/{who}",
                "seconds": round(epoch, 1),
                "ratio_to_loop": round(self.loop / seconds, 2),
                "timed_batches": timed,
                "extrapolated": timed < self.every,
            }
            for who, seconds, epoch, timed in rows
        ]


def measure(kind: str, batches: str, data: FDUBatches, options: argparse.Namespace) -> Epoch:
    """Check that both compute the same, and time them in turns."""
    device = options.device
    case = Case(kind, kind, len(data.tasks), BATCH_SIZE, 0, SIZE, SIZE)
    layer = build(case, "auto", device)
    # The loop is made of parameters of a layer: one of its own, for both are trained.
    loop = user_loop(copy.deepcopy(layer), options.tuned)
    sizes = len(data.vocabulary), len(data.tasks)
    trainers = [Trainer(Classifier(encoder, *sizes), device) for encoder in (layer, loop)]
    epoch = data.epoch(batches)
    chosen = middles(epoch, options.batches) if options.batches else epoch
    made = [EncodedTexts.collate([data.texts[i] for i in indices]) for indices in chosen]
    with torch.no_grad(), kernels_ran() as ran:
        losses = [float(trainer.model(made[0])) for trainer in trainers]
    if abs(losses[0] - losses[1]) > 1e-4:
        sys.exit(f"{kind}: the layer's loss is {losses[0]}, the loop's {losses[1]}")
    for trainer in trainers:
        trainer.step(made[0])
    seconds = [0.0, 0.0]
    for batch in made:
        for who, trainer in enumerate(trainers):
            seconds[who] += trainer.step(batch)
    rest = None
    if options.whole:
        others = [indices for indices in epoch if indices not in chosen]
        collate = EncodedTexts.collate
        rest = sum(trainers[0].step(collate([data.texts[i] for i in own])) for own in others)
    words = int(data.texts.lengths.sum())
    return Epoch(*seconds, rest, ran[0].partition(" ")[0], len(chosen), len(epoch), words)


def in_words(line: dict[str, Any]) -> str:
    """A line for people."""
    part = f"extrapolated from {line['timed_batches']} of {line['all_batches']} batches"
    return (
        f"{line['name']:12} {line['batches']:9} {line['seconds']:9.1f} s an epoch, "
        f"{line['ratio_to_loop']:5.2f} times as fast as the loop "
        f"({part if line['extrapolated'] else 'all batches timed'})"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--root", required=True, help="folder for raw/ and processed/")
    parser.add_argument("--source", help="folder, archive or address (default: download)")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--batches", type=int, default=8, help="how many to time; 0: all")
    parser.add_argument("--whole", action="store_true", help="time the layer on all batches")
    parser.add_argument("--tuned", action="store_true", help="against the loop with tuned=True")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--threads", type=int, help="torch's threads (default: torch's own)")
    parser.add_argument("--csv", type=Path, help="write the record here")
    parser.add_argument("--json", type=Path, help="write it here too")
    options = parser.parse_args()
    check_device(options.device)
    if options.threads:
        torch.set_num_threads(options.threads)
    data = FDUBatches(options.root, options.source)
    where = environment(options.device) | {"device": options.device}
    loop = "loop-tuned" if options.tuned else "loop"
    lines: list[dict[str, Any]] = []
    for kind in options.kinds:
        for batches in BATCHES:
            found = measure(kind, batches, data, options).lines(kind, batches, loop)
            for line in found:
                print(in_words(line), flush=True)
            lines += [line | where for line in found]
            if options.csv:
                write(options.csv, COLUMNS, lines)
            if options.json:
                write_json(options.json, lines)


if __name__ == "__main__":
    main()
