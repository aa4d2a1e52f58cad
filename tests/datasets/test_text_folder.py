from pathlib import Path

import pytest

from mtgnn.data import EncodedTexts, Vocabulary
from mtgnn.datasets import TextFolder

FILES = {
    "topic.train.tsv": b"sport\ta game\nart\ta picture\nsport\ta\tb\n",
    "topic.dev.tsv": b"art\tpaint\n",
    "topic.test.tsv": b"sport\tball\nart\t\n",
    "mood.train.tsv": "no\tna\u00efve\x85one\nyes\tgood".encode(),
    "mood.dev.tsv": b"yes\tfine\n",
    "mood.test.tsv": b"no\tbad\n",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, content in FILES.items():
        (tmp_path / name).write_bytes(content)
    return tmp_path


def rows(dataset: TextFolder) -> list[tuple[str, int, int]]:
    return [(item.text, int(item.task), int(item.y)) for item in dataset]


def test_items(folder: Path) -> None:
    assert rows(TextFolder(folder)) == [
        ("na\u00efve\x85one", 0, 0),
        ("good", 0, 1),
        ("a game", 1, 1),
        ("a picture", 1, 0),
        ("a\tb", 1, 1),
    ]
    assert rows(TextFolder(str(folder), "dev")) == [("fine", 0, 1), ("paint", 1, 0)]
    assert rows(TextFolder(folder, "test")) == [("bad", 0, 0), ("ball", 1, 1), ("", 1, 0)]


def test_a_transform_is_applied_to_each_item(folder: Path) -> None:
    dataset = TextFolder(folder, "test", transform=lambda item: item.text)
    assert list(dataset) == ["bad", "ball", ""]


def test_tasks_and_classes_are_sorted(folder: Path) -> None:
    for split in ("train", "dev", "test"):
        dataset = TextFolder(folder, split)
        assert dataset.tasks == ["mood", "topic"]
        assert dataset.classes == {"mood": ["no", "yes"], "topic": ["art", "sport"]}


def test_nothing_is_written_and_edits_are_seen(folder: Path) -> None:
    TextFolder(folder)
    assert {path.name for path in folder.iterdir()} == set(FILES)
    (folder / "mood.dev.tsv").write_bytes(b"no\tother\n")
    assert rows(TextFolder(folder, "dev"))[0] == ("other", 0, 0)


@pytest.mark.parametrize("split", ["train", "dev", "test"])
def test_a_header_is_no_label(folder: Path, split: str) -> None:
    for name in ("topic.train.tsv", "topic.dev.tsv", "topic.test.tsv"):
        (folder / name).write_bytes(b"label\ttext\n" + FILES[name])
    with pytest.raises(ValueError, match="topic.train.tsv, line 1: 'label' is no label"):
        TextFolder(folder, split)
    # The same text may begin all files, and a label may be rare.
    for name in ("topic.train.tsv", "topic.dev.tsv", "topic.test.tsv"):
        (folder / name).write_bytes(b"sport\tsame\n" + FILES[name])
    assert TextFolder(folder, split).classes["topic"] == ["art", "sport"]
    (folder / "topic.train.tsv").write_bytes(b"rare\tsame\n" + FILES["topic.train.tsv"])
    assert TextFolder(folder, split).classes["topic"] == ["art", "rare", "sport"]


def test_a_header_is_found_in_one_file_too(folder: Path) -> None:
    (folder / "topic.train.tsv").write_bytes(b"Label\ttext\n" + FILES["topic.train.tsv"])
    with pytest.raises(ValueError, match="line 1: 'Label' is no label of another line"):
        TextFolder(folder)
    (folder / "topic.train.tsv").write_bytes(b"target\ta sport\n" + FILES["topic.train.tsv"])
    assert TextFolder(folder).classes["topic"] == ["art", "sport", "target"]


def test_a_text_may_have_a_return(folder: Path) -> None:
    (folder / "topic.train.tsv").write_bytes(b"art\ta\rb\nsport\tc")
    assert rows(TextFolder(folder))[-2:] == [("a\rb", 1, 0), ("c", 1, 1)]


def test_empty_lines_at_the_end_and_hidden_files_are_none_of_it(folder: Path) -> None:
    expected = rows(TextFolder(folder))
    (folder / "topic.train.tsv").write_bytes(FILES["topic.train.tsv"] + b"\n\r\n")
    (folder / "._topic.train.tsv").write_bytes(b"\x00\x05")
    assert rows(TextFolder(folder)) == expected


def test_other_files_and_dots_in_names(folder: Path) -> None:
    (folder / "notes.txt").write_text("nothing")
    for split in ("train", "dev", "test"):
        (folder / f"a.b.{split}.tsv").write_bytes(b"x\ty\n")
    assert TextFolder(folder).tasks == ["a.b", "mood", "topic"]


def test_files_of_other_systems(folder: Path) -> None:
    (folder / "mood.train.tsv").write_bytes(b"\xef\xbb\xbfno\tbad\r\nyes\tgood\r\n")
    dataset = TextFolder(folder)
    assert dataset.classes["mood"] == ["no", "yes"]
    assert dataset[0].text == "bad"


def test_swapped_columns_are_warned_of(tmp_path: Path) -> None:
    lines = [f"text {i}\t{'pos' if i % 2 else 'neg'}" for i in range(8)]
    (tmp_path / "books.train.tsv").write_text("\n".join(lines), encoding="utf-8")
    with pytest.warns(UserWarning, match="'books' have a label that no other text has, such as"):
        TextFolder(tmp_path)


def test_encodes(folder: Path) -> None:
    vocabulary = Vocabulary.build(TextFolder(folder).text)
    encoded = EncodedTexts(TextFolder(folder, "test"), vocabulary)
    assert encoded[2].tokens.tolist() == [2]
    assert encoded.y.tolist() == [0, 1, 0]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("topic.train.tsv", b"art\ta\nno tab\n", r"topic\.train\.tsv, line 2: .*<TAB>.*'no tab'"),
        ("topic.train.tsv", b"art\ta\n\nart\tb\n", r"topic\.train\.tsv, line 2 is blank"),
        ("topic.train.tsv", b"art\ta\n \tb\n", r"topic\.train\.tsv, line 2: expected a label"),
        ("topic.train.tsv", b"art\ta\nart\t\xff\n", r"topic\.train\.tsv, line 2: not UTF-8"),
        ("topic.train.tsv", b"", r"topic\.train\.tsv is empty"),
        ("topic.train.tsv", b"art\ta\rsport\tb\r\n", r"topic\.train\.tsv: lines end at .r alone"),
        (
            "topic.dev.tsv",
            b"art\ta\nwar\tb\n",
            r"dev\.tsv, line 2: label 'war'.*\['art', 'sport'\]",
        ),
        ("topic.dev.tsv", b"", r"topic\.dev\.tsv is empty"),
    ],
)
def test_bad_files(folder: Path, name: str, content: bytes, message: str) -> None:
    (folder / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        TextFolder(folder, "dev")


@pytest.mark.parametrize("asked", ["train", "dev", "test"])
@pytest.mark.parametrize("split", ["train", "dev", "test"])
def test_a_task_needs_its_train_file_and_the_one_asked_for(
    folder: Path, split: str, asked: str
) -> None:
    expected = rows(TextFolder(folder, asked))
    (folder / f"mood.{split}.tsv").unlink()
    if split not in ("train", asked):
        assert rows(TextFolder(folder, asked)) == expected
        return
    with pytest.raises(FileNotFoundError, match=rf"'mood' has no file mood\.{split}\.tsv"):
        TextFolder(folder, asked)


def test_no_folder_and_no_files(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="none"):
        TextFolder(tmp_path / "none")
    with pytest.raises(FileNotFoundError, match="found none"):
        TextFolder(tmp_path)


def test_bad_split(folder: Path) -> None:
    with pytest.raises(ValueError, match="split as one of .*got 'valid'"):
        TextFolder(folder, "valid")
