"""One step of a sentence as an ordinary PyG model, for PyG's own explainers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..cut_graph import cut_edges
from ..nn import GraphLSTM
from ..nn.modes import evaluating


class AttentionStep(nn.Module):
    """The communication at one step of a sentence, called as ``model(x, edge_index)``.

    For :class:`torch_geometric.explain.Explainer`: ``x`` are the states ``[N, H]`` that the nodes
    hold at that step, and the result is what they receive, ``[N, P·H]``. Edges and their numbers
    are those of the task graph. What counts is what the sentence's own task receives; hand its
    number to the explainer as ``index``. The states are those of evaluation mode, in which PyG's
    explainers run a model, too.

    Args:
        layer: A layer with one direction, over its own attention edges.
        x: ``[T, E]``, one sentence as the layer reads it.
        task: The sentence's task.
        step: The step, from 0.

    Attributes:
        states: ``[N, H]``, what to call the model with: in the exchange ``"mutual"`` the states
            of the step before; in ``"read"`` the task's own of the step before, and its senders'
            of this one. Nodes that did not run hold zeros.
        edge_index: ``[2, num_edges]``, the task graph's.

    Raises:
        ValueError: For a layer with several layers, two directions, a mailbox, another conv,
            the exchange ``"cascade"`` or edges that are cut; or a step or task out of range.

    Example:
        >>> from torch_geometric.explain import AttentionExplainer, Explainer
        >>> from mtgnn.nn import CompleteGraphLSTM
        >>> step = AttentionStep(CompleteGraphLSTM(4, 3, 3), torch.randn(7, 4), task=0, step=5)
        >>> explainer = Explainer(
        ...     step, AttentionExplainer(), explanation_type="model", edge_mask_type="object",
        ...     model_config={"mode": "regression", "task_level": "node", "return_type": "raw"},
        ... )
        >>> explainer(step.states, step.edge_index).edge_mask.shape
        torch.Size([6])
    """

    def __init__(self, layer: GraphLSTM, x: Tensor, task: int, step: int) -> None:
        super().__init__()
        _check(layer, x, task, step)
        name = layer.graph.nodes[task] if layer.owned else "shared"
        convs: Any = layer.convs["l0"]
        self.conv = convs[name]
        self.word = x[step].detach() if self.conv.lin_context is not None else None
        with evaluating(layer):
            self.states = _states(layer, x, task, step)
        self.edge_index = layer.graph.edge_index.to(x.device)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        """Pass messages once."""
        word = None if self.word is None else self.word.expand(x.size(0), -1)
        return self.conv(x, edge_index, word)


@torch.no_grad()
def _states(layer: GraphLSTM, x: Tensor, task: int, step: int) -> Tensor:
    own = torch.tensor([task])
    weight: Tensor = next(layer.parameters())
    states = weight.new_zeros(layer.graph.num_nodes, layer.hidden_size)
    if step > 0:
        before = layer(x[None, :step], None, own)[1]
        states = before.h[0, 0]
    if layer.exchange == "read":
        mine = states[task].clone()
        states = layer(x[None, : step + 1], None, own)[1].sender_h[0, 0].clone()
        states[task] = mine
    return states


def _check(layer: GraphLSTM, x: Tensor, task: int, step: int) -> None:
    reasons = {
        "several layers": layer.num_layers > 1,
        "two directions": layer.bidirectional,
        "a mailbox": layer.memory != "current",
        "a conv of its own": layer.foreign,
        'exchange="cascade"': layer.exchange == "cascade",
        "edges that are cut": bool(cut_edges(layer.graph)),  # the conv would weigh them
    }
    for reason, holds in reasons.items():
        if holds:
            raise ValueError(f"expected one layer that reads forward, got {reason}")
    if not 0 <= step < x.size(0):
        raise ValueError(f"expected step in 0…{x.size(0) - 1}, got {step}")
    if not 0 <= task < layer.graph.num_tasks or not layer.graph.incoming(task):
        raise ValueError(f"expected a task that receives, got {task} of {layer.graph}")
