"""One sentence against the attention that the model hands out for it."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from mtgnn.data import SentenceEncoder, Vocabulary
from mtgnn.explain import read_sentence
from mtgnn.nn import MultiTaskModel, TaggingModel
from mtgnn.testing import randomise

CLASSES = {name: ["bad", "good"] for name in ("a", "b", "c", "d")}
VOCABULARY = Vocabulary(["i", "like", "it"])


def model(encoder: str, **options: Any) -> MultiTaskModel:
    made = MultiTaskModel(
        VOCABULARY, CLASSES, encoder, embedding_size=4, hidden_size=3, encoder_options=options
    )
    return randomise(made)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_weights_are_means_over_heads_and_directions(bidirectional: bool) -> None:
    net = model("complete", heads=2, bidirectional=bidirectional)
    read = read_sentence(net, "i like films", "b")
    assert (read.task, read.words, read.senders) == ("b", ["i", "like", "films"], ["a", "c", "d"])
    tokens = torch.tensor([VOCABULARY.encode("i like films")])
    rest = torch.tensor([3]), torch.tensor([1])
    _, attention = net.eval()(tokens, *rest, return_attention_weights=True)
    weights = torch.stack([alpha[0].mean(-1) for _, alpha in attention]).mean(0)  # [T, num_edges]
    into = [edge for edge, _ in net.graph.incoming(1)]
    torch.testing.assert_close(read.weights.double(), weights[:, into].t())
    for t, (sender, weight) in enumerate(read.strongest()):
        assert weight == pytest.approx(float(read.weights[:, t].max()))
        assert sender == read.senders[int(read.weights[:, t].argmax())]


def test_of_a_mailbox_the_senders_are_words() -> None:
    read = read_sentence(model("star"), "i like  films", "c")
    assert read.senders == read.words == ["i", "like", "films"]
    torch.testing.assert_close(read.weights.sum(0), torch.ones(3).double())
    assert {word for word, _ in read.strongest()} <= set(read.words)


def tagger() -> TaggingModel:
    tags = {"pos": ["DT", "NN"], "chunk": ["B", "I"], "ner": ["O", "B"]}
    sentences = SentenceEncoder.build([["a", "dog"]], tags)
    return randomise(TaggingModel(sentences, "complete", embedding_size=4, hidden_size=3))


def test_of_a_model_that_tags() -> None:
    read = read_sentence(tagger(), ["A", "Zebra"], "chunk")
    assert read.words == ["A", "Zebra"] and read.senders == ["pos", "ner"]
    torch.testing.assert_close(read.weights.sum(0), torch.ones(2).double())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: read_sentence(model("complete"), "i", "x"), "a task among"),
        (lambda: read_sentence(model("complete"), "", "a"), "at least one word"),
        (lambda: read_sentence(model("complete"), ["New York"], "a"), "classifies reads a text"),
        (lambda: read_sentence(tagger(), "a dog", "pos"), "tags reads a list of words"),
        (lambda: read_sentence(model("shared"), "i", "a"), "expected a GraphLSTM"),
        (lambda: read_sentence(model("single"), "i", "a"), "no edges"),
    ],
)
def test_errors(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
