"""Texts and models mean the same by their numbers, or training does not begin."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import CLASSES, VOCABULARY, data, model, texts, train
from torch.utils.data import Subset
from torch_geometric.data import Data

from mtgnn.data import Vocabulary
from mtgnn.lightning import MultiTaskDataModule, evaluate
from mtgnn.nn import MultiTaskModel, freeze


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
