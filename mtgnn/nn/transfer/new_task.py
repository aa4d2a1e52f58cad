"""A trained layer, model or heads for one task more."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from torch import nn
from torch_geometric.nn import MessagePassing

from ...cut_graph import cut_edges
from ...data.text_check import check_classes
from ...graph import TaskGraph
from ..baselines import CrossStitchLSTM, HierarchicalLSTM, SharedLSTM
from ..compiled import uncompiled
from ..graph_lstm import CompleteGraphLSTM, GraphLSTM, StarGraphLSTM
from ..graph_lstm.foreign import ConvFactory
from ..heads.linear import ClassificationHeads, RegressionHeads, check_plain
from ..models import MultiTaskModel, TaggingModel, saved
from ..models.encoders import with_additions
from .inherit import inherit

# Options of GraphLSTM that a layer keeps under the same name.
KEPT = (
    *("memory", "num_layers", "bidirectional", "dropout", "message_dropout", "attention_dropout"),
    *("fusion", "score", "heads", "score_channels", "concat_messages", "own_rank", "detach"),
    *("num_neighbors", "kernel"),
)


def add_task(
    module: nn.Module,
    name: str,
    classes: Sequence[str] | None = None,
    senders: Sequence[str] | None = None,
    scheme: str | None = None,
) -> Any:
    r"""Give a trained model, layer or heads one task more; what the others put out stays the same.

    The new task is the last one. It *only receives*, so that no old task notices it: a batch
    without the new task gives, bit for bit, what it gave before, in every exchange. (In a batch
    that holds it, or with ``task=None``, products have other shapes, and the results are equal
    within rounding, as in any batch of other companions.)

    All parameters are copied, with their ``requires_grad``; those of the new node and head are
    drawn anew, from PyTorch's global generator; with a ``common`` part the new node computes just
    that. (With ``embedding="task"`` so is the new task's table, whatever the others started from.)
    Shared score parameters serve the new edges too; a receiver with scores of its own
    (``score_owner="receiver"``) gets a new set, and the static logits of new edges start at zero.

    A model of one's own is extended part by part: ``net.encoder = add_task(net.encoder, "music")``,
    ``net.heads = add_task(net.heads, "music", ["bad", "good"])``.

    Args:
        module: A :class:`MultiTaskModel` or :class:`TaggingModel`; a :class:`GraphLSTM`,
            :class:`CompleteGraphLSTM`, :class:`StarGraphLSTM` or :class:`SharedLSTM`; or
            :class:`ClassificationHeads` or :class:`RegressionHeads`. It is left as it is.
        name: Name of the new task.
        classes: Its label names, or its tags; for a model, and for classification heads.
        senders: Names of the nodes that the new task listens to. By default the virtual nodes, or
            all tasks where there is no virtual node, or nobody in a graph without edges.
        scheme: The scheme of its tags, where they are spans; see :class:`TaggingModel`.

    Returns:
        A new module in the same mode, on the same device and with the same dtype. A
        :class:`CompleteGraphLSTM` becomes a :class:`GraphLSTM`, for its graph is no longer
        complete; a :class:`StarGraphLSTM` stays one. A model saves and loads as before. A model
        that tags has new ``sentences``, with the tags of the new task too: encode with these.
        Logits become wider where the new task has more classes than any other; a state of the old
        layer does not fit the new one, and inputs per node need one for the new node.

    Raises:
        ValueError: If the name is taken, a sender is unknown or cannot send (the mailbox of a star
            is the virtual node's alone, and a shared LSTM has no edges), classes are missing, or
            given for a layer, the encoder cannot be extended, heads were replaced by others or have
            hooks, or a scheme is one that its tags are not of, or given for what does not tag.

    Example:
        >>> from mtgnn.nn import CompleteGraphLSTM
        >>> layer = add_task(CompleteGraphLSTM(3, 4, ["books", "dvd"]), "music")
        >>> layer.graph.edges[-2:]
        [('books', 'music'), ('dvd', 'music')]
    """
    module = uncompiled(module)
    check_plain(module)
    if isinstance(senders, str):
        raise ValueError(f"senders must be a sequence of names, got the string {senders!r}")
    if scheme is not None and not isinstance(module, TaggingModel):
        raise ValueError(f"a scheme is for a TaggingModel, got a {type(module).__name__}")
    if isinstance(module, (MultiTaskModel, TaggingModel)):
        if classes is None:
            raise ValueError(f"a model needs the label names of {name!r}: expected classes")
        if name in module.classes:
            raise ValueError(f"expected a new task, got {name!r} of {list(module.tasks)}")
        if isinstance(module, TaggingModel):
            new: Any = _extend_tagger(module, name, classes, senders, scheme)
        else:
            new = _extend_classifier(module, name, classes, senders)
    elif isinstance(module, (ClassificationHeads, RegressionHeads)):
        return inherit(module, _extend_heads(module, name, classes, senders))
    elif classes is not None:
        raise ValueError(
            f"classes are for a model or ClassificationHeads, got a {type(module).__name__}"
        )
    else:
        new = _extend_layer(module, name, senders)
    saved.cut_again(getattr(new, "encoder", new), cut_edges(module.graph))
    return inherit(module, new)


def _extend_heads(
    heads: ClassificationHeads | RegressionHeads,
    name: str,
    classes: Sequence[str] | None,
    senders: Sequence[str] | None,
) -> ClassificationHeads | RegressionHeads:
    """Fresh heads with one for the new task."""
    kind = type(heads).__name__
    if type(heads) not in (ClassificationHeads, RegressionHeads):  # as of layers
        raise ValueError(f"expected this library's heads, got a {kind}")
    units = heads if isinstance(heads, ClassificationHeads) else heads.units
    if name in units.tasks:
        raise ValueError(f"expected a new task, got {name!r} of {list(units.tasks)}")
    if senders is not None:
        raise ValueError(f"{kind} hear nobody: expected no senders, got {list(senders)}")
    every = (*units.tasks, name)
    if isinstance(heads, RegressionHeads):
        if classes is not None:
            raise ValueError(f"{kind} have no classes, got {classes}")
        return RegressionHeads(units.in_channels, every, heads.out_channels)
    if classes is None:
        raise ValueError(f"{kind} need the label names of {name!r}: expected classes")
    size = len(check_classes({name: classes})[name])
    return ClassificationHeads(units.in_channels, (*units.num_classes, size), every)


def _extend_classifier(
    model: MultiTaskModel, name: str, classes: Sequence[str], senders: Sequence[str] | None
) -> MultiTaskModel:
    """A fresh model with the new task."""
    given = _extend_encoder(model, name, senders)
    every = {**model.classes, name: classes}
    return type(model)(model.vocabulary, every, **given, **model._options)


def _extend_tagger(
    model: TaggingModel,
    name: str,
    tags: Sequence[str],
    senders: Sequence[str] | None,
    scheme: str | None,
) -> TaggingModel:
    """A fresh model with the new task."""
    given = _extend_encoder(model, name, senders)
    rules = model._options["schemes"] | ({} if scheme is None else {name: scheme})
    options = {**model._options, "schemes": rules}
    return type(model)(model.sentences.with_task(name, tags), **given, **options)


def _extend_encoder(
    model: MultiTaskModel | TaggingModel, name: str, senders: Sequence[str] | None
) -> dict[str, Any]:
    """The arguments of a model that make its encoder, with the new task."""
    if model._encoder is None:  # given as a module
        return {"encoder": _extend_layer(model.encoder, name, senders)}
    return _extend_options(model, name, senders)


def _extend_options(
    model: MultiTaskModel | TaggingModel, name: str, senders: Sequence[str] | None
) -> dict[str, Any]:
    """Name and options of an encoder with the new task, which a model builds from them."""
    given = saved.restore_encoder({"encoder": model._encoder}, None)
    encoder = model.encoder
    if isinstance(encoder, (HierarchicalLSTM, CrossStitchLSTM)):
        raise ValueError(
            f"a {type(encoder).__name__} cannot be given one task more: its levels, or its "
            "combinations, are made for all tasks at once"
        )
    if isinstance(encoder, StarGraphLSTM) or not isinstance(encoder, GraphLSTM):
        _check_senders(encoder, senders)
        return given
    graph = extend_graph(model.graph, name, senders)
    if given["encoder"] == "single" and not graph.num_edges:
        return given
    options = {**given["encoder_options"], "graph": graph, "exchange": encoder.exchange}
    # Separate nodes, which are a graph now, stay as they were.
    return {"encoder": "graph", "encoder_options": with_additions("graph", options, wanted=False)}


def _extend_layer(layer: nn.Module, name: str, senders: Sequence[str] | None) -> nn.Module:
    """A fresh layer with the new task and the same options."""
    if type(layer) is SharedLSTM:
        _check_senders(layer, senders)
        return SharedLSTM(
            layer.input_size,
            layer.hidden_size,
            extend_graph(layer.graph, name, ()).tasks,
            num_layers=layer.num_layers,
            bidirectional=layer.bidirectional,
            dropout=layer.lstm.dropout,
        )
    # What a subclass of one's own adds would be lost.
    if type(layer) not in (GraphLSTM, CompleteGraphLSTM, StarGraphLSTM):
        raise ValueError(
            "expected a model, ClassificationHeads or RegressionHeads, or one of this library's "
            "graph layers or SharedLSTM, "
            f"got a {type(layer).__name__}"
        )
    assert isinstance(layer, GraphLSTM)
    options = _options(layer)
    sizes = layer.input_size, layer.hidden_size
    if isinstance(layer, StarGraphLSTM):
        _check_senders(layer, senders)
        tasks, [virtual] = extend_graph(layer.graph, name, ()).tasks, layer.graph.virtual
        return StarGraphLSTM(*sizes, tasks, virtual=virtual, **options)
    graph = extend_graph(layer.graph, name, senders)
    return GraphLSTM(*sizes, graph, layer.exchange, conv=_convs(layer), **options)


def _options(layer: GraphLSTM) -> dict[str, Any]:
    """The options that a layer was built with, but for graph, exchange and conv."""
    options = {option: getattr(layer, option) for option in KEPT}
    options["score_owner"] = "receiver" if layer.owned else "shared"
    options["common"] = layer.common is not None
    return options


def _convs(layer: GraphLSTM) -> ConvFactory | None:
    """A factory of copies of a layer's own convs."""
    if not layer.foreign:
        return None
    directions = 1 + layer.bidirectional

    def make(depth: int, direction: int) -> MessagePassing:
        conv: Any = layer.convs[layer.keys[depth * directions + direction]]
        return copy.deepcopy(conv)

    return make


def extend_graph(graph: TaskGraph, name: str, senders: Sequence[str] | None) -> TaskGraph:
    """A graph with one task more, which comes last and, in the last edges, hears ``senders``.

    Weights are left out: the new edges have none.
    """
    if name in graph.nodes:
        raise ValueError(f"expected a new name, got {name!r}, which is one of {list(graph.nodes)}")
    if senders is None:
        senders = (graph.virtual or graph.tasks) if graph.num_edges else ()
    edges = [*graph.edges, *((sender, name) for sender in senders)]
    return TaskGraph.from_edges(edges, (*graph.tasks, name), graph.virtual)


def _check_senders(encoder: nn.Module, senders: Sequence[str] | None) -> None:
    """Raise where somebody is to send who cannot."""
    able = encoder.graph.virtual if isinstance(encoder, StarGraphLSTM) else ()
    if senders is not None and tuple(senders) != able:
        raise ValueError(
            f"a new task of a {type(encoder).__name__} hears {list(able)}, got {list(senders)}"
        )
