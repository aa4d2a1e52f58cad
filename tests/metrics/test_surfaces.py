"""Surface forms against hand-worked cases, and against a scorer that reads IOB word by word."""

from __future__ import annotations

import random

import pytest

from mtgnn.metrics import score_spans, score_surfaces

Entity = tuple[int, int, str, tuple[str, ...]]


def test_a_name_counts_once_and_is_right_where_it_is_found_once() -> None:
    words = [["Rome", "and", "Rome"], ["ROME"], ["New", "York"], ["Bob", "in", "York"]]
    true = [["B-L", "O", "B-L"], ["B-L"], ["B-L", "I-L"], ["B-P", "O", "O"]]
    guess = [["B-L", "O", "O"], ["O"], ["B-L", "O"], ["B-L", "O", "B-L"]]
    scores = score_surfaces(words, guess, true)
    # True: Rome, ROME, New York, Bob (a person). Predicted: Rome, New, Bob (a place), York.
    assert scores.overall[3:] == (1, 4, 4)
    assert scores.overall.precision == scores.overall.recall == scores.overall.f1 == 0.25
    assert scores.per_type["L"][3:] == (1, 4, 3)
    assert scores.per_type["P"][3:] == (0, 0, 1) and scores.per_type["P"].f1 == 0


def test_a_name_that_is_right_elsewhere_is_not_right() -> None:
    words = [["Rome", "Rome"]]
    scores = score_surfaces(words, [["O", "B-L"]], [["B-L", "O"]])
    assert scores.overall[3:] == (0, 1, 1)


def entities(sentence: int, words: list[str], tags: list[str]) -> set[Entity]:
    found: list[Entity] = []
    is_open = False
    for place, (word, tag) in enumerate(zip(words, tags, strict=True)):
        if tag == "O":
            is_open = False
        elif tag[0] == "I" and is_open and found[-1][2] == tag[2:]:
            found[-1] = (*found[-1][:3], (*found[-1][3], word))
        else:
            found.append((sentence, place, tag[2:], (word,)))
            is_open = True
    return set(found)


def test_the_definition() -> None:
    draw = random.Random(0)
    tags = ["O", "B-X", "I-X", "B-Y", "I-Y"]
    words = [[draw.choice("abc") for _ in range(draw.randint(1, 6))] for _ in range(40)]
    true = [[draw.choice(tags) for _ in own] for own in words]
    guess = [[t if draw.random() < 0.7 else draw.choice(tags) for t in own] for own in true]
    sides = [
        set().union(*(entities(n, *pair) for n, pair in enumerate(zip(words, own, strict=True))))
        for own in (guess, true)
    ]
    found, gold, right = (
        {(kind, said) for _, _, kind, said in own} for own in (*sides, sides[0] & sides[1])
    )
    scores = score_surfaces(words, guess, true)
    assert scores.overall[3:] == (len(right), len(found), len(gold))
    assert scores.overall.correct < score_spans(guess, true).overall.correct
    for kind in "XY":
        counts = [sum(own == kind for own, _ in side) for side in (right, found, gold)]
        assert list(scores.per_type[kind][3:]) == counts


@pytest.mark.parametrize(
    ("words", "predicted", "message"),
    [
        ([["a"], ["b"]], [["O"]], r"as many sentences, got \[2, 1, 1\]"),
        ([["a", "b"]], [["O"]], "sentence 0: .* got 2 words and 1 and 1 tags"),
        ([["a"]], [["X-L"]], "X-L"),
    ],
)
def test_what_does_not_fit(
    words: list[list[str]], predicted: list[list[str]], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        score_surfaces(words, predicted, [["O"]])
