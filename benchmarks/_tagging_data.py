"""The corpora of the tagging benchmarks: real files, or tiny ones of the same formats."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch_geometric.data import Data

from mtgnn.data import EncodedSentences, SentenceEncoder, WordForm
from mtgnn.datasets import WNUT17, CoNLL2000, UniversalDependencies
from mtgnn.datasets.splits import SPLITS

TASKS = {"conll2000": ("pos", "chunk"), "ud-ewt": ("upos", "xpos"), "wnut17": ("ner",)}


@dataclass(frozen=True)
class Corpus:
    """A corpus in its parts.

    Attributes:
        classes: The tags of each task.
        schemes: The tag scheme of each task whose tags are spans.
        parts: Its sentences, by ``"train"``, ``"dev"`` and ``"test"``.
    """

    name: str
    classes: Mapping[str, Sequence[str]]
    schemes: Mapping[str, str]
    parts: Mapping[str, Sequence[Data]]

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of its tasks."""
        return tuple(self.classes)

    def words(self) -> set[str]:
        """The words of its training sentences, as they stand there."""
        return {word for item in self.parts["train"] for word in item.words}

    def draw(self, labels: int | None, seed: int) -> Corpus:
        """With so many training sentences; a smaller draw is part of a larger one.

        Raises:
            ValueError: If there are not as many.
        """
        if labels is None:
            return self
        train = self.parts["train"]
        if not 0 < labels <= len(train):
            raise ValueError(f"{self.name}: expected 1 to {len(train)} sentences, got {labels}")
        order = torch.randperm(len(train), generator=torch.Generator().manual_seed(seed))
        drawn = [train[i] for i in order[:labels].tolist()]
        return replace(self, parts={**self.parts, "train": drawn})


def read_corpus(name: str, root: Path, source: str | None, quick: bool = False) -> Corpus:
    """A corpus by its name, one of ``TASKS``.

    The dev part of CoNLL-2000, which has none, is drawn from its train file by
    :class:`~mtgnn.datasets.CoNLL2000` with seed 0: 1,000 sentences, equal ones together.

    Args:
        root: Folder with a folder for each corpus, for raw and processed files.
        source: Folder, archive or address of its files; None downloads.
        quick: Tiny generated files.
    """
    read: Callable[..., Any]
    if quick:
        source, root = str(write_tiny(root / "tiny") / name), root / "tiny" / "read"
        read = {"conll2000": _TinyCoNLL, "ud-ewt": UniversalDependencies, "wnut17": _TinyWNUT}[name]
    else:
        read = {"conll2000": CoNLL2000, "ud-ewt": UniversalDependencies, "wnut17": WNUT17}[name]
    options: dict[str, Any] = {"seed": 0} if name == "conll2000" else {}
    if name == "ud-ewt":
        options = {"tasks": TASKS[name], "treebank": "xx_tiny" if quick else None}
    datasets = {part: read(str(root / name), part, source, **options) for part in SPLITS}
    first = datasets["train"]
    # Items are made anew at every look into a dataset: once is enough.
    parts = {part: list(dataset) for part, dataset in datasets.items()}
    return Corpus(name, {task: first.classes[task] for task in TASKS[name]}, first.schemes, parts)


def encode_words(
    corpora: Iterable[Corpus], classes: Mapping[str, Sequence[str]], min_count: int, lower: bool
) -> SentenceEncoder:
    """Numbers of the words that the training sentences of some corpora have together.

    Words stand in the table without their digits' values, and in lower case if ``lower``: their
    characters are read as they are. Rarer words than ``min_count`` are the unknown word, so that
    its vector is trained.
    """
    return SentenceEncoder.build(
        [item.words for corpus in corpora for item in corpus.parts["train"]],
        classes,
        WordForm(lower=lower, digits=True),
        min_count=min_count,
        max_characters=20,
    )


def encode(
    corpora: Iterable[Corpus],
    part: str,
    sentences: SentenceEncoder,
    known: set[str] | None = None,
) -> EncodedSentences:
    """A part of some corpora, one after the other; a sentence is read once for all its tasks."""
    items = [item for corpus in corpora for item in corpus.parts[part]]
    return EncodedSentences(items, sentences, known=known)


# Tiny files -----------------------------------------------------------------------------------

WORDS = {
    "DET": ["the", "a", "no"],
    "ADJ": ["old", "red", "small"],
    "NOUN": ["dog", "cat", "house", "tree"],
    "PROPN": ["Rex", "Paris", "Ann", "Oslo"],
    "VERB": ["sees", "likes", "finds"],
    "PUNCT": ["."],
}
XPOS = {"DET": "DT", "ADJ": "JJ", "NOUN": "NN", "PROPN": "NNP", "VERB": "VBZ", "PUNCT": "."}
PLACES = ("Paris", "Oslo")
SIZES = {"train": 60, "dev": 20, "test": 25}


class _TinyCoNLL(CoNLL2000):
    dev_size = SIZES["dev"]

    def _expected(self) -> dict[str, None]:
        return dict.fromkeys(self.checksums)


class _TinyWNUT(WNUT17):
    def _expected(self) -> dict[str, None]:
        return dict.fromkeys(self.checksums)


def write_tiny(folder: Path) -> Path:
    """Write generated corpora whose tags follow from the parts of speech."""
    draw = random.Random(0)
    conll = {"train.txt": SIZES["train"] + SIZES["dev"], "test.txt": SIZES["test"]}
    files = {f"conll2000/{name}": (size, _conll) for name, size in conll.items()}
    for part, size in SIZES.items():
        files[f"ud-ewt/xx_tiny-ud-{part}.conllu"] = size, _conllu
    for name, size in zip(WNUT17.checksums, SIZES.values(), strict=True):
        files[f"wnut17/{name}"] = size, _wnut
    for name, (size, write) in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(write(_sentence(draw)) for _ in range(size)), encoding="utf-8")
    return folder


def _sentence(draw: random.Random) -> list[tuple[str, str]]:
    """Words and parts of speech: two things, and a verb between them."""

    def thing() -> list[str]:
        if draw.random() < 0.4:
            return ["PROPN"]
        return ["DET", *["ADJ"] * draw.randrange(3), "NOUN"]

    def word(tag: str) -> str:
        new = tag == "NOUN" and draw.random() < 0.1  # a word that is nowhere else
        return f"{draw.choice('bdfgk')}u{draw.randrange(1000)}" if new else draw.choice(WORDS[tag])

    return [(word(tag), tag) for tag in [*thing(), "VERB", *thing(), "PUNCT"]]


def _conll(sentence: list[tuple[str, str]]) -> str:
    lines, before = [], ""
    for word, tag in sentence:
        inside = before in ("DET", "ADJ") and tag in ("ADJ", "NOUN")
        chunk = {"VERB": "B-VP", "PUNCT": "O"}.get(tag, "I-NP" if inside else "B-NP")
        lines.append(f"{word} {XPOS[tag]} {chunk}\n")
        before = tag
    return "".join(lines)


def _conllu(sentence: list[tuple[str, str]]) -> str:
    return "".join(
        f"{n}\t{word}\t_\t{tag}\t{XPOS[tag]}" + 5 * "\t_" + "\n"
        for n, (word, tag) in enumerate(sentence, 1)
    )


def _wnut(sentence: list[tuple[str, str]]) -> str:
    names = {"PROPN": lambda word: "B-location" if word in PLACES else "B-person"}
    return "".join(f"{w}\t{names[tag](w) if tag in names else 'O'}\n" for w, tag in sentence)
