"""PyG's explainers on one step of a layer."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.explain import (
    AttentionExplainer,
    CaptumExplainer,
    Explainer,
    GNNExplainer,
)
from torch_geometric.testing import withPackage

from mtgnn import TaskGraph
from mtgnn.explain import AttentionStep, without_edges
from mtgnn.nn import GraphLSTM, StarGraphLSTM, TaskAttentionConv
from mtgnn.testing import random_batch, randomise

E, H, STEPS = 3, 4, 5
EDGES = [("b", "a"), ("c", "a"), ("shared", "a"), ("a", "b"), ("c", "shared"), ("a", "c")]
GRAPH = TaskGraph.from_edges(EDGES, ("a", "b", "c"), ("shared",))
REGRESSION = {"mode": "regression", "task_level": "node", "return_type": "raw"}
INTO_A = [0, 1, 2]


class Score(nn.Module):
    """A linear function of what each node receives."""

    def __init__(self, step: nn.Module, direction: Tensor) -> None:
        super().__init__()
        self.step, self.direction = step, direction

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return (self.step(x, edge_index) @ self.direction).unsqueeze(-1)


def explain(model: nn.Module, algorithm: object, step: AttentionStep, **config: object) -> Tensor:
    explainer = Explainer(
        model,
        algorithm,
        explanation_type="model",
        edge_mask_type="object",
        model_config=REGRESSION,
        **config,
    )
    return explainer(step.states, step.edge_index, index=torch.tensor([0])).edge_mask


@pytest.mark.parametrize("options", [{}, {"score": "static"}, {"score_owner": "receiver"}], ids=str)
@pytest.mark.parametrize("exchange", ["mutual", "read"])
def test_importances_are_the_attention_of_the_step(exchange: str, options: dict) -> None:
    layer = randomise(GraphLSTM(E, H, GRAPH, exchange, **options))
    x = random_batch(E, 3, steps=STEPS).x[:1]
    *_, attention = layer(x, None, torch.tensor([0]), return_attention_weights=True)
    for t in range(STEPS):
        step = AttentionStep(layer, x[0], task=0, step=t)
        importance = explain(step, AttentionExplainer(), step)
        assert importance.numel() == GRAPH.num_edges
        torch.testing.assert_close(importance[INTO_A], attention[0][1][0, t, INTO_A, 0])


@pytest.mark.parametrize(
    ("exchange", "options"),
    [
        ("read", {"num_neighbors": 1}),
        ("mutual", {"message_dropout": 0.5}),
        ("mutual", {"attention_dropout": 0.5}),
    ],
    ids=str,
)
def test_a_layer_in_training_has_the_states_of_evaluation(exchange: str, options: dict) -> None:
    layer = randomise(GraphLSTM(E, H, GRAPH, exchange, **options))
    x = random_batch(E, 3, steps=STEPS).x[0]
    expected = AttentionStep(layer.eval(), x, task=0, step=3).states
    assert torch.equal(AttentionStep(layer.train(), x, task=0, step=3).states, expected)
    assert layer.training and all(part.training for part in layer.modules())


@pytest.fixture
def scored() -> tuple[Score, AttentionStep, Tensor]:
    """A linear score of a step, and what each edge adds to it."""
    layer = randomise(GraphLSTM(E, H, GRAPH, "mutual"))
    step = AttentionStep(layer, random_batch(E, 3, steps=STEPS).x[0], task=0, step=3)
    direction = torch.linspace(-1, 2, H).double()
    _, (_, alpha) = step.conv(
        step.states, step.edge_index, step.word.expand(4, -1), return_attention_weights=True
    )
    parts = alpha[:, 0] * (step.states[step.edge_index[0]] @ direction)
    parts[3:] = 0  # they enter other nodes
    return Score(step, direction), step, parts.detach()


@withPackage("captum")
@pytest.mark.parametrize("method", ["InputXGradient", "IntegratedGradients"])
def test_captum_finds_what_each_message_adds(
    method: str, scored: tuple[Score, AttentionStep, Tensor]
) -> None:
    model, step, parts = scored
    importance = explain(model, CaptumExplainer(method), step)
    torch.testing.assert_close(importance, parts.float())  # its masks are float32


def test_gnn_explainer_finds_the_message_that_counts() -> None:
    # One sender's state is aligned with the score, the others' are orthogonal to it.
    conv = randomise(TaskAttentionConv(H, score="uniform"))
    layer = randomise(GraphLSTM(E, H, GRAPH, "mutual", score="uniform"))
    step = AttentionStep(layer, random_batch(E, 3, steps=STEPS).x[0], task=0, step=3)
    step.conv = conv
    step.states = torch.eye(4).double()[[0, 1, 2, 3]] * 3
    torch.manual_seed(0)
    model = Score(step, torch.eye(H).double()[2])
    importance = explain(model, GNNExplainer(epochs=60, lr=0.05), step)
    assert importance.argmax() == 1  # from node 2, c
    assert importance[1] > 2 * importance[[0, 2, 3, 4, 5]].max()


def test_what_is_no_single_step_is_refused() -> None:
    x = torch.randn(STEPS, E)
    for layer, reason in (
        (GraphLSTM(E, H, GRAPH, num_layers=2), "several layers"),
        (GraphLSTM(E, H, GRAPH, bidirectional=True), "two directions"),
        (GraphLSTM(E, H, TaskGraph.hierarchy({"b": ["a"]}), "cascade"), "cascade"),
        (StarGraphLSTM(E, H, 2), "mailbox"),
        (without_edges(GraphLSTM(E, H, GRAPH), [0]), "edges that are cut"),
    ):
        with pytest.raises(ValueError, match=reason):
            AttentionStep(layer, x, 0, 0)
    layer = GraphLSTM(E, H, GRAPH)
    with pytest.raises(ValueError, match="step in 0…4, got 5"):
        AttentionStep(layer, x, 0, 5)
    with pytest.raises(ValueError, match="a task that receives, got 3"):
        AttentionStep(layer, x, 3, 0)
