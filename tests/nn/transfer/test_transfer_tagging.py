"""One task more in a model that tags: the others notice nothing, the new one learns alone."""

from __future__ import annotations

import io
from typing import Any

import pytest
import torch
from torch_geometric.data import Data

from mtgnn import TaskGraph
from mtgnn.data import EncodedSentences, SentenceEncoder
from mtgnn.nn import (
    GraphLSTM,
    MultiTaskModel,
    TaggingModel,
    add_task,
    allowed_transitions,
    freeze_except_task,
)
from mtgnn.testing import randomise

CLASSES = {"pos": ["DT", "NN", "VB"], "chunk": ["O", "B-NP", "I-NP"]}
NAMES = ["O", "B-PER", "I-PER", "B-LOC"]
SENTENCES = [["a", "dog", "barks"], ["Rex", "barks"], ["a", "cat", "saw", "Rex"]]
TEXTS = [*SENTENCES, ["who", "saw", "a", "bird", "there"]]
LABELS = [["O", "O", "O"], ["B-PER", "O"], ["O", "O", "O", "B-PER"]]
ENCODERS: dict[str, dict[str, Any]] = {
    "single": {},
    "shared": {},
    "complete": {"encoder_options": {"common": True, "concat_messages": True}},
    "star": {"encoder_options": {"score": "dot"}},
    "shared_private": {},
    "adversarial": {},
    "mixture": {"encoder_options": {"num_experts": 2}},
}


def model(encoder: Any = "complete", crf: bool = True, **options: Any) -> TaggingModel:
    sentences = SentenceEncoder.build(SENTENCES, CLASSES)
    sizes = {"embedding_size": 5, "character_size": 4, "hidden_size": 3, **options}
    schemes = {"chunk": "IOB2"} if crf else None
    net = TaggingModel(sentences, encoder, crf=crf, schemes=schemes, **sizes)
    return randomise(net.double()).eval()


def batch(net: TaggingModel) -> Any:
    items = [
        Data(words=words, tags={"ner": tags}) for words, tags in zip(SENTENCES, LABELS, strict=True)
    ]
    data = EncodedSentences(items, net.sentences)
    return data.collate([data[n] for n in range(len(items))])


@pytest.mark.parametrize("crf", [True, False])
@pytest.mark.parametrize("encoder", ENCODERS)
def test_tags_the_same(encoder: str, crf: bool) -> None:
    old = model(encoder, crf, **ENCODERS[encoder])
    new = add_task(old, "ner", NAMES, scheme="IOB2" if crf else None)
    assert new.tasks == new.graph.tasks == ("pos", "chunk", "ner")
    assert old.tasks == tuple(old.sentences.classes) == ("pos", "chunk")
    assert type(new.encoder) is type(old.encoder) or encoder == "complete"
    for task in CLASSES:
        assert new.predict(TEXTS, task) == old.predict(TEXTS, task)
    every = new.predict(TEXTS)
    assert [{task: tagged[task] for task in CLASSES} for tagged in every] == old.predict(TEXTS)
    assert [{"ner": tagged["ner"]} for tagged in every] == new.predict(TEXTS, "ner")
    assert not new.training and new.words.embedding.weight.dtype == torch.double


def test_logits_of_the_others_are_the_same_bit_for_bit() -> None:
    old = model()
    new = add_task(old, "ner", NAMES, ["pos"])
    assert new.graph.edges[-1] == ("pos", "ner") and new.graph.num_edges == 3
    encoded = [old.sentences.encode(words) for words in SENTENCES[:1]]
    tokens, letters = encoded[0].tokens.unsqueeze(0), encoded[0].spelling.unsqueeze(0)
    lengths, task = torch.tensor([3]), torch.tensor([1])
    before, after = (net(tokens, letters, lengths, task) for net in (old, new))
    assert torch.equal(after[..., :3], before) and (after[..., 3:] == -torch.inf).all()


@pytest.mark.parametrize("encoder", ENCODERS)
def test_is_saved(encoder: str) -> None:
    new = add_task(model(encoder, **ENCODERS[encoder]), "ner", NAMES, scheme="IOB2")
    file = io.BytesIO()
    new.save(file)
    file.seek(0)
    loaded = TaggingModel.load(file)
    assert loaded.sentences.state() == new.sentences.state()
    assert loaded.predict(TEXTS) == new.predict(TEXTS)


def test_the_new_chain_has_the_rules_of_its_scheme() -> None:
    rules = allowed_transitions(NAMES, "IOB2")
    for scheme, constrained in (("IOB2", True), (None, False)):
        own = add_task(model(), "ner", NAMES, scheme=scheme).heads.crfs["ner"]
        assert own.constrained is constrained
        if constrained:
            assert torch.equal(~own.forbidden, rules.between)


@pytest.mark.parametrize("encoder", ["single", "complete", "star"])
def test_learns_alone(encoder: str) -> None:
    old = model(encoder, **ENCODERS[encoder])
    new = add_task(old, "ner", NAMES, scheme="IOB2")
    assert freeze_except_task(new, "ner") == ["nodes.ner", "heads.ner"]
    own = batch(new.train())
    optimiser = torch.optim.Adam([p for p in new.parameters() if p.requires_grad], 0.05)
    losses = []
    for _ in range(60):
        samples = new.losses(new.read(own), own)
        loss = samples.value[samples.labelled].mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 5
    assert [tagged["ner"] for tagged in new.predict(SENTENCES)] == LABELS
    for task in CLASSES:
        assert new.predict(TEXTS, task) == old.predict(TEXTS, task)


def test_an_encoder_that_was_given_as_a_module() -> None:
    graph = TaskGraph.from_edges([("pos", "chunk")], list(CLASSES))
    old = model(GraphLSTM(9, 3, graph, "read"))
    new = add_task(old, "ner", NAMES)
    assert new.graph.edges == [("pos", "chunk"), ("pos", "ner"), ("chunk", "ner")]
    assert new.predict(TEXTS, "chunk") == old.predict(TEXTS, "chunk")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: add_task(model(), "ner"), "expected classes"),
        (lambda: add_task(model(), "pos", NAMES), "expected a new task, got 'pos'"),
        (lambda: add_task(model(), "ner", ["O", "O"]), "different tags for task 'ner'"),
        (lambda: add_task(model(), "ner", ["O", "PER"], scheme="IOB2"), "'PER'"),
        (lambda: add_task(model(), "ner", NAMES, scheme="IOB3"), "IOB3"),
        (lambda: add_task(model(crf=False), "ner", ["O", "PER"], scheme="IOB2"), "'PER'"),
        (lambda: add_task(model(), "ner", NAMES, ["dep"]), r"unknown nodes \['dep'\]"),
        (lambda: add_task(model("star"), "ner", NAMES, ["pos"]), r"hears \['shared'\]"),
        (lambda: add_task(model("cross_stitch"), "ner", NAMES), "CrossStitchLSTM cannot be given"),
    ],
)
def test_errors(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_a_scheme_is_for_models_that_tag() -> None:
    texts = MultiTaskModel(
        model().sentences.words, {"a": ["x", "y"]}, "shared", embedding_size=3, hidden_size=2
    )
    for net in (texts, texts.encoder):
        with pytest.raises(ValueError, match="a scheme is for a TaggingModel, got a"):
            add_task(net, "b", ["x", "y"], scheme="IOB2")
