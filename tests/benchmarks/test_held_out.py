"""Scores learn from held-out batches, and nothing else does."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import pytest
import torch
from torch import Tensor, nn

from mtgnn.data import SequenceBatch, Vocabulary
from mtgnn.nn import MultiTaskModel, freeze
from mtgnn.testing import randomise

Program = Callable[[str], ModuleType]
CLASSES = {task: ["bad", "good"] for task in "abc"}


def model(**options: object) -> MultiTaskModel:
    torch.manual_seed(0)
    words = Vocabulary([f"w{i}" for i in range(9)])
    return MultiTaskModel(
        words, CLASSES, embedding_size=4, hidden_size=4, encoder_options={**options}
    )


def batch(seed: int) -> SequenceBatch:
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(3, 12, (6, 5), generator=generator)
    task, y = torch.arange(6) % 3, torch.randint(2, (6,), generator=generator)
    return SequenceBatch(tokens, torch.full((6,), 5), task, y)


@pytest.mark.parametrize("options", [{"score": "static"}, {}, {"score_owner": "receiver"}])
def test_a_step_is_one_of_adam_on_the_scores(program: Program, options: dict) -> None:
    held_out = program("_held_out")
    net, other = (randomise(model(**options)) for _ in range(2))
    scores = held_out.HeldOutScores(net, [batch(1)], program("_planted_training").mean_loss, 0.05)
    named = {id(p): n for n, p in net.named_parameters()}
    own = {named[id(p)] for p in scores.parameters}
    assert own == {n for n in named.values() if "convs" in n}
    assert {named[id(p)] for p in scores.others} == set(named.values()) - own
    batch(0)
    for p in scores.others:
        p.grad = torch.full_like(p, 3)
    told = scores.step()
    # The first step of Adam goes by the learning rate against the gradient's sign.
    given = batch(1)
    loss = other.loss_per_sample(other(given.tokens, given.lengths, given.task), given).mean()
    assert told == pytest.approx(loss.item())
    loss.backward()
    for (name, after), before in zip(net.named_parameters(), other.parameters(), strict=True):
        if name not in own:
            assert torch.equal(after, before) and bool((after.grad == 3).all())
            continue
        assert after.grad is None
        moved = (after - before).detach()
        expected = torch.zeros_like(before) if before.grad is None else -0.05 * before.grad.sign()
        clear = torch.ones_like(before) if before.grad is None else before.grad.abs() > 1e-5
        torch.testing.assert_close(moved[clear.bool()], expected[clear.bool()], atol=1e-3, rtol=0)
        if "logit" in name or "att" in name:
            assert clear.any()


def test_batches_come_again_and_a_loss_may_be_given(program: Program) -> None:
    held_out = program("_held_out")
    seen = []

    def loss(net: nn.Module, given: int) -> Tensor:
        seen.append(given)
        return torch.stack([p.sum() for p in net.parameters()]).sum() * given

    scores = held_out.HeldOutScores(model(score="static"), [1, 2], loss, 0.1)
    for _ in range(5):
        scores.step()
    assert seen == [1, 2, 1, 2, 1]


def test_what_cannot_learn_is_refused(program: Program) -> None:
    held_out, loss = program("_held_out"), program("_planted_training").mean_loss
    with pytest.raises(ValueError, match="no parameters that could learn"):
        held_out.HeldOutScores(model(score="uniform"), [batch(0)], loss, 0.1)
    frozen = model(score="static")
    freeze(frozen, ["scores"])
    with pytest.raises(ValueError, match="no parameters that could learn"):
        held_out.HeldOutScores(frozen, [batch(0)], loss, 0.1)
    with pytest.raises(ValueError, match="at least one held-out batch"):
        held_out.HeldOutScores(model(score="static"), [], loss, 0.1).step()
