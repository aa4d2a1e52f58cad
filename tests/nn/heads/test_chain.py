"""Several chains at once, and the scaled sums beside the plain recursion."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from mtgnn.nn.heads import chain
from mtgnn.nn.heads.chain import Scores

LENGTHS = torch.tensor([[4, 1, 6], [2, 6, 5]])


def scores(scale: float = 1.0) -> Scores:
    """Two chains of four tags; the second one has three and forbids a transition and an end."""
    torch.manual_seed(0)
    emissions = torch.randn(2, 3, 6, 4, dtype=torch.double) * scale
    transitions, start, end = (
        torch.randn(*s, dtype=torch.double) for s in ((2, 4, 4), (2, 4), (2, 4))
    )
    for part in (emissions[1, :, :, 3], transitions[1, 3], transitions[1, :, 3], start[1, 3:]):
        part.fill_(-torch.inf)
    end[1, 1:2] = end[1, 3] = transitions[1, 0, 2] = -torch.inf
    return Scores(*(part.requires_grad_() for part in (emissions, transitions, start, end)))


def gradients(value: Tensor, own: Scores) -> tuple[Tensor, ...]:
    weight = torch.linspace(-1, 2, value.numel(), dtype=torch.double).view_as(value)
    return torch.autograd.grad((value * weight).sum(), list(own), retain_graph=True)


@pytest.mark.parametrize(("scale", "exact"), [(1.0, True), (50.0, True), (3e3, False)])
def test_scaled_equals_plain_and_knows_its_range(scale: float, exact: bool) -> None:
    own = scores(scale)
    for backwards in (False, True):
        scan = chain._scan(Scores(*(part.detach() for part in own)), LENGTHS, backwards)
        assert scan.exact == exact
    got, expected = chain.log_partition(own, LENGTHS), chain.log_partition_plain(own, LENGTHS)
    torch.testing.assert_close(got, expected)
    with torch.no_grad():
        torch.testing.assert_close(chain.log_partition(own, LENGTHS), expected)
    for one, other in zip(gradients(got, own), gradients(expected, own), strict=True):
        torch.testing.assert_close(one, other)
        assert one.any()


def test_chains_do_not_meet() -> None:
    own = scores()
    total, (path, best) = chain.log_partition(own, LENGTHS), chain.best_path(own, LENGTHS)
    probability = chain.marginals(own, LENGTHS)
    for n in range(2):
        alone = Scores(*(part[n : n + 1] for part in own))
        lengths = LENGTHS[n : n + 1]
        torch.testing.assert_close(chain.log_partition(alone, lengths)[0], total[n])
        torch.testing.assert_close(chain.marginals(alone, lengths)[0], probability[n])
        assert torch.equal(chain.best_path(alone, lengths)[1][0], best[n])
        assert torch.equal(chain.best_path(alone, lengths)[0][0], path[n])


def test_the_best_path_has_the_best_score() -> None:
    own = scores()
    path, best = chain.best_path(own, LENGTHS)
    torch.testing.assert_close(chain.path_score(own, path, LENGTHS), best)
    assert (best < chain.log_partition(own, LENGTHS)).all()


def test_gradient_of_the_partition_is_right_numerically() -> None:
    torch.manual_seed(1)
    shapes = ((1, 2, 3, 2), (1, 2, 2), (1, 2), (1, 2))
    parts = [torch.randn(*shape, dtype=torch.double, requires_grad=True) for shape in shapes]
    lengths = torch.tensor([[3, 2]])
    assert torch.autograd.gradcheck(lambda *p: chain.log_partition(Scores(*p), lengths), parts)


@pytest.mark.parametrize("scale", [1.0, 3e3])
def test_second_derivatives_are_those_of_the_plain_recursion(scale: float) -> None:
    def twice(partition: Callable[[Scores, Tensor], Tensor]) -> list[Tensor]:
        own = scores(scale)
        total = partition(own, LENGTHS)
        weight = torch.linspace(-1, 2, total.numel(), dtype=torch.double).view_as(total)
        first = torch.autograd.grad((total * weight).sum(), list(own), create_graph=True)
        size = sum(grad.square().sum() for grad in first)
        return list(torch.autograd.grad(size, list(own)))

    got, expected = twice(chain.log_partition), twice(chain.log_partition_plain)
    torch.testing.assert_close(got, expected)
    assert scale > 1 or all(grad.any() for grad in got)


def test_transforms_of_functions_go_through() -> None:
    own = [part.detach() for part in scores()]

    def total(*parts: Tensor) -> Tensor:
        return chain.log_partition(Scores(*parts), LENGTHS).sum()

    got = torch.func.grad(total, argnums=(0, 1, 2, 3))(*own)
    parts = [part.requires_grad_() for part in own]
    torch.testing.assert_close(list(got), list(torch.autograd.grad(total(*parts), parts)))
