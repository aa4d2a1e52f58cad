"""Universal Dependencies: parts of speech and features, in the format CoNLL-U."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from torch_geometric.data import Data

from .columns import Sentence, Tags, read_blocks
from .splits import SPLITS
from .tagged import TaggedCorpus

PINNED = "en_ewt-2.16"
URL = (
    "https://raw.githubusercontent.com/UniversalDependencies/UD_English-EWT/"
    "15d613d8447b3478787d4c278730a1e48a945efb"
)
SHA256 = {
    "en_ewt-ud-train.conllu": "3fb78e2b55482c8ee00caa653af436c88c9e5bc9a73ce26e4ae3ddc79d2b7e7b",
    "en_ewt-ud-dev.conllu": "531a54ff90d6ab12201c5a50c3e78e6ddac4de69abc4bce5d275d3cd29efe2b6",
    "en_ewt-ud-test.conllu": "e266e515a0a7547657ed3d90d9ba46487d6bd251f27ad4269d4e8a427c8555cd",
}
ID, FORM, UPOS, XPOS, FEATS, WIDTH = 0, 1, 3, 4, 5, 10
NOTHING = "_"

_COLUMNS = {"upos": UPOS, "xpos": XPOS, "feats": FEATS}
_WORD, _RANGE, _EMPTY = (
    re.compile(p) for p in (r"[1-9]\d*", r"([1-9]\d*)-([1-9]\d*)", r"\d+\.\d+")
)
_FEATURE = re.compile(r"[A-Z][A-Za-z0-9]*(\[[a-z0-9]+\])?")


class UniversalDependencies(TaggedCorpus):
    r"""A treebank of `Universal Dependencies <https://universaldependencies.org>`_ (de Marneffe et
    al., 2021): parts of speech and morphological features, all of the same sentences.

    By default it is English EWT, release 2.16 (Silveira et al., 2014; CC BY-SA 4.0): 12,544
    sentences to train on, 2,001 for development, 2,077 to test on. With ``treebank`` and
    ``source`` it is any other one, or another release.

    The words are the *syntactic words* of the format. What a multiword token is written as (the
    line ``2-3  don't``) is left out, and its words (``do``, ``n't``) are there; so are empty nodes
    (``8.1``), which stand for words that nobody wrote. An item is ``Data(words=[…], tags={…})``.
    Test items say in ``leaked`` whether the train file has the same words in a sentence.

    Args:
        root: Folder for ``raw/`` and ``processed/``. Raw files that are there already are used.
        split: ``"train"``, ``"dev"`` or ``"test"``.
        source: Where the files come from: a folder, a tar or zip archive, or the ``file://`` or
            ``http(s)://`` address of one. Default, for EWT alone: GitHub, at a fixed commit.
        treebank: What the names of its files begin with, such as ``"de_gsd"`` for
            ``de_gsd-ud-train.conllu``, ``-dev`` and ``-test``, which ``source`` then has. They are
            not checked, for nobody has said which they are. None (default): EWT 2.16, checked.
        tasks: Some of ``"upos"``; ``"xpos"``, the language's own parts of speech; ``"feats"``, all
            features of a word as one tag (``"Number=Sing|Person=3"``); and names of features
            (``"Number"``), whose tags are their values. A word without the feature, or without
            any, has the tag ``"_"``. A word without a part of speech has no label.
        transform: Applied to every item as it is read, as in PyG.
        force_reload: Process the raw files anew.

    Attributes:
        tasks: The tasks, as given.
        classes: The tags of each task that occur in any split.
        schemes: Empty: no task's tags are spans.

    Raises:
        ValueError: If an option is unknown, an archive is broken, a file is not the expected one by
            its SHA-256 (nothing is left in ``raw/`` then) or not in the format, or a task has no
            labels in this treebank.
        FileNotFoundError: If the source is not there, or lacks a file.
        OSError: If an address does not answer.
    """

    urls = dict.fromkeys(SHA256, URL)
    checksums = SHA256

    def __init__(
        self,
        root: str | os.PathLike[str],
        split: str = "train",
        source: str | os.PathLike[str] | None = None,
        treebank: str | None = None,
        tasks: Sequence[str] = ("upos", "xpos", "feats"),
        *,
        transform: Callable[[Data], Any] | None = None,
        force_reload: bool = False,
    ) -> None:
        if treebank is not None and source is None:
            raise ValueError(f"expected a source for treebank {treebank!r}: only EWT has a default")
        if isinstance(tasks, str) or not tasks or len(set(tasks)) != len(tasks):
            raise ValueError(f"expected different tasks, at least one, got {tasks!r}")
        for task in tasks:
            if task not in _COLUMNS and not _FEATURE.fullmatch(task):
                raise ValueError(
                    f"expected tasks of {list(_COLUMNS)} or features such as 'Number', got {task!r}"
                )
        self.treebank = treebank
        name = "-".join([PINNED if treebank is None else treebank, *tasks])
        super().__init__(root, split, source, tasks, {}, name, transform, force_reload)

    @property
    def raw_file_names(self) -> list[str]:
        """Names of the files in ``raw/``."""
        return list(self._expected())

    def _expected(self) -> Mapping[str, str | None]:
        if self.treebank is None:
            return self.checksums
        return {f"{self.treebank}-ud-{split}.conllu": None for split in SPLITS}

    def _read(self) -> dict[str, list[Sentence]]:
        return {
            split: list(read_conllu(self._content(name), name, self.tasks))
            for split, name in zip(SPLITS, self._expected(), strict=True)
        }


def read_conllu(content: bytes, where: str, tasks: Sequence[str]) -> Iterator[Sentence]:
    """The sentences of a CoNLL-U file, as :class:`UniversalDependencies` hands them out.

    Raises:
        ValueError: If a line is not in the format; with ``where`` and its number.
    """
    for block in read_blocks(content, where, comment="#"):
        words: list[str] = []
        tags: Tags = {task: [] for task in tasks}
        for number, line in block:
            cells = line.split("\t")
            try:
                if not _is_word(cells, len(words)):
                    continue
                features = _features(cells[FEATS])
            except ValueError as error:
                raise ValueError(f"{where}, line {number}: {error}") from error
            words.append(cells[FORM])
            for task in tasks:
                tags[task].append(_tag(cells, features, task))
        if not words:
            raise ValueError(f"{where}, line {block[0][0]}: expected a word in the sentence")
        yield Sentence(words, tags, block[0][0])


def _is_word(cells: Sequence[str], count: int) -> bool:
    """Whether a line is the next word after ``count`` words, rather than something beside them."""
    if len(cells) != WIDTH or not all(cell.strip() for cell in cells):
        raise ValueError(f"expected {WIDTH} columns with something in each, got {list(cells)}")
    name = cells[ID]
    if _WORD.fullmatch(name):
        if int(name) != count + 1:
            raise ValueError(f"expected word {count + 1}, got word {name}")
        return True
    if _EMPTY.fullmatch(name):
        return False
    span = _RANGE.fullmatch(name)
    if span is None or not count + 1 == int(span[1]) < int(span[2]):
        raise ValueError(f"expected word {count + 1} or words from there, got {name!r}")
    return False


def _features(cell: str) -> dict[str, str]:
    if cell == NOTHING:
        return {}
    pairs = [pair.partition("=") for pair in cell.split("|")]
    if not all(name and value for name, _, value in pairs):
        raise ValueError(f"expected features such as Number=Sing|Person=3, got {cell!r}")
    return {name: value for name, _, value in pairs}


def _tag(cells: Sequence[str], features: Mapping[str, str], task: str) -> str | None:
    if task == "feats":
        return cells[FEATS]
    if task in _COLUMNS:
        return None if cells[_COLUMNS[task]] == NOTHING else cells[_COLUMNS[task]]
    return features.get(task, NOTHING)
