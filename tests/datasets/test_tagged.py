import pytest

from mtgnn.datasets.columns import Sentence
from mtgnn.datasets.tagged import make_items, tag_classes


def sentence(words: str, **tags: str) -> Sentence:
    labels = {t: [None if tag == "?" else tag for tag in row.split()] for t, row in tags.items()}
    return Sentence(words.split(), labels, 1)  # type: ignore[arg-type]


SENTENCES = {
    "train": [sentence("a b", pos="X ?", ner="B-P O"), sentence("c", pos="Y", ner="O")],
    "dev": [sentence("d", pos="Z", ner="I-creative-work")],
    "test": [sentence("a b", pos="X X", ner="O O"), sentence("d", pos="?", ner="?")],
}
ALL = [one for part in SENTENCES.values() for one in part]


def test_classes() -> None:
    assert tag_classes(ALL, ["pos", "ner"], {"ner": "IOBES"}) == {
        "pos": ["X", "Y", "Z"],
        "ner": ["O"] + [f"{p}-{kind}" for kind in ("P", "creative-work") for p in "BIES"],
    }
    assert tag_classes(ALL, ["ner"], {}) == {"ner": ["B-P", "I-creative-work", "O"]}


def test_a_task_without_labels() -> None:
    with pytest.raises(ValueError, match="task 'pos' has no labels"):
        tag_classes([sentence("a b", pos="? ?")], ["pos"], {})


@pytest.mark.parametrize(
    ("train", "leaked"),
    [(("train",), [True, False]), (("train", "dev"), [True, True]), ((), [False, False])],
)
def test_leaked(train: tuple[str, ...], leaked: list[bool]) -> None:
    items = make_items(SENTENCES, train)
    assert [item.leaked for item in items["test"]] == leaked
    assert [item.words for item in items["train"]] == [["a", "b"], ["c"]]
    assert items["dev"][0].tags == {"pos": ["Z"], "ner": ["I-creative-work"]}
    assert not any("leaked" in item for item in [*items["train"], *items["dev"]])
