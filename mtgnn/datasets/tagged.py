"""What corpora of tagged sentences share: items, their tags, and the way from files to items."""

from __future__ import annotations

import json
import os
from abc import abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from torch_geometric.data import Data, InMemoryDataset

from ..data.schemes import OUTSIDE, check_scheme, scheme_tags, split_tag
from .columns import Sentence
from .fetch import fetch, new_file, read_checked
from .splits import SPLITS, check_split


class TaggedCorpus(InMemoryDataset):
    """A corpus of tagged sentences whose files are fetched, checked, and read once.

    A subclass says which files there are, and reads them.

    Args:
        root: Folder for ``raw/`` and ``processed/``.
        split: ``"train"``, ``"dev"`` or ``"test"``.
        source: Where the files come from; see :func:`~mtgnn.datasets.fetch.fetch`.
        tasks: Names of the tasks.
        schemes: The tasks whose tags are spans, each with the scheme for its items.
        drawn: How this corpus was read, for the names of the processed files.
        transform: Applied to every item as it is read, as in PyG.
        force_reload: Process the raw files anew.
    """

    urls: ClassVar[Mapping[str, str]] = {}
    checksums: ClassVar[Mapping[str, str]] = {}
    train_file: ClassVar[Collection[str]] = ("train",)  # the splits that are its train file

    def __init__(
        self,
        root: str | os.PathLike[str],
        split: str,
        source: str | os.PathLike[str] | None,
        tasks: Sequence[str],
        schemes: Mapping[str, str],
        drawn: str,
        transform: Callable[[Data], Any] | None,
        force_reload: bool,
    ) -> None:
        check_split(split)
        for scheme in schemes.values():
            check_scheme(scheme)
        self.split, self.source, self.drawn = split, source, drawn
        self.tasks, self.schemes = list(tasks), dict(schemes)
        super().__init__(os.fspath(root), transform=transform, force_reload=force_reload)
        self.load(self.processed_paths[SPLITS.index(split)])
        text = Path(self.processed_paths[-1]).read_text(encoding="utf-8")
        self.classes: dict[str, list[str]] = json.loads(text)

    @property
    def raw_file_names(self) -> list[str]:
        """Names of the files in ``raw/``."""
        return list(self.checksums)

    @property
    def processed_file_names(self) -> list[str]:
        """Names of the processed files: all splits, and the tags of all tasks."""
        return [f"{split}-{self.drawn}.pt" for split in SPLITS] + [f"classes-{self.drawn}.json"]

    def download(self) -> None:
        """Fetch the raw files and check them."""
        fetch(self.urls if self.source is None else self.source, self._expected(), self.raw_dir)

    def process(self) -> None:
        """Read the raw files and save the items of all splits."""
        sentences = self._read()
        classes = tag_classes(
            (sentence for part in sentences.values() for sentence in part),
            self.tasks,
            self.schemes,
        )
        items = make_items(sentences, self.train_file)
        for split, path in zip(SPLITS, self.processed_paths, strict=False):
            with new_file(path) as place:
                self.save(items[split], place)
        with new_file(self.processed_paths[-1]) as place:
            Path(place).write_text(json.dumps(classes, ensure_ascii=False), encoding="utf-8")

    @abstractmethod
    def _read(self) -> dict[str, list[Sentence]]:
        """The sentences of each split."""

    def _expected(self) -> Mapping[str, str | None]:
        """SHA-256 of each raw file, or None where any will do."""
        return self.checksums

    def _content(self, name: str) -> bytes:
        """A raw file, checked."""
        return read_checked(Path(self.raw_dir) / name, self._expected()[name])


def make_items(
    sentences: Mapping[str, Sequence[Sentence]], train: Collection[str] = ("train",)
) -> dict[str, list[Data]]:
    """The items of each split.

    Test items say in ``leaked`` whether the same words are a sentence of the splits ``train``.
    """
    items = {
        split: [Data(words=sentence.words, tags=sentence.tags) for sentence in part]
        for split, part in sentences.items()
    }
    seen = {tuple(item.words) for split in train for item in items.get(split, ())}
    for item in items.get("test", ()):
        item.leaked = tuple(item.words) in seen
    return items


def tag_classes(
    sentences: Iterable[Sentence], tasks: Sequence[str], schemes: Mapping[str, str]
) -> dict[str, list[str]]:
    """The tags of each task.

    Of a span task these are all tags of its scheme for the types that occur, ``O`` first, so that
    no tag is missing because no span happened to need it; of another, the tags that occur.

    Raises:
        ValueError: If a task has no labels at all.
    """
    found: dict[str, set[str]] = {task: set() for task in tasks}
    for sentence in sentences:
        for task in tasks:
            found[task].update(tag for tag in sentence.tags[task] if tag is not None)
    for task, tags in found.items():
        if not tags:
            raise ValueError(f"task {task!r} has no labels: leave it out of the tasks")
    return {
        task: scheme_tags(sorted({split_tag(tag)[1] for tag in tags - {OUTSIDE}}), schemes[task])
        if task in schemes
        else sorted(tags)
        for task, tags in found.items()
    }
