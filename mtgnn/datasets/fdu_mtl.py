"""FDU-MTL: sentiment of reviews in sixteen domains."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, ClassVar

from torch_geometric.data import Data, InMemoryDataset

from .fdu_mtl_files import DAMAGED_LINES, DOMAINS, ENCODINGS, SHA256, URL
from .fetch import fetch, new_file, read_checked
from .splits import check_split, stratified_groups

Lines = list[tuple[str, int | None]]

CLASSES = ("negative", "positive")
FILE_KINDS = {"train": "train", "dev": "train", "test": "test", "unlabelled": "unlabel"}


class FDUMTL(InMemoryDataset):
    r"""FDU-MTL of *Adversarial Multi-task Learning for Text Classification* (Liu, Qiu, Huang;
    ACL 2017, `arXiv:1704.05742 <https://arxiv.org/abs/1704.05742>`_).

    Reviews of fourteen kinds of Amazon products, of IMDb and of Rotten Tomatoes (MR), negative or
    positive: 22,180 to train on, 200 a domain for development, 400 a domain to test on, and 30,475
    without a label. An item is ``Data(text=…, task=…, y=…)``; PyG hands out ``task`` and ``y`` as
    tensors ``[1]``, and ``dataset.text``, ``dataset.task`` and ``dataset.y`` give all of them at
    once. Text is as in the files: labelled reviews are tokenised and lower case, and so are the
    unlabelled ones of IMDb and MR, but those of the products are raw.

    One text in eleven of the test set also stands in a train file. Test items say so in ``leaked``
    (the same text is in *any* domain's train file); 5,841 of 6,400 are not leaked.

    The files' licence is not stated: use them for research and do not pass them on.

    Args:
        root: Folder for ``raw/`` and ``processed/``. Raw files that are there already are used.
        split: ``"train"``, ``"dev"``, ``"test"`` or ``"unlabelled"`` (items without ``y``).
        source: Where the files come from: a folder, a tar or zip archive, or the ``file://`` or
            ``http(s)://`` address of one. Default: GitHub, at a fixed commit.
        dev: How the dev set is split off the train files. ``"stratified"`` (default) draws 200
            reviews a domain, by label, and keeps equal texts on one side. ``"tail"`` takes the
            last 200 lines, as the literature does: equal texts then stand on both sides.
        seed: Seed of the stratified draw.
        transform: Applied to every item as it is read, as in PyG.
        force_reload: Process the raw files anew.

    Attributes:
        tasks: Names of the domains, in the order of the literature.
        classes: Label names of each domain: ``["negative", "positive"]``.

    Raises:
        ValueError: If an option is unknown, an archive is broken, or a file is not the expected
            one by its SHA-256. Nothing is left in ``raw/`` then.
        FileNotFoundError: If the source is not there, or lacks a file.
        OSError: If an address does not answer.
    """

    url: ClassVar[str] = URL
    domains: ClassVar[tuple[str, ...]] = DOMAINS
    checksums: ClassVar[Mapping[str, str]] = SHA256
    encodings: ClassVar[Mapping[str, str]] = ENCODINGS
    damaged_lines: ClassVar[Collection[tuple[str, int]]] = DAMAGED_LINES
    dev_size: ClassVar[int] = 200

    def __init__(
        self,
        root: str | os.PathLike[str],
        split: str = "train",
        source: str | os.PathLike[str] | None = None,
        dev: str = "stratified",
        seed: int = 0,
        *,
        transform: Callable[[Data], Any] | None = None,
        force_reload: bool = False,
    ) -> None:
        check_split(split, FILE_KINDS)
        if dev not in ("stratified", "tail"):
            raise ValueError(f"expected dev as 'stratified' or 'tail', got {dev!r}")
        self.split, self.source, self.dev, self.seed = split, source, dev, seed
        self.tasks: list[str] = list(self.domains)
        self.classes: dict[str, list[str]] = {task: list(CLASSES) for task in self.tasks}
        super().__init__(os.fspath(root), transform=transform, force_reload=force_reload)
        self.load(self.processed_paths[0])

    @property
    def raw_file_names(self) -> list[str]:
        """Names of the files in ``raw/``."""
        return list(self.checksums)

    @property
    def processed_file_names(self) -> list[str]:
        """Name of the processed file: of the split, and of the way it was drawn."""
        if self.split not in ("train", "dev"):
            return [f"{self.split}.pt"]
        drawn = "tail" if self.dev == "tail" else f"stratified-{self.seed}"
        return [f"{self.split}-{drawn}.pt"]

    def download(self) -> None:
        """Fetch the raw files and check them."""
        fetch(self.url if self.source is None else self.source, self.checksums, self.raw_dir)

    def process(self) -> None:
        """Read the raw files and save the items of this split."""
        kind = FILE_KINDS[self.split]
        lines = {task: self._read(task, kind) for task in self.tasks}
        if kind == "train":
            lines = {task: self._part(task, lines[task]) for task in self.tasks}
        items = [
            Data(text=text, task=number) if label is None else Data(text=text, task=number, y=label)
            for number, task in enumerate(self.tasks)
            for text, label in lines[task]
        ]
        if self.split == "test":
            seen = {text for task in self.tasks for text, _ in self._read(task, "train")}
            for item in items:
                item.leaked = item.text in seen
        with new_file(self.processed_paths[0]) as path:
            self.save(items, path)

    def _part(self, task: str, lines: Lines) -> Lines:
        """The lines of a train file that belong to this split."""
        if self.dev == "tail":
            dev = set(range(len(lines) - self.dev_size, len(lines)))
        else:
            texts = [text for text, _ in lines]
            labels = [label for _, label in lines if label is not None]
            dev = stratified_groups(texts, labels, self.dev_size, f"{self.seed} {task}")
        return [line for i, line in enumerate(lines) if (i in dev) == (self.split == "dev")]

    def _read(self, task: str, kind: str) -> Lines:
        """Texts of a file with their labels."""
        name = f"{task}.task.{kind}"
        content = read_checked(Path(self.raw_dir) / name, self.checksums[name])
        # Reviews hold other line separators, such as U+0085: only "\n" ends a line.
        rows = content.removesuffix(b"\n").split(b"\n")
        texts = [self._decode(row, task, name, number) for number, row in enumerate(rows, 1)]
        if kind == "unlabel":
            return [(text, None) for text in texts]
        labelled = [text.partition("\t") for text in texts]
        return [(text, int(label)) for label, _, text in labelled]

    def _decode(self, row: bytes, task: str, name: str, number: int) -> str:
        errors = "replace" if (name, number) in self.damaged_lines else "strict"
        return row.decode(self.encodings.get(task, "utf-8"), errors)
