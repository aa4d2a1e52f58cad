import pytest

from mtgnn.data import Vocabulary


def test_order_is_by_frequency_then_by_name() -> None:
    vocabulary = Vocabulary.build(["b a c c", "d a", "c"])
    assert vocabulary.tokens == ["<pad>", "<unk>", "<empty>", "c", "a", "b", "d"]
    assert len(vocabulary) == 7


def test_min_count_and_max_size() -> None:
    texts = ["b a c c", "d a", "c"]
    assert Vocabulary.build(texts, min_count=2).tokens[3:] == ["c", "a"]
    assert Vocabulary.build(texts, max_size=4).tokens[3:] == ["c"]
    assert Vocabulary.build(texts, max_size=3).tokens[3:] == []


def test_encode_splits_on_white_space_and_changes_nothing_else() -> None:
    vocabulary = Vocabulary(["i", "!", "I"])
    assert vocabulary.encode("  i\tI ! \n i! ") == [3, 5, 4, 1]
    assert vocabulary.encode("") == vocabulary.encode(" \t") == [2]


def test_special_tokens_in_a_text_are_the_special_tokens() -> None:
    vocabulary = Vocabulary.build(["a <unk> <unk> <pad>"])
    assert vocabulary.tokens[3:] == ["a"]
    assert vocabulary.encode("a <unk>") == [3, 1]


def test_tokens_round_trip() -> None:
    vocabulary = Vocabulary.build(["x y z", "x"])
    again = Vocabulary(vocabulary.tokens)
    assert again == vocabulary
    assert again.encode("z x nothing") == vocabulary.encode("z x nothing")
    assert Vocabulary(vocabulary.tokens[3:]) == vocabulary
    assert Vocabulary(["x"]) != vocabulary
    assert "x" in vocabulary and "nothing" not in vocabulary
    assert repr(vocabulary) == "Vocabulary(6 tokens)"


def test_tokens_is_a_copy() -> None:
    vocabulary = Vocabulary(["x"])
    vocabulary.tokens.append("y")
    assert len(vocabulary) == 4


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (["a", "a"], "unique"),
        (["a", "<unk>"], "unique"),
        ([""], "white space"),
        (["a b"], "white space"),
        ([1], "white space"),
        ("abc", "sequence of strings"),
    ],
)
def test_bad_tokens(tokens: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Vocabulary(tokens)


def test_bad_limits() -> None:
    with pytest.raises(ValueError, match="min_count"):
        Vocabulary.build(["a"], min_count=0)
    with pytest.raises(ValueError, match="max_size"):
        Vocabulary.build(["a"], max_size=2)
    with pytest.raises(ValueError, match="several strings"):
        Vocabulary.build("a text")
    with pytest.raises(ValueError, match=r"texts as strings, got \['a', 'text'\]"):
        Vocabulary.build([["a", "text"]])
