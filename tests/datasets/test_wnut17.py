import hashlib
from pathlib import Path

import pytest

from mtgnn.datasets import WNUT17

FILES = {
    # A sentence break that holds a tab; words that look like comments.
    "wnut17train.conll": b"#tag\tO\nNew\tB-location\nYork\tI-location\n\t\nHi\tO\n",
    "emerging.dev.conll": b"Duck\tB-creative-work\n\nHi\tO\n",
    "emerging.test.annotated": b"Hi\tO\n\nYo\tO\n\n",
}


class Tiny(WNUT17):
    checksums = {name: hashlib.sha256(body).hexdigest() for name, body in FILES.items()}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    for name, body in FILES.items():
        (folder / name).write_bytes(body)
    return folder


def test_the_real_tables() -> None:
    assert list(WNUT17.urls) == list(WNUT17.checksums) == list(FILES)
    assert len(set(WNUT17.urls.values())) == 2


def test_items(tmp_path: Path, source: Path) -> None:
    train, dev, test = (Tiny(tmp_path, split, source) for split in ("train", "dev", "test"))
    assert train.words == [["#tag", "New", "York"], ["Hi"]]
    assert train.tags == {"ner": [["O", "B-location", "I-location"], ["O"]]}
    assert dev.words == [["Duck"], ["Hi"]] and "leaked" not in dev[0]
    assert test.words == [["Hi"], ["Yo"]] and test.leaked.tolist() == [True, False]
    assert test.tasks == ["ner"] and test.schemes == {"ner": "IOB2"}
    assert test.classes["ner"] == [
        "O",
        "B-creative-work",
        "I-creative-work",
        "B-location",
        "I-location",
    ]


def test_scheme(tmp_path: Path, source: Path) -> None:
    dataset = Tiny(tmp_path, "train", source, scheme="BILOU")
    assert dataset.tags["ner"][0] == ["O", "B-location", "L-location"]


def test_the_files_may_come_from_several_places(tmp_path: Path, source: Path) -> None:
    folders = {}
    for number, name in enumerate(FILES):
        folder = tmp_path / str(number)
        folder.mkdir()
        (source / name).rename(folder / name)
        folders[name] = folder.as_uri()

    class Scattered(Tiny):
        urls = folders

    assert Scattered(tmp_path / "root", "test").words == [["Hi"], ["Yo"]]
