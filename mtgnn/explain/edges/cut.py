"""The same model with edges cut."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import TypeVar

from torch import nn

from ...cut_graph import CutGraph
from ...nn import GraphLSTM
from ...nn.compiled import uncompiled
from ..readouts.readout import find_edge

Model = TypeVar("Model", bound=nn.Module)


def without_edges(model: Model, edges: Iterable[int | tuple[str, str]]) -> Model:
    """The same model with edges cut: their logits are −∞, and other senders share the attention.

    A receiver whose last edge is cut receives zeros. Nothing is copied: parameters, and all else
    that is no graph, are the given model's own. Saved models and :func:`mtgnn.nn.add_task` keep
    what is cut.

    Args:
        model: A :class:`mtgnn.nn.GraphLSTM`, or a model that holds one as ``encoder``.
        edges: Pairs of names (sender, receiver), or edge numbers, as in the encoder's ``graph``.

    Raises:
        ValueError: If the encoder runs on no task graph, or there is no such edge.

    Example:
        >>> from mtgnn.nn import CompleteGraphLSTM
        >>> layer = CompleteGraphLSTM(4, 3, ["a", "b", "c"])
        >>> fewer = without_edges(layer, [("b", "a")])
        >>> fewer.nodes is layer.nodes
        True
    """
    model = uncompiled(model)
    if isinstance(model, GraphLSTM):
        sibling, graph = copy.copy(model), model.graph
        numbers = [find_edge(graph, e) if isinstance(e, tuple) else int(e) for e in edges]
        sibling.graph = CutGraph(graph, numbers)
        return sibling
    encoder = getattr(model, "encoder", None)
    if not isinstance(encoder, GraphLSTM):
        raise ValueError(
            f"expected a GraphLSTM or a model with one as its encoder, got {type(model).__name__}"
            + ("" if encoder is None else f" with a {type(encoder).__name__}")
        )
    return with_encoder(model, without_edges(encoder, edges))


def with_encoder(model: Model, encoder: nn.Module) -> Model:
    """The same model around another encoder, in all modules that hold its own; all else is shared.

    Raises:
        ValueError: If no module holds it, as where it stands in a plain list.
    """
    sibling = _replaced(model, model.encoder, encoder)  # type: ignore[arg-type]
    if sibling is uncompiled(model):
        raise ValueError(
            f"expected a model that holds its encoder as a module, got a {type(model).__name__}, "
            "whose modules do not have it"
        )
    return sibling  # type: ignore[return-value]


def _replaced(module: nn.Module, old: object, new: nn.Module) -> nn.Module:
    """A module with another in the place of an old one; copies of what holds it, and of no more.

    What ``torch.compile`` wraps is taken without: the wrapper hands what it is given to the module
    in it.
    """
    module = uncompiled(module)
    if module is old:
        return new
    parts = {
        name: part if part is None else _replaced(part, old, new)
        for name, part in module._modules.items()
    }
    held = {name: uncompiled(part) for name, part in module._modules.items()}
    if all(part is held[name] for name, part in parts.items()):
        return module
    sibling = copy.copy(module)
    sibling._modules = parts
    return sibling
