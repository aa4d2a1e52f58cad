"""Early errors of layers over task graphs."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import torch
from torch import Tensor

from ..graph import TaskGraph
from ..graph_check import is_integer


def check_option(name: str, value: str, allowed: tuple[str, ...]) -> None:
    """Raise where an option is none of the allowed ones."""
    if value not in allowed:
        raise ValueError(f"expected {name} to be one of {allowed}, got {value!r}")


def check_graph(graph: TaskGraph) -> None:
    """Raise where a graph is none."""
    if not isinstance(graph, TaskGraph):
        raise ValueError(
            f"expected a TaskGraph, got a {type(graph).__name__}: TaskGraph.from_edges and "
            "from_networkx make one"
        )


def task_graph(module: object) -> TaskGraph:
    """The graph of a layer or model.

    Raises:
        ValueError: If it has none.
    """
    graph = getattr(module, "graph", None)
    if not isinstance(graph, TaskGraph):
        raise ValueError(f"expected a module with a TaskGraph as its graph, got {graph!r}")
    return graph


def check_numbers(**numbers: Any) -> None:
    """Raise where one is no integer, or less than 1."""
    for name, value in numbers.items():
        if not isinstance(value, Integral) or value < 1:
            raise ValueError(f"expected {name} to be an integer of at least 1, got {value!r}")


def check_dropouts(**rates: float) -> None:
    """Raise where a dropout is no probability below 1."""
    for name, value in rates.items():
        if not 0 <= value < 1:
            raise ValueError(f"expected {name} in [0, 1), got {value}")


def check_tensor(name: str, value: Any) -> None:
    """Raise where a value is no tensor."""
    if not isinstance(value, Tensor):
        raise ValueError(f"expected {name} as a tensor, got {value!r:.60}")


def check_lengths(lengths: Tensor, batch: int, steps: int) -> None:
    """Raise where lengths are no integers ``[batch]``, or, on the CPU, not in 1…steps."""
    _check_shape("lengths", lengths, batch)
    if lengths.device.type != "cpu":
        return
    wrong = (lengths < 1) | (lengths > steps)
    if bool(wrong.any()):
        raise ValueError(f"expected lengths in 1…{steps}, got {lengths[wrong][:5].tolist()}")


def check_switch(name: str, value: bool) -> None:
    """Raise where a value is neither true nor false: a number of directions, say."""
    if value not in (False, True):
        raise ValueError(f"expected {name} to be True or False, got {value!r}")


def check_state_kind(state: object, kind: type) -> None:
    """Raise where a state is that of another layer."""
    if not isinstance(state, kind):
        raise ValueError(
            f"expected a {kind.__name__}, as an earlier call returns, got a {type(state).__name__}"
        )


def check_input(
    x: Tensor, lengths: Tensor | None, task: Tensor | None, graph: TaskGraph, input_size: int
) -> list[int]:
    """Raise where an input does not fit; else return the lengths."""
    nodes = graph.num_nodes
    if x.dim() not in (3, 4) or x.size(-1) != input_size or 0 in x.shape[:2]:
        raise ValueError(
            f"expected x of shape [B, T, {input_size}] or "
            f"[B, T, {nodes}, {input_size}], B and T at least 1, got {list(x.shape)}"
        )
    if not x.is_floating_point():
        raise ValueError(
            f"expected x of a floating type, got {x.dtype}: embed numbers of words first"
        )
    if x.dim() == 4 and x.size(2) != nodes:
        raise ValueError(f"expected one input for each of {nodes} nodes, got {x.size(2)}")
    batch, steps = x.shape[:2]
    check_tasks(task, batch, graph.num_tasks)
    if lengths is None:
        return [steps] * batch
    return _check_integers("lengths", lengths, batch, 1, steps)


def whole_numbers(values: Tensor) -> Tensor:
    """Integers of any type as int64: in eight bits they are masks to PyTorch, or run over.

    What is none (booleans, floats) stays, for a check to refuse.
    """
    return values.long() if is_integer(values) else values


def check_tasks(task: Tensor | None, batch: int, num_tasks: int) -> None:
    """Raise where tasks are neither one of each sequence nor several of each, as booleans.

    Raises:
        ValueError: For another shape or type, a number out of range, or a sequence without a task.
    """
    if task is None:
        return
    if not isinstance(task, Tensor) or task.dtype != torch.bool:
        _check_integers("tasks", task, batch, 0, num_tasks - 1)
        return
    if task.shape != (batch, num_tasks):
        raise ValueError(
            f"expected tasks of each sequence as booleans [{batch}, {num_tasks}], "
            f"got {list(task.shape)}"
        )
    idle = (~task.any(1)).nonzero().flatten().tolist()
    if idle:
        raise ValueError(f"expected at least one task of each sequence, {idle[:5]} have none")


def _check_shape(name: str, values: Tensor, size: int) -> None:
    if not isinstance(values, Tensor):
        raise ValueError(f"expected {name} as a tensor of shape [{size}], got {values!r:.60}")
    if values.shape != (size,) or not is_integer(values):
        raise ValueError(
            f"expected integer {name} of shape [{size}], got {values.dtype} of shape "
            f"{list(values.shape)}"
        )


def _check_integers(name: str, values: Tensor, size: int, low: int, high: int) -> list[int]:
    _check_shape(name, values, size)
    if not size:
        raise ValueError(f"expected {name} of at least one sequence, got {values!r}")
    numbers = values.tolist()
    if min(numbers) < low or max(numbers) > high:
        wrong = [number for number in numbers if not low <= number <= high]
        raise ValueError(f"expected {name} in {low}…{high}, got {wrong[:5]}")
    return numbers
