"""The planted sentences: their rules by hand, and what holds for all that are drawn."""

from __future__ import annotations

import importlib
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from mtgnn.data import check_tags

EXAMPLES = Path(__file__).parents[2] / "examples"
SIZES = {"train": 80, "dev": 30, "test": 60}

# Words, parts of speech, chunks and entities, by hand.
BY_HAND = [
    "The DET B-NP O|old ADJ I-NP O|plans NOUN I-NP O|are VERB B-VP O|old ADJ B-ADJP O|. PUNCT O O",
    "In PREP B-PP O|Kami NOUN B-NP B-LOC|, PUNCT O O|she PRON B-NP O|soon ADV B-VP O|plans VERB "
    "I-VP O|. PUNCT O O",
    "Kami NOUN B-NP B-PER|Toba NOUN I-NP I-PER|often ADV B-VP O|looks VERB I-VP O|with PREP B-PP O|"
    "the DET B-NP O|Ruso NOUN I-NP B-ORG|Works NOUN I-NP I-ORG|. PUNCT O O",
    "She PRON B-NP O|works VERB B-VP O|near PREP B-PP O|a DET B-NP O|Kami NOUN I-NP B-MISC|plans "
    "NOUN I-NP O|and CONJ O O|Toba NOUN B-NP B-PER|is VERB B-VP O|nearly ADV B-ADJP O|dry ADJ "
    "I-ADJP O",
    "It PRON B-NP O|looks VERB B-VP O|fast ADV O O|at PREP B-PP O|every DET B-NP O|narrow ADJ I-NP "
    "O|Ruso NOUN I-NP B-LOC|the DET B-NP O|lamp NOUN I-NP O",
]


@pytest.fixture(scope="module")
def planted() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(EXAMPLES))
        yield importlib.import_module("_planted_sentences")


@pytest.mark.parametrize("text", BY_HAND)
def test_rules_by_hand(planted: ModuleType, text: str) -> None:
    rows = [word.split() for word in text.split("|")]
    words, pos, chunks, entities = (list(column) for column in zip(*rows, strict=True))
    assert planted.chunk_tags(pos) == chunks
    assert planted.entity_tags(words, chunks) == entities


def test_layers_depend_on_each_other_and_on_nothing_else(planted: ModuleType) -> None:
    follows: dict[tuple[str, ...], set[tuple[str, ...]]] = {}
    for item in planted.planted_sentences(SIZES, 5)["test"]:
        tags = {task: tuple(own) for task, own in item.tags.items()}
        follows.setdefault(("chunk", *tags["pos"]), set()).add(tags["chunk"])
        follows.setdefault(("ner", *item.words, *tags["chunk"]), set()).add(tags["ner"])
    assert all(len(found) == 1 for found in follows.values())
    assert planted.GRAPH.edges == [("pos", "chunk"), ("chunk", "ner")]


def test_tags_are_well_formed_and_all_occur(planted: ModuleType) -> None:
    parts = planted.planted_sentences({"train": 40, "test": 300}, 1)
    for task, classes in planted.CLASSES.items():
        sentences = [item.tags[task] for item in parts["test"]]
        found = Counter(tag for tags in sentences for tag in tags)
        never = {"I-PP"} if task == "chunk" else set()
        assert found.keys() == set(classes) - never
        if task in planted.SCHEMES:
            for tags in sentences:
                check_tags(tags, planted.SCHEMES[task])


def test_many_words_have_two_parts_of_speech(planted: ModuleType) -> None:
    parts = planted.planted_sentences({"test": 300}, 1)
    kinds: dict[str, set[str]] = {}
    for item in parts["test"]:
        for word, pos in zip(item.words, item.tags["pos"], strict=True):
            kinds.setdefault(word.lower(), set()).add(pos)
    assert kinds["plans"] == {"NOUN", "VERB"} and kinds["open"] == {"ADJ", "VERB"}
    assert sum(len(found) > 1 for found in kinds.values()) > 20


def test_sentences_differ_and_labels_are_as_many_as_said(planted: ModuleType) -> None:
    parts = planted.planted_sentences(SIZES, 3, {"pos": 1, "chunk": 2, "ner": 8})
    assert {part: len(items) for part, items in parts.items()} == SIZES
    words = [tuple(item.words) for items in parts.values() for item in items]
    assert len(set(words)) == len(words)
    assert all(sentence[0][0].isupper() and sentence[-1] == "." for sentence in words)
    counts = Counter(task for item in parts["train"] for task in item.tags)
    assert counts == {"pos": 80, "chunk": 40, "ner": 10}
    assert all(item.tags.keys() == planted.CLASSES.keys() for item in parts["test"])


def test_the_seed_decides(planted: ModuleType) -> None:
    def drawn(seed: int) -> list[Any]:
        parts = planted.planted_sentences(SIZES, seed)
        return [(item.words, item.tags) for items in parts.values() for item in items]

    assert drawn(2) == drawn(2) and drawn(2) != drawn(3)
