"""What collecting attention costs beside plain evaluation, in time and in memory.

Reads every fourth batch of texts by evaluation alone and with all readouts, then all of them: the
test texts of FDU-MTL, or random ones of their make (16 tasks, up to 256 words). Models are not
trained. Time is that of the CPU, of one thread; memory is the peak beyond what was held before,
which a fresh process measures for each line.

    python benchmarks/collect_attention.py
    python benchmarks/collect_attention.py --root data/fdu-mtl --csv collect_attention.csv
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from _cases import BARE
from _record import replace
from _timing import Peak

from mtgnn.data import BucketBatchSampler, EncodedTexts, SequenceBatch, Vocabulary
from mtgnn.datasets import FDUMTL
from mtgnn.explain import (
    EdgeByPosition,
    EdgeByWord,
    EdgeMean,
    MailboxByWord,
    SentenceSample,
    collect_attention,
)
from mtgnn.nn import MultiTaskModel

COLUMNS = ("texts", "model", "how", "number", "seconds", "peak_mb")
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "complete, word by word": ("complete", BARE),
    "complete, whole texts": ("complete", {"memory": "all", **BARE}),
    "star": ("star", BARE),
}
TASKS, WORDS, STEPS, BATCH = 16, 20_000, 256, 64
PARTS = (4, 1)


def random_batches(number: int) -> list[SequenceBatch]:
    """Random texts of similar length side by side, as the samplers put them."""
    generator = torch.Generator().manual_seed(0)
    found = []
    for place in range(number):
        longest = (
            STEPS if place == 0 else int(torch.randint(20, STEPS + 1, (), generator=generator))
        )
        lengths = torch.randint(longest // 2, longest + 1, (BATCH,), generator=generator)
        lengths[0] = longest
        tokens = torch.randint(3, WORDS, (BATCH, longest), generator=generator)
        tokens *= torch.arange(longest) < lengths[:, None]
        task = torch.randint(TASKS, (BATCH,), generator=generator)
        found.append(SequenceBatch(tokens, lengths, task, torch.zeros_like(task)))
    return found


def fdu_batches(root: str, source: str | None) -> tuple[list[SequenceBatch], Vocabulary]:
    """The test texts of FDU-MTL, of similar length side by side."""
    dataset = FDUMTL(root, "test", source)
    vocabulary = Vocabulary.build(dataset.text)
    texts = EncodedTexts(dataset, vocabulary, STEPS)
    sampler = BucketBatchSampler(texts.lengths, BATCH, shuffle=False)
    return [texts.collate([texts[i] for i in part]) for part in sampler], vocabulary


def measure(options: argparse.Namespace, name: str, how: str, part: int) -> dict[str, str]:
    """A row of the record."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    if options.root:
        batches, vocabulary = fdu_batches(options.root, options.source)
    else:
        batches = random_batches(options.batches)
        vocabulary = Vocabulary([f"w{i}" for i in range(WORDS - 3)])
    encoder, further = MODELS[name]
    classes = {f"task{k}": ["bad", "good"] for k in range(TASKS)}
    model = MultiTaskModel(vocabulary, classes, encoder, encoder_options=further).eval()
    read = batches[::part]
    peak, start = Peak("cpu"), time.process_time()
    if how == "readouts":
        collect_attention(model, read, all_readouts(model))
    else:
        evaluate(model, read)
    seconds = time.process_time() - start
    return {
        "texts": "fdu-mtl" if options.root else "random",
        "model": name,
        "how": how,
        "number": str(sum(len(batch.lengths) for batch in read)),
        "seconds": f"{seconds:.1f}",
        "peak_mb": f"{peak.read():.0f}",
    }


@torch.no_grad()
def evaluate(model: MultiTaskModel, batches: list[SequenceBatch]) -> None:
    """Nothing but the model's outputs."""
    for batch in batches:
        model(batch.tokens, batch.lengths, batch.task)


def all_readouts(model: MultiTaskModel) -> list[Any]:
    """Every readout that the attention has something to say to: shares tell no words apart."""
    graph, vocabulary, encoder = model.graph, model.vocabulary, model.encoder
    if encoder.memory == "current":
        by_edge = [EdgeMean(graph), EdgeByWord(graph, vocabulary), EdgeByPosition(graph)]
        return [*by_edge, SentenceSample(graph, vocabulary)]
    mailbox = [MailboxByWord(graph, vocabulary), SentenceSample(graph, vocabulary, mailbox=True)]
    return mailbox if graph.virtual else [EdgeMean(graph), *mailbox]


def read_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--root", help="where FDU-MTL is, or goes (else random texts)")
    parser.add_argument("--source", help="where FDU-MTL's files come from")
    parser.add_argument("--batches", type=int, default=12, help="of 64 random texts")
    parser.add_argument("--csv", type=Path, help="the record: what is measured anew is replaced")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    """Measure each line in a process of its own."""
    options = read_options()
    if options.one:
        name, how, part = options.one
        print(json.dumps(measure(options, name, how, int(part))))
        return
    for name in MODELS:
        for part in PARTS:
            for how in ("evaluation", "readouts"):
                command = [sys.executable, *sys.argv, "--one", name, how, str(part)]
                done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
                row = json.loads(done.stdout.splitlines()[-1])
                texts, seconds, peak = int(row["number"]), row["seconds"], row["peak_mb"]
                print(
                    f"{name:24} {how:10} {texts:6,} texts {seconds:>6} s {peak:>5} MB", flush=True
                )
                if options.csv:
                    replace(options.csv, COLUMNS, [row], COLUMNS[:4])


if __name__ == "__main__":
    main()
