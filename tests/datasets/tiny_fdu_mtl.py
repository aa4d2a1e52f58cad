"""A tiny FDU-MTL: its files, and ways to lay them out."""

from __future__ import annotations

import hashlib
import tarfile
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

from mtgnn.datasets import FDUMTL


def train_lines(domain: str) -> list[bytes]:
    """Twelve labelled lines: five pairs of equal texts and two texts that stand alone."""
    texts = [f"{domain} text {n // 2}" for n in range(10)] + [f"{domain} one", f"{domain} two"]
    return [f"{n // 2 % 2}\t{text}".encode() for n, text in enumerate(texts)]


BOOKS = train_lines("books")
BOOKS[10] = b"1\t"  # no text
DVD = train_lines("dvd")
DVD[11] = b"1\ta clich\xef\xbf ''"  # a cut character
DVD[10] = "1\tone\x85line".encode()  # a line separator to str.splitlines
MR = train_lines("MR")
MR[11] = "1\tna\u00efve \u2019s".encode("cp1252")

FILES = {
    "books.task.train": BOOKS,
    "books.task.test": [b"1\tnew books", b"0\tbooks text 0", b"0\tdvd text 1"],
    "books.task.unlabel": [b"Raw , \t books", b"more"],
    "dvd.task.train": DVD,
    "dvd.task.test": [b"0\tnew dvd"],
    "dvd.task.unlabel": [b"Raw dvd"],
    "MR.task.train": MR,
    "MR.task.test": ["1\tna\u00efve \u2019s".encode("cp1252"), b"0\tnew MR"],
    "MR.task.unlabel": [b"Raw MR"],
}
CONTENT = {name: b"".join(line + b"\n" for line in lines) for name, lines in FILES.items()}


class TinyFDUMTL(FDUMTL):
    """FDU-MTL with three domains of twelve training texts."""

    url = "file:///nowhere"
    domains = ("books", "dvd", "MR")
    checksums = {name: hashlib.sha256(content).hexdigest() for name, content in CONTENT.items()}
    damaged_lines = frozenset({("dvd.task.train", 12)})
    dev_size = 4


def write_folder(folder: Path, files: dict[str, bytes]) -> Path:
    """Write ``files`` into a new folder."""
    folder.mkdir()
    for name, file in files.items():
        (folder / name).write_bytes(file)
    return folder


def pack(folder: Path, archive: Path) -> Path:
    """Pack a folder as the tar or zip archive that the name ``archive`` asks for."""
    paths = sorted(folder.iterdir())
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
            for path in paths:
                file.write(path, f"deep/{path.name}")
    else:
        compression = archive.suffix.removeprefix(".")
        mode = "w:" + {"tgz": "gz", "tar": ""}.get(compression, compression)
        with tarfile.open(archive, mode) as file:  # type: ignore[call-overload]
            for path in paths:
                file.add(path, f"./{path.name}")
    return archive


@dataclass
class Server:
    """What a server on the loopback hands out, and what it was asked for."""

    address: str
    files: dict[str, bytes]
    asked: list[str] = field(default_factory=list)
    withheld: int = 0  # bytes of each file that are announced and do not come
