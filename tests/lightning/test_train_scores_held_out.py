"""Scores learn from held-out batches alone; training that goes on is as if it had not stopped."""

from __future__ import annotations

from pathlib import Path

import lightning.pytorch as L
import pytest
import torch
from tiny import data, model, train

from mtgnn.lightning import TrainScoresHeldOut, read_checkpoint
from mtgnn.nn import HeldOutScores


def held_out() -> list:
    """One batch: then a resumed training finds the same next."""
    return list(data(batch_size=21).val_dataloader())[:1]


def logit(net: torch.nn.Module) -> torch.Tensor:
    return net.encoder.convs["l0"]["shared"].logit.detach().clone()


def test_training_texts_do_not_reach_the_scores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"weight_decay": 0.1, "clip": 1.0}
    net = model(score="static")
    before = logit(net)
    train(net, tmp_path / "a", callbacks=[TrainScoresHeldOut(held_out())], **options)
    assert (logit(net) - before).abs().max() > 0.1
    monkeypatch.setattr(HeldOutScores, "step", lambda self: 0.0)
    net = model(score="static")
    train(net, tmp_path / "b", callbacks=[TrainScoresHeldOut(held_out())], **options)
    assert torch.equal(logit(net), before)


def test_a_step_comes_after_so_many_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = []
    monkeypatch.setattr(HeldOutScores, "step", lambda self: steps.append(1))
    train(model(), tmp_path, max_epochs=2, callbacks=[TrainScoresHeldOut(held_out(), every=2)])
    assert len(steps) == 2 * 3  # of 5 batches an epoch: the first, third and fifth


def test_resume_is_exact(tmp_path: Path) -> None:
    whole = train(
        model(score="static"),
        tmp_path / "whole",
        max_epochs=3,
        callbacks=[TrainScoresHeldOut(held_out())],
    )
    part = train(
        model(score="static"),
        tmp_path / "part",
        max_epochs=1,
        callbacks=[TrainScoresHeldOut(held_out())],
    )
    rest = train(
        model(score="static"),
        tmp_path / "part",
        max_epochs=3,
        resume=part.last_checkpoint,
        callbacks=[TrainScoresHeldOut(held_out())],
    )
    ends = [read_checkpoint(each.last_checkpoint)["state_dict"] for each in (whole, rest)]
    torch.testing.assert_close(ends[0], ends[1], atol=0, rtol=0)


def test_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="every of at least 1, got 0"):
        TrainScoresHeldOut(held_out(), every=0)
    with pytest.raises(ValueError, match="no parameters that could learn"):
        train(model("single"), tmp_path, callbacks=[TrainScoresHeldOut(held_out())])
    monkeypatch.setattr(L.Trainer, "world_size", 2)
    with pytest.raises(ValueError, match="expected one process, got 2"):
        TrainScoresHeldOut(held_out()).on_fit_start(L.Trainer(logger=False), None)
