"""Early errors of ``GraphLSTM``: options that make no sense, or exclude each other."""

from __future__ import annotations

import warnings
from numbers import Integral
from typing import TYPE_CHECKING, Any

from ..check import check_dropouts, check_graph, check_numbers, check_switch

if TYPE_CHECKING:
    from .graph_lstm import GraphLSTM


def check_options(layer: GraphLSTM, common: bool) -> None:
    """Raise where numbers make no sense or options exclude each other.

    Args:
        layer: Before it has parameters, so also before its ``common`` part.
        common: Whether it is to have one.
    """
    check_graph(layer.graph)
    check_switch("bidirectional", layer.bidirectional)
    if layer.graph.edge_weight is not None:
        warnings.warn(
            "the graph's edge_weight is not used: layers learn weights of their own, and "
            "graph.with_weight(None) is the same graph without",
            stacklevel=3,
        )
    if layer.exchange == "cascade":
        layer.graph.generations()
    numbers = ("input_size", "hidden_size", "num_layers", "heads", "score_channels")
    check_numbers(**{name: getattr(layer, name) for name in numbers})
    rates = ("dropout", "message_dropout", "attention_dropout")
    check_dropouts(**{name: getattr(layer, name) for name in rates})
    _check_own_rank(layer.own_rank, common)
    if layer.num_neighbors is not None:
        _check_sample(layer)
    if layer.memory != "current":
        _check_mailbox(layer)
    if layer.owned and layer.score in ("static", "uniform"):
        raise ValueError(
            f'score_owner="receiver" is for scores with weights; each edge of {layer.score!r} '
            "scores has a logit of its own, or none"
        )
    if layer.owned and layer.exchange == "mutual" and layer.kernel == "fused":
        raise ValueError(
            'kernel="fused" cannot serve this layer: score_owner="receiver" in a mutual exchange'
        )
    if layer.foreign:
        _check_foreign(layer)


def _check_own_rank(rank: Any, common: bool) -> None:
    if rank is None:
        return
    if isinstance(rank, bool) or not isinstance(rank, Integral) or rank < 0:
        raise ValueError(f"expected own_rank to be an integer of at least 0, got {rank!r}")
    if not common:
        raise ValueError("own_rank is of what a task has beside the common part: common=True")


def _check_sample(layer: GraphLSTM) -> None:
    check_numbers(num_neighbors=layer.num_neighbors)
    if layer.exchange != "read":
        raise ValueError(
            'num_neighbors goes with exchange="read", whose senders run for those alone who hear '
            f"them, got {layer.exchange!r}"
        )


def _check_foreign(layer: GraphLSTM) -> None:
    if layer.detach and layer.exchange == "mutual":
        raise ValueError("a conv cannot detach senders that are receivers as well: detach=False")
    if layer.kernel == "fused":
        raise ValueError('kernel="fused" cannot serve this layer: a conv')
    of_scores = {
        "score": layer.score != "additive",
        "heads": layer.heads != 1,
        "score_owner": layer.owned,
        "score_channels": layer.score_channels != layer.hidden_size,
        "attention_dropout": layer.attention_dropout != 0,
    }
    said = [name for name, given in of_scores.items() if given]
    if said:
        raise ValueError(f"a conv sends what it likes: it goes without {said}")


def _check_mailbox(layer: GraphLSTM) -> None:
    if layer.exchange != "read":
        raise ValueError(
            f'memory={layer.memory!r} goes with exchange="read", whose senders run before those '
            f"who read them, got {layer.exchange!r}"
        )
    if layer.foreign:
        raise ValueError(f"memory={layer.memory!r} is read by attention: it takes no conv")
    if layer.score == "static":
        raise ValueError("static scores belong to edges; a mailbox has positions, not edges")
