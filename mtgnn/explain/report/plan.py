"""What a report shows of a model; and the checks of what is asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from ...graph import TaskGraph
from ...nn import GraphLSTM
from ...nn.check import check_option
from ...nn.graph_lstm.mailbox import mixes_senders
from ..readouts.collect import mailbox_shares
from ..readouts.readout import Batch, check_batches, edges_into, find_encoder

CLUSTER_BY = ("profile", "ablation", "attention", "gradient")


class ReportPlan(NamedTuple):
    """What a report shows of a model.

    Attributes:
        encoder: Whose edges are weighed.
        kinds: The ways to weigh them.
        asked: Names of the receivers that are asked for.
        only: The same as an argument of the readouts, where not all tasks are asked for.
        edges: Positions of the edges into these.
        cluster_by: The weights that the clusters come from; none where not all tasks are asked for.
        mailbox: Whether whole texts are read, and not word by word.
    """

    encoder: GraphLSTM
    kinds: list[str]
    asked: list[str]
    only: Sequence[str] | None
    edges: Tensor
    cluster_by: str | None
    mailbox: bool

    @property
    def graph(self) -> TaskGraph:
        """The model's task graph."""
        return self.encoder.graph


def plan_report(
    model: Any, truth: TaskGraph | None, tasks: Sequence[str] | None, cluster_by: str | None
) -> ReportPlan:
    """Check a model and what is asked for, see :func:`report`."""
    if cluster_by is not None:
        check_option("cluster_by", cluster_by, CLUSTER_BY)
    _check_model(model)
    encoder = find_encoder(model)
    graph, kinds = encoder.graph, _kinds(encoder)
    edges = edges_into(graph, tasks)
    if truth is not None:
        _check_truth(truth, graph)
    if tasks is not None:
        if cluster_by is not None:
            raise ValueError(f"expected no cluster_by with tasks=[…], got {cluster_by!r}")
        kinds = [kind for kind in kinds if kind != "profile"]  # it takes all edges
    elif cluster_by is None:
        cluster_by = next(name for name in CLUSTER_BY if name in kinds)
    elif cluster_by not in kinds:
        raise ValueError(f"expected cluster_by among {kinds} of this model, got {cluster_by!r}")
    asked = [task for task in graph.tasks if tasks is None or task in tasks]
    return ReportPlan(encoder, kinds, asked, tasks, edges, cluster_by, _reads_texts(encoder))


def check_loader(batches: Iterable[Batch]) -> None:
    """Raise for what cannot be read more than once, or holds no sequences."""
    if isinstance(batches, Iterator):
        raise ValueError("batches are read more than once: expected a loader, got an iterator")
    check_batches(batches)


def check_path(path: Path) -> None:
    """Raise where no page can be written: at once, and not after all has been computed."""
    if not path.parent.is_dir():
        raise ValueError(f"expected path in a folder that exists, got {str(path)!r}")
    if path.is_dir():
        raise ValueError(f"expected path of a file, got the folder {str(path)!r}")


def _reads_texts(encoder: GraphLSTM) -> bool:
    return encoder.memory != "current"


def _kinds(encoder: GraphLSTM) -> list[str]:
    """The ways to weigh this encoder's edges."""
    mailbox = _reads_texts(encoder)
    weighed = not mailbox or mailbox_shares(encoder) is not None
    kinds = ["attention", "ablation"] if weighed else ["ablation"]
    if mixes_senders(encoder) or (not mailbox and encoder.score != "uniform"):
        kinds.append("gradient")
    if encoder.exchange == "read" and _is_complete(encoder.graph):  # else it takes a run an edge
        kinds.append("profile")
    return kinds


def _is_complete(graph: TaskGraph) -> bool:
    """Whether there are the edges between any two of four tasks or more, and no others."""
    every = TaskGraph.complete(graph.tasks).edges
    return graph.num_tasks > 3 and sorted(graph.edges) == sorted(every)


def _check_model(model: Any) -> None:
    """Raise for what has no words and labels, such as an encoder alone."""
    if not hasattr(model, "encoder") or not (
        hasattr(model, "vocabulary") or hasattr(model, "sentences")
    ):
        raise ValueError(f"expected a MultiTaskModel or a TaggingModel, got {type(model).__name__}")


def _check_truth(truth: TaskGraph, graph: TaskGraph) -> None:
    """Raise where a true graph is of other tasks, or has edges that a model without virtual nodes
    cannot have."""
    if truth.tasks != graph.tasks:
        raise ValueError(f"expected truth of the tasks {graph.tasks}, got {truth.tasks}")
    more = sorted(set(truth.edges) - set(graph.edges))
    if more and not graph.virtual:
        raise ValueError(f"truth has edges that the model's graph has not: {more[:5]}")
