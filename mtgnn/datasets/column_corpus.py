"""A tagged corpus of one's own: files in columns."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch_geometric.data import Data, InMemoryDataset

from ..data.schemes import check_scheme
from .columns import Sentence, in_scheme, read_columns
from .splits import check_split
from .tagged import make_items, tag_classes

FILES = {"train": "train.txt", "dev": "dev.txt", "test": "test.txt"}


class ColumnCorpus(InMemoryDataset):
    """The tagged sentences in files with one word a line, in columns.

    Files are UTF-8. A line ends at ``\\n`` (or ``\\r\\n``). Lines that are empty, hold only white
    space or have the word ``-DOCSTART-`` stand between sentences. All others have the same
    number of columns. An item is ``Data(words=[…], tags={task: […]})``; test items say in
    ``leaked`` whether the train file has the same words in a sentence. The files are read anew
    each time, so that editing them is enough.

    Args:
        root: The folder.
        split: One of ``files``.
        columns: Column of each task, counted from 0, such as ``{"pos": 1, "chunk": 2}``.
        schemes: The tasks whose tags are spans, and the scheme their files are in: ``"IOB1"``,
            ``"IOB2"``, ``"IOBES"`` or ``"BILOU"``, such as ``{"chunk": "IOB1"}``.
        scheme: The scheme that items have their spans in, whatever the files have.
        repair: False (default): ill-formed tags are an error that says where. True: they are read
            as the official scorer reads them, see :func:`~mtgnn.data.read_spans`.
        word: Column of the word.
        separator: What stands between columns, such as a tab; by default blanks and tabs.
        comment: What comment lines begin with, if there are any; they stand before the first word
            of a sentence. (Without it a word may begin with ``#``.)
        missing: The mark of a word without a label, if there is one, such as ``"_"``.
        files: File of each split; by default ``train.txt``, ``dev.txt`` and ``test.txt``.
        transform: Applied to every item as it is read, as in PyG.

    Attributes:
        tasks: Names of the tasks, in the order of ``columns``.
        classes: The tags of each task: of a task in ``schemes`` all that the types in the files
            may have, of others those in the files.
        schemes: The tasks whose tags are spans, each with ``scheme``.

    Raises:
        FileNotFoundError: If there is no such folder, or a file is missing.
        ValueError: If an option is unknown, a file has no sentence, a line is not as described, or
            tags are ill-formed; with file and line number.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        split: str = "train",
        *,
        columns: Mapping[str, int],
        schemes: Mapping[str, str] | None = None,
        scheme: str = "IOB2",
        repair: bool = False,
        word: int = 0,
        separator: str | None = None,
        comment: str | None = None,
        missing: str | None = None,
        files: Mapping[str, str] = FILES,
        transform: Callable[[Data], Any] | None = None,
    ) -> None:
        declared = dict(schemes or {})
        check_split(split, files)
        numbers = isinstance(columns, Mapping) and all(isinstance(n, int) for n in columns.values())
        if not numbers:
            raise ValueError(f"expected columns as a dict, numbers by task, got {columns!r:.60}")
        if not columns or min(word, *columns.values()) < 0:
            raise ValueError(f"expected columns, from 0 on, got {dict(columns)} and word {word}")
        if set(declared) - set(columns):
            raise ValueError(f"expected schemes of tasks {list(columns)}, got {declared}")
        for name in (scheme, *declared.values()):
            check_scheme(name)
        super().__init__(os.fspath(root), transform=transform)
        self.split = split
        self.tasks = list(columns)
        self.schemes = dict.fromkeys(declared, scheme)
        sentences: dict[str, list[Sentence]] = {}
        for part, name in files.items():
            path = Path(root).expanduser() / name
            if not path.is_file():
                expected = list(files.values())
                raise FileNotFoundError(f"expected {expected} in {root}, there is no {path}")
            read = read_columns(
                path.read_bytes(), str(path), columns, word, separator, comment, missing
            )
            sentences[part] = [in_scheme(s, declared, scheme, repair, str(path)) for s in read]
            if not sentences[part]:
                raise ValueError(f"{path} has no sentence")
        self.classes = tag_classes(
            (sentence for part in sentences.values() for sentence in part),
            self.tasks,
            self.schemes,
        )
        self.data, self.slices = self.collate(make_items(sentences)[split])
