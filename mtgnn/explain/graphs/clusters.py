"""Groups of tasks, and places for them in a plane, from the weights between them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ...graph import TaskGraph
from .matrix import between_tasks, edge_weights


def task_affinity(graph: TaskGraph) -> Tensor:
    """How much tasks weigh to each other: ``[K, K]``, the mean of both directions.

    Where there is no edge, the weight is 0; so is the diagonal. Edges of virtual nodes do not
    count.

    Raises:
        ValueError: If the graph has no weights, or no edge between tasks.
    """
    weights, there = between_tasks(graph, edge_weights(graph).double())
    if not there.any():
        raise ValueError(f"expected edges between tasks, got none in {graph}")
    return (weights + weights.t()) / 2


def task_clusters(graph: TaskGraph, num_clusters: int | None = None) -> list[int]:
    """Group tasks that weigh much to each other, by average linkage.

    Args:
        graph: A weighted graph, such as :func:`average_attention` gives.
        num_clusters: Number of groups; by default the one from 2 to K−1 with the best silhouette
            (for fewer than three tasks: one group).

    Returns:
        The number of each task's group; groups are numbered as they first occur.

    Raises:
        ValueError: For a number of groups outside 1…K, or as in :func:`task_affinity`.

    Example:
        >>> graph = TaskGraph.complete(["a", "b", "c", "d"])
        >>> weight = [0.8, 0.1, 0.1, 0.7, 0.2, 0.1, 0.1, 0.1, 0.8, 0.1, 0.2, 0.7]
        >>> task_clusters(graph.with_weight(torch.tensor(weight)))
        [0, 0, 1, 1]
    """
    affinity = task_affinity(graph).numpy()
    tasks = len(affinity)
    if num_clusters is not None and not 1 <= num_clusters <= tasks:
        raise ValueError(f"expected num_clusters in 1…{tasks}, got {num_clusters}")
    if num_clusters is not None:
        return _cluster(affinity, num_clusters)
    if tasks < 3:
        return [0] * tasks
    from sklearn.metrics import silhouette_score

    distance = _distance(affinity)
    found = [_cluster(affinity, number) for number in range(2, tasks)]
    return max(found, key=lambda labels: silhouette_score(distance, labels, metric="precomputed"))


def task_embedding(graph: TaskGraph, channels: int = 2) -> Tensor:
    """Places of tasks such that those that weigh much to each other lie close.

    The eigenvectors of the normalised Laplacian of the affinities, as in `"Laplacian Eigenmaps for
    Dimensionality Reduction and Data Representation"
    <https://doi.org/10.1162/089976603321780317>`_; negative affinities count as 0. The sign of
    each is such that its largest entry is positive.

    Args:
        graph: A weighted graph.
        channels: Number of coordinates.

    Returns:
        ``[K, channels]``.

    Raises:
        ValueError: For ``channels`` outside 1…K−1, or as in :func:`task_affinity`.
    """
    affinity = task_affinity(graph).clamp(min=0)
    tasks = len(affinity)
    if not 1 <= channels < tasks:
        raise ValueError(f"expected channels in 1…{tasks - 1}, got {channels}")
    degree = affinity.sum(1)
    scale = torch.where(degree > 0, degree, 1).rsqrt()
    laplacian = torch.eye(tasks, dtype=torch.float64) - scale[:, None] * affinity * scale
    vectors = torch.linalg.eigh(laplacian)[1][:, 1 : channels + 1] * scale[:, None]
    largest = vectors.gather(0, vectors.abs().argmax(0, keepdim=True))
    return (vectors * largest.sign()).float()


def _cluster(affinity: np.ndarray, number: int) -> list[int]:
    from sklearn.cluster import AgglomerativeClustering

    if number in (1, len(affinity)):
        return [0] * len(affinity) if number == 1 else list(range(number))
    model = AgglomerativeClustering(number, metric="precomputed", linkage="average")
    labels = model.fit_predict(_distance(affinity))
    order = dict.fromkeys(labels.tolist())
    rank = {label: place for place, label in enumerate(order)}
    return [rank[label] for label in labels.tolist()]


def _distance(affinity: np.ndarray) -> np.ndarray:
    """From the greatest affinity downwards; 0 from a task to itself."""
    between = ~np.eye(len(affinity), dtype=bool)
    return np.where(between, affinity[between].max() - affinity, 0.0)
