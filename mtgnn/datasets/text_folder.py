"""Texts of one's own: a folder with up to three files a task."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from torch_geometric.data import Data, InMemoryDataset

from .columns import MARK, read_lines
from .labels import label_names
from .splits import SPLITS, check_split

# What columns are called where a file begins with their names.
LABEL = ("label", "labels", "class", "category", "target", "sentiment")
TEXT = ("text", "sentence", "review", "content", "document")
RETURN = re.compile(rb"\r[^\r\n\t]+\t")  # and a label: a line that has not ended at "\n"


class TextFolder(InMemoryDataset):
    """The labelled texts in the files ``TASK.train.tsv``, ``TASK.dev.tsv`` and ``TASK.test.tsv``.

    A line is ``label<TAB>text`` in UTF-8 and ends at ``\\n`` (or ``\\r\\n``); the text may be
    empty. Every task has its train file; dev and test files are needed where they are asked for.
    An item is ``Data(text=…, task=…, y=…)``; PyG hands out ``task`` and ``y`` as tensors ``[1]``.
    The files are read anew each time, so that editing them is enough.

    Args:
        root: The folder.
        split: ``"train"``, ``"dev"`` or ``"test"``.
        transform: Applied to every item as it is read, as in PyG.

    Attributes:
        tasks: Names of the tasks, sorted.
        classes: Label names of each task, sorted: those of its train file.

    Raises:
        FileNotFoundError: If there is no such folder, no such file in it, or a task lacks its train
            file or that of the split.
        ValueError: If a file is empty or not UTF-8, a line has no tab or no label, a label does
            not occur in the task's train file, or files begin with a header; with file and line
            number.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        split: str = "train",
        *,
        transform: Callable[[Data], Any] | None = None,
    ) -> None:
        check_split(split)
        super().__init__(os.fspath(root), transform=transform)
        self.split = split
        folder = Path(root).expanduser()
        self.tasks: list[str] = _find_tasks(folder, split)
        self.classes: dict[str, list[str]] = {}
        items: list[Data] = []
        for number, task in enumerate(self.tasks):
            train = folder / f"{task}.train.tsv"
            rows = list(_read(train))
            _check_header(folder, task, rows)
            names = self.classes[task] = label_names([label for _, label, _ in rows], task)
            path = folder / f"{task}.{split}.tsv"
            for line, label, text in rows if split == "train" else _read(path):
                if label not in names:
                    raise ValueError(
                        f"{path}, line {line}: label {label!r} does not occur in {train.name}, "
                        f"which has {names}"
                    )
                items.append(Data(text=text, task=number, y=names.index(label)))
        self.data, self.slices = self.collate(items)


def _find_tasks(folder: Path, split: str) -> list[str]:
    """Names of all tasks, each of which has its train file, and that of the split."""
    if not folder.is_dir():
        raise FileNotFoundError(f"expected a folder with TASK.train.tsv files, got {folder}")
    found = {path.name for path in folder.iterdir() if path.is_file() and path.name[0] != "."}
    tasks = {
        name.removesuffix(f".{part}.tsv")
        for name in found
        for part in SPLITS
        if name.endswith(f".{part}.tsv")
    }
    if not tasks - {""}:
        raise FileNotFoundError(f"expected TASK.train.tsv files in {folder}, found none")
    for task in sorted(tasks):
        for part in ("train", split):
            if f"{task}.{part}.tsv" not in found:
                raise FileNotFoundError(f"task {task!r} has no file {task}.{part}.tsv in {folder}")
    return sorted(tasks)


def _check_header(folder: Path, task: str, rows: list[tuple[int, str, str]]) -> None:
    """Raise where the first line names the columns, or all files begin with the same one; its label
    stands nowhere else."""
    _, label, text = rows[0]
    once = sum(other == label for _, other, _ in rows) == 1 < len(rows)
    files = [folder / f"{task}.{part}.tsv" for part in SPLITS]
    if once and label.lower() in LABEL and text.strip().lower() in TEXT:
        raise ValueError(
            f"{files[0]}, line 1: {label!r} is no label of another line: expected no header"
        )
    there = [path for path in files if path.exists()]
    if once and len(there) > 1 and all(next(_read(p))[1:] == (label, text) for p in there):
        raise ValueError(
            f"{folder / task}.train.tsv, line 1: {label!r} is no label of another line, and all "
            "files begin with this line: expected no header"
        )


def _read(path: Path) -> Iterator[tuple[int, str, str]]:
    """Line number, label and text of each line."""
    content = path.read_bytes()
    if not content.removeprefix(MARK):
        raise ValueError(f"{path} is empty")
    if RETURN.search(content):
        raise ValueError(f"{path}: lines end at \\r alone: expected \\n, or \\r\\n")
    content = content.rstrip(b"\r\n")  # an empty line at the end is no text
    for number, line in read_lines(content, str(path)):
        label, tab, text = line.partition("\t")
        if not line.strip():
            raise ValueError(f"{path}, line {number} is blank: expected label<TAB>text")
        if not tab:
            raise ValueError(f"{path}, line {number}: expected label<TAB>text, got {line[:60]!r}")
        if not label.strip():
            raise ValueError(f"{path}, line {number}: expected a label before the tab, got none")
        yield number, label.strip(), text
