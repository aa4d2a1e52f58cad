import gzip
import hashlib
import io
import tarfile
from pathlib import Path

import pytest
from tiny_fdu_mtl import Server, TinyFDUMTL, pack, write_folder

from mtgnn.datasets.fetch import fetch

ARCHIVES = ["data.zip", "data.tar", "data.tar.gz", "data.tgz", "data.tar.bz2", "data.tar.xz"]


def raw(root: Path) -> dict[str, bytes]:
    """What lies in the raw folder; asserts that nothing lies beside it."""
    assert {path.name for path in root.iterdir()} <= {"raw", "processed"}
    return {path.name: path.read_bytes() for path in (root / "raw").iterdir()}


def test_folder(tmp_path: Path, source: Path, content: dict[str, bytes]) -> None:
    for number, place in enumerate((source, str(source), source.as_uri())):
        TinyFDUMTL(tmp_path / str(number), "test", place)
        assert raw(tmp_path / str(number)) == content


@pytest.mark.parametrize("name", ARCHIVES)
def test_archive(tmp_path: Path, source: Path, content: dict[str, bytes], name: str) -> None:
    archive = pack(source, tmp_path / name)
    for number, place in enumerate((archive, archive.as_uri())):
        TinyFDUMTL(tmp_path / str(number), "test", place)
        assert raw(tmp_path / str(number)) == content


def test_address_of_a_folder(tmp_path: Path, server: Server) -> None:
    assert len(TinyFDUMTL(tmp_path, "test", server.address)) == 6
    assert raw(tmp_path) == server.files
    assert sorted(server.asked) == sorted(f"/data/{name}" for name in server.files)
    TinyFDUMTL(tmp_path, "train", server.address)
    assert len(server.asked) == len(server.files)


def test_default_address(tmp_path: Path, server: Server) -> None:
    class Default(TinyFDUMTL):
        url = server.address + "/"

    assert len(Default(tmp_path, "test")) == 6


@pytest.mark.parametrize("name", ["data.zip", "data.tar.gz"])
def test_address_of_an_archive(tmp_path: Path, source: Path, server: Server, name: str) -> None:
    content = dict(server.files)
    server.files[name] = pack(source, tmp_path / name).read_bytes()
    TinyFDUMTL(tmp_path / "root", "test", f"{server.address}/{name}")
    assert raw(tmp_path / "root") == content
    assert server.asked == [f"/data/{name}"]


def test_corrupted_file_from_a_server(tmp_path: Path, server: Server) -> None:
    good = TinyFDUMTL.checksums["dvd.task.train"]
    server.files["dvd.task.train"] += b"\n"
    bad = hashlib.sha256(server.files["dvd.task.train"]).hexdigest()
    with pytest.raises(ValueError, match=rf"dvd\.task\.train from http.*{good}, got {bad}"):
        TinyFDUMTL(tmp_path, "test", server.address)
    assert raw(tmp_path) == {}
    server.files["dvd.task.train"] = server.files["dvd.task.train"][:-1]
    assert len(TinyFDUMTL(tmp_path, "test", server.address)) == 6


@pytest.mark.parametrize("packed", [False, True])
def test_corrupted_file(tmp_path: Path, content: dict[str, bytes], packed: bool) -> None:
    content["MR.task.test"] = content["MR.task.test"][:-3]
    place = write_folder(tmp_path / "bad", content)
    if packed:
        place = pack(place, tmp_path / "bad.tar.gz")
    with pytest.raises(ValueError, match=r"MR\.task\.test from .*expected SHA-256"):
        TinyFDUMTL(tmp_path / "root", "test", place)
    assert raw(tmp_path / "root") == {}


def test_file_missing_on_a_server(tmp_path: Path, server: Server) -> None:
    del server.files["MR.task.unlabel"]
    with pytest.raises(FileNotFoundError, match=r"MR\.task\.unlabel \(HTTP 404\)"):
        TinyFDUMTL(tmp_path, "test", server.address)
    assert raw(tmp_path) == {}


@pytest.mark.parametrize("packed", [False, True])
def test_file_missing(tmp_path: Path, content: dict[str, bytes], packed: bool) -> None:
    del content["MR.task.unlabel"]
    place = write_folder(tmp_path / "bad", content)
    if packed:
        place = pack(place, tmp_path / "bad.zip")
    with pytest.raises(FileNotFoundError, match=r"9 files .* 1 are missing: MR\.task\.unlabel"):
        TinyFDUMTL(tmp_path / "root", "test", place)
    assert raw(tmp_path / "root") == {}


@pytest.mark.parametrize("name", ARCHIVES)
@pytest.mark.parametrize("keep", [0.0, 0.5, 0.9])
def test_truncated_archive(tmp_path: Path, source: Path, name: str, keep: float) -> None:
    archive = pack(source, tmp_path / name)
    whole = archive.read_bytes()
    if name == "data.tar":  # beyond the members come blocks of zeros
        whole = whole.rstrip(b"\0")
    archive.write_bytes(whole[: int(keep * len(whole))])
    with pytest.raises(ValueError, match=f"{name} is (no readable|a broken)"):
        TinyFDUMTL(tmp_path / "root", "test", archive)
    assert raw(tmp_path / "root") == {}


@pytest.mark.parametrize("name", ["data.zip", "data.tar.gz", "data.tar.bz2", "data.tar.xz"])
def test_damaged_archive(tmp_path: Path, source: Path, name: str) -> None:
    archive = pack(source, tmp_path / name)
    damaged = bytearray(archive.read_bytes())
    for place in range(len(damaged) // 4, len(damaged) // 4 + 60):
        damaged[place] ^= 0xFF
    archive.write_bytes(damaged)
    with pytest.raises(ValueError, match=f"{name} is (no readable|a broken)|SHA-256"):
        TinyFDUMTL(tmp_path / "root", "test", archive)
    assert raw(tmp_path / "root") == {}


def test_an_archive_writes_nowhere_else(
    tmp_path: Path, source: Path, content: dict[str, bytes]
) -> None:
    archive = tmp_path / "data.tar"
    with tarfile.open(archive, "w") as file:
        for name, body in content.items():
            info = tarfile.TarInfo(f"../../{name}")
            info.size = len(body)
            file.addfile(info, io.BytesIO(body))
        for name in ("../escaped", "/escaped"):
            file.addfile(tarfile.TarInfo(name))
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path / "source")
        file.addfile(link)
    TinyFDUMTL(tmp_path / "root", "test", archive)
    assert raw(tmp_path / "root") == content
    assert {path.name for path in tmp_path.iterdir()} == {"root", "source", "data.tar"}


def test_a_link_in_an_archive_is_no_file(tmp_path: Path, content: dict[str, bytes]) -> None:
    (tmp_path / "secret").write_bytes(content["books.task.test"])
    archive = tmp_path / "data.tar"
    with tarfile.open(archive, "w") as file:
        for name, body in content.items():
            info = tarfile.TarInfo(name)
            if name == "books.task.test":
                info.type, info.linkname = tarfile.SYMTYPE, str(tmp_path / "secret")
                file.addfile(info)
            else:
                info.size = len(body)
                file.addfile(info, io.BytesIO(body))
    with pytest.raises(FileNotFoundError, match=r"missing: books\.task\.test"):
        TinyFDUMTL(tmp_path / "root", "test", archive)


def test_no_such_place(tmp_path: Path) -> None:
    for place in (tmp_path / "none", (tmp_path / "none").as_uri()):
        with pytest.raises(FileNotFoundError, match="found nothing at .*none"):
            TinyFDUMTL(tmp_path / "root", "test", place)
    with pytest.raises(ValueError, match="file, http or https address, got 'ftp://"):
        TinyFDUMTL(tmp_path / "root", "test", "ftp://127.0.0.1/data")
    assert raw(tmp_path / "root") == {}


def test_no_answer(tmp_path: Path, server: Server) -> None:
    closed = "http://127.0.0.1:1/data"
    with pytest.raises(OSError, match=f"could not download {closed}/books.task.train"):
        TinyFDUMTL(tmp_path / "root", "test", closed)
    assert raw(tmp_path / "root") == {}


def test_connection_that_breaks_off(tmp_path: Path, server: Server) -> None:
    server.withheld = 5
    server.files["books.task.train"] = server.files["books.task.train"][:-5]
    with pytest.raises((OSError, ValueError), match=r"books\.task\.train"):
        TinyFDUMTL(tmp_path, "test", server.address)
    assert raw(tmp_path) == {}


@pytest.mark.parametrize("how", ["folder", "archive", "server", "archive on a server"])
def test_packed_files(tmp_path: Path, content: dict[str, bytes], server: Server, how: str) -> None:
    packed = dict(content)
    for name in ("dvd.task.test", "MR.task.test"):
        packed[f"{name}.gz"] = gzip.compress(packed.pop(name))
    folder = write_folder(tmp_path / "packed", packed)
    place: Path | str = folder
    if "archive" in how:
        place = pack(folder, tmp_path / "data.tar.gz")
    if how == "server":
        server.files, place = packed, server.address
    if how == "archive on a server":
        server.files = {"data.tar.gz": (tmp_path / "data.tar.gz").read_bytes()}
        place = f"{server.address}/data.tar.gz"
    assert len(TinyFDUMTL(tmp_path / "root", "test", place)) == 6
    assert raw(tmp_path / "root") == content


def test_a_packed_file_that_is_broken(tmp_path: Path, content: dict[str, bytes]) -> None:
    content["dvd.task.test.gz"] = gzip.compress(content.pop("dvd.task.test"))[:-4]
    folder = write_folder(tmp_path / "packed", content)
    with pytest.raises(ValueError, match=r"dvd\.task\.test\.gz from .* is a broken archive"):
        TinyFDUMTL(tmp_path / "root", "test", folder)
    content["dvd.task.test.gz"] = gzip.compress(b"other")
    (folder / "dvd.task.test.gz").write_bytes(content["dvd.task.test.gz"])
    with pytest.raises(ValueError, match=r"dvd\.task\.test from .*expected SHA-256"):
        TinyFDUMTL(tmp_path / "root", "test", folder)
    assert raw(tmp_path / "root") == {}


def test_files_of_several_places_come_together_or_not_at_all(tmp_path: Path) -> None:
    places, target = {}, tmp_path / "target"
    target.mkdir()
    for name in ("a", "b"):
        places[name] = str(write_folder(tmp_path / f"from {name}", {name: name.encode()}))
    with pytest.raises(ValueError, match=r"b from .*from b is not the expected file"):
        fetch(places, {"a": None, "b": "0" * 64}, str(target))
    with pytest.raises(FileNotFoundError, match="1 are missing: c"):
        fetch({**places, "c": places["a"]}, {"a": None, "c": None}, str(target))
    assert list(target.iterdir()) == []
    fetch(places, {"a": None, "b": hashlib.sha256(b"b").hexdigest()}, str(target))
    assert {path.name: path.read_bytes() for path in target.iterdir()} == {"a": b"a", "b": b"b"}
