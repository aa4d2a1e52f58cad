"""The communication of a stage: from receivers' states at a step to what they receive."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch_geometric.nn import MessagePassing

from ..ops import ScoreWeights, attend
from ..ops.recurrence import Channel
from .attention import stack_scores
from .plan import Stage

if TYPE_CHECKING:
    from .graph_lstm import GraphLSTM


def stage_scores(layer: GraphLSTM, key: str, stage: Stage) -> ScoreWeights:
    """The score parameters of a stage's rows; one set where they are shared."""
    convs: Any = layer.convs[key]
    if "shared" in convs and len(convs) == 1:
        return stack_scores([convs["shared"]])
    names = [layer.graph.nodes[node] for node in stage.nodes]
    fallback = next(iter(convs.keys()))  # of a row that receives nothing: its weights are masked
    return stack_scores([convs[name if name in convs else fallback] for name in names])


def sent(layer: GraphLSTM, nodes: Tensor, states: Tensor) -> Tensor:
    """States as messages: with ``detach``, those of tasks carry no gradient."""
    if not layer.detach:
        return states
    is_task = (nodes < layer.graph.num_tasks).view(-1, *[1] * (states.dim() - 1))
    return torch.where(is_task, states.detach(), states)


def dense_channel(
    layer: GraphLSTM, key: str, stage: Stage, memory: Tensor, words: Tensor, mutual: bool
) -> Channel:
    """Attention over padded sets of senders.

    Args:
        layer: The layer, for its parameters and options.
        key: Layer and direction.
        stage: The receivers.
        memory: ``[S, T, H]``, the states of all earlier slots (unused in a mutual exchange).
        words: ``[R, M, T, E]``.
        mutual: Whether senders are the stage's own slots, one step before.
    """
    assert stage.senders is not None and stage.mask is not None
    scores = stage_scores(layer, key, stage)
    first = next(iter(layer.convs[key].values()))  # type: ignore[operator]
    dropout = first.dropout if layer.training else 0.0
    context = scores.project_context(words.permute(2, 0, 1, 3))
    senders, mask, edge = stage.senders, stage.mask, stage.edge
    sender_nodes = edge_senders(layer, stage)

    def gather(states: Tensor) -> Tensor:  # [S, *, H] -> [R, M, J, *, H]
        if not layer.detach:
            return states[senders]
        picked = states[senders]
        is_task = (sender_nodes < layer.graph.num_tasks)[(...,) + (None,) * (picked.dim() - 3)]
        return torch.where(is_task, picked.detach(), picked)

    def project(picked: Tensor) -> Tensor | None:  # [R, M, J, H] -> [R, M, J, P·A]
        keys = scores.project_senders(picked.flatten(1, 2))
        return None if keys is None else keys.unflatten(1, picked.shape[1:3])

    if not mutual:
        picked = gather(memory)  # [R, M, J, T, H]
        values = picked.permute(3, 0, 1, 2, 4)
        flat = scores.project_senders(picked.flatten(1, 3))
        keys = None
        if flat is not None:
            keys = flat.unflatten(1, picked.shape[1:4]).permute(3, 0, 1, 2, 4).unbind(0)
        values = values.unbind(0)

    def step(t: int, h: Tensor) -> tuple[Tensor, Tensor]:
        word = None if context is None else context[t if context.size(0) > 1 else 0]
        query = scores.project_query(h, word)
        if mutual:
            value = gather(h.flatten(0, 1))
            key_t = project(value)
        else:
            value, key_t = values[t], None if keys is None else keys[t]
        return attend(scores, query, key_t, value, mask, edge, dropout)

    return step


def edge_senders(layer: GraphLSTM, stage: Stage) -> Tensor:
    """The sending node of each slot's edges, ``[R, M, J]``."""
    assert stage.edge is not None
    if layer.graph.num_edges == 0:
        return torch.zeros_like(stage.edge)
    return layer.graph.edge_index[0].to(stage.edge.device)[stage.edge]


def conv_channel(
    layer: GraphLSTM, key: str, stage: Stage, memory: Tensor, words: Tensor, mutual: bool
) -> Channel:
    """Any PyG layer, on the disjoint union of every sequence's piece of the task graph."""
    assert stage.senders is not None and stage.mask is not None
    conv: Any = layer.convs[key]
    rows, width, _ = stage.mask.shape
    receivers = torch.arange(rows * width, device=stage.mask.device).view(rows, width, 1)
    receivers = receivers.expand_as(stage.senders)[stage.mask]
    edge_index = torch.stack([stage.senders[stage.mask], receivers])
    hears = stage.mask.any(-1).unsqueeze(-1)
    is_task = edge_senders(layer, stage)[stage.mask] < layer.graph.num_tasks
    if layer.detach and bool(is_task.any()):
        if mutual or not bool(is_task.all()):
            raise ValueError("detach with a conv needs senders that are all tasks, none receiving")
        memory = memory.detach()

    def step(t: int, h: Tensor) -> tuple[Tensor, None]:
        flat = h.flatten(0, 1)
        out = conv(flat, edge_index) if mutual else conv((memory[:, t], flat), edge_index)
        return out.unflatten(0, (rows, width)).masked_fill(~hears, 0.0), None

    return step


def message_channels(conv: Any, hidden_size: int, mutual: bool) -> int:
    """Size of what ``conv`` sends, found by trying it on two senders and one receiver.

    Raises:
        ValueError: If it cannot do what the exchange needs.
    """
    edge_index = torch.tensor([[0, 1], [0, 0]]) if not mutual else torch.tensor([[0, 1], [1, 0]])
    weight = next(conv.parameters(), torch.zeros(1))
    x = torch.zeros(2, hidden_size, device=weight.device, dtype=weight.dtype)
    training = conv.training
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            conv.eval()
            edge_index = edge_index.to(x.device)
            out = conv(x, edge_index) if mutual else conv((x, x[:1]), edge_index)
    except Exception as error:
        call = "conv(x, edge_index)" if mutual else "conv((x_senders, x_receivers), edge_index)"
        raise ValueError(
            f"{conv} failed when called as {call} with states of size {hidden_size}, "
            f"as this exchange needs: {error}"
        ) from error
    finally:
        conv.train(training)
    if not isinstance(conv, MessagePassing):
        raise ValueError(f"expected conv to be a MessagePassing layer, got {type(conv).__name__}")
    nodes = 2 if mutual else 1
    if not isinstance(out, Tensor) or out.dim() != 2 or out.size(0) != nodes:
        raise ValueError(f"expected {conv} to give [{nodes}, channels], got {out!r}")
    return out.size(1)
