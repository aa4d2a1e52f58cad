"""Check the counts of the tagging corpora that the documentation states, on the real files.

    python benchmarks/check_tagging.py --root data [--conll2000 FOLDER] [--ewt FILE] [--wnut17 FILE]

Exits with an error at the first count that differs, and prints what it measured.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from _examples import numbered_batches
from _expect import expect

from mtgnn.data import (
    SCHEMES,
    BucketBatchSampler,
    EncodedSentences,
    SentenceEncoder,
    convert_tags,
    read_spans,
)
from mtgnn.datasets import WNUT17, CoNLL2000, UniversalDependencies
from mtgnn.datasets.splits import SPLITS
from mtgnn.datasets.tagged import TaggedCorpus
from mtgnn.metrics import SpanF1, score_spans

Splits = dict[str, TaggedCorpus]


def load(name: str, corpus: Callable[[str], TaggedCorpus]) -> Splits:
    """All splits, processed and then from the cache; and what holds for all corpora."""
    times = []
    for _ in range(2):
        start = time.perf_counter()
        splits = {split: corpus(split) for split in SPLITS}
        times.append(time.perf_counter() - start)
    print(f"{name}: first load of all splits {times[0]:.1f} s, from the cache {times[1]:.1f} s")
    for task, tags in splits["train"].classes.items():
        print(f"  {task}: {len(tags)} tags")
    for split, dataset in splits.items():
        known = {tuple(words) for words in splits["train"].words}
        shared = sum(tuple(words) in known for words in dataset.words)
        print(f"  {split}: {len(dataset)} sentences, {shared} of them among those to train on")
    return splits


def words(dataset: TaggedCorpus) -> int:
    """Number of words."""
    return sum(map(len, dataset.words))


def check_spans(splits: Splits, task: str) -> list[int]:
    """The number of spans of each split, after round trips through all schemes."""
    counts = []
    for dataset in splits.values():
        sentences = dataset.tags[task]
        for source, target in itertools.product(SCHEMES, repeat=2):
            for tags in sentences:
                given = convert_tags(tags, "IOB2", source)
                there = convert_tags(given, source, target)
                if convert_tags(there, target, source) != given or read_spans(there) != read_spans(
                    tags
                ):
                    raise SystemExit(f"{source} to {target} and back changes {tags}")
        counts.append(score_spans(sentences, sentences).overall.true)
    return counts


def check_conll2000(root: str, source: str | None) -> Splits:
    """CoNLL-2000."""
    splits = load("CoNLL-2000", lambda split: CoNLL2000(root, split, source))
    sizes = [len(dataset) for dataset in splits.values()]
    expect("  sentences (train file split, test)", [7_936, 1_000, 2_012], sizes)
    train_words = words(splits["train"]) + words(splits["dev"])
    expect("  words of the train file", 211_727, train_words)
    expect("  words of the test file", 47_377, words(splits["test"]))
    expect("  leaked test sentences", 14, int(splits["test"].leaked.sum()))
    train, dev, test = check_spans(splits, "chunk")
    expect("  chunks (train file, test)", (106_978, 23_852), (train + dev, test))
    drawn = set()
    for seed in range(5):
        known, held = (
            [tuple(item) for item in CoNLL2000(root, split, source, seed=seed).words]
            for split in ("train", "dev")
        )
        if set(known) & set(held) or len(held) != 1_000:
            raise SystemExit(f"seed {seed}: dev sentences stand in the train split")
        drawn.add(tuple(held))
    expect("  different dev sets, free of train sentences", 5, len(drawn))
    return splits


def check_ewt(root: str, source: str | None) -> Splits:
    """UD English EWT."""
    splits = load("UD English EWT", lambda split: UniversalDependencies(root, split, source))
    sizes = [len(dataset) for dataset in splits.values()]
    expect("  sentences", [12_544, 2_001, 2_077], sizes)
    expect("  words", [204_577, 25_147, 25_094], [words(d) for d in splits.values()])
    expect("  universal parts of speech", 17, len(splits["test"].classes["upos"]))
    print(f"  leaked test sentences: {int(splits['test'].leaked.sum())}")
    number = UniversalDependencies(root, "train", source, tasks=["Number", "Tense", "VerbForm"])
    print(f"  single features: {number.classes}")
    return splits


def check_wnut17(root: str, source: str | None) -> Splits:
    """WNUT-17."""
    splits = load("WNUT-17", lambda split: WNUT17(root, split, source))
    sizes = [len(dataset) for dataset in splits.values()]
    expect("  sentences", [3_394, 1_009, 1_287], sizes)
    expect("  entities", [1_975, 836, 1_079], check_spans(splits, "ner"))
    expect("  words", [62_730, 15_733, 23_394], [words(d) for d in splits.values()])
    rows = (Path(root) / "raw" / "wnut17train.conll").read_bytes().split(b"\n")
    expect("  lines with a tab alone in the train file", 2_394, rows.count(b"\t"))
    expect("  types", 6, len(splits["test"].classes["ner"]) // 2)
    print(f"  leaked test sentences: {int(splits['test'].leaked.sum())}")
    return splits


def check_together(corpora: list[Splits]) -> None:
    """All corpora encoded together, in batches of similar length; true tags score 1."""
    classes = {t: c for splits in corpora for t, c in splits["train"].classes.items()}
    train = [words for splits in corpora for words in splits["train"].words]
    known = {word for sentence in train for word in sentence}
    start = time.perf_counter()
    encoder = SentenceEncoder.build(train, classes)
    print(f"together: {encoder}, built in {time.perf_counter() - start:.1f} s")
    for by_task in (False, True):
        start = time.perf_counter()
        data = itertools.chain(*(splits["train"] for splits in corpora))
        encoded = EncodedSentences(data, encoder, by_task, known)
        seconds = time.perf_counter() - start
        start = time.perf_counter()
        real = padded = 0
        for batch in BucketBatchSampler(encoded.lengths, 64):
            tokens = encoded.collate([encoded[i] for i in batch])
            real, padded = real + int(tokens.lengths.sum()), padded + tokens.tokens.numel()
            if int(tokens.unknown.sum()):
                raise SystemExit("a training word is unknown")
        print(
            f"  {encoded}: encoded in {seconds:.1f} s, an epoch of batches of 64 in "
            f"{time.perf_counter() - start:.1f} s, {1 - real / padded:.1%} padding"
        )
    for splits in corpora:
        test = splits["test"]
        encoded = EncodedSentences(test, encoder, known=known)
        batches = [batch for _, batch in numbered_batches(encoded, 64)]
        unknown = sum(int(batch.unknown.sum()) for batch in batches)
        print(f"  {test.tasks}: {unknown / words(test):.2%} of the test words unknown")
        for task in test.schemes:
            metric = SpanF1(classes[task])
            for batch in batches:
                y = batch.y[:, :, encoder.tasks.index(task)]
                metric.update(y.clamp(min=0), y)
            expected = score_spans(test.tags[task], test.tags[task]).overall
            expect(f"  true {task} tags score", expected, metric.compute().overall)


def main() -> None:
    """Run all checks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", help="folder for raw and processed files (default: temporary)")
    for name in ("conll2000", "ewt", "wnut17"):
        parser.add_argument(f"--{name}", help="folder, archive or address (default: download)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(options.root or temporary)
        check_together(
            [
                check_conll2000(str(root / "conll2000"), options.conll2000),
                check_ewt(str(root / "ud-ewt"), options.ewt),
                check_wnut17(str(root / "wnut17"), options.wnut17),
            ]
        )


if __name__ == "__main__":
    main()
