"""PyG's AttentionExplainer reads the attention edge of a layer, one sequence at a time."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.explain import AttentionExplainer, Explainer

from mtgnn import TaskGraph
from mtgnn.nn import GraphLSTM, TaskAttentionConv
from mtgnn.testing import assert_heard, random_batch, randomise

E, H, STEPS = 3, 4, 5
EDGES = [("b", "a"), ("c", "a"), ("shared", "a"), ("a", "b"), ("c", "shared")]
GRAPH = TaskGraph.from_edges(EDGES, ("a", "b", "c"), ("shared",))


class OneStep(nn.Module):
    """The communication at one step of a sequence, as a model on the task graph.

    ``x`` are the states ``[N, H]`` that nodes send and receive with.
    """

    def __init__(self, conv: TaskAttentionConv, word: Tensor | None) -> None:
        super().__init__()
        self.conv, self.word = conv, word

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        context = None if self.word is None else self.word.expand(x.size(0), -1)
        return self.conv(x, edge_index, context)


def explain(model: nn.Module, x: Tensor, edge_index: Tensor, reduce: str = "max") -> Tensor:
    explainer = Explainer(
        model,
        AttentionExplainer(reduce),
        explanation_type="model",
        edge_mask_type="object",
        model_config={"mode": "regression", "task_level": "node", "return_type": "raw"},
    )
    return explainer(x, edge_index).edge_mask


@pytest.mark.parametrize("score", ["additive", "dot", "static", "uniform"])
def test_importances_are_the_weights_of_a_step(score: str) -> None:
    layer = randomise(GraphLSTM(E, H, GRAPH, score=score))
    x = random_batch(E, 3, steps=STEPS).x[:1]
    assert_heard(layer, x, None, torch.tensor([0]))
    *_, attention = layer(x, None, torch.tensor([0]), return_attention_weights=True)
    ((edge_index, alpha),) = attention
    conv = layer.convs["l0"]["shared"]
    for t in range(1, STEPS):
        _, state = layer(x[:, :t], None, torch.tensor([0]))
        word = x[0, t] if score in ("additive", "dot") else None
        importance = explain(OneStep(conv, word), state.h[0, 0], edge_index)
        torch.testing.assert_close(importance, alpha[0, t, :, 0])
    assert edge_index.size(1) == importance.numel() == GRAPH.num_edges


@pytest.mark.parametrize("reduce", ["max", "mean"])
def test_heads_are_reduced_by_the_explainer(reduce: str) -> None:
    conv = randomise(TaskAttentionConv(H, heads=3))
    x = random_batch(H, 1).x[0]
    _, (edges, alpha) = conv(x[: GRAPH.num_nodes], GRAPH.edge_index, None, True)
    importance = explain(OneStep(conv, None), x[: GRAPH.num_nodes], edges, reduce)
    expected = alpha.amax(-1) if reduce == "max" else alpha.mean(-1)
    torch.testing.assert_close(importance, expected)
    assert not torch.allclose(alpha[:, 0], alpha[:, 1])


def test_the_attention_edge_is_explained_inside_an_ordinary_model() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.lin = TaskAttentionConv(H), nn.Linear(H, 2)

        def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
            return self.lin(self.first(x, edge_index).relu())

    model = randomise(Model())
    x = random_batch(H, 1).x[0, : GRAPH.num_nodes]
    _, (_, alpha) = model.first(x, GRAPH.edge_index, return_attention_weights=True)
    torch.testing.assert_close(explain(model, x, GRAPH.edge_index), alpha[:, 0])
