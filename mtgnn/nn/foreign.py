"""Any PyG layer as the communication."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch_geometric.nn import MessagePassing

from ..ops import Channel
from .channel import Memory
from .plan import Stage

if TYPE_CHECKING:
    from .graph_lstm import GraphLSTM

ConvFactory = Callable[[int, int], MessagePassing]


def foreign_convs(
    conv: MessagePassing | ConvFactory, keys: list[str], directions: int
) -> nn.ModuleDict:
    """One conv for each layer and direction.

    Raises:
        ValueError: If there are several, but no factory to make them.
    """
    if not isinstance(conv, nn.Module):
        made = {key: conv(i // directions, i % directions) for i, key in enumerate(keys)}
        return nn.ModuleDict(made)
    if len(keys) > 1:
        raise ValueError(
            f"{len(keys)} layers and directions need a conv each: "
            "give a factory f(layer, direction)"
        )
    return nn.ModuleDict({keys[0]: conv})


def message_channels(conv: Any, hidden_size: int, mutual: bool) -> int:
    """Size of what ``conv`` sends, found by trying it on two senders and one receiver.

    Raises:
        ValueError: If it cannot do what the exchange needs.
    """
    if not isinstance(conv, MessagePassing):
        raise ValueError(f"expected conv to be a MessagePassing layer, got {type(conv).__name__}")
    weight = next(conv.parameters(), torch.zeros(1))
    x = torch.zeros(2, hidden_size, device=weight.device, dtype=weight.dtype)
    edge_index = torch.tensor([[0, 1], [1, 0]] if mutual else [[0, 1], [0, 0]], device=x.device)
    training = conv.training
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            conv.eval()
            out = conv(x, edge_index) if mutual else conv((x, x[:1]), edge_index)
    except Exception as error:
        call = "conv(x, edge_index)" if mutual else "conv((x_senders, x_receivers), edge_index)"
        raise ValueError(
            f"{conv} failed when called as {call} with states of size {hidden_size}, "
            f"as this exchange needs: {error}"
        ) from error
    finally:
        conv.train(training)
    nodes = 2 if mutual else 1
    if not isinstance(out, Tensor) or out.dim() != 2 or out.size(0) != nodes:
        raise ValueError(f"expected {conv} to give [{nodes}, channels], got {out!r}")
    return out.size(1)


def conv_channel(layer: GraphLSTM, key: str, stage: Stage, memory: Memory | None) -> Channel:
    """A step on the disjoint union of every sequence's piece of the task graph.

    Args:
        layer: The layer, for its conv.
        key: Layer and direction.
        stage: The receivers.
        memory: The senders' states, or ``None`` in a mutual exchange.
    """
    conv: Any = layer.convs[key]
    receivers, column = stage.mask.nonzero(as_tuple=True)  # by receiver: active edges come first
    senders = stage.senders[receivers, column]
    counts = stage.mask.sum(1).cumsum(0).tolist()
    hears = stage.mask.any(1, keepdim=True)

    if memory is None:
        edges = torch.stack([senders, receivers])

        def mutual(t: int, h: Tensor, word: Tensor) -> tuple[Tensor, None]:
            width = h.size(0)
            out = conv(h, edges[:, : counts[width - 1]])
            return out.masked_fill(~hears[:width], 0.0), None

        return mutual

    # Distinct senders in descending order of length, so that at each step the first ones are on.
    distinct = senders.unique()
    distinct = distinct[torch.argsort(memory.lengths[distinct], descending=True, stable=True)]
    rank = torch.zeros_like(memory.lengths)
    rank[distinct] = torch.arange(distinct.numel(), device=distinct.device)
    edges = torch.stack([rank[senders], receivers])
    tokens, place = memory.tokens, memory.place
    active = memory.lengths[distinct] > torch.arange(place.size(0), device=place.device)[:, None]
    widths = active.sum(1).tolist()

    def read(t: int, h: Tensor, word: Tensor) -> tuple[Tensor, None]:
        width = h.size(0)
        sent = tokens.index_select(0, place[t][distinct[: widths[t]]])
        out = conv((sent, h), edges[:, : counts[width - 1]])
        return out.masked_fill(~hears[:width], 0.0), None

    return read
