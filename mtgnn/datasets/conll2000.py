"""CoNLL-2000: parts of speech and chunks of the same sentences."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, ClassVar

from torch_geometric.data import Data

from .columns import Sentence, in_scheme, read_columns
from .splits import stratified_groups
from .tagged import TaggedCorpus

URL = (
    "https://raw.githubusercontent.com/teropa/nlp/"
    "f89bc5a15b516208de1cfe2abe9692b7ed9a43e2/resources/corpora/conll2000"
)
SHA256 = {
    "train.txt": "82033cd7a72b209923a98007793e8f9de3abc1c8b79d646c50648eb949b87cea",
    "test.txt": "73b7b1e565fa75a1e22fe52ecdf41b6624d6f59dacb591d44252bf4d692b1628",
}


class CoNLL2000(TaggedCorpus):
    r"""The shared task of CoNLL-2000 (`Tjong Kim Sang and Buchholz, 2000
    <https://aclanthology.org/W00-0726>`_): text chunking, with parts of speech.

    8,936 sentences (211,727 words) of the Wall Street Journal to train and develop on, 2,012
    (47,377) to test on. The tasks are ``pos`` (as a tagger gave them) and ``chunk``, on the same
    sentences. An item is ``Data(words=[…], tags={"pos": […], "chunk": […]})``.

    There is no dev set: 1,000 sentences are drawn from the train file, equal sentences together,
    which leaves 7,936. Test items say in ``leaked`` whether the train file has the same words in
    a sentence; 14 are leaked.

    The text's licence is not stated: use it for research and do not pass it on.

    Args:
        root: Folder for ``raw/`` and ``processed/``. Raw files that are there already are used.
        split: ``"train"``, ``"dev"`` or ``"test"``.
        source: Where ``train.txt`` and ``test.txt``, or ``train.txt.gz`` and ``test.txt.gz``, come
            from: a folder, a tar or zip archive, or the ``file://`` or ``http(s)://`` address of
            one. Default: GitHub, at a fixed commit.
        scheme: Tag scheme of the chunks: ``"IOB1"``, ``"IOB2"`` (default, as in the files),
            ``"IOBES"`` or ``"BILOU"``.
        seed: Seed of the dev set.
        transform: Applied to every item as it is read, as in PyG.
        force_reload: Process the raw files anew.

    Attributes:
        tasks: ``["pos", "chunk"]``.
        classes: The tags of each task.
        schemes: ``{"chunk": scheme}``: the tasks whose tags are spans.

    Raises:
        ValueError: If an option is unknown, an archive is broken, or a file is not the expected
            one by its SHA-256. Nothing is left in ``raw/`` then.
        FileNotFoundError: If the source is not there, or lacks a file.
        OSError: If an address does not answer.
    """

    urls = dict.fromkeys(SHA256, URL)
    checksums = SHA256
    train_file = ("train", "dev")
    dev_size: ClassVar[int] = 1000

    def __init__(
        self,
        root: str | os.PathLike[str],
        split: str = "train",
        source: str | os.PathLike[str] | None = None,
        scheme: str = "IOB2",
        seed: int = 0,
        *,
        transform: Callable[[Data], Any] | None = None,
        force_reload: bool = False,
    ) -> None:
        self.seed = seed
        super().__init__(
            root,
            split,
            source,
            ["pos", "chunk"],
            {"chunk": scheme},
            f"{scheme}-{seed}",
            transform,
            force_reload,
        )

    def _read(self) -> dict[str, list[Sentence]]:
        train, test = self._file("train.txt"), self._file("test.txt")
        groups = [tuple(sentence.words) for sentence in train]
        dev = stratified_groups(groups, [0] * len(train), self.dev_size, self.seed)
        return {
            "train": [sentence for n, sentence in enumerate(train) if n not in dev],
            "dev": [sentence for n, sentence in enumerate(train) if n in dev],
            "test": test,
        }

    def _file(self, name: str) -> list[Sentence]:
        sentences = read_columns(self._content(name), name, {"pos": 1, "chunk": 2})
        scheme = self.schemes["chunk"]
        return [in_scheme(s, {"chunk": "IOB2"}, scheme, False, name) for s in sentences]
