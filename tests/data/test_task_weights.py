import pytest
import torch

from mtgnn.data import task_weights

TASK = torch.tensor([2, 0, 0, 2, 0, 0, 7])


@pytest.mark.parametrize("temperature", [1.0, 3.0, float("inf")])
def test_a_task_s_examples_weigh_a_power_of_their_number_together(temperature: float) -> None:
    weights = task_weights(TASK, temperature)
    together = [float(weights[task == TASK].sum()) for task in (0, 2, 7)]
    assert together == pytest.approx([4 ** (1 / temperature), 2 ** (1 / temperature), 1])
    assert weights[1] == weights[2] == weights[4] == weights[5]


def test_all_tasks_weigh_the_same_by_default() -> None:
    assert torch.equal(task_weights(TASK), task_weights(TASK, float("inf")))


def test_no_examples_have_no_weights() -> None:
    for task in (torch.zeros(0, dtype=torch.long), torch.zeros(0, 3, dtype=torch.bool)):
        assert task_weights(task).shape == (0,)


def test_an_example_of_several_tasks_weighs_the_mean() -> None:
    own = torch.tensor([[True, False, False], [True, True, False], [True, False, False]])
    third, one = 1 / 3, 1.0
    assert task_weights(own).tolist() == pytest.approx([third, (third + one) / 2, third])


@pytest.mark.parametrize(
    ("task", "temperature", "message"),
    [
        (TASK, 0.5, "temperature of at least 1, got 0.5"),
        (TASK, float("nan"), "temperature"),
        (TASK.float(), 1.0, r"integers \[n\].*got torch.float32 \[7\]"),
        (TASK.view(1, 7), 1.0, r"got torch.int64 \[1, 7\]"),
        (TASK > 0, 1.0, r"got torch.bool \[7\]"),
        (torch.tensor([[True], [False]]), 1.0, "without any"),
        (torch.zeros(0, 3, dtype=torch.long), 1.0, r"got torch.int64 \[0, 3\]"),
    ],
)
def test_bad_arguments(task: torch.Tensor, temperature: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        task_weights(task, temperature)
