from __future__ import annotations

import pytest
import torch

from mtgnn import TaskGraph
from mtgnn.explain import graph_recovery

TASKS = ["a", "b", "c", "d", "e"]
GRAPH = TaskGraph.complete(TASKS)
TRUTH = TaskGraph.from_edges([("b", "a"), ("c", "a"), ("a", "b"), ("e", "d")], TASKS)


def test_it_counts_pairs_of_a_true_and_another_edge() -> None:
    weight = torch.randint(5, (20,), generator=torch.Generator().manual_seed(0)).float()
    found = graph_recovery(GRAPH.with_weight(weight), TRUTH)
    assert found.undefined == ("c", "e")  # no true edge leads to them
    for receiver in ("a", "b", "d"):
        own = [(edge in TRUTH.edges, float(w)) for edge, w in zip(GRAPH.edges, weight, strict=True)
               if edge[1] == receiver]  # fmt: skip
        pairs = [
            1.0 if w > v else 0.5 if w == v else 0.0
            for true, w in own
            if true
            for other, v in own
            if not other
        ]
        assert found.by_receiver[receiver] == pytest.approx(sum(pairs) / len(pairs))
    assert found.auroc == pytest.approx(sum(found.by_receiver.values()) / 3)


def test_precision_at_every_true_edge() -> None:
    graph = TaskGraph.from_edges([(i, "a") for i in "bcde"], TASKS)
    truth = TaskGraph.from_edges([("b", "a"), ("d", "a")], TASKS)
    found = graph_recovery(graph.with_weight(torch.tensor([4.0, 3.0, 2.0, 1.0])), truth)
    assert found.average_precision == pytest.approx((1 / 1 + 2 / 3) / 2)


def test_edges_of_virtual_nodes_are_others() -> None:
    graph = TaskGraph.from_edges([("b", "a"), ("v", "a")], ["a", "b"], ["v"])
    truth = TaskGraph.from_edges([("b", "a")], ["a", "b"])
    assert graph_recovery(graph.with_weight(torch.tensor([0.4, 0.6])), truth).auroc == 0


def test_what_cannot_be_compared_is_refused() -> None:
    weighted = GRAPH.with_weight(torch.arange(20.0))
    with pytest.raises(ValueError, match="weighted graph"):
        graph_recovery(GRAPH, TRUTH)
    with pytest.raises(ValueError, match="expected tasks"):
        graph_recovery(weighted, TaskGraph.complete(5))
    with pytest.raises(ValueError, match="no receiver"):
        graph_recovery(weighted, GRAPH)
    few = TaskGraph.hierarchy({"b": ["a"]}).with_weight(torch.ones(1))
    with pytest.raises(ValueError, match="lacks the true edges \\[\\('b', 'a'\\)\\]"):
        graph_recovery(few, TaskGraph.complete(["a", "b"]))
