"""Files that several processes write: one at a time, and never in part."""

from __future__ import annotations

import os
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mtgnn.datasets.fetch import new_file

try:
    import fcntl
except ImportError:  # Windows: there, start one process only
    fcntl = None  # type: ignore[assignment]


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Wait until no other process of this machine is here with the same path."""
    if fcntl is None:
        yield
        return
    name = f"mtgnn-{zlib.crc32(str(path.absolute()).encode()):08x}.lock"
    with (Path(tempfile.gettempdir()) / name).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield  # closing the file lets the next one in


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Where to write a file that then moves to ``path``, whose folder need not be there yet."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with new_file(os.fspath(path)) as place:
        part = Path(place)
        part.unlink(missing_ok=True)  # of a process that was cut off
        yield part
