"""PyG's AttentionExplainer reads the attention edge; of a step of a layer, see test_step."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.explain import AttentionExplainer, Explainer

from mtgnn import TaskGraph
from mtgnn.nn import TaskAttentionConv
from mtgnn.testing import random_batch, randomise

H = 4
EDGES = [("b", "a"), ("c", "a"), ("shared", "a"), ("a", "b"), ("c", "shared")]
GRAPH = TaskGraph.from_edges(EDGES, ("a", "b", "c"), ("shared",))


def explain(model: nn.Module, x: Tensor, edge_index: Tensor, reduce: str = "max") -> Tensor:
    explainer = Explainer(
        model,
        AttentionExplainer(reduce),
        explanation_type="model",
        edge_mask_type="object",
        model_config={"mode": "regression", "task_level": "node", "return_type": "raw"},
    )
    return explainer(x, edge_index).edge_mask


@pytest.mark.parametrize("reduce", ["max", "mean"])
def test_heads_are_reduced_by_the_explainer(reduce: str) -> None:
    conv = randomise(TaskAttentionConv(H, heads=3))
    x = random_batch(H, 1).x[0]
    _, (edges, alpha) = conv(x[: GRAPH.num_nodes], GRAPH.edge_index, None, True)
    importance = explain(conv, x[: GRAPH.num_nodes], edges, reduce)
    expected = alpha.amax(-1) if reduce == "max" else alpha.mean(-1)
    torch.testing.assert_close(importance, expected)
    assert not torch.allclose(alpha[:, 0], alpha[:, 1])


@pytest.mark.parametrize("score", ["additive", "dot", "uniform"])
def test_the_attention_edge_is_explained_inside_an_ordinary_model(score: str) -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.lin = TaskAttentionConv(H, score=score), nn.Linear(H, 2)

        def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
            return self.lin(self.first(x, edge_index).relu())

    model = randomise(Model())
    x = random_batch(H, 1).x[0, : GRAPH.num_nodes]
    _, (_, alpha) = model.first(x, GRAPH.edge_index, return_attention_weights=True)
    torch.testing.assert_close(explain(model, x, GRAPH.edge_index), alpha[:, 0])
