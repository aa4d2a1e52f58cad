"""Check the counts of FDU-MTL that the documentation states, on the real files.

    python benchmarks/check_fdu_mtl.py --root data/fdu-mtl [--source fdu-mtl.tar.gz]

Exits with an error at the first count that differs, and prints what it measured.
"""

from __future__ import annotations

import argparse
import re
import tempfile
import time
from collections import Counter

from _expect import expect

from mtgnn.datasets import FDUMTL

SIZES = {"train": 22_180, "dev": 3_200, "test": 6_400, "unlabelled": 30_475}
UNLEAKED = 5_841
SEEN_UNLABELLED = 436


def load(root: str, source: str | None) -> dict[str, FDUMTL]:
    """All splits, each loaded twice: processed, then from its cache."""
    splits = {}
    for split in SIZES:
        times = []
        for _ in range(2):
            start = time.perf_counter()
            splits[split] = FDUMTL(root, split, source)
            times.append(time.perf_counter() - start)
        print(f"{split}: first load {times[0]:.2f} s, from the cache {times[1]:.2f} s")
    return splits


def check_dev(root: str, source: str | None, test: FDUMTL) -> None:
    """Both ways to draw a dev set, and for the seeded one several seeds."""
    shared, drawn = {}, set()
    for dev, seed in [("stratified", seed) for seed in range(5)] + [("tail", 0)]:
        train, held = (FDUMTL(root, split, source, dev, seed) for split in ("train", "dev"))
        sizes = set(Counter(held.task.tolist()).values())
        expect(f"dev={dev} seed={seed}: sizes of a domain's dev set", {200}, sizes)
        known: list[set[str]] = [set() for _ in test.tasks]
        for text, task in zip(train.text, train.task.tolist(), strict=True):
            known[task].add(text)
        pairs = zip(held.text, held.task.tolist(), strict=True)
        shared[dev, seed] = sum(text in known[task] for text, task in pairs)
        drawn.add(tuple(held.text))
        positive = [int(held.y[held.task == task].sum()) for task in range(len(test.tasks))]
        print(f"  positive dev reviews of a domain: {min(positive)} to {max(positive)} of 200")
    expect("different dev sets", 6, len(drawn))
    stratified = [shared["stratified", seed] for seed in range(5)]
    expect("stratified dev reviews that stand in their train set", [0] * 5, stratified)
    expect("tail dev reviews that stand in their train set", 257, shared["tail", 0])


def check_unlabelled(unlabelled: FDUMTL, test: FDUMTL) -> None:
    """Test reviews that stand among the unlabelled ones, whose words come in another spelling: word
    vectors have seen these texts, if no label."""

    def letters(text: str) -> str:
        return re.sub("[^a-z0-9]", "", text.lower())[:200]

    known = {letters(text) for text in unlabelled.text}
    found = sum(letters(text) in known for text in test.text)
    expect("test reviews that stand among the unlabelled ones", SEEN_UNLABELLED, found)


def main() -> None:
    """Run all checks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", help="folder for raw/ and processed/ (default: a temporary one)")
    parser.add_argument("--source", help="folder, archive or address (default: download)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        root = options.root or temporary
        splits = load(root, options.source)
        for split, size in SIZES.items():
            expect(f"{split} reviews", size, len(splits[split]))
        test, train = splits["test"], splits["train"]
        expect("test reviews of a domain", {400}, set(Counter(test.task.tolist()).values()))
        expect("unleaked test reviews", UNLEAKED, int((~test.leaked).sum()))
        check_dev(root, options.source, test)
        check_unlabelled(splits["unlabelled"], test)
        empty = sum(not text for split in ("train", "dev") for text in splits[split].text)
        expect("labelled train reviews without text", 1, empty)
        damaged = sum("clich\ufffd ''" in text for s in ("train", "dev") for text in splits[s].text)
        expect("damaged train reviews", 1, damaged)
        print("domain                leaked  positive test  mean words (train)")
        for number, task in enumerate(test.tasks):
            ours = test.task == number
            texts = [t for t, k in zip(train.text, train.task.tolist(), strict=True) if k == number]
            words = sum(len(text.split()) for text in texts) / len(texts)
            leaked, positive = int(test.leaked[ours].sum()), int(test.y[ours].sum())
            print(f"{task:20s} {leaked:7d} {positive:14d} {words:19.1f}")


if __name__ == "__main__":
    main()
