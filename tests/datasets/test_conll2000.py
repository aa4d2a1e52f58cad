import gzip
import hashlib
from pathlib import Path

import pytest

from mtgnn.datasets import CoNLL2000

TRAIN = [["Same", "words"]] * 3 + [[f"Word{n}", "here", "now"] for n in range(9)]
TEST = [["Same", "words"], ["New"]]


def content(sentences: list[list[str]]) -> bytes:
    """Every word is a noun that begins a chunk, but for two."""
    other = {"words": "NNS I-NP", "here": "RB O"}
    blocks = ["".join(f"{word} {other.get(word, 'NN B-NP')}\n" for word in s) for s in sentences]
    return "\n".join(blocks).encode()


FILES = {"train.txt": content(TRAIN), "test.txt": content(TEST)}


class Tiny(CoNLL2000):
    checksums = {name: hashlib.sha256(body).hexdigest() for name, body in FILES.items()}
    dev_size = 4


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    for name, body in FILES.items():
        (folder / name).write_bytes(body)
    return folder


def test_the_real_tables() -> None:
    assert set(CoNLL2000.urls) == set(CoNLL2000.checksums) == {"train.txt", "test.txt"}
    assert all(len(checksum) == 64 for checksum in CoNLL2000.checksums.values())


def test_items(tmp_path: Path, source: Path) -> None:
    dataset = Tiny(tmp_path, "test", source)
    assert [item.words for item in dataset] == TEST
    assert dataset[0].tags == {"pos": ["NN", "NNS"], "chunk": ["B-NP", "I-NP"]}
    assert dataset.tasks == ["pos", "chunk"] and dataset.schemes == {"chunk": "IOB2"}
    assert dataset.classes == {"pos": ["NN", "NNS", "RB"], "chunk": ["O", "B-NP", "I-NP"]}


def test_leaked_does_not_depend_on_the_dev_set(tmp_path: Path, source: Path) -> None:
    for seed in range(6):
        assert Tiny(tmp_path, "test", source, seed=seed).leaked.tolist() == [True, False]


def test_dev_is_drawn_by_seed_and_keeps_equal_sentences_together(
    tmp_path: Path, source: Path
) -> None:
    drawn = set()
    for seed in range(6):
        train, dev = (Tiny(tmp_path, split, source, seed=seed).words for split in ("train", "dev"))
        assert (len(train), len(dev)) == (8, 4)
        assert sorted(train + dev) == sorted(TRAIN)
        assert not {tuple(words) for words in train} & {tuple(words) for words in dev}
        drawn.add(tuple(words[0] for words in dev))
        assert Tiny(tmp_path / "new", "dev", source, seed=seed).words == dev
    assert len(drawn) > 1


def test_each_scheme_has_its_own_cache(tmp_path: Path, source: Path) -> None:
    for _ in range(2):
        assert Tiny(tmp_path, "test", source).tags["chunk"][0] == ["B-NP", "I-NP"]
        iobes = Tiny(tmp_path, "test", source, scheme="IOBES")
        assert iobes.tags["chunk"] == [["B-NP", "E-NP"], ["S-NP"]]
        assert iobes.classes["chunk"] == ["O", "B-NP", "I-NP", "E-NP", "S-NP"]


def test_raw_files_are_fetched_once_and_nothing_else_is_left(tmp_path: Path, source: Path) -> None:
    words = Tiny(tmp_path / "root", "train", source).words
    for path in source.iterdir():
        path.unlink()
    assert Tiny(tmp_path / "root", "train").words == words
    assert len(Tiny(tmp_path / "root", "dev", seed=1)) == 4
    assert {path.name for path in (tmp_path / "root" / "raw").iterdir()} == set(FILES)
    processed = (tmp_path / "root" / "processed").iterdir()
    assert {path.suffix for path in processed} == {".pt", ".json"}


def test_packed_files(tmp_path: Path, source: Path) -> None:
    for name, body in FILES.items():
        (source / name).unlink()
        (source / f"{name}.gz").write_bytes(gzip.compress(body))
    assert Tiny(tmp_path / "root", "test", source).words == TEST
    assert {path.name for path in (tmp_path / "root" / "raw").iterdir()} == set(FILES)


def test_another_file_is_an_error(tmp_path: Path, source: Path) -> None:
    (source / "test.txt").write_bytes(FILES["test.txt"] + b"More NN O\n")
    with pytest.raises(ValueError, match=r"test\.txt from .*expected SHA-256"):
        Tiny(tmp_path / "root", "test", source)
    (source / "test.txt").write_bytes(FILES["test.txt"])
    Tiny(tmp_path / "root", "test", source)
    (tmp_path / "root" / "raw" / "test.txt").write_bytes(b"More NN O\n")
    with pytest.raises(ValueError, match=r"test\.txt \(delete it to fetch it again\)"):
        Tiny(tmp_path / "root", "test", source, seed=9)


def test_transform_and_force_reload(tmp_path: Path, source: Path) -> None:
    Tiny(tmp_path, "test", source)
    (tmp_path / "processed" / "test-IOB2-0.pt").write_bytes(b"nothing")
    dataset = Tiny(
        tmp_path, "test", source, transform=lambda item: len(item.words), force_reload=True
    )
    assert dataset[0] == 2


def test_bad_options(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="split as one of .*got 'valid'"):
        CoNLL2000(tmp_path, "valid")
    with pytest.raises(ValueError, match="a scheme of .*got 'BIO'"):
        CoNLL2000(tmp_path, scheme="BIO")
    assert list(tmp_path.iterdir()) == []
