import random

import pytest

from mtgnn.data.schemes import (
    SCHEMES,
    Span,
    check_tags,
    convert_tags,
    read_spans,
    repair_tags,
    scheme_tags,
    write_tags,
)

TYPES = ("NP", "VP", "creative-work", "")


def random_spans(seed: int, types: tuple[str, ...] = TYPES) -> tuple[list[Span], int]:
    """Spans that often touch, and the length of their sentence."""
    draw = random.Random(seed)
    spans, position = [], 0
    for _ in range(draw.randint(0, 5)):
        start = position + draw.choice([0, 0, 1, 2])
        position = start + draw.randint(1, 4)
        spans.append(Span(start, position, draw.choice(types[:2] if seed % 2 else types)))
    return spans, position + draw.randint(0, 2)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_reading_undoes_writing(scheme: str) -> None:
    for seed in range(300):
        spans, length = random_spans(seed)
        tags = write_tags(spans, length, scheme)
        assert len(tags) == length
        assert read_spans(tags) == spans
        check_tags(tags, scheme)
        assert repair_tags(tags, scheme) == tags
        assert set(tags) <= set(scheme_tags(TYPES, scheme))


@pytest.mark.parametrize("source", SCHEMES)
@pytest.mark.parametrize("target", SCHEMES)
def test_there_and_back(source: str, target: str) -> None:
    for seed in range(100):
        spans, length = random_spans(seed)
        tags = write_tags(spans, length, source)
        there = convert_tags(tags, source, target)
        assert there == write_tags(spans, length, target)
        assert convert_tags(there, target, source) == tags


HAND = {  # two NP side by side, of two tokens and one; O; a VP of three
    "IOB1": "I-NP I-NP B-NP O I-VP I-VP I-VP",
    "IOB2": "B-NP I-NP B-NP O B-VP I-VP I-VP",
    "IOBES": "B-NP E-NP S-NP O B-VP I-VP E-VP",
    "BILOU": "B-NP L-NP U-NP O B-VP I-VP L-VP",
}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_by_hand(scheme: str) -> None:
    spans = [Span(0, 2, "NP"), Span(2, 3, "NP"), Span(4, 7, "VP")]
    assert write_tags(spans, 7, scheme) == HAND[scheme].split()
    assert read_spans(HAND[scheme].split()) == spans


def test_iob1_says_b_only_between_neighbours_of_one_type() -> None:
    assert write_tags([Span(0, 1, "A"), Span(1, 2, "B"), Span(2, 3, "B")], 3, "IOB1") == [
        "I-A",
        "I-B",
        "B-B",
    ]
    assert write_tags([Span(0, 1, "")], 1, "IOB1") == ["I"]
    check_tags(["I-A", "O", "I-A"], "IOB1")
    for tags in (["B-A"], ["I-A", "O", "B-A"], ["I-A", "B-B"]):
        with pytest.raises(ValueError, match="is no IOB1, which has 'I-"):
            check_tags(tags, "IOB1")


@pytest.mark.parametrize("scheme", SCHEMES)
def test_any_sequence_is_repaired_and_means_the_same(scheme: str) -> None:
    draw = random.Random(0)
    for _ in range(300):
        tags = [
            draw.choice(["O", *(f"{p}-{t}" for p in "BIESLU" for t in ("X", "Y"))])
            for _ in range(draw.randint(0, 8))
        ]
        repaired = repair_tags(tags, scheme)
        check_tags(repaired, scheme)
        assert read_spans(repaired) == read_spans(tags)
        assert [tag == "O" for tag in repaired] == [tag == "O" for tag in tags]


@pytest.mark.parametrize(
    ("tags", "spans"),
    [
        ("I-X I-X", [(0, 2, "X")]),  # I at the beginning, and after O, begins a span
        ("O I-X", [(1, 2, "X")]),
        ("B-X I-Y", [(0, 1, "X"), (1, 2, "Y")]),  # another type begins another span
        ("B-X I-Y I-X", [(0, 1, "X"), (1, 2, "Y"), (2, 3, "X")]),
        ("B-X E-X I-X", [(0, 2, "X"), (2, 3, "X")]),  # E ends
        ("E-X E-X", [(0, 1, "X"), (1, 2, "X")]),
        ("S-X I-X", [(0, 1, "X"), (1, 2, "X")]),
        ("B-X S-X E-X", [(0, 1, "X"), (1, 2, "X"), (2, 3, "X")]),
        ("B-X U-X L-X", [(0, 1, "X"), (1, 2, "X"), (2, 3, "X")]),
        ("B I O I", [(0, 2, ""), (3, 4, "")]),
    ],
)
def test_ill_formed_by_hand(tags: str, spans: list[tuple[int, int, str]]) -> None:
    assert read_spans(tags.split()) == [Span(*span) for span in spans]


@pytest.mark.parametrize(
    ("tags", "scheme", "message"),
    [
        ("I-X", "IOB2", "token 0: 'I-X' at the beginning is no IOB2, which has 'B-X' here"),
        ("B-X I-Y", "IOB2", "token 1: 'I-Y' after 'B-X' is no IOB2, which has 'B-Y' here"),
        ("B-X S-X", "IOB2", "token 1: 'S-X' after 'B-X' is no IOB2, which has 'B-X' here"),
        ("B-X O", "IOBES", "token 0: 'B-X' at the beginning is no IOBES, which has 'S-X' here"),
        ("O B-X I-X", "BILOU", "token 2: 'I-X' after 'B-X' is no BILOU, which has 'L-X' here"),
    ],
)
def test_ill_formed_is_an_error_that_says_where(tags: str, scheme: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_tags(tags.split(), scheme)
    with pytest.raises(ValueError, match=message):
        convert_tags(tags.split(), scheme, "IOB1")


@pytest.mark.parametrize("tag", ["", "NP", "o", "B-", "-NP", "BNP", "X-NP", "O-NP"])
def test_no_tag(tag: str) -> None:
    with pytest.raises(ValueError, match=f"the tag O, or one such as B-NP, got '{tag}'"):
        read_spans(["O", tag])


@pytest.mark.parametrize(
    "spans", [[(1, 1, "X")], [(0, 2, "X"), (1, 3, "X")], [(2, 3, "X"), (0, 1, "X")], [(3, 5, "X")]]
)
def test_bad_spans(spans: list[tuple[int, int, str]]) -> None:
    with pytest.raises(ValueError, match="from left to right within 4 tokens"):
        write_tags([Span(*span) for span in spans], 4)


def test_bad_scheme() -> None:
    with pytest.raises(ValueError, match=r"a scheme of \['IOB1'.*got 'iob2'"):
        write_tags([], 0, "iob2")


@pytest.mark.parametrize(
    ("scheme", "tags"),
    [
        ("IOB1", "O B-X I-X"),
        ("IOB2", "O B-X I-X"),
        ("IOBES", "O B-X I-X E-X S-X"),
        ("BILOU", "O B-X I-X L-X U-X"),
    ],
)
def test_all_tags_of_a_scheme(scheme: str, tags: str) -> None:
    assert set(scheme_tags(["X"], scheme)) == set(tags.split())
    assert len(scheme_tags(["X"], scheme)) == len(tags.split())
    assert scheme_tags(["X"], scheme)[0] == "O"
