"""Batches of the epoch that the trainer is in, whoever forms them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny import VOCABULARY, model, texts, train

from mtgnn.data import EncodedTexts
from mtgnn.lightning import MultiTaskDataModule, read_checkpoint


def loader(num_workers: int) -> MultiTaskDataModule:
    parts = texts(40, 1), texts(21, 2), None
    return MultiTaskDataModule(*parts, VOCABULARY, batch_size=8, num_workers=num_workers)


def test_workers_change_nothing_not_even_after_a_resume(tmp_path: Path) -> None:
    here, there = model(dropout=0.3), model(dropout=0.3)
    whole = train(here, tmp_path / "whole", max_epochs=3, data=loader(0))
    first = train(there, tmp_path / "parts", max_epochs=1, data=loader(2))
    last = first.last_checkpoint
    parts = train(there, tmp_path / "parts", max_epochs=3, data=loader(2), resume=last)
    one, other = (read_checkpoint(r.last_checkpoint)["state_dict"] for r in (whole, parts))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert parts.dev_accuracy_by_task == whole.dev_accuracy_by_task


def weighted() -> MultiTaskDataModule:
    """Of 40 texts the two of the last task come in half of the places."""
    train = EncodedTexts([*texts(38, 1, tasks=2), *texts(6, 2)[2::3]], VOCABULARY)
    weights = (train.task == 2) * 18.0 + 1
    return MultiTaskDataModule(
        train, texts(21, 2), None, VOCABULARY, batch_size=8, train_weights=weights
    )


def test_weights_of_train_texts(tmp_path: Path) -> None:
    data = weighted()
    for part, share in (("train", 20), ("dev", 7)):
        loader = data.loader(part, shuffle=part == "train")
        task = torch.cat([batch.task for batch in loader])
        assert len(task) == len(data.encoded(part))
        assert abs(int((task == 2).sum()) - share) <= (part == "train")
    assert len(torch.cat([batch.task for batch in data.loader("train")])) == 40  # in order
    result = train(model(), tmp_path, data=data)
    resumed = train(model(), tmp_path / "on", max_epochs=1, data=weighted())
    resumed = train(model(), tmp_path / "on", data=weighted(), resume=resumed.last_checkpoint)
    one, other = (read_checkpoint(r.last_checkpoint)["state_dict"] for r in (result, resumed))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_weights_of_other_texts(tmp_path: Path) -> None:
    best = train(model(), tmp_path, max_epochs=1).checkpoint
    wrong = MultiTaskDataModule(texts(9, 1), None, None, VOCABULARY, train_weights=[1, 2])
    with pytest.raises(ValueError, match=r"weights of shape \[9\], got \[2\]"):
        train(model(), tmp_path, data=wrong)
    assert best.exists()  # nothing was done yet
