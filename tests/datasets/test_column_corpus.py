from pathlib import Path

import pytest

from mtgnn.data import EncodedSentences, SentenceEncoder
from mtgnn.datasets import ColumnCorpus

FILES = {
    "train.txt": b"The DT I-NP\ndog NN I-NP\nCats NNS B-NP\nrun VB O\n\nHello UH O\n",
    "dev.txt": b"Run VB O\n",
    "test.txt": b"Hello UH O\n\nA DT I-PP\n",
}
COLUMNS = {"pos": 1, "chunk": 2}
SCHEMES = {"chunk": "IOB1"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, content in FILES.items():
        (tmp_path / name).write_bytes(content)
    return tmp_path


def test_items_in_one_scheme(folder: Path) -> None:
    dataset = ColumnCorpus(folder, columns=COLUMNS, schemes=SCHEMES)
    assert [item.words for item in dataset] == [["The", "dog", "Cats", "run"], ["Hello"]]
    assert dataset[0].tags == {
        "pos": ["DT", "NN", "NNS", "VB"],
        "chunk": ["B-NP", "I-NP", "B-NP", "O"],
    }
    assert "leaked" not in dataset[0]
    dataset = ColumnCorpus(folder, columns=COLUMNS, schemes=SCHEMES, scheme="IOBES")
    assert dataset[0].tags["chunk"] == ["B-NP", "E-NP", "S-NP", "O"]
    assert dataset.schemes == {"chunk": "IOBES"}


def test_a_transform_is_applied_to_each_item(folder: Path) -> None:
    dataset = ColumnCorpus(folder, "test", columns=COLUMNS, transform=lambda item: item.words)
    assert list(dataset) == [["Hello"], ["A"]]


def test_classes_are_those_of_all_files_and_of_the_whole_scheme(folder: Path) -> None:
    for split in ("train", "dev", "test"):
        dataset = ColumnCorpus(folder, split, columns=COLUMNS, schemes=SCHEMES)
        assert dataset.tasks == ["pos", "chunk"]
        assert dataset.classes == {
            "pos": ["DT", "NN", "NNS", "UH", "VB"],
            "chunk": ["O", "B-NP", "I-NP", "B-PP", "I-PP"],
        }


def test_without_a_declared_scheme_tags_stay_as_they_are(folder: Path) -> None:
    dataset = ColumnCorpus(folder, columns={"chunk": 2})
    assert dataset[0].tags == {"chunk": ["I-NP", "I-NP", "B-NP", "O"]}
    assert dataset.schemes == {} and dataset.classes == {"chunk": ["B-NP", "I-NP", "I-PP", "O"]}


def test_leaked(folder: Path) -> None:
    dataset = ColumnCorpus(folder, "test", columns=COLUMNS)
    assert dataset.leaked.tolist() == [True, False]
    assert [item.words for item in dataset[~dataset.leaked]] == [["A"]]


def test_nothing_is_written_and_edits_are_seen(folder: Path) -> None:
    ColumnCorpus(folder, columns=COLUMNS)
    assert {path.name for path in folder.iterdir()} == set(FILES)
    (folder / "train.txt").write_bytes(b"New JJ O\n")
    assert ColumnCorpus(folder, columns=COLUMNS)[0].words == ["New"]


def test_files_of_ones_own(folder: Path) -> None:
    (folder / "a.conllu").write_bytes(b"# id\n1\ta b\tNN\n2\tc\t_\n")
    dataset = ColumnCorpus(
        folder,
        "all",
        columns={"pos": 2},
        word=1,
        separator="\t",
        comment="#",
        missing="_",
        files={"all": "a.conllu"},
    )
    assert (dataset[0].words, dataset[0].tags) == (["a b", "c"], {"pos": ["NN", None]})


def test_encodes(folder: Path) -> None:
    train, test = (
        ColumnCorpus(folder, split, columns=COLUMNS, schemes=SCHEMES) for split in ("train", "test")
    )
    encoder = SentenceEncoder.build(train.words, train.classes)
    known = {word for words in train.words for word in words}
    encoded = EncodedSentences(test, encoder, known=known)
    batch = encoded.collate(list(encoded))
    assert batch.y.tolist() == [[[3, 0]], [[0, 3]]]
    assert batch.unknown is not None and batch.unknown.tolist() == [[False], [True]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split": "valid"}, r"split as one of \['train', 'dev', 'test'\], got 'valid'"),
        ({"columns": {}}, "expected columns, from 0 on"),
        ({"columns": {"pos": -1}}, "expected columns, from 0 on"),
        ({"schemes": {"ner": "IOB2"}}, r"schemes of tasks \['pos', 'chunk'\]"),
        ({"schemes": {"chunk": "BIO"}}, "got 'BIO'"),
        ({"scheme": "BIO"}, "got 'BIO'"),
        ({"columns": {"chunk": 3}}, r"train\.txt, line 1: expected 4 columns, got 3"),
        (
            {"schemes": {"chunk": "IOB2"}},
            r"train\.txt, sentence in line 1, task 'chunk': token 0: 'I-NP' at the beginning is no",
        ),
        ({"schemes": {"pos": "IOB2"}}, "task 'pos': expected the tag O"),
        ({"columns": {"pos": "1"}}, "columns as a dict, numbers by task"),
        ({"columns": ["pos"]}, "columns as a dict, numbers by task"),
        ({"columns": {"pos": 1}, "missing": "DT", "files": {"train": "one"}}, "no labels: leave"),
    ],
)
def test_bad_options(folder: Path, options: dict[str, object], message: str) -> None:
    (folder / "one").write_bytes(b"a DT\n")
    with pytest.raises(ValueError, match=message):
        ColumnCorpus(folder, **{"columns": COLUMNS, **options})  # type: ignore[arg-type]


def test_repair(folder: Path) -> None:
    dataset = ColumnCorpus(folder, columns=COLUMNS, schemes={"chunk": "IOB2"}, repair=True)
    assert dataset[0].tags["chunk"] == ["B-NP", "I-NP", "B-NP", "O"]


def test_missing_and_empty_files(folder: Path) -> None:
    (folder / "dev.txt").write_bytes(b"\n \n")
    with pytest.raises(ValueError, match=r"dev\.txt has no sentence"):
        ColumnCorpus(folder, columns=COLUMNS)
    (folder / "dev.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"dev\.txt"):
        ColumnCorpus(folder, columns=COLUMNS)
