"""Losses over the labels that are there, also when a batch is spread over processes."""

import math

import pytest
import torch
from torch import Tensor

from mtgnn.nn import MultiTaskLoss, is_labelled

LOSSES = torch.tensor([1.0, 2.0, 4.0, torch.nan, 8.0], dtype=torch.double)
TASK = torch.tensor([0, 2, 0, 1, 2])
LABELLED = torch.tensor([True, True, True, False, True])


def call(loss: MultiTaskLoss, losses: Tensor = LOSSES) -> float:
    return loss(losses, TASK, labelled=LABELLED).item()


def test_fixed_weights() -> None:
    assert call(MultiTaskLoss(3)) == pytest.approx((1 + 2 + 4 + 8) / 4)
    assert call(MultiTaskLoss(3, [2, 9, 0.5])) == pytest.approx((2 * 5 + 0.5 * 10) / 4)
    assert call(MultiTaskLoss(3, [2, 9, 0.5], "task")) == pytest.approx((2 * 2.5 + 0.5 * 5) / 2)


@pytest.mark.parametrize("reduction", ["sample", "task"])
def test_uncertainty_weights(reduction: str) -> None:
    loss = MultiTaskLoss(
        3, "uncertainty", reduction, kinds=["regression", "classification", "classification"]
    ).double()
    s = torch.tensor([0.3, -2.0, -0.7], dtype=torch.double)
    loss.log_variance.data = s.clone()
    value = loss(LOSSES, TASK, labelled=LABELLED)
    first = [0.5 * math.exp(-0.3) * x + 0.15 for x in (1, 4)]
    third = [math.exp(0.7) * x - 0.35 for x in (2, 8)]
    expected = sum(first + third) / 4  # as many labels of either task: both reductions agree
    assert value.item() == pytest.approx(expected)
    value.backward()
    slope = [(-0.5 * math.exp(-0.3) * 5 + 1) / 4, 0, (-math.exp(0.7) * 10 + 1) / 4]
    torch.testing.assert_close(loss.log_variance.grad, torch.tensor(slope, dtype=torch.double))


def test_uncertainty_learns_the_noise_of_a_task() -> None:
    """Squared errors of variance v are best explained by log v."""
    loss = MultiTaskLoss(2, "uncertainty", kinds="regression")
    errors, task = torch.tensor([9.0, 9.0, 0.25, 0.25]), torch.tensor([0, 0, 1, 1])
    optimiser = torch.optim.SGD(loss.parameters(), lr=0.5)
    for _ in range(200):
        optimiser.zero_grad()
        loss(errors, task).backward()
        optimiser.step()
    torch.testing.assert_close(loss.log_variance.data, torch.tensor([9.0, 0.25]).log())
    loss.reset_parameters()
    assert not loss.log_variance.any()


@pytest.mark.parametrize("reduction", ["sample", "task"])
@pytest.mark.parametrize("weights", [None, "uncertainty"])
def test_parts_of_a_batch_add_up(reduction: str, weights: str | None) -> None:
    loss = MultiTaskLoss(3, weights, reduction).double()
    parts = [slice(0, 1), slice(1, 4), slice(4, 5)]  # task 0 is in two, task 1 has no label
    count = sum(loss.count(TASK[part], LABELLED[part]) for part in parts)
    whole = call(loss)
    assert whole == pytest.approx(
        sum(loss(LOSSES[part], TASK[part], count, labelled=LABELLED[part]).item() for part in parts)
    )
    alone = [loss(LOSSES[part], TASK[part], labelled=LABELLED[part]) for part in parts]
    assert whole != pytest.approx(sum(alone).item() / 3)


@pytest.mark.parametrize("reduction", ["sample", "task"])
@pytest.mark.parametrize("weights", [None, "uncertainty"])
def test_nothing_labelled_is_zero_with_zero_gradients(reduction: str, weights: str | None) -> None:
    loss = MultiTaskLoss(3, weights, reduction)
    x = torch.ones(5, requires_grad=True)
    value = loss(x.square(), TASK, labelled=torch.zeros(5, dtype=torch.bool))
    value.backward()
    assert value == 0 and torch.equal(x.grad, torch.zeros(5))
    for parameter in loss.parameters():
        assert torch.equal(parameter.grad, torch.zeros(3))
    assert loss(x[:0], TASK[:0]).item() == 0


@pytest.mark.parametrize("reduction", ["sample", "task"])
def test_per_task_adds_up(reduction: str) -> None:
    loss = MultiTaskLoss(3, [2, 9, 0.5], reduction)
    parts = loss.per_task(LOSSES, TASK, labelled=LABELLED)
    assert parts.shape == (3,) and parts[1] == 0 and parts[0] > 0 and parts[2] > 0
    assert parts.sum().item() == pytest.approx(call(loss))


def test_is_labelled() -> None:
    assert is_labelled(torch.tensor([0, -100, 3])).tolist() == [True, False, True]
    assert is_labelled(torch.tensor([0.0, torch.nan, -100])).tolist() == [True, False, True]


@pytest.mark.parametrize("reduction", ["sample", "task"])
def test_labels_are_counted_exactly_in_any_precision(reduction: str) -> None:
    loss = MultiTaskLoss(2, reduction=reduction).bfloat16()
    task = torch.zeros(1000, dtype=torch.long)
    assert loss.count(task).sum() == 1000
    assert loss(torch.ones(1000), task) == pytest.approx(1)


def test_fixed_weights_are_those_that_were_given() -> None:
    """A training that goes on from a checkpoint takes the weights that it is given now."""
    loss = MultiTaskLoss(3, [1, 2, 3])
    before = call(loss)
    loss.load_state_dict(MultiTaskLoss(3).state_dict())
    assert call(loss) == before != call(MultiTaskLoss(3))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MultiTaskLoss(0), "num_tasks"),
        (lambda: MultiTaskLoss(2, [1.0]), "2 weights"),
        (lambda: MultiTaskLoss(2, {"a": 1.0, "b": 2.0}), "in the order of the tasks"),
        (lambda: MultiTaskLoss(2, [1.0, -1.0]), "at least 0"),
        (lambda: MultiTaskLoss(2, [1.0, math.nan]), "finite"),
        (lambda: MultiTaskLoss(2, "certainty"), "weights"),
        (lambda: MultiTaskLoss(2, reduction="sum"), "reduction"),
        (lambda: MultiTaskLoss(2, kinds="ranking"), "kinds"),
        (lambda: MultiTaskLoss(2, kinds=["regression"]), "2 kinds"),
        (lambda: MultiTaskLoss(3)(LOSSES[:, None], TASK), r"\[B\]"),
        (lambda: MultiTaskLoss(3)(LOSSES, TASK[:2]), "task of shape"),
        (lambda: MultiTaskLoss(3)(LOSSES, TASK, labelled=LABELLED[:2]), "labelled of shape"),
        (lambda: MultiTaskLoss(2)(LOSSES, TASK), "0…1"),
        (lambda: MultiTaskLoss(3)(LOSSES, TASK > 0), "integer tasks"),
        (lambda: MultiTaskLoss(3)(LOSSES, TASK.double()), "integer tasks"),
        (lambda: MultiTaskLoss(3)(LOSSES, TASK, torch.ones(3)), "count of shape"),
        (lambda: MultiTaskLoss(3, reduction="task")(LOSSES, TASK, 4), "count of shape"),
    ],
)
def test_errors(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_missing_labels_of_regression_leave_gradients_as_they_are() -> None:
    """The square of a number without a label is NaN, and so would be 0 times its slope."""
    y = torch.tensor([1.0, torch.nan, 2.0])
    task, there = torch.tensor([0, 1, 1]), is_labelled(y)
    guess = torch.zeros(3, requires_grad=True)
    with pytest.warns(UserWarning, match="y.nan_to_num"):
        MultiTaskLoss(2)((guess - y) ** 2, task, labelled=there)
    each = torch.func.vmap(torch.func.grad(lambda g: MultiTaskLoss(2)(g - 1, task, labelled=there)))
    assert each(torch.zeros(2, 3)).tolist() == [[0.5, 0.0, 0.5]] * 2
    MultiTaskLoss(2)((guess - y.nan_to_num()) ** 2, task, labelled=there).backward()
    assert guess.grad is not None and guess.grad.tolist() == [-1.0, 0.0, -2.0]
