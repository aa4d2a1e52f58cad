import json
import random

import pytest
import torch

from mtgnn.data import SentenceEncoder, Vocabulary, WordForm

CLASSES = {"pos": ["DT", "NN"], "ner": ["O", "B-PER", "I-PER"]}
SENTENCES = [["The", "dog"], ["the", "20\u00a0000", "dogs"]]


@pytest.fixture
def encoder() -> SentenceEncoder:
    return SentenceEncoder.build(SENTENCES, CLASSES)


def spelling(encoder: SentenceEncoder, words: list[str]) -> list[str]:
    """The characters that the numbers stand for, word by word."""
    encoded, names = encoder.encode(words), encoder.characters.tokens
    spelt = encoded.characters.split(encoded.sizes.tolist())
    return ["".join(names[number] for number in own.tolist()) for own in spelt]


def test_words_keep_their_casing(encoder: SentenceEncoder) -> None:
    tokens = encoder.encode(["The", "the", "THE"]).tokens.tolist()
    assert tokens[0] != tokens[1] and 1 not in tokens[:2] and tokens[2] == 1


@pytest.mark.parametrize(
    ("form", "word", "same"),
    [
        (WordForm(lower=True), "THE", "the"),
        (WordForm(digits=True), "95\u00a0123", "20\u00a0000"),
        (WordForm(), "20 000", "20\u00a0000"),
    ],
)
def test_forms(form: WordForm, word: str, same: str) -> None:
    encoder = SentenceEncoder.build(SENTENCES, CLASSES, form)
    one, other = encoder.encode([word, same]).tokens.tolist()
    assert one == other > 2


def test_characters_are_those_of_the_word_not_of_its_form() -> None:
    encoder = SentenceEncoder.build(SENTENCES, CLASSES, WordForm(lower=True, digits=True))
    words = ["The", "20\u00a0000", "\u00a0", "o"]
    assert spelling(encoder, words) == ["The", "20\u2423000", "\u2423", "o"]
    assert spelling(encoder, ["THE"]) == ["T<unk><unk>"]


def test_one_number_a_word_whatever_it_holds(encoder: SentenceEncoder) -> None:
    draw = random.Random(0)
    for _ in range(100):
        words = [
            "".join(draw.choice("aT \u00a0\x85\u2028\t\u200b") for _ in range(draw.randint(1, 6)))
            for _ in range(draw.randint(1, 5))
        ]
        encoded = encoder.encode(words)
        assert len(encoded.tokens) == len(words)
        assert encoded.sizes.tolist() == [len(word) for word in words]


@pytest.mark.parametrize(
    ("limit", "kept"), [(1, "d"), (2, "dg"), (3, "dog"), (4, "dotg"), (6, "dohhtg"), (7, "dohhhtg")]
)
def test_long_words_keep_both_ends(limit: int, kept: str) -> None:
    encoder = SentenceEncoder.build(SENTENCES, CLASSES, max_characters=limit)
    assert spelling(encoder, ["dohhhtg", "o"]) == [kept, "o"]


def test_min_count_and_size() -> None:
    sentences = [["a", "a", "b"], ["a", "b", "c"]]
    assert SentenceEncoder.build(sentences, CLASSES, min_count=2).words.tokens[3:] == ["a", "b"]
    assert SentenceEncoder.build(sentences, CLASSES, max_size=4).words.tokens[3:] == ["a"]


def test_tags_there_and_back(encoder: SentenceEncoder) -> None:
    numbers = encoder.encode_tags(["B-PER", None, "O"], "ner")
    assert numbers.tolist() == [1, -100, 0]
    assert encoder.decode_tags(numbers[[0, 2]], "ner") == ["B-PER", "O"]
    assert encoder.tasks == ["pos", "ner"]


def test_state_is_plain_and_restores(encoder: SentenceEncoder) -> None:
    for one in (
        encoder,
        SentenceEncoder.build(SENTENCES, CLASSES, WordForm(True, True), max_characters=3),
    ):
        other = SentenceEncoder.restore(json.loads(json.dumps(one.state())))
        assert other.state() == one.state()
        words = ["The", "dogs", "20", "new"]
        for a, b in zip(one.encode(words), other.encode(words), strict=True):
            assert a.tolist() == b.tolist()
        assert other.tasks == one.tasks and repr(other) == repr(one)


def test_repr(encoder: SentenceEncoder) -> None:
    assert repr(encoder) == "SentenceEncoder(8 words, 14 characters, tags {pos: 2, ner: 3})"


@pytest.mark.parametrize("words", [[], "the dog", ["the", ""], ["the", 3], [None]])
def test_bad_words(encoder: SentenceEncoder, words: list[str]) -> None:
    with pytest.raises(ValueError, match="expected (a sentence as its words|words as strings)"):
        encoder.encode(words)


def test_bad_tags(encoder: SentenceEncoder) -> None:
    with pytest.raises(ValueError, match="tag 'VB' is not .* 2 tags of task 'pos': 'DT', 'NN'$"):
        encoder.encode_tags(["DT", "VB"], "pos")
    with pytest.raises(ValueError, match=r"a task of \['pos', 'ner'\], got 'chunk'"):
        encoder.encode_tags(["DT"], "chunk")
    with pytest.raises(ValueError, match="got 'chunk'"):
        encoder.decode_tags([0], "chunk")
    for numbers in ([0, -100, 2], torch.tensor([0, -100, 2])):
        with pytest.raises(ValueError, match=r"numbers of tags in 0…1, got \[-100, 2\]"):
            encoder.decode_tags(numbers, "pos")


def test_bad_options() -> None:
    none = Vocabulary()
    with pytest.raises(ValueError, match="max_characters must be at least 1, got 0"):
        SentenceEncoder(none, none, CLASSES, max_characters=0)
    with pytest.raises(ValueError, match="at least one task"):
        SentenceEncoder(none, none, {})
    for tags in ([], ["A", "A"], "NN"):
        with pytest.raises(ValueError, match="different tags for task 'pos'"):
            SentenceEncoder(none, none, {"pos": tags})


def test_one_task_more(encoder: SentenceEncoder) -> None:
    more = encoder.with_task("chunk", ["O", "B-NP"])
    assert more.tasks == ["pos", "ner", "chunk"] and encoder.tasks == ["pos", "ner"]
    assert more.encode_tags(["B-NP"], "chunk").tolist() == [1]
    own = more.state()
    assert own.pop("classes") == {**encoder.classes, "chunk": ["O", "B-NP"]}
    assert own == {key: value for key, value in encoder.state().items() if key != "classes"}
    with pytest.raises(ValueError, match=r"expected a new task, got 'ner' of \['pos', 'ner'\]"):
        encoder.with_task("ner", ["O"])


def test_a_string_is_no_sentence() -> None:
    with pytest.raises(ValueError, match="sentences as lists of words, got 'A dog barks'"):
        SentenceEncoder.build(["A dog barks"], CLASSES)


def test_equal_is_what_gives_equal_numbers(encoder: SentenceEncoder) -> None:
    assert encoder == SentenceEncoder.restore(json.loads(json.dumps(encoder.state())))
    assert encoder != SentenceEncoder.build(SENTENCES, dict(reversed(CLASSES.items())))
    assert encoder != SentenceEncoder.build(SENTENCES[:1], CLASSES)
    assert encoder != SentenceEncoder.build(SENTENCES, CLASSES, WordForm(lower=True))
