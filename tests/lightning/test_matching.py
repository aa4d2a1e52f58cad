"""Texts and models mean the same by their numbers, or training does not begin."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import CLASSES, VOCABULARY, data, model, texts, train
from torch.utils.data import Subset
from torch_geometric.data import Data

from mtgnn.data import EncodedSentences, EncodedTexts, SentenceEncoder, Vocabulary
from mtgnn.lightning import MultiTaskDataModule, evaluate, load_model
from mtgnn.nn import MultiTaskModel, TaggingModel, freeze


class Named(list[Data]):
    """Texts with names, as datasets have them."""

    tasks: Any = tuple(CLASSES)
    classes: Any = CLASSES


def named(**names: Any) -> MultiTaskDataModule:
    parts = [Named(texts(number, seed)) for number, seed in ((40, 1), (21, 2), (22, 3))]
    for name, value in names.items():
        for part in parts:
            setattr(part, name, value)
    return MultiTaskDataModule(*parts, VOCABULARY, 8)


def test_names_that_are_the_models_make_no_difference(tmp_path: Path) -> None:
    first, second = model(), model()
    train(first, tmp_path / "named", data=named())
    train(second, tmp_path / "not", data=data())
    for own, other in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(own, other)


def test_other_names_are_refused(tmp_path: Path) -> None:
    turned = ("toys", "dvd", "books")
    with pytest.raises(ValueError, match="'train' of the model's tasks .*got tasks .'toys'.*renum"):
        train(model(), tmp_path, data=named(tasks=turned))
    with pytest.raises(ValueError, match="labels of 'toys' .*'bad', 'good'.*'good', 'bad'"):
        train(model(), tmp_path, data=named(classes={**CLASSES, "toys": ["good", "bad"]}))
    other = MultiTaskDataModule(texts(40, 1), texts(21, 2), None, Vocabulary(["good", "bad"]))
    with pytest.raises(ValueError, match="own vocabulary, of 10 tokens, got another one, of 5"):
        train(model(), tmp_path, data=other)
    with pytest.raises(ValueError, match="'test' of the model's tasks"):
        evaluate(model(), named(tasks=turned), accelerator="cpu")


def test_names_of_what_a_subset_is_of_count() -> None:
    items = Named(texts(22, 3))
    items.tasks = ("toys", "dvd", "books")
    part: Any = Subset(Subset(items, range(10)), range(5))
    with pytest.raises(ValueError, match="'test' of the model's tasks .*got tasks .'toys'"):
        evaluate(model(), MultiTaskDataModule(None, None, part, VOCABULARY), accelerator="cpu")


def test_a_loaded_model_is_trained_with_dropout(tmp_path: Path) -> None:
    model("star", dropout=0.5).save(tmp_path / "model.pt")
    net = MultiTaskModel.load(tmp_path / "model.pt")
    assert not net.training
    modes: list[bool] = []
    net.dropout.register_forward_hook(lambda module, given, out: modes.append(module.training))
    train(net, tmp_path, max_epochs=1)
    assert True in modes and False in modes  # in training, and on dev
    net = model("star", dropout=0.5).train()
    net.dropout.eval()  # a part that somebody wants so
    modes.clear()
    net.dropout.register_forward_hook(lambda module, given, out: modes.append(module.training))
    with pytest.warns(UserWarning, match="1 module.s. in eval mode"):
        train(net, tmp_path, max_epochs=1)
    assert set(modes) == {False}


def test_where_nothing_is_to_be_trained(tmp_path: Path) -> None:
    net = model()
    freeze(net)
    with pytest.raises(ValueError, match="all are frozen"):
        train(net, tmp_path)


@pytest.mark.filterwarnings("ignore:The .grad attribute")  # Dynamo itself looks at it
def test_a_wrapped_model_is_refused_and_one_compiled_in_place_trains(tmp_path: Path) -> None:
    net = model()
    with pytest.raises(ValueError, match="of which torch.compile wraps no part"):
        train(torch.compile(net, backend="eager"), tmp_path)
    part = model()
    part.encoder = torch.compile(part.encoder, backend="eager")
    with pytest.raises(ValueError, match="of which torch.compile wraps no part"):
        train(part, tmp_path)
    net.compile(backend="eager")
    result = train(net, tmp_path, max_epochs=1)
    assert load_model(result.checkpoint).state_dict().keys() == net.state_dict().keys()


def test_what_is_encoded_already_is_checked_too(tmp_path: Path) -> None:
    other = Vocabulary(["good", "bad"])
    loader = MultiTaskDataModule(
        EncodedTexts(texts(40, 1), VOCABULARY), EncodedTexts(texts(21, 2), other)
    )
    with pytest.raises(ValueError, match="got another one, of 5, for 'dev'"):
        train(model(), tmp_path, data=loader)
    turned = Named(texts(40, 1))
    turned.tasks = ("toys", "dvd", "books")
    loader = MultiTaskDataModule(EncodedTexts(turned, VOCABULARY), texts(21, 2))
    with pytest.raises(ValueError, match="'train' of the model's tasks"):
        train(model(), tmp_path, data=loader)


def test_sentences_of_another_encoder_are_refused(tmp_path: Path) -> None:
    items = [Data(words=["a"], tags={"pos": ["X"], "ner": ["O"]})]
    tags = {"pos": ["X", "Y"], "ner": ["O", "B-PER"]}
    own = SentenceEncoder.build([["a"]], tags)
    net = TaggingModel(own, "shared", hidden_size=2, embedding_size=2)
    for classes in (dict(reversed(tags.items())), {**tags, "pos": ["Y", "X"]}):
        other = EncodedSentences(items, SentenceEncoder.build([["a"]], classes))
        loader = MultiTaskDataModule(EncodedSentences(items, own), other, other)
        with pytest.raises(ValueError, match="for 'dev' that the model's own encoder"):
            train(net, tmp_path, data=loader)
        with pytest.raises(ValueError, match="for 'test' that the model's own encoder"):
            evaluate(net, loader, accelerator="cpu")
    same = SentenceEncoder.build([["a"]], tags)  # made again, as in another program
    loader = MultiTaskDataModule(*[EncodedSentences(items, same)] * 2)
    assert train(net, tmp_path, data=loader, max_epochs=1).epochs == 1


@pytest.mark.parametrize("part", ["train", "dev"])
@pytest.mark.parametrize(
    ("item", "message"),
    [
        (Data(text="good", task=3, y=0), "text 2 for '{part}': expected a task of 0 to 2, got 3"),
        (Data(text="good", task=0, y=2), "labels of task 'books' in 0…1"),
        (Data(text="good", task=0, y=0.5), "expected labels y as integers"),
    ],
)
def test_labels_and_tasks_are_checked_first(
    tmp_path: Path, item: Data, message: str, part: str
) -> None:
    loader = data(**{part: [*texts(2, 1), item]})
    with pytest.raises(ValueError, match=message.format(part=part)):
        train(model(), tmp_path, data=loader)
    assert not list(tmp_path.iterdir())


def test_evaluation_needs_labels_of_the_model_s_kind() -> None:
    unlabelled = MultiTaskDataModule(None, None, [Data(text="good", task=0)], VOCABULARY)
    with pytest.raises(ValueError, match="expected labels among the texts for 'test', got none"):
        evaluate(model(), unlabelled, accelerator="cpu")
    sentences = SentenceEncoder.build([["a"]], {task: ["X"] for task in CLASSES})
    encoded = EncodedSentences([Data(words=["a"], tags={"books": ["X"]})], sentences)
    with pytest.raises(ValueError, match="reads EncodedTexts, got EncodedSentences for 'test'"):
        evaluate(model(), MultiTaskDataModule(None, None, encoded), accelerator="cpu")


def test_tags_that_a_scheme_does_not_allow_are_named(tmp_path: Path) -> None:
    tags = {"pos": ["X", "Y"], "ner": ["O", "B-PER", "I-PER"]}
    encoder = SentenceEncoder.build([["a"]], tags)
    good = Data(words=["a", "a"], tags={"pos": ["X", "X"], "ner": ["B-PER", "I-PER"]})
    bad = Data(words=["a", "a"], tags={"ner": ["O", "I-PER"]})
    parts = [EncodedSentences(items, encoder) for items in ([good, good], [good, bad])]
    net = TaggingModel(
        encoder, "shared", hidden_size=2, embedding_size=2, crf=True, schemes={"ner": "IOB2"}
    )
    with pytest.raises(ValueError, match="sentence 1 for 'dev' .* 'ner' .*at word 1 of .'O', 'I-P"):
        train(net, tmp_path, data=MultiTaskDataModule(*parts))
    softmax = TaggingModel(encoder, "shared", hidden_size=2, embedding_size=2)
    assert train(softmax, tmp_path, data=MultiTaskDataModule(*parts), max_epochs=1).epochs == 1


def test_parts_of_encoded_texts_can_be_trained_on(tmp_path: Path) -> None:
    encoded = EncodedTexts(texts(61, 1), VOCABULARY)
    halves = torch.utils.data.random_split(encoded, [40, 21])
    first, second = model(), model()
    train(first, tmp_path / "parts", data=MultiTaskDataModule(*halves, batch_size=8))
    chosen = [[texts(61, 1)[number] for number in half.indices] for half in halves]
    plain = MultiTaskDataModule(*chosen, vocabulary=VOCABULARY, batch_size=8)
    train(second, tmp_path / "texts", data=plain)
    for own, other in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(own, other)


def test_dev_and_test_have_batches_of_their_own_size() -> None:
    loader = MultiTaskDataModule(*[texts(20, 1)] * 3, VOCABULARY, 4, eval_batch_size=16)
    sizes = {p: [len(b) for b in loader.loader(p)] for p in ("train", "dev", "test")}
    assert sizes == {"train": [4] * 5, "dev": [16, 4], "test": [16, 4]}
    with pytest.raises(ValueError, match="at least 1, got 4 and 0"):
        MultiTaskDataModule(None, None, None, VOCABULARY, 4, eval_batch_size=0)
