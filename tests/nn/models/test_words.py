"""Vectors of words against plain loops over single words."""

import pytest
import torch
from torch import Tensor, nn

from mtgnn.nn import CharacterCNN, CharacterLSTM, WordEmbedding
from mtgnn.nn.models.words import build_characters, distinct

WORDS = [[3, 4, 5, 6], [7], [4, 4], [3, 4, 5], [5, 6, 7, 8], [3, 4, 5]]
TOKENS = torch.tensor([[5, 6, 7, 8], [9, 6, 0, 0]])
SPELLING = [[0, 1, 2, 3], [4, 1, None, None]]  # of WORDS


def characters(width: int = 4) -> Tensor:
    """``[2, 4, width]``; padding for words that are none."""
    out = torch.zeros(2, 4, width, dtype=torch.long)
    for b, row in enumerate(SPELLING):
        for t, word in enumerate(row):
            if word is not None:
                out[b, t, : len(WORDS[word])] = torch.tensor(WORDS[word])
    return out


def reader(kind: str, dropout: float = 0.0) -> CharacterCNN | CharacterLSTM:
    torch.manual_seed(0)
    kinds = {
        "cnn": lambda: CharacterCNN(9, 4, 6, dropout=dropout),
        "wide": lambda: CharacterCNN(9, 4, 6, kernel_size=5, dropout=dropout),
        "lstm": lambda: CharacterLSTM(9, 4, 3, dropout=dropout),
    }
    layer = kinds[kind]().double()
    for name, parameter in layer.named_parameters():
        if "embedding" not in name:
            parameter.data.normal_()
    return layer


KINDS = ["cnn", "wide", "lstm"]


def alone(layer: CharacterCNN | CharacterLSTM, word: list[int]) -> Tensor:
    """One word, character by character."""
    vectors = layer.embedding.weight[torch.tensor(word)]
    if isinstance(layer, CharacterLSTM):
        lstm = nn.LSTM(4, 3, bidirectional=True).double()
        lstm.load_state_dict(layer.lstm.lstm.state_dict())
        out, _ = lstm(vectors)
        return torch.cat([out[-1, :3], out[0, 3:]])
    weight, bias = layer.conv.weight, layer.conv.bias
    half = weight.size(2) // 2
    found = []
    for t in range(len(word)):
        value = bias
        for j in range(weight.size(2)):
            if 0 <= t + j - half < len(word):
                value = value + weight[:, :, j] @ vectors[t + j - half]
        found.append(value)
    return torch.stack(found).amax(0)


@pytest.mark.parametrize("kind", KINDS)
def test_reads_each_word_as_if_alone(kind: str) -> None:
    layer = reader(kind)
    rows = torch.zeros(len(WORDS) + 1, 6, dtype=torch.long)
    for row, word in zip(rows, WORDS, strict=False):
        row[: len(word)] = torch.tensor(word)
    got = layer(rows)
    assert got.shape == (len(WORDS) + 1, layer.output_size) and layer.output_size == 6
    for vector, word in zip(got, WORDS, strict=False):
        torch.testing.assert_close(vector, alone(layer, word))
    assert not got[-1].any()


@pytest.mark.parametrize("kind", KINDS)
def test_words_beside_their_characters(kind: str) -> None:
    net = WordEmbedding(10, 5, reader(kind)).double()
    got = net(TOKENS, characters())
    assert got.shape == (2, 4, net.output_size) and net.output_size == 11
    expected = torch.zeros_like(got)
    for b, row in enumerate(SPELLING):
        for t, word in enumerate(row):
            if word is not None:
                spelt = alone(net.characters, WORDS[word])
                expected[b, t] = torch.cat([net.embedding.weight[TOKENS[b, t]], spelt])
    torch.testing.assert_close(got, expected)
    leaves = [net.embedding.weight, net.characters.embedding.weight]
    if kind != "lstm":  # the reference has LSTM weights of its own
        leaves += net.characters.conv.parameters()
    weight = torch.randn_like(got)
    ours, theirs = (torch.autograd.grad((v * weight).sum(), leaves) for v in (got, expected))
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other)
        assert one.any()


@pytest.mark.parametrize("kind", KINDS)
def test_characters_are_read_once_for_each_distinct_word(kind: str) -> None:
    net = WordEmbedding(10, 5, reader(kind, dropout=0.5)).double()
    read: list[Tensor] = []
    net.characters.register_forward_hook(lambda part, given, out: read.append(given[0]))
    got = net(TOKENS, characters(9))
    [rows] = read
    spelt = {tuple(int(letter) for letter in row if letter) for row in rows}
    wanted = {tuple(WORDS[word]) for row in SPELLING for word in row if word is not None}
    assert spelt == wanted | {()} and len(rows) == 6  # five words, one of them twice, and padding
    assert torch.equal(got[0, 1], got[1, 1]) and got[0, 1].any()  # which share their dropout


@pytest.mark.parametrize("kind", KINDS)
def test_padding_counts_for_nothing(kind: str) -> None:
    net = WordEmbedding(10, 5, reader(kind)).double()
    whole = net(TOKENS, characters())
    torch.testing.assert_close(net(TOKENS, characters(9)), whole)
    torch.testing.assert_close(net(TOKENS[:1], characters()[:1]), whole[:1])
    shorter = net(TOKENS[1:, :2], characters()[1:, :2])
    torch.testing.assert_close(shorter, whole[1:, :2])
    longer = torch.zeros(2, 7, 4, dtype=torch.long)
    longer[:, :4] = characters()
    got = net(nn.functional.pad(TOKENS, (0, 3)), longer)
    torch.testing.assert_close(got[:, :4], whole)
    assert not got[:, 4:].any() and not whole[1, 2:].any()


def test_words_alone() -> None:
    net = WordEmbedding(10, 5)
    assert net.output_size == 5
    assert torch.equal(net(TOKENS), net.embedding.weight[TOKENS])
    assert not net.embedding.weight[0].any() and net.embedding.weight[1:].abs().max() < 0.78


def test_starts_from_vectors() -> None:
    vectors = torch.randn(10, 5)
    net = WordEmbedding(10, 5, vectors=vectors)
    assert torch.equal(net.embedding.weight[1:], vectors[1:]) and not net.embedding.weight[0].any()


@pytest.mark.parametrize("kind", KINDS)
def test_dropout_in_training_alone(kind: str) -> None:
    for net in (
        WordEmbedding(10, 5, reader(kind, dropout=0.5)),
        WordEmbedding(10, 5, reader(kind), dropout=0.5),
    ):
        net = net.double()
        assert not torch.equal(net(TOKENS, characters()), net(TOKENS, characters()))
        net.eval()
        assert torch.equal(net(TOKENS, characters()), net(TOKENS, characters()))


@pytest.mark.parametrize("kind", KINDS)
def test_reset_draws_anew(kind: str) -> None:
    net = WordEmbedding(10, 5, reader(kind))
    before = [p.clone() for p in net.parameters()]
    net.reset_parameters()
    assert all(not torch.equal(p, q) for p, q in zip(net.parameters(), before, strict=True))
    assert not net.embedding.weight[0].any() and not net.characters.embedding.weight[0].any()


@pytest.mark.parametrize("width", [1, 3, 8])
def test_distinct_rows(width: int) -> None:
    torch.manual_seed(0)
    rows = torch.randint(0, 3, (200, width))
    found, place = distinct(torch.nn.functional.pad(rows, (0, 2)))
    assert found.size(1) == width
    assert torch.equal(found[place], rows)
    assert len(found) == len({tuple(row) for row in rows.tolist()})


def test_distinct_rows_of_zeros_and_of_equal_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    found, place = distinct(torch.zeros(3, 4, dtype=torch.long))
    assert found.tolist() == [[0]] and place.tolist() == [0, 0, 0]
    rows = torch.tensor([[1, 2], [2, 1], [1, 2]])
    with monkeypatch.context() as patch:  # every row has the same hash
        patch.setattr(Tensor, "sum", lambda self, *_: torch.zeros(len(self), dtype=torch.long))
        found, place = distinct(rows)
    assert torch.equal(found[place], rows) and len(found) == 2


def test_readers_by_name() -> None:
    assert build_characters("none", 9, 6) is None
    for name, kind in (("cnn", CharacterCNN), ("lstm", CharacterLSTM)):
        layer = build_characters(name, 9, 6)
        assert isinstance(layer, kind) and layer.output_size == 6


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: CharacterCNN(9, 0), "at least 1"),
        (lambda: CharacterCNN(9, kernel_size=4), "odd"),
        (lambda: CharacterLSTM(9, dropout=1.0), "dropout"),
        (lambda: WordEmbedding(0), "at least 1"),
        (lambda: WordEmbedding(10, 5, vectors=torch.ones(9, 5)), r"shape \[10, 5\]"),
        (lambda: WordEmbedding(10, 5, reader("cnn"))(TOKENS), "got None"),
        (lambda: WordEmbedding(10, 5, reader("cnn"))(TOKENS, characters()[0]), r"\[2, 4, 'C'\]"),
        (lambda: build_characters("rnn", 9, 6), "'cnn'"),
        (lambda: build_characters("lstm", 9, 5), "even"),
    ],
)
def test_errors(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
