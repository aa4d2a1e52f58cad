"""Sentences in columns: one word a line, its labels beside it, a blank line between sentences."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from ..data.schemes import convert_tags, repair_tags

MARK = codecs.BOM_UTF8  # some editors begin a file with it
DOCUMENT = "-DOCSTART-"  # the word on the line between documents, in files of CoNLL-2003 and others

Tags = dict[str, list[str | None]]


class Sentence(NamedTuple):
    """The words of a sentence, their tags by task, and the number of its first line."""

    words: list[str]
    tags: Tags
    line: int


def read_lines(content: bytes, where: str) -> Iterator[tuple[int, str]]:
    """Number and text of each line; only ``\\n`` ends one, or ``\\r\\n``.

    Raises:
        ValueError: If a line is not UTF-8.
    """
    content = content.removeprefix(MARK)
    for number, row in enumerate(content.removesuffix(b"\n").split(b"\n"), 1):
        try:
            yield number, row.removesuffix(b"\r").decode("utf-8")
        except UnicodeDecodeError as error:
            raise ValueError(f"{where}, line {number}: not UTF-8 ({error})") from error


def read_blocks(
    content: bytes,
    where: str,
    comment: str | None = None,
    between: Callable[[str], bool] = lambda line: False,
) -> Iterator[list[tuple[int, str]]]:
    """The lines of each sentence with their numbers.

    Lines that are empty or hold only white space stand between sentences, and so do others that
    ``between`` names. Lines that begin with ``comment`` are left out before the first word of a
    sentence, and are words after it.
    """
    block: list[tuple[int, str]] = []
    for number, line in read_lines(content, where):
        if not line.strip() or between(line):
            if block:
                yield block
            block = []
        elif block or comment is None or not line.startswith(comment):
            block.append((number, line))
    if block:
        yield block


def read_columns(
    content: bytes,
    where: str,
    columns: Mapping[str, int],
    word: int = 0,
    separator: str | None = None,
    comment: str | None = None,
    missing: str | None = None,
) -> Iterator[Sentence]:
    """The sentences of a file in columns; see :class:`ColumnCorpus` for the arguments.

    Args:
        content: The file.
        where: Its name, for error messages.
        columns: Column of each task, counted from 0.
        word: Column of the word.
        separator: What stands between columns; None for blanks and tabs.
        comment: What comment lines begin with, if there are any.
        missing: The mark of a word without a label, if there is one.

    Raises:
        ValueError: If a line is not UTF-8, lacks a column, has another number of columns than the
            first, or an empty word or label; with file and line number.
    """

    def marks_document(line: str) -> bool:
        cells = _cells(line, separator) if DOCUMENT in line else []
        return bool(cells) and cells[word if word < len(cells) else 0] == DOCUMENT

    width, needed = 0, max(word, *columns.values()) + 1
    for block in read_blocks(content, where, comment, marks_document):
        words: list[str] = []
        tags: Tags = {task: [] for task in columns}
        for number, line in block:
            cells = _cells(line, separator)
            width = width or len(cells)
            if len(cells) != width or width < needed:
                raise ValueError(
                    f"{where}, line {number}: expected {max(width, needed)} columns, got "
                    f"{len(cells)}: {line[:60]!r}"
                )
            for name, n in [("word", word), *columns.items()]:
                if not cells[n].strip():
                    raise ValueError(f"{where}, line {number}: expected a {name}, got {cells[n]!r}")
            words.append(cells[word])
            for task, n in columns.items():
                tags[task].append(None if cells[n] == missing else cells[n])
        yield Sentence(words, tags, block[0][0])


def _cells(line: str, separator: str | None) -> list[str]:
    # Not at all white space: a no-break space stands within words.
    return line.split(separator) if separator else re.split("[ \t]+", line.strip())


def in_scheme(
    sentence: Sentence, schemes: Mapping[str, str], target: str, repair: bool, where: str
) -> Sentence:
    """The sentence with the tags of its span tasks in the scheme ``target``.

    Words without a label end a span.

    Args:
        sentence: The sentence.
        schemes: Scheme that the tags of a task are in; tasks without one stay as they are.
        target: Scheme for all.
        repair: Read ill-formed tags as the official scorer reads them, instead of an error.
        where: Name of the file, for error messages.
    """
    tags = dict(sentence.tags)
    for task, scheme in schemes.items():
        given = tags[task]
        labelled = ["O" if tag is None else tag for tag in given]
        try:
            if repair:
                changed = repair_tags(labelled, target)
            else:
                changed = convert_tags(labelled, scheme, target)
        except ValueError as error:
            raise ValueError(
                f"{where}, sentence in line {sentence.line}, task {task!r}: {error}"
            ) from error
        tags[task] = [None if old is None else new for old, new in zip(given, changed, strict=True)]
    return sentence._replace(tags=tags)
