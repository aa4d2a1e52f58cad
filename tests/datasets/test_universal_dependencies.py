import hashlib
from pathlib import Path

import pytest

from mtgnn.datasets import UniversalDependencies
from mtgnn.datasets.universal_dependencies import read_conllu

TASKS = ("upos", "xpos", "feats", "Number")


def row(name: str, form: str, upos: str = "X", xpos: str = "_", feats: str = "_") -> str:
    return "\t".join([name, form, "_", upos, xpos, feats, "_", "_", "_", "_"])


TEXT = [
    "# sent_id = 1",
    "# text = We don't #1 000 .",
    row("1", "We", "PRON", "PRP", "Case=Nom|Number=Plur"),
    row("2-3", "don't"),
    row("2", "do", "AUX", "VBP", "Number=Plur"),
    row("3", "n't", "PART", "RB"),
    row("3.1", "go", "VERB", "VB", "Number=Sing"),
    row("4", "#1 000", "NUM", "CD", "Number[psor]=Sing"),
    row("5", "_", "_", "_"),
    "",
    "# sent_id = 2",
    row("0.1", "Nobody"),
    row("1", "Stop", "VERB", "VB", "Number=Sing"),
    "",
]
CONTENT = "\n".join(TEXT).encode()
WORDS = [["We", "do", "n't", "#1 000", "_"], ["Stop"]]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    for split in ("train", "dev"):
        (folder / f"xx_tiny-ud-{split}.conllu").write_bytes(CONTENT)
    (folder / "xx_tiny-ud-test.conllu").write_text(
        "\n".join([row("1", "Stop", "VERB"), "", row("1", "Wait", "INTJ", "UH")])
    )
    return folder


def test_words_are_the_syntactic_words() -> None:
    first, second = read_conllu(CONTENT, "file", TASKS)
    assert [first.words, second.words] == WORDS
    assert first.tags == {
        "upos": ["PRON", "AUX", "PART", "NUM", None],
        "xpos": ["PRP", "VBP", "RB", "CD", None],
        "feats": ["Case=Nom|Number=Plur", "Number=Plur", "_", "Number[psor]=Sing", "_"],
        "Number": ["Plur", "Plur", "_", "_", "_"],
    }
    assert second.tags["Number"] == ["Sing"]


def test_any_treebank(tmp_path: Path, source: Path) -> None:
    dataset = UniversalDependencies(tmp_path / "root", "train", source, "xx_tiny")
    assert dataset.words == WORDS
    assert dataset.tasks == ["upos", "xpos", "feats"] and dataset.schemes == {}
    assert dataset.classes["upos"] == ["AUX", "INTJ", "NUM", "PART", "PRON", "VERB"]
    assert dataset.classes["xpos"] == ["CD", "PRP", "RB", "UH", "VB", "VBP"]
    test = UniversalDependencies(tmp_path / "root", "test", source, "xx_tiny")
    assert test.leaked.tolist() == [True, False] and test.classes == dataset.classes
    assert test.tags["xpos"] == [[None], ["UH"]]


def test_each_choice_of_tasks_has_its_own_cache(tmp_path: Path, source: Path) -> None:
    for tasks in (["upos"], ["Number[psor]", "upos"], ["upos"]):
        dataset = UniversalDependencies(tmp_path / "root", "dev", source, "xx_tiny", tasks)
        assert list(dataset.classes) == dataset.tasks == tasks == list(dataset[0].tags)
    number = UniversalDependencies(tmp_path, "dev", source, "xx_tiny", ["Number[psor]"])
    assert number.tags["Number[psor]"][0] == ["_", "_", "_", "Sing", "_"]


def test_the_default_is_checked_and_apart_from_other_releases(tmp_path: Path, source: Path) -> None:
    for path in source.iterdir():
        path.rename(source / path.name.replace("xx_tiny", "en_ewt"))
    root = tmp_path / "root"
    with pytest.raises(ValueError, match=r"en_ewt-ud-train\.conllu from .*expected SHA-256"):
        UniversalDependencies(root, "train", source)
    assert UniversalDependencies(root, "train", source, "en_ewt").words == WORDS
    with pytest.raises(ValueError, match=r"\(delete it to fetch it again\)"):
        UniversalDependencies(root, "train", source)

    class Pinned(UniversalDependencies):
        checksums = {
            path.name: hashlib.sha256(path.read_bytes()).hexdigest()
            for split in ("train", "dev", "test")
            for path in [source / f"en_ewt-ud-{split}.conllu"]
        }

    assert Pinned(root, "train", source).words == WORDS


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([row("1", "a"), row("3", "b")], "line 2: expected word 2, got word 3"),
        ([row("1", "a"), row("1", "b")], "line 2: expected word 2, got word 1"),
        ([row("a", "a")], "line 1: expected word 1 or words from there, got 'a'"),
        ([row("2-3", "a")], "got '2-3'"),
        ([row("1-1", "a")], "got '1-1'"),
        ([row("1-2", "a")], "line 1: expected a word in the sentence"),
        (["", row("1", "a").replace("\t", " ")], "line 2: expected 10 columns"),
        ([row("1", "")], "line 1: expected 10 columns with something in each"),
        ([row("1", "a", feats="Number")], "features such as Number=Sing.*got 'Number'"),
        ([row("1", "a"), "# late"], "line 2: expected 10 columns"),
    ],
)
def test_bad_files(lines: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=f"^file, line .*{message}|^file, {message}"):
        list(read_conllu("\n".join(lines).encode(), "file", TASKS))


def test_bad_options(tmp_path: Path, source: Path) -> None:
    with pytest.raises(ValueError, match="expected a source for treebank 'de_gsd'"):
        UniversalDependencies(tmp_path, treebank="de_gsd")
    for tasks in ([], ["upos", "upos"], "upos"):
        with pytest.raises(ValueError, match="different tasks, at least one"):
            UniversalDependencies(tmp_path, tasks=tasks)
    with pytest.raises(ValueError, match="or features such as 'Number', got 'pos'"):
        UniversalDependencies(tmp_path, tasks=["pos"])
    (source / "xx_tiny-ud-test.conllu").unlink()
    with pytest.raises(FileNotFoundError, match=r"missing: xx_tiny-ud-test\.conllu"):
        UniversalDependencies(tmp_path, "train", source, "xx_tiny")


def test_a_task_without_labels_is_an_error(tmp_path: Path, source: Path) -> None:
    for path in source.iterdir():
        path.write_text(row("1", "Stop", "VERB"))
    with pytest.raises(ValueError, match="task 'xpos' has no labels: leave it out"):
        UniversalDependencies(tmp_path, "train", source, "xx_tiny")
    assert len(UniversalDependencies(tmp_path, "train", source, "xx_tiny", ["upos"])) == 1
