"""Fetch the files of a dataset from where they are, and let only the right bytes in."""

from __future__ import annotations

import gzip
import hashlib
import logging
import lzma
import os
import shutil
import tarfile
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from urllib.parse import quote, urlsplit

logger = logging.getLogger("mtgnn")

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
TIMEOUT = 60  # seconds without an answer


def fetch(
    source: str | os.PathLike[str] | Mapping[str, str],
    checksums: Mapping[str, str | None],
    folder: str,
) -> None:
    """Put the files named in ``checksums`` into ``folder``, all of them or none.

    They are gathered beside ``folder`` first and move into it once every one has been checked.

    Args:
        source: A folder, a tar or zip archive, or the ``file://``, ``http://`` or ``https://``
            address of one. In an archive the files may lie in any folder; whatever else it holds
            is not unpacked. Or the folder's address of each file by its name, where they differ.
            A file that is not there may be there packed, as ``NAME.gz``.
        checksums: SHA-256 by file name, of the unpacked file; ``None`` lets any file in.
        folder: Existing folder for the files.

    Raises:
        FileNotFoundError: If there is no such source, or it lacks a file.
        ValueError: If an archive is broken or a file has another SHA-256.
        OSError: If an address does not answer.
    """
    with TemporaryDirectory(dir=Path(folder).parent, prefix=".fetch-") as name:
        place = Path(name)
        if isinstance(source, Mapping):
            for file in checksums:
                _gather(source[file], {file: checksums[file]}, place)
        else:
            _gather(os.fspath(source), checksums, place)
        missing = [name for name in checksums if not (place / name).is_file()]
        if missing:
            raise FileNotFoundError(
                f"expected {len(checksums)} files in {source}, {len(missing)} are missing: "
                f"{_some(missing)}"
            )
        for file, expected in checksums.items():
            where = source[file] if isinstance(source, Mapping) else source
            check_sha256((place / file).read_bytes(), expected, f"{file} from {where}")
        for file in checksums:
            os.replace(place / file, Path(folder) / file)


def check_sha256(content: bytes, expected: str | None, what: str) -> None:
    """Raise ``ValueError`` unless ``content`` has the SHA-256 ``expected``, if any is."""
    got = hashlib.sha256(content).hexdigest()
    if expected not in (None, got):
        raise ValueError(f"{what} is not the expected file: expected SHA-256 {expected}, got {got}")


def read_checked(path: Path, expected: str | None) -> bytes:
    """A raw file; ``ValueError`` unless it is the expected one."""
    content = path.read_bytes()
    check_sha256(content, expected, f"{path} (delete it to fetch it again)")
    return content


def _gather(source: str, checksums: Mapping[str, str | None], place: Path) -> None:
    """Copy what ``source`` has of the files into ``place``."""
    scheme = urlsplit(source).scheme if "://" in source else ""
    if scheme in ("http", "https"):
        _download(source, checksums, place)
    elif scheme in ("", "file"):
        path = Path(source).expanduser()
        if scheme:
            path = Path(urllib.request.url2pathname(urlsplit(source).path))
        _copy(path, checksums, place, source)
    else:
        raise ValueError(f"expected a path or a file, http or https address, got {source!r}")
    for name in checksums:
        _unzip(name, place, source)


def _copy(path: Path, checksums: Mapping[str, str | None], place: Path, source: str) -> None:
    if path.is_dir():
        for name in checksums:
            for found in (name, f"{name}.gz"):
                if (path / found).is_file():
                    shutil.copyfile(path / found, place / found)
                    break
    elif path.is_file():
        _unpack(path, checksums, place, source)
    else:
        raise FileNotFoundError(f"expected a folder or an archive, found nothing at {source}")


def _unzip(name: str, place: Path, source: str) -> None:
    """Unpack ``name`` where it came as ``name.gz`` alone."""
    packed = place / f"{name}.gz"
    if not packed.is_file():
        return
    if not (place / name).is_file():
        try:
            content = gzip.decompress(packed.read_bytes())
        except (OSError, EOFError, zlib.error) as error:
            raise ValueError(f"{packed.name} from {source} is a broken archive: {error}") from error
        (place / name).write_bytes(content)
    packed.unlink()


def _download(address: str, checksums: Mapping[str, str | None], place: Path) -> None:
    if urlsplit(address).path.endswith(ARCHIVES):
        archive = place / "archive"
        _download_file(address, archive)
        _unpack(archive, checksums, place, address)
        return
    for number, name in enumerate(checksums, 1):
        logger.info("downloading %s (%d of %d)", name, number, len(checksums))
        path = f"{address.rstrip('/')}/{quote(name)}"
        try:
            _download_file(path, place / name)
        except FileNotFoundError as error:
            try:
                _download_file(f"{path}.gz", place / f"{name}.gz")
            except FileNotFoundError:
                raise error from None
            _unzip(name, place, address)
        # Checked at once, so that a wrong address does not cost a whole download.
        check_sha256((place / name).read_bytes(), checksums[name], f"{name} from {address}")


def _download_file(address: str, path: Path) -> None:
    try:
        with urllib.request.urlopen(address, timeout=TIMEOUT) as answer, path.open("wb") as file:
            shutil.copyfileobj(answer, file)
    except urllib.error.HTTPError as error:
        if error.code in (404, 410):
            raise FileNotFoundError(f"found nothing at {address} (HTTP {error.code})") from error
        raise OSError(f"could not download {address}: HTTP {error.code} {error.reason}") from error
    except (OSError, HTTPException) as error:
        raise OSError(f"could not download {address}: {error}") from error


def _unpack(archive: Path, checksums: Mapping[str, str | None], place: Path, source: str) -> None:
    """Write the members called as in ``checksums`` into ``place``, and nothing anywhere else."""
    names = {*checksums, *(f"{name}.gz" for name in checksums)}
    try:
        if zipfile.is_zipfile(archive):
            _unpack_zip(archive, names, place)
        else:
            _unpack_tar(archive, names, place)
    except (tarfile.TarError, zipfile.BadZipFile, RuntimeError) as error:
        raise ValueError(f"{source} is no readable tar or zip archive: {error}") from error
    except (EOFError, zlib.error, lzma.LZMAError) as error:
        raise ValueError(f"{source} is a broken archive: {error}") from error
    except OSError as error:
        if error.errno is not None:  # the disk, not the archive
            raise
        raise ValueError(f"{source} is a broken archive: {error}") from error


def _unpack_zip(archive: Path, names: Collection[str], place: Path) -> None:
    with zipfile.ZipFile(archive) as packed:
        for info in packed.infolist():
            name = PurePosixPath(info.filename).name
            if name in names and not info.is_dir():
                with packed.open(info) as member, (place / name).open("wb") as file:
                    shutil.copyfileobj(member, file)


def _unpack_tar(archive: Path, names: Collection[str], place: Path) -> None:
    with tarfile.open(archive, "r:*") as packed:
        for info in packed:
            name = PurePosixPath(info.name).name
            member = packed.extractfile(info) if name in names and info.isfile() else None
            if member is not None:
                with member, (place / name).open("wb") as file:
                    shutil.copyfileobj(member, file)


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")


@contextmanager
def new_file(path: str) -> Iterator[str]:
    """Where to write a file that then moves to ``path``: another process may do the same, and it
    must never be there in part."""
    place = f"{path}.{os.getpid()}"
    yield place
    os.replace(place, path)
