"""Profiles of tasks, against the definition written out in numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mtgnn import TaskGraph
from mtgnn.explain import graph_recovery, profile_graph

TASKS = ("a", "b", "c", "d", "e")


def drawn(seed: int, tasks: tuple[str, ...] = TASKS) -> TaskGraph:
    graph = TaskGraph.complete(list(tasks))
    generator = torch.Generator().manual_seed(seed)
    return graph.with_weight(torch.rand(graph.num_edges, generator=generator) * 10**seed)


def test_is_its_definition() -> None:
    graphs = [drawn(0), drawn(3)]
    total = np.zeros((5, 5))
    for graph in graphs:
        weight = dict(zip(graph.edges, graph.edge_weight.tolist(), strict=True))
        for k, receiver in enumerate(TASKS):
            own = np.array([weight[s, receiver] for s in TASKS if s != receiver])
            for i, sender in enumerate(TASKS):
                if i != k:
                    total[k, i] += (weight[sender, receiver] - own.mean()) / own.std(ddof=1) / 2
    both = (total + total.T) / 2
    both[np.eye(5, dtype=bool)] = both[~np.eye(5, dtype=bool)].max()
    expected = np.corrcoef(both)
    found = profile_graph(*graphs)
    assert found.edges == TaskGraph.complete(list(TASKS)).edges
    for (sender, receiver), weight in zip(found.edges, found.edge_weight.tolist(), strict=True):
        place = TASKS.index(receiver), TASKS.index(sender)
        assert weight == pytest.approx(expected[place], abs=1e-6)


def test_groups_are_found_though_each_task_hears_only_one_of_its_group() -> None:
    """A ring within each group: half of the true edges weigh nothing, in any one direction."""
    tasks = [f"{group}{i}" for group in "xy" for i in range(4)]
    graph = TaskGraph.complete(tasks)
    ring = [s[0] == r[0] and int(r[1]) == (int(s[1]) + 1) % 4 for s, r in graph.edges]
    weighted = graph.with_weight(torch.tensor(ring).float())
    truth = TaskGraph.from_edges([e for e in graph.edges if e[0][0] == e[1][0]], tasks)
    assert graph_recovery(weighted, truth).auroc < 0.7
    assert graph_recovery(profile_graph(weighted), truth).auroc == 1


def test_equal_weights_into_a_receiver_say_nothing() -> None:
    graph = TaskGraph.complete(4)
    flat = graph.with_weight(torch.ones(graph.num_edges))
    more = graph.with_weight(torch.arange(12.0))
    assert torch.equal(profile_graph(flat, more).edge_weight, profile_graph(more).edge_weight)


def test_where_all_weights_are_equal_nobody_is_alike() -> None:
    graph = TaskGraph.complete(4)
    flat = graph.with_weight(torch.full((graph.num_edges,), 1 / 3))
    assert not profile_graph(flat).edge_weight.any()
    # One task whose relations are flat, from and to it: the others are compared as ever.
    named = TaskGraph.complete(["a", "b", "c", "d", "e"])
    weight = [0.0 if "e" in edge else float("ab".count(edge[0])) for edge in named.edges]
    found = profile_graph(named.with_weight(torch.tensor(weight)))
    assert found.edge_weight.isfinite().all() and found.edge_weight.any()


def test_what_it_cannot_read() -> None:
    with pytest.raises(ValueError, match="at least one graph"):
        profile_graph()
    with pytest.raises(ValueError, match="at least 4 tasks, got 3"):
        profile_graph(drawn(0, ("a", "b", "c")))
    with pytest.raises(ValueError, match="a weighted graph"):
        profile_graph(TaskGraph.complete(4))
    with pytest.raises(ValueError, match="expected tasks"):
        profile_graph(drawn(0), drawn(0, ("a", "b", "c", "d", "f")))
    chain = TaskGraph.from_edges([("a", "b"), ("b", "c")], ["a", "b", "c", "d"])
    with pytest.raises(ValueError, match="an edge between any two tasks"):
        profile_graph(chain.with_weight(torch.ones(2)))
