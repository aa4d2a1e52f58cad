"""Comparisons are what their definitions say."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest
from scipy.stats import wilcoxon

Program = Callable[[str], ModuleType]


@pytest.fixture
def statistics(program: Program) -> ModuleType:
    return program("_significance")


@pytest.mark.parametrize("size", [3, 9, 16, 20])
def test_wilcoxon_without_ties_is_scipys(statistics: ModuleType, size: int) -> None:
    values = np.random.default_rng(size).normal(0.4, 1, size)
    assert statistics.wilcoxon_p(values) == pytest.approx(wilcoxon(values, method="exact").pvalue)


def test_wilcoxon_with_ties_and_zeros_counts_all_signs(statistics: ModuleType) -> None:
    ranks = np.array([2, 2, 2, 4, 5])  # of 1, 1, −1, 2, 3
    seen = abs(2 + 2 + 4 + 5 - 7.5)
    sums = [sum(itertools.compress(ranks, signs)) for signs in itertools.product((0, 1), repeat=5)]
    expected = np.mean([abs(total - 7.5) >= seen for total in sums])
    assert statistics.wilcoxon_p([1, 0, 1, -1 + 1e-12, 2, 0, 3]) == expected
    assert statistics.wilcoxon_p([0.0, 0.0]) == 1


def test_holm(statistics: ModuleType) -> None:
    # Smallest times 4, next times 3, …; never below one before, never above 1.
    assert statistics.holm([0.03, 0.005, 0.04, 0.6]) == pytest.approx([0.09, 0.02, 0.09, 0.6])
    assert statistics.holm([0.5, 0.6]) == [1.0, 1.0]
    assert statistics.holm([]) == []


def test_bootstrap_mean_is_over_tasks(statistics: ModuleType) -> None:
    differences = np.array([1.0, 1.0, 0.0])  # task 0 has one review, task 1 has two
    mean, low, high = statistics.cluster_bootstrap(differences, np.arange(3), np.array([0, 1, 1]))
    assert mean == pytest.approx((1 + 0.5) / 2)
    assert low < mean < high


def test_bootstrap_takes_equal_reviews_as_one(statistics: ModuleType) -> None:
    random = np.random.default_rng(0)
    values, task = random.normal(size=300), np.zeros(300, dtype=int)
    alone = statistics.cluster_bootstrap(values, np.arange(300), task)
    # Read by nine seeds with the same result, a review is no more evidence than once.
    again = [np.tile(part, 9) for part in (values, np.arange(300), task)]
    assert statistics.cluster_bootstrap(*again) == pytest.approx(alone)
    # The width is that of the normal distribution of a mean.
    width = 2 * 1.96 * values.std() / 300**0.5
    assert alone[2] - alone[1] == pytest.approx(width, rel=0.1)


def test_bootstrap_needs_reviews(statistics: ModuleType) -> None:
    with pytest.raises(ValueError, match="expected as many differences"):
        statistics.cluster_bootstrap(np.zeros(0), np.zeros(0), np.zeros(0))


def test_half_of_an_interval(statistics: ModuleType) -> None:
    # Deviation 1, t = 4.303 of two degrees: 4.303 / √3.
    assert statistics.half_width([1, 2, 3]) == pytest.approx(2.484, abs=1e-3)
    assert statistics.half_width([4.0]) == math.inf
