"""Encoders by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from ..graph import TaskGraph, Tasks, task_names
from .complete import CompleteGraphLSTM
from .graph_lstm import GraphLSTM
from .shared import SharedLSTM
from .star import StarGraphLSTM


def build_encoder(
    name: str, input_size: int, hidden_size: int, tasks: Tasks, **options: Any
) -> nn.Module:
    """Build an encoder from its name.

    Args:
        name: ``"single"``: an LSTM of its own for each task (:class:`GraphLSTM` without edges);
            ``"shared"``: one for all (:class:`SharedLSTM`); ``"complete"``
            (:class:`CompleteGraphLSTM`); ``"star"`` (:class:`StarGraphLSTM`); ``"graph"``: a
            :class:`GraphLSTM` over the option ``graph``, a :class:`mtgnn.TaskGraph`.
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
    try:
        return _BUILDERS[name](input_size, hidden_size, task_names(tasks), **options)
    except TypeError as error:  # an option that the class does not know
        raise ValueError(f"cannot build encoder {name!r}: {error}") from error


def _single(input_size: int, hidden_size: int, tasks: Tasks, **options: Any) -> nn.Module:
    return GraphLSTM(input_size, hidden_size, TaskGraph.isolated(tasks), **options)


def _graph(
    input_size: int,
    hidden_size: int,
    tasks: Tasks,
    graph: TaskGraph | None = None,
    **options: Any,
) -> nn.Module:
    if graph is None or graph.tasks != tasks:
        raise ValueError(f'encoder "graph" needs a graph of tasks {tasks}, got {graph}')
    return GraphLSTM(input_size, hidden_size, graph, **options)


_BUILDERS: dict[str, Callable[..., nn.Module]] = {
    "single": _single,
    "shared": SharedLSTM,
    "complete": CompleteGraphLSTM,
    "star": StarGraphLSTM,
    "graph": _graph,
}
