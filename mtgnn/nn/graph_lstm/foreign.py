"""Any PyG layer as the communication."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm, _NormBase
from torch.nn.parameter import UninitializedParameter
from torch_geometric.nn import MessagePassing

from ...ops.recurrence import Channel
from ..modes import evaluating
from .channel import Memory, sender_tokens
from .plan import Stage

if TYPE_CHECKING:
    from .graph_lstm import GraphLSTM

ConvFactory = Callable[[int, int], MessagePassing]


def foreign_convs(
    conv: MessagePassing | ConvFactory, keys: list[str], directions: int
) -> nn.ModuleDict:
    """One conv for each layer and direction.

    Raises:
        ValueError: If there are several, but no factory to make them, or one is no layer that an
            exchange can use.
    """
    if isinstance(conv, type):
        raise ValueError(
            f"expected a layer or a factory f(layer, direction), got the class {conv.__name__}"
        )
    if not callable(conv):
        raise ValueError(
            f"expected a layer or a factory f(layer, direction), got a {type(conv).__name__}"
        )
    if not isinstance(conv, nn.Module):
        made = {key: conv(i // directions, i % directions) for i, key in enumerate(keys)}
        for each in made.values():
            _check_conv(each)
        return nn.ModuleDict(made)
    if len(keys) > 1:
        raise ValueError(
            f"{len(keys)} layers and directions need a conv each: "
            "give a factory f(layer, direction)"
        )
    _check_conv(conv)
    return nn.ModuleDict({keys[0]: conv})


def message_channels(convs: nn.ModuleDict, hidden_size: int, mutual: bool) -> int:
    """Size of what all ``convs`` send.

    Raises:
        ValueError: If they do not agree, or one cannot do what the exchange needs.
    """
    sizes = {_channels(conv, hidden_size, mutual) for conv in convs.values()}
    if len(sizes) != 1:
        raise ValueError(f"convs must agree on their output size, got {sorted(sizes)}")
    return sizes.pop()


def _channels(conv: Any, hidden_size: int, mutual: bool) -> int:
    """Size of what ``conv`` sends, found by trying a copy of it on two pieces of a graph and one.

    Raises:
        ValueError: If it cannot do what the exchange needs.
    """
    both, edges = _piece(conv, hidden_size, mutual)
    last = both[2:] if mutual else (both[0][2:], both[1][1:])
    trial, lazy = _copy(conv), _is_lazy(conv)
    drawing = nullcontext() if lazy else torch.random.fork_rng(devices=[])
    try:
        with evaluating(trial), torch.no_grad(), drawing:
            out, again = trial(both, edges), trial(both, edges)
            alone = trial(last, edges[:, : edges.size(1) // 2])
    except Exception as error:
        call = "conv(x, edge_index)" if mutual else "conv((x_senders, x_receivers), edge_index)"
        raise ValueError(
            f"{conv} failed when called as {call} with states of size {hidden_size}, and another "
            f"number of nodes each time, as this exchange needs: {type(error).__name__}: {error}"
            + _unused(conv)
        ) from error
    nodes = 4 if mutual else 2
    if not isinstance(out, Tensor) or out.dim() != 2 or out.size(0) != nodes:
        raise ValueError(f"expected {conv} to give [{nodes}, channels], got {out!r}")
    known = not out.is_meta  # there are no values to compare
    steady = known and torch.allclose(out, again, equal_nan=True)  # some draw at random, always
    if steady and not _close(out[nodes // 2 :], alone):
        raise ValueError(
            f"{conv} mixes sequences: what a node receives depends on nodes that send nothing to "
            "it. Expected no self-loops between senders and receivers (add_self_loops=False), no "
            "norm over all nodes, and nothing cached"
        )
    if lazy:
        conv.load_state_dict(trial.state_dict())
    return out.size(1)


def _unused(conv: MessagePassing) -> str:
    """What else a conv may be called with, which nobody here has."""
    names = [name for name in inspect.signature(conv.forward).parameters if name.startswith("edge")]
    further = [name for name in names if name != "edge_index"]
    return f"; a task graph has no {' or '.join(further)}" if further else ""


def _check_conv(conv: Any) -> None:
    """Raise for what is no layer, or does what a trial in evaluation mode does not show."""
    if isinstance(conv, type):
        raise ValueError(f"expected the factory to give a layer, got the class {conv.__name__}")
    if not isinstance(conv, MessagePassing):
        raise ValueError(f"expected conv to be a MessagePassing layer, got {type(conv).__name__}")
    if any(map(_mixes_in_training, conv.modules())):
        raise ValueError(
            f"{conv} mixes sequences: in training its norm is over the nodes of all sequences. "
            "Expected none (norm=None), or one of each node by itself, as torch.nn.LayerNorm is"
        )
    if getattr(conv, "edge_dim", None) is not None:
        raise ValueError(
            f"{conv} reads attributes of edges, of which a task graph has none: expected "
            "edge_dim=None"
        )


def _mixes_in_training(part: nn.Module) -> bool:
    """Whether a norm takes its means from all nodes in training, and from its memory else."""
    remembers = isinstance(part, _NormBase) and part.track_running_stats
    return remembers or isinstance(part, _BatchNorm)


def _copy(conv: MessagePassing) -> MessagePassing:
    """A copy to try, since a conv may keep what it is first given; or itself, if it has none."""
    try:
        return copy.deepcopy(conv)
    except RuntimeError:  # as with weight norms
        return conv


def _is_lazy(conv: nn.Module) -> bool:
    return any(isinstance(parameter, UninitializedParameter) for parameter in conv.parameters())


def _close(first: Tensor, second: Tensor) -> bool:
    same = first.shape == second.shape
    return same and torch.allclose(first, second, rtol=1e-3, atol=1e-4, equal_nan=True)


def _piece(conv: nn.Module, hidden_size: int, mutual: bool) -> tuple[Any, Tensor]:
    """States and edges of two pieces of a graph: in each two nodes that hear each other, or two
    senders and one receiver."""
    like = next(
        (p for p in conv.parameters() if not isinstance(p, UninitializedParameter)), torch.zeros(1)
    )
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(6, hidden_size, generator=generator).to(like.device, like.dtype)
    if mutual:
        return x[:4], torch.tensor([[0, 1, 2, 3], [1, 0, 3, 2]], device=x.device)
    edges = torch.tensor([[0, 1, 2, 3], [0, 0, 1, 1]], device=x.device)
    return (x[:4], x[4:]), edges


def conv_channel(layer: GraphLSTM, key: str, stage: Stage, memory: Memory | None) -> Channel:
    """A step on the disjoint union of every sequence's piece of the task graph.

    Args:
        layer: The layer, for its conv.
        key: Layer and direction.
        stage: The receivers.
        memory: The senders' states, or ``None`` in a mutual exchange.
    """
    conv: Any = layer.convs[key]
    return _mutual(conv, stage) if memory is None else _known(conv, stage, memory)


def _mutual(conv: Any, stage: Stage) -> Channel:
    """States of the same stage, in as many copies of the graph as there are sequences."""
    layout = stage.layout
    receiver, place = stage.mask.nonzero(as_tuple=True)
    sender = stage.senders[receiver, place]
    hears = stage.mask.any(1)
    of_width: dict[int, Tensor] = {}

    def edges(width: int) -> Tensor:
        if width not in of_width:
            copies = torch.arange(width, device=receiver.device)
            ends = torch.stack([sender, receiver]).unsqueeze(2) * width + copies
            of_width[width] = ends.flatten(1)
        return of_width[width]

    def step(t: int, h: Tensor, word: Tensor) -> tuple[Tensor, None]:
        width = layout.steps[t].width
        out = conv(h, edges(width))
        return out.masked_fill(~hears.repeat_interleave(width).unsqueeze(1), 0.0), None

    return step


def _known(conv: Any, stage: Stage, memory: Memory) -> Channel:
    """States that are known; every receiver has copies of its senders for itself."""
    tokens, layout = memory.tokens, stage.layout
    sent, mask = sender_tokens(stage, memory), stage.by_token(stage.mask)

    def step(t: int, h: Tensor, word: Tensor) -> tuple[Tensor, None]:
        here = slice(*layout.steps[t][2:])
        receiver, _ = mask[here].nonzero(as_tuple=True)
        senders = tokens.index_select(0, sent[here][mask[here]])
        edges = torch.stack([torch.arange(receiver.numel(), device=receiver.device), receiver])
        out = conv((senders, h), edges)
        return out.masked_fill(~mask[here].any(1, keepdim=True), 0.0), None

    return step
