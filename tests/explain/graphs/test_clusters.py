from __future__ import annotations

import pytest
import torch

from mtgnn import TaskGraph
from mtgnn.explain import task_affinity, task_clusters, task_embedding

GROUPS = [0, 1, 0, 2, 1, 2, 0]


def planted(noise: float = 0.3, negative: bool = False) -> TaskGraph:
    """Weights larger within the groups, and uneven in both directions."""
    graph = TaskGraph.complete(7)
    generator = torch.Generator().manual_seed(0)
    same = torch.tensor([float(GROUPS[i] == GROUPS[k]) for i, k in graph.edge_index.t().tolist()])
    weight = same + noise * torch.rand(graph.num_edges, generator=generator)
    return graph.with_weight(weight - 0.2 if negative else weight)


@pytest.mark.parametrize("negative", [False, True])
def test_planted_groups_are_found(negative: bool) -> None:
    graph = planted(negative=negative)
    assert task_clusters(graph, 3) == GROUPS
    assert task_clusters(graph) == GROUPS
    assert task_clusters(graph, 1) == [0] * 7
    assert task_clusters(graph, 7) == list(range(7))
    assert max(task_clusters(graph, 2)) == 1


def test_two_tasks_are_one_group() -> None:
    assert task_clusters(TaskGraph.complete(2).with_weight(torch.ones(2))) == [0, 0]


def test_groups_without_any_edge_between_them() -> None:
    edges = [(f"task{i}", f"task{k}") for i in range(7) for k in range(7)]
    edges = [(i, k) for i, k in edges if i != k and GROUPS[int(i[4:])] == GROUPS[int(k[4:])]]
    graph = TaskGraph.from_edges(edges, 7).with_weight(torch.ones(len(edges)))
    assert task_clusters(graph) == GROUPS


def test_affinity_is_the_mean_of_both_directions() -> None:
    graph = TaskGraph.from_edges([("a", "b"), ("b", "a"), ("v", "a"), ("a", "c")], None, ("v",))
    affinity = task_affinity(graph.with_weight(torch.tensor([1.0, 2.0, 9.0, 1.0])))
    expected = torch.tensor([[0, 1.5, 0.5], [1.5, 0, 0], [0.5, 0, 0]])
    torch.testing.assert_close(affinity.float(), expected)


def test_embedded_groups_lie_together() -> None:
    places = task_embedding(planted())
    assert places.shape == (7, 2)
    distance = torch.cdist(places, places)
    same = torch.tensor([[a == b for b in GROUPS] for a in GROUPS])
    assert distance[same].max() < 0.3 * distance[~same].min()
    # Numbering the tasks otherwise moves nothing.
    order = torch.tensor([3, 0, 6, 1, 5, 2, 4])
    graph = planted()
    position = order.argsort()
    other = TaskGraph(7, position[graph.edge_index], edge_weight=graph.edge_weight)
    torch.testing.assert_close(task_embedding(other), places[order], rtol=1e-4, atol=1e-5)


def test_a_task_without_edges_is_placed_too() -> None:
    graph = TaskGraph.from_edges([("a", "b"), ("b", "a")], ["a", "b", "c"])
    assert task_embedding(graph.with_weight(torch.ones(2))).isfinite().all()


def test_what_cannot_be_grouped_is_refused() -> None:
    with pytest.raises(ValueError, match="weighted graph"):
        task_clusters(TaskGraph.complete(3))
    with pytest.raises(ValueError, match="edges between tasks"):
        task_clusters(TaskGraph.flat(3).with_weight(torch.ones(3)))
    with pytest.raises(ValueError, match="num_clusters in 1…7"):
        task_clusters(planted(), 8)
    with pytest.raises(ValueError, match="channels in 1…6"):
        task_embedding(planted(), 7)
