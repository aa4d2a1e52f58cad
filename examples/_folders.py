"""Where a program writes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path


@contextmanager
def out_folder(out: str | Path | None, usual: str) -> Iterator[Path]:
    """The folder ``out``, or where the user named none a new one, so that no files are replaced.

    The new one is the first of ``usual``, ``usual-2``, … that is not there. It goes again if the
    program leaves nothing in it.
    """
    if out is not None:
        Path(out).mkdir(parents=True, exist_ok=True)
        yield Path(out)
        return
    folder = _make_first(usual)
    if folder != Path(usual):
        print(f"{usual}/ is there already: this goes to {folder}/")
    try:
        yield folder
    finally:
        with suppress(OSError):  # there is something in it
            folder.rmdir()


def _make_first(usual: str) -> Path:
    """Make the first folder that is not there; another program may do the same at this moment."""
    folder = Path(usual)
    for number in count(2):
        with suppress(FileExistsError):
            folder.mkdir(parents=True)
            break
        folder = Path(f"{usual}-{number}")
    return folder
