"""WNUT-17: new and rare named entities in user-generated text."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from torch_geometric.data import Data

from .columns import Sentence, in_scheme, read_columns
from .splits import SPLITS
from .tagged import TaggedCorpus

URL = "https://raw.githubusercontent.com/leondz/emerging_entities_17"
URLS = {
    "wnut17train.conll": f"{URL}/e52a2d2a71ac1a051ca2d532eef28653c5c02603",
    "emerging.dev.conll": f"{URL}/e52a2d2a71ac1a051ca2d532eef28653c5c02603",
    "emerging.test.annotated": f"{URL}/8c28a33c4ec37e61ce1b3d55bc546a11fdbfbcc9",
}
SHA256 = {
    "wnut17train.conll": "731820e13f71af324c6b55a1575ec2ce59fbaa2a0806f8f0400b98d56cd6a7a5",
    "emerging.dev.conll": "e053b752b8155113ca66e7db08af5f2f5f43ab993694e4774f1ec5bad42312d8",
    "emerging.test.annotated": "2aa79b764e56ec9264a1b30fdd9b70195bd00ff400b62edd8f399d5f13c178f0",
}


class WNUT17(TaggedCorpus):
    r"""The shared task of WNUT 2017 (`Derczynski et al., 2017
    <https://aclanthology.org/W17-4418>`_): emerging and rare entities.

    3,394 sentences of Twitter to train on, 1,009 of YouTube for development, and 1,287 of several
    sites to test on, with 1,975, 836 and 1,079 entities of six types. The one task is ``ner``; an
    item is ``Data(words=[…], tags={"ner": […]})``. Test items say in ``leaked`` whether the train
    file has the same words in a sentence. The files' licence is CC BY 4.0.

    Args:
        root: Folder for ``raw/`` and ``processed/``. Raw files that are there already are used.
        split: ``"train"``, ``"dev"`` or ``"test"`` (``emerging.test.annotated``).
        source: Where the files come from: a folder, a tar or zip archive, or the ``file://`` or
            ``http(s)://`` address of one. Default: GitHub, at fixed commits.
        scheme: Tag scheme: ``"IOB1"``, ``"IOB2"`` (default, as in the files), ``"IOBES"`` or
            ``"BILOU"``.
        transform: Applied to every item as it is read, as in PyG.
        force_reload: Process the raw files anew.

    Attributes:
        tasks: ``["ner"]``.
        classes: The tags of the task.
        schemes: ``{"ner": scheme}``: the tasks whose tags are spans.

    Raises:
        ValueError: If an option is unknown, an archive is broken, or a file is not the expected
            one by its SHA-256. Nothing is left in ``raw/`` then.
        FileNotFoundError: If the source is not there, or lacks a file.
        OSError: If an address does not answer.
    """

    urls = URLS
    checksums = SHA256

    def __init__(
        self,
        root: str | os.PathLike[str],
        split: str = "train",
        source: str | os.PathLike[str] | None = None,
        scheme: str = "IOB2",
        *,
        transform: Callable[[Data], Any] | None = None,
        force_reload: bool = False,
    ) -> None:
        super().__init__(
            root, split, source, ["ner"], {"ner": scheme}, scheme, transform, force_reload
        )

    def _read(self) -> dict[str, list[Sentence]]:
        return {split: self._file(name) for split, name in zip(SPLITS, self.checksums, strict=True)}

    def _file(self, name: str) -> list[Sentence]:
        # Sentence breaks of the train file hold a tab, which read_columns takes for blank.
        sentences = read_columns(self._content(name), name, {"ner": 1}, separator="\t")
        scheme = self.schemes["ner"]
        return [in_scheme(s, {"ner": "IOB2"}, scheme, False, name) for s in sentences]
