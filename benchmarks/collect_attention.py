"""What collecting attention costs beside plain evaluation, in time and in memory.

Random texts of FDU-MTL's make (16 tasks, up to 256 words), read once by evaluation alone and once
with all readouts; then both over three times as many texts. Time is that of the CPU, and
memory the peak of the process, which a fresh process measures for each line.

    python benchmarks/collect_attention.py
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from collections.abc import Iterator

import torch

from mtgnn.data import SequenceBatch, Vocabulary
from mtgnn.explain import (
    EdgeByPosition,
    EdgeByWord,
    EdgeMean,
    MailboxByWord,
    SentenceSample,
    collect_attention,
)
from mtgnn.nn import MultiTaskModel

TASKS, WORDS, STEPS, BATCH = 16, 20_000, 256, 64


def batches(number: int) -> Iterator[SequenceBatch]:
    """Random texts of similar length side by side, as the samplers put them."""
    generator = torch.Generator().manual_seed(0)
    for place in range(number):
        longest = (
            STEPS if place == 0 else int(torch.randint(20, STEPS + 1, (), generator=generator))
        )
        lengths = torch.randint(longest // 2, longest + 1, (BATCH,), generator=generator)
        lengths[0] = longest
        tokens = torch.randint(3, WORDS, (BATCH, longest), generator=generator)
        tokens *= torch.arange(longest) < lengths[:, None]
        task = torch.randint(TASKS, (BATCH,), generator=generator)
        yield SequenceBatch(tokens, lengths, task, torch.zeros_like(task))


def measure(encoder: str, how: str, number: int) -> str:
    torch.manual_seed(0)
    vocabulary = Vocabulary([f"w{i}" for i in range(WORDS - 3)])
    classes = {f"task{k}": ["bad", "good"] for k in range(TASKS)}
    model = MultiTaskModel(vocabulary, classes, encoder).eval()
    graph, mailbox = model.graph, encoder == "star"
    readouts = [SentenceSample(graph, vocabulary, mailbox=mailbox)]
    if mailbox:
        readouts.append(MailboxByWord(graph, vocabulary))
    else:
        kinds = [EdgeMean(graph), EdgeByWord(graph, vocabulary), EdgeByPosition(graph)]
        readouts.extend(kinds)
    start = time.process_time()
    if how == "readouts":
        collect_attention(model, batches(number), readouts)
    else:
        with torch.no_grad():
            for batch in batches(number):
                model(batch.tokens, batch.lengths, batch.task)
    seconds = time.process_time() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return f"{encoder:9} {how:10} {number * BATCH:6,} texts  {seconds:6.1f} s CPU  {peak:6,.0f} MiB"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batches", type=int, default=12, help="of 64 texts")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(measure(*options.one, options.batches), flush=True)
        return
    for encoder in ("complete", "star"):
        for how, times in (("evaluation", 1), ("readouts", 1), ("evaluation", 3), ("readouts", 3)):
            number = str(options.batches * times)
            subprocess.run(
                [sys.executable, __file__, "--one", encoder, how, "--batches", number], check=True
            )


if __name__ == "__main__":
    main()
