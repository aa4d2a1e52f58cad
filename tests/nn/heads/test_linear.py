"""Heads: each sequence gets its own task's linear layer, and no other learns from it."""

import pytest
import torch
from torch import Tensor

from mtgnn.nn import ClassificationHeads, RegressionHeads

SIZES = (2, 4, 3)
NAMES = ["books", "v1.0", "keys"]  # a dot and a dict's method make no trouble as names
TASK = torch.tensor([2, 0, 2, 0])


def vectors(*several: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(4, *several, 5, generator=generator, dtype=torch.double)


def heads() -> ClassificationHeads:
    return ClassificationHeads(5, SIZES, NAMES).double()


@pytest.mark.parametrize("task", [TASK, torch.tensor([1, 2, 0, 1]), torch.tensor([2, 2, 2, 2])])
def test_each_sequence_meets_its_own_head(task: Tensor) -> None:
    layer, h = heads(), vectors()
    logits = layer(h, task)
    assert logits.shape == (4, 4)
    for b, k in enumerate(task.tolist()):
        own = layer.heads[NAMES[k]]
        torch.testing.assert_close(logits[b, : SIZES[k]], own.weight @ h[b] + own.bias)
        assert (logits[b, SIZES[k] :] == -torch.inf).all()


def test_heads_without_a_bias_are_heads() -> None:
    layer, h = heads(), vectors()
    layer.heads["keys"] = torch.nn.Linear(5, 3, bias=False).double()
    torch.testing.assert_close(layer(h, TASK)[0, :3], layer.heads["keys"].weight @ h[0])


@pytest.mark.parametrize("steps", [(), (6,)])
def test_a_head_that_was_replaced_or_is_watched_is_called(steps: tuple[int, ...]) -> None:
    layer, h, calls = heads(), vectors(*steps), []
    layer.heads["keys"] = torch.nn.Sequential(torch.nn.Linear(5, 3), torch.nn.Tanh()).double()
    layer.heads["books"].register_forward_hook(lambda *given: calls.append(given))
    logits = layer(h, TASK)
    assert len(calls) == 1 and logits.shape == (4, *steps, 4)
    for b, k in enumerate(TASK.tolist()):
        torch.testing.assert_close(logits[b, ..., : SIZES[k]], layer.heads[NAMES[k]](h[b]))
        assert (logits[b, ..., SIZES[k] :] == -torch.inf).all()


def test_all_tasks_equal_single() -> None:
    layer, h = heads(), vectors(3)
    every = layer(h)
    for k in range(3):
        single = layer(h[:, k], torch.full((4,), k))
        torch.testing.assert_close(every[:, k], single)


def test_absent_tasks_have_no_gradient_and_present_ones_the_loop_s() -> None:
    layer, h = heads(), vectors().requires_grad_()
    y = torch.tensor([2, 1, 0, 0])
    torch.nn.functional.cross_entropy(layer(h, TASK), y, reduction="sum").backward()
    assert layer.heads["v1.0"].weight.grad is None
    assert layer.heads["v1.0"].bias.grad is None
    twin = heads()
    twin.load_state_dict(layer.state_dict())
    leaf = h.detach().requires_grad_()
    for b, k in enumerate(TASK.tolist()):
        logits = twin.heads[NAMES[k]](leaf[b : b + 1])
        torch.nn.functional.cross_entropy(logits, y[b : b + 1]).backward()
    torch.testing.assert_close(h.grad, leaf.grad)
    for name in ("books", "keys"):
        assert layer.heads[name].weight.grad.any()
        torch.testing.assert_close(layer.heads[name].weight.grad, twin.heads[name].weight.grad)
        torch.testing.assert_close(layer.heads[name].bias.grad, twin.heads[name].bias.grad)


@pytest.mark.parametrize("all_tasks", [False, True])
def test_losses_stay_finite_beside_missing_classes(all_tasks: bool) -> None:
    layer, h = heads(), (vectors(3) if all_tasks else vectors()).requires_grad_()
    logits = layer(h, None if all_tasks else TASK).flatten(0, -2)
    assert logits.isinf().any()
    y = torch.tensor([1, 1, -100, 0] * (3 if all_tasks else 1))
    loss = torch.nn.functional.cross_entropy(logits, y)
    loss.backward()
    assert loss.isfinite() and h.grad.isfinite().all() and h.grad.any()
    assert all(p.grad.isfinite().all() for p in layer.parameters() if p.grad is not None)


def test_regression_is_one_unit_a_task() -> None:
    layer, h = RegressionHeads(5, NAMES).double(), vectors()
    values = layer(h, TASK)
    for b, k in enumerate(TASK.tolist()):
        own = layer.units.heads[NAMES[k]]
        torch.testing.assert_close(values[b], own.weight[0] @ h[b] + own.bias[0])
    every = layer(h.unsqueeze(1).expand(-1, 3, -1))
    assert every.shape == (4, 3)
    torch.testing.assert_close(every[torch.arange(4), TASK], values)


def test_regression_of_several_values_is_a_linear_map_a_task() -> None:
    layer, h = RegressionHeads(5, NAMES, out_channels=2).double(), vectors()
    values = layer(h, TASK)
    assert values.shape == (4, 2)
    for b, k in enumerate(TASK.tolist()):
        own = layer.units.heads[NAMES[k]]
        torch.testing.assert_close(values[b], own.weight @ h[b] + own.bias)
    every = layer(h.view(4, 1, 1, 5).expand(-1, 6, 3, -1))
    assert every.shape == (4, 6, 3, 2)
    torch.testing.assert_close(every[torch.arange(4), 0, TASK], values)
    assert RegressionHeads(5, NAMES, out_channels=1)(h.float(), TASK).shape == (4, 1)


def test_regression_of_steps_is_that_of_each_step() -> None:
    layer, h = RegressionHeads(5, NAMES).double(), vectors(6)
    values = layer(h, TASK)
    assert values.shape == (4, 6)
    every = layer(h.unsqueeze(2).expand(-1, -1, 3, -1))
    assert every.shape == (4, 6, 3)
    for t in range(6):
        torch.testing.assert_close(values[:, t], layer(h[:, t], TASK))
        torch.testing.assert_close(every[torch.arange(4), t, TASK], values[:, t])


def test_reset_draws_anew() -> None:
    for layer in (heads(), RegressionHeads(5, 2)):
        before = [p.clone() for p in layer.parameters()]
        layer.reset_parameters()
        assert all(not torch.equal(p, q) for p, q in zip(layer.parameters(), before, strict=True))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ClassificationHeads(5, [2, 0]), "at least 1"),
        (lambda: ClassificationHeads(0, [2, 2]), "at least 1"),
        (lambda: ClassificationHeads(5, []), "at least one task"),
        (lambda: ClassificationHeads(5, [2, 2], ["a"]), "numbers of classes"),
        (lambda: ClassificationHeads(5, [2, 3], ["a", "a"]), r"unique, got \['a'\]"),
        (lambda: RegressionHeads(5, ["a", "a#b"]), "without '#'"),
        (lambda: heads()(vectors()[:, :3], TASK), r"\[B, 5\]"),
        (lambda: heads()(vectors()), r"\[B, 3, 5\]"),
        (lambda: heads()(vectors(), TASK[:3]), "tasks of shape"),
        (lambda: heads()(vectors(), TASK.double()), "tasks of shape"),
        (lambda: heads()(vectors(), TASK > 0), "one task of each sequence, integers"),
        (lambda: RegressionHeads(5, 2, out_channels=0), "at least 1"),
        (lambda: heads()(vectors(), TASK + 1), "0…2"),
        (lambda: heads()(vectors(), TASK - 1), "0…2"),
        (lambda: heads()(vectors(), TASK.tolist()), "task as a tensor, got"),
        (lambda: RegressionHeads(5, 2, out_channels=[1, 2]), "out_channels to be an integer"),
    ],
)
def test_errors(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
