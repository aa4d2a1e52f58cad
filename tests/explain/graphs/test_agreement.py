from __future__ import annotations

import pytest
import torch
from scipy.stats import spearmanr

from mtgnn import TaskGraph
from mtgnn.explain import graph_agreement

GRAPH = TaskGraph.complete(6)


def test_it_is_spearmans_correlation_for_each_receiver() -> None:
    generator = torch.Generator().manual_seed(0)
    first = torch.randint(4, (30,), generator=generator).float()  # with ties
    second = torch.randn(30, generator=generator) + first
    order = torch.randperm(30, generator=generator)
    mixed = TaskGraph(6, GRAPH.edge_index[:, order], edge_weight=second[order])
    agreement = graph_agreement(GRAPH.with_weight(first), mixed)
    for k, name in enumerate(GRAPH.tasks):
        edges = [edge for edge, _ in GRAPH.incoming(k)]
        expected = spearmanr(first[edges], second[edges]).statistic
        assert agreement.by_receiver[name] == pytest.approx(expected)
    values = torch.tensor(list(agreement.by_receiver.values()))
    assert agreement.mean == pytest.approx(float(values.mean()))
    assert agreement.spread == pytest.approx(float(values.std()))
    assert agreement.undefined == ()


def test_what_cannot_be_ranked_is_named() -> None:
    graph = TaskGraph.hierarchy({"c": ["a", "b"], "b": ["a"]})
    weighted = graph.with_weight(torch.tensor([1.0, 2.0, 1.0]))
    agreement = graph_agreement(weighted, weighted)
    assert agreement == (1.0, 0.0, {"c": 1.0}, ("b",))


def test_what_cannot_be_compared_is_refused() -> None:
    weighted = GRAPH.with_weight(torch.arange(30.0))
    with pytest.raises(ValueError, match="weighted graph"):
        graph_agreement(weighted, GRAPH)
    with pytest.raises(ValueError, match="same edges"):
        graph_agreement(weighted, TaskGraph.complete(5).with_weight(torch.arange(20.0)))
    with pytest.raises(ValueError, match="no receiver"):
        graph_agreement(weighted, GRAPH.with_weight(torch.ones(30)))
