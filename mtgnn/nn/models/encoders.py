"""Encoders by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from ...graph import TaskGraph, Tasks, task_names
from ..baselines import (
    AdversarialLSTM,
    CrossStitchLSTM,
    HierarchicalLSTM,
    MixtureOfExpertsLSTM,
    SharedLSTM,
    SharedPrivateLSTM,
)
from ..graph_lstm import CompleteGraphLSTM, GraphLSTM, StarGraphLSTM


def build_encoder(
    name: str, input_size: int, hidden_size: int, tasks: Tasks, **options: Any
) -> nn.Module:
    """Build an encoder from its name.

    ==================== =============================== ======================================
    name                 class                           what it is
    ==================== =============================== ======================================
    ``"single"``         :class:`GraphLSTM`              an LSTM of its own for each task
    ``"shared"``         :class:`SharedLSTM`             one LSTM for all tasks
    ``"shared_private"`` :class:`SharedPrivateLSTM`      both of these side by side
    ``"adversarial"``    :class:`AdversarialLSTM`        the same, trained against a discriminator
    ``"hierarchical"``   :class:`HierarchicalLSTM`       one stack; lower tasks leave it earlier
    ``"cross_stitch"``   :class:`CrossStitchLSTM`        linear combinations of the tasks' states
    ``"mixture"``        :class:`MixtureOfExpertsLSTM`   shared experts, a gate for each task
    ``"complete"``       :class:`CompleteGraphLSTM`      every task attends over every other
    ``"star"``           :class:`StarGraphLSTM`          tasks attend over a shared mailbox
    ``"graph"``          :class:`GraphLSTM`              any task graph
    ==================== =============================== ======================================

    ``"hierarchical"`` and ``"graph"`` need the option ``graph``, a :class:`mtgnn.TaskGraph`.

    Args:
        name: One of these.
        input_size: Size E of an input.
        hidden_size: Size H of a state.
        tasks: Task names, or their number.
        **options: Options of that class.

    Raises:
        ValueError: For an unknown name or option, or a graph that is missing or has other tasks.

    Example:
        >>> build_encoder("star", 8, 4, ["books", "dvd"], memory="past").graph.virtual
        ('shared',)
    """
    if name not in _BUILDERS:
        raise ValueError(f"expected an encoder among {list(_BUILDERS)}, got {name!r}")
    over: TaskGraph | tuple[str, ...] = task_names(tasks)
    if name in _OVER_GRAPHS:
        graph = options.pop("graph", None)
        if not isinstance(graph, TaskGraph) or graph.tasks != over:
            raise ValueError(f"encoder {name!r} needs a graph of tasks {over}, got {graph}")
        over = graph
    try:
        return _BUILDERS[name](input_size, hidden_size, over, **options)
    except TypeError as error:  # an option that the class does not know
        raise ValueError(f"cannot build encoder {name!r}: {error}") from error


def _single(input_size: int, hidden_size: int, tasks: Tasks, **options: Any) -> nn.Module:
    return GraphLSTM(input_size, hidden_size, TaskGraph.isolated(tasks), **options)


_BUILDERS: dict[str, Callable[..., nn.Module]] = {
    "single": _single,
    "shared": SharedLSTM,
    "shared_private": SharedPrivateLSTM,
    "adversarial": AdversarialLSTM,
    "hierarchical": HierarchicalLSTM,
    "cross_stitch": CrossStitchLSTM,
    "mixture": MixtureOfExpertsLSTM,
    "complete": CompleteGraphLSTM,
    "star": StarGraphLSTM,
    "graph": GraphLSTM,
}
_OVER_GRAPHS = ("hierarchical", "graph")  # not over tasks alone

_GRAPHS = ("complete", "star", "graph")
ADDITIONS = ("common", "concat_messages")
"""What whole models give these beyond the plain layer: without it, nodes learn their few texts by
heart before they listen to anybody, and a graph can fall behind one LSTM for all tasks."""


def with_additions(
    encoder: str | nn.Module, options: Mapping[str, Any] | None, wanted: bool = True
) -> Mapping[str, Any] | None:
    """An encoder's options with the ``ADDITIONS``, or explicitly without, unless they say so
    themselves; those of a module or another encoder than a graph as they are."""
    if encoder not in _GRAPHS:
        return options
    given = dict(options or {})
    return given | {name: wanted for name in ADDITIONS if name not in given}
