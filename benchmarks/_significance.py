"""Paired comparisons: Wilcoxon over tasks, Holm's correction, intervals over seeds and reviews."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import rankdata, wilcoxon
from scipy.stats import t as student


def wilcoxon_p(differences: Sequence[float]) -> float:
    """Two-sided p of Wilcoxon's signed-rank test; 1 where nothing differs.

    Up to 16 differences are tested exactly, ties too: by all assignments of signs to the ranks.
    Zeros are left out, as Wilcoxon did.
    """
    # Accuracies are counts: equal ones must be ties in spite of rounding.
    there = np.round([d for d in differences if abs(d) > 1e-9], 9)
    if len(there) == 0:
        return 1.0
    if len(there) > 16:
        return float(wilcoxon(there).pvalue)
    ranks = rankdata(np.abs(there))
    sums = np.zeros(1)
    for rank in ranks:
        sums = np.concatenate([sums, sums + rank])
    middle = ranks.sum() / 2
    seen = abs(ranks[there > 0].sum() - middle)
    return float(np.mean(np.abs(sums - middle) >= seen - 1e-9))


def holm(p: Sequence[float]) -> list[float]:
    """Holm's step-down correction (Holm 1979), in the order that the values came in."""
    corrected, least = [0.0] * len(p), 0.0
    for place, i in enumerate(sorted(range(len(p)), key=lambda i: p[i])):
        least = max(least, min(1.0, (len(p) - place) * p[i]))
        corrected[i] = least
    return corrected


def half_width(values: Sequence[float]) -> float:
    """Half of the 95 % interval of a mean, by Student's t; infinite for one value alone."""
    if len(values) < 2:
        return float("inf")
    deviation = np.std(values, ddof=1) / np.sqrt(len(values))
    return float(student.ppf(0.975, len(values) - 1) * deviation)


def cluster_bootstrap(
    differences: np.ndarray,
    cluster: np.ndarray,
    task: np.ndarray,
    draws: int = 2000,
    seed: int = 0,
) -> tuple[float, float, float]:
    """Mean over tasks of mean differences, and its 95 % percentile interval over clusters.

    Whole clusters are drawn with replacement, all reviews of one text together: one review, read
    by several seeds or found in several tasks, is one observation.

    Args:
        differences: ``[n]``.
        cluster: ``[n]``, equal numbers in one cluster.
        task: ``[n]``, numbers from 0.
        draws: Number of resamples.
        seed: Of the draws.

    Raises:
        ValueError: If there is no review, or the sizes differ.
    """
    if not len(differences) == len(cluster) == len(task) > 0:
        sizes = len(differences), len(cluster), len(task)
        raise ValueError(f"expected as many differences, clusters and tasks, got {sizes}")
    _, place = np.unique(cluster, return_inverse=True)
    tasks, column = np.unique(task, return_inverse=True)
    shape = (place.max() + 1, len(tasks))
    sums, counts = np.zeros(shape), np.zeros(shape)
    np.add.at(sums, (place, column), differences)
    np.add.at(counts, (place, column), 1)
    mean = float((sums.sum(0) / counts.sum(0)).mean())
    random = np.random.default_rng(seed)
    means = np.empty(draws)
    for i in range(draws):
        weight = np.bincount(random.integers(shape[0], size=shape[0]), minlength=shape[0])
        drawn = weight @ counts
        # A task that no drawn cluster has is left out of that draw's mean.
        means[i] = ((weight @ sums)[drawn > 0] / drawn[drawn > 0]).mean()
    low, high = np.quantile(means, (0.025, 0.975))
    return mean, float(low), float(high)
