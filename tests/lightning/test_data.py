"""Batches of the epoch that the trainer is in, whoever forms them."""

from __future__ import annotations

from pathlib import Path

import torch
from tiny import VOCABULARY, model, texts, train

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
