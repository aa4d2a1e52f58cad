"""Raw text becomes what tokenised reviews look like."""

import pytest

from mtgnn.data import tokenize

# By hand, in the manner of the Penn Treebank.
PAIRS = [
    ("It's great!", "it 's great !"),
    ("I can't, won't and DIDN'T", "i ca n't , wo n't and did n't"),
    ("we\u2019ve; they'd, I'll, you're I'm", "we 've ; they 'd , i 'll , you 're i 'm"),
    ('He said "so-so" ("bad")', "he said `` so-so '' ( `` bad '' )"),
    ("\u201cgood\u201d", "`` good ''"),
    ("wait... what -- no?!", "wait ... what -- no ? !"),
    ("$1,000.50 at 16:9, 5-10 and 3.", "$ 1,000.50 at 16:9 , 5-10 and 3 ."),
    ("Mr. Smith of the U.S. and/or amazon.com.", "mr. smith of the u.s. and/or amazon.com ."),
    ("end.Then c'mon rock'n'roll's", "end . then c'mon rock'n'roll 's"),
    ("3d 2nd r2d2 caf\u00e9 na\u00efve", "3d 2nd r2d2 caf\u00e9 na\u00efve"),
    ("1/2 *** 100%", "1/2 * * * 100 %"),
    ("i.e. e.g, I cannot", "i.e. e.g , i can not"),
    ("gonna gotta wanna see.... so---so", "gon na got ta wan na see ... so -- so"),
    ("A 5-star, 20-year-old 2.4GHz 18-55mm", "a 5-star , 20-year-old 2.4ghz 18-55mm"),
    (
        "1-800-flowers.com, 4chan.org at 7o'clock; 'A' '10' 5's",
        "1-800-flowers.com , 4chan.org at 7o'clock ; ' a ' ' 10 ' 5 's",
    ),
    ("1/2-inch '70s, '98 and 'so'.", "1/2-inch '70s , '98 and ' so ' ."),
    ("", ""),
    (" \t\n", ""),
]


@pytest.mark.parametrize(("text", "expected"), PAIRS)
def test_by_hand(text: str, expected: str) -> None:
    assert tokenize(text) == expected.split()


@pytest.mark.parametrize("text", [expected for _, expected in PAIRS])
def test_tokenised_text_passes_unchanged(text: str) -> None:
    assert tokenize(text) == text.split()


def test_nothing_but_space_is_lost() -> None:
    text = "a\u0301 x_y <br/> \u20ac5 \U0001f600 'quoted' it''s 5'10 O'Neil's -x- a..b \x85z"
    kept = "".join(tokenize(text))
    assert kept == "".join(text.lower().split())


@pytest.mark.parametrize("text", [text for text, _ in PAIRS] + ["CANNOT Gonna I'LL DON'T MR. X"])
def test_casing_can_be_kept(text: str) -> None:
    kept = tokenize(text, lower=False)
    assert [token.lower() for token in kept] == tokenize(text)
    assert "".join(kept).count("I") == text.count("I")
