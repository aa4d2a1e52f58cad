"""What a report's page shows of weighted graphs."""

from __future__ import annotations

from contextlib import suppress
from math import isnan
from typing import Any

import torch
from torch import Tensor

from ...graph import TaskGraph
from ..edges.effects import EdgeEffects, edge_errors
from ..graphs.agreement import graph_agreement
from ..graphs.clusters import task_clusters, task_embedding
from ..graphs.recovery import graph_recovery
from ..readouts.readout import equal_shares
from .shown import rounded

WIDTH = "the thinner, the closer to it, and at full width from twice as much."
ABOUT = {
    "shares": "The share of each sender in what a task reads: one learned number an edge, the same "
    "at all words. The circle shows the edges whose share is larger than an equal one would be: "
    + WIDTH,
    "attention": "Mean attention weight at the words of a task's own sentences. The circle shows "
    "the edges that weigh more than equal attention would: " + WIDTH,
    "ablation": "How much the loss of the receiver rises when the edge is cut: its other senders "
    "take its share, and where there is none, no message comes. The circle shows the edges where "
    "this is more than two standard errors, the thicker the farther beyond.",
    "gradient": "The rise of the loss when the edge is cut, to first order: the gradient of the "
    "loss along the change of the message. The circle shows more than two standard errors, the "
    "thicker the farther beyond.",
    "profile": "How alike the relations of two tasks to all tasks are, by attention and by what an "
    "edge does alone: a correlation, without a direction. Single edges are uncertain, and who "
    "belongs together is seen here best. The circle shows what is above 0.",
}
UNITS = {
    "attention": "weight",
    "ablation": "rise of the loss",
    "gradient": "rise of the loss",
    "profile": "correlation",
}


def shown_readout(
    name: str,
    graph: TaskGraph,
    effects: EdgeEffects | None,
    truth: TaskGraph | None,
    mailbox: bool,
) -> dict[str, Any]:
    """A way to weigh the edges, and above which bar an edge is drawn."""
    assert graph.edge_weight is not None
    about = ABOUT["shares" if name == "attention" and mailbox else name]
    error = None
    if name == "profile":
        bar = torch.zeros_like(graph.edge_weight)
    elif effects is None:
        bar = equal_shares(graph)
        bar = torch.where(bar == 1, 0, bar)  # the only sender has all the weight
    else:
        error = edge_errors(effects)
        bar = 2 * error  # unknown of a single sequence: then no edge is drawn
    about += _recovered(graph, truth)
    return {
        "key": name,
        "name": name,
        "about": about,
        "unit": UNITS[name],
        "weight": rounded(graph.edge_weight),
        "error": None if error is None else _known(error),
        "bar": _known(bar),
        "signed": name != "attention",
        "most": 1 if name == "profile" else None,  # a correlation; others end at the largest
    }


def _recovered(graph: TaskGraph, truth: TaskGraph | None) -> str:
    """How well the weights tell the true edges, of those into receivers that are shown."""
    if truth is None:
        return ""
    shown = set(graph.edge_index[1].tolist())
    into = torch.tensor([k in shown for k in truth.edge_index[1].tolist()], dtype=torch.bool)
    truth = TaskGraph(truth.tasks, truth.edge_index[:, into])
    if not set(truth.edges) <= set(graph.edges):
        return ""
    with suppress(ValueError):  # all edges are true, or none is
        found = graph_recovery(graph, truth)
        return f" A true edge weighs more than another with probability {found.auroc:.2f}."
    return ""


def _known(values: Tensor) -> list[float | None]:
    """Errors, and bars that come from these: ``None`` where they are NaN, unknown."""
    return [None if isnan(value) else value for value in rounded(values)]


def shown_truth(graph: TaskGraph, truth: TaskGraph) -> dict[str, Any]:
    true = set(truth.edges)
    weight = [float(edge in true) for edge in graph.edges]
    about = "The true edges."
    named = {"key": "truth", "name": "truth", "about": about, "unit": "is there"}
    bar = [0.0] * len(weight)
    return {**named, "weight": weight, "error": None, "bar": bar, "signed": False, "most": 1}


def shown_agreements(weights: dict[str, TaskGraph]) -> list[dict[str, Any]]:
    """Each pair of readouts; where no receiver can be ranked, without numbers.

    Receivers of two senders are left out: their correlation is 1 or −1, whatever was learned.
    """
    if "attention" not in weights:
        return []
    names, found = list(weights), []
    graph = weights["attention"]
    pairs = {graph.nodes[k] for k in range(graph.num_nodes) if len(graph.incoming(k)) == 2}
    for i, first in enumerate(names):
        for second in names[i + 1 :]:
            row: dict[str, Any] = {"pair": f"{first} and {second}", "mean": None}
            row["why"] = "equal weights, or a single sender"
            with suppress(ValueError):  # as it says
                ranks = graph_agreement(weights[first], weights[second]).by_receiver
                row |= _without_pairs(ranks, pairs)
            found.append(row)
    return found


def _without_pairs(ranks: dict[str, float], pairs: set[str]) -> dict[str, Any]:
    left = {receiver: rank for receiver, rank in ranks.items() if receiver not in pairs}
    if not left:
        return {"why": "two senders"}
    values = torch.tensor(list(left.values()), dtype=torch.float64)
    spread = float(values.std()) if len(left) > 1 else None
    return {"mean": float(values.mean()), "spread": spread, "by_receiver": left}


def shown_map(graph: TaskGraph, name: str, num_clusters: int | None) -> dict[str, Any]:
    if graph.num_tasks < 3 or not (graph.edge_index < graph.num_tasks).all(0).any():
        return {"clusters": None}
    return {
        "clusters": task_clusters(graph, num_clusters),
        "clustered_by": name,
        "embedding": [rounded(place) for place in task_embedding(graph)],
    }
