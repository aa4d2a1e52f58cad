import pytest

from mtgnn.datasets.columns import Sentence, in_scheme, read_blocks, read_columns

COLUMNS = {"pos": 1, "ner": 2}


def read(content: bytes, **options: object) -> list[Sentence]:
    return list(read_columns(content, "file", COLUMNS, **options))  # type: ignore[arg-type]


def test_sentences() -> None:
    assert read(b"A DT O\ndog NN B-X\n\nHi UH O\n") == [
        Sentence(["A", "dog"], {"pos": ["DT", "NN"], "ner": ["O", "B-X"]}, 1),
        Sentence(["Hi"], {"pos": ["UH"], "ner": ["O"]}, 4),
    ]


@pytest.mark.parametrize(
    "blank", [b"\n", b"\t\n", b" \t \n", b"\n\n\t\n", b"\xc2\xa0\n", b"-DOCSTART- -X- O\n\n\n\n"]
)
@pytest.mark.parametrize("end", [b"", b"\n", b"\n\n", b"\n\t", b"\n-DOCSTART- -X- O"])
def test_white_space_lines_and_documents_are_breaks(blank: bytes, end: bytes) -> None:
    if blank.startswith(b"-"):
        blank = b"\n" + blank
    if end.endswith(b"O"):
        end = b"\n" + end
    sentences = read(blank + b"A DT O\n" + blank + b"B DT O" + end)
    assert [sentence.words for sentence in sentences] == [["A"], ["B"]]


@pytest.mark.parametrize("mark", [b"-DOCSTART-", b"-DOCSTART- O", b"-DOCSTART- -X- -X- O"])
def test_documents_end_sentences_whatever_stands_beside_the_mark(mark: bytes) -> None:
    sentences = read(mark + b"\nA DT O\n" + mark + b"\nB DT O\nC DT O\n\n" + mark)
    assert [sentence.words for sentence in sentences] == [["A"], ["B", "C"]]


def test_a_document_is_marked_by_a_word() -> None:
    marked = b"N dog\n-X- -DOCSTART-\nN cat\n-DOCSTART-\nN emu\n"
    found = read_columns(marked, "file", {"p": 0}, word=1)
    assert [(s.words, s.tags["p"]) for s in found] == [
        (["dog"], ["N"]),
        (["cat"], ["N"]),
        (["emu"], ["N"]),
    ]
    [sentence] = read_columns(b"-DOCSTART- is\tN\n", "file", {"p": 1}, separator="\t")
    assert sentence.words == ["-DOCSTART- is"]


def test_only_a_line_feed_ends_a_line() -> None:
    content = "\ufeffa\x85b\tNN\tO\r\nc\u2028\tNN\tO\r\n\r\nd e\tNN\tO".encode()
    assert [sentence.words for sentence in read(content, separator="\t")] == [
        ["a\x85b", "c\u2028"],
        ["d e"],
    ]


def test_separators() -> None:
    assert read(b"a \t NN  O\n")[0].words == ["a"]
    assert read(b" a \t NN  O \t\n")[0].tags == {"pos": ["NN"], "ner": ["O"]}
    assert read("New\xa0York NN O\xa0\n".encode())[0] == (
        ["New\xa0York"],
        {"pos": ["NN"], "ner": ["O"]},
        1,
    )
    assert read(b"a NN O\r\r\n")[0].tags["ner"] == ["O"]
    assert read(b"a b\tNN\tO\n", separator="\t")[0].words == ["a b"]
    with pytest.raises(ValueError, match="line 1: expected 3 columns, got 1: 'a NN O'"):
        read(b"a NN O\n", separator="\t")


def test_comments_stand_before_a_sentence_alone() -> None:
    content = b"# one\n# two\na NN O\n# NN O\n\n#\n\n# three\nb NN O\n"
    assert [s.words for s in read(content, comment="#")] == [["a", "#"], ["b"]]
    assert [s.words for s in read(b"#tag NN O\n")] == [["#tag"]]
    assert [s.words for s in read(b"#tag NN O\n", comment="# ")] == [["#tag"]]


def test_missing_labels() -> None:
    content = b"a _ O\nb NN _\n"
    assert read(content, missing="_")[0].tags == {"pos": [None, "NN"], "ner": ["O", None]}
    assert read(content)[0].tags["pos"] == ["_", "NN"]


def test_the_word_may_stand_anywhere_and_other_columns_are_ignored() -> None:
    read = read_columns(b"1 x A DT\n2 x dog NN\n", "file", {"pos": 3}, word=2)
    assert list(read) == [Sentence(["A", "dog"], {"pos": ["DT", "NN"]}, 1)]


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        (b"a NN O\nb NN\n", {}, "file, line 2: expected 3 columns, got 2: 'b NN'"),
        (b"a NN O\n\nb NN O x\n", {}, "file, line 3: expected 3 columns, got 4"),
        (b"a NN\n", {}, "file, line 1: expected 3 columns, got 2"),
        (b"a\tNN\tO\n\tNN\tO\n", {"separator": "\t"}, "file, line 2: expected a word, got ''"),
        (b"a\tNN\tO\na\t \tO\n", {"separator": "\t"}, "file, line 2: expected a pos, got ' '"),
        (b"a NN O\n\xff NN O\n", {}, "file, line 2: not UTF-8"),
    ],
)
def test_bad_files(content: bytes, options: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read(content, **options)


def test_blocks_have_line_numbers() -> None:
    assert list(read_blocks(b"\na\nb\n\n\nc", "file")) == [[(2, "a"), (3, "b")], [(6, "c")]]
    assert list(read_blocks(b"", "file")) == list(read_blocks(b"#x\n", "file", "#")) == []


def sentence(tags: str) -> Sentence:
    labels = [None if tag == "?" else tag for tag in tags.split()]
    return Sentence(["w"] * len(labels), {"ner": labels, "pos": ["NN"] * len(labels)}, 7)


@pytest.mark.parametrize(
    ("source", "target", "before", "after"),
    [
        ("IOB1", "IOB2", "I-X I-X B-X O", "B-X I-X B-X O"),
        ("IOB2", "IOBES", "B-X I-X ? B-Y O", "B-X E-X ? S-Y O"),
        ("BILOU", "IOB2", "U-X B-X L-X", "B-X B-X I-X"),
    ],
)
def test_in_scheme(source: str, target: str, before: str, after: str) -> None:
    changed = in_scheme(sentence(before), {"ner": source}, target, False, "file")
    assert changed == sentence(after)


def test_ill_formed_tags_are_an_error_or_repaired() -> None:
    message = "file, sentence in line 7, task 'ner': token 1: 'I-X' after 'O' is no IOB2"
    with pytest.raises(ValueError, match=message):
        in_scheme(sentence("O I-X"), {"ner": "IOB2"}, "IOB2", False, "file")
    assert in_scheme(sentence("O I-X"), {"ner": "IOB2"}, "IOB2", True, "file") == sentence("O B-X")
    for repair in (False, True):
        with pytest.raises(ValueError, match="task 'pos': .* got 'NN'"):
            in_scheme(sentence("O"), {"pos": "IOB2"}, "IOB2", repair, "file")
