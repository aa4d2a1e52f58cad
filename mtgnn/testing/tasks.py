"""Which task is which."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from ..graph import Tasks, task_names
from ..nn import GraphLSTM, TaskAttentionConv
from ..nn.check import task_graph
from ..nn.tasks import has_one_task
from .calling import outputs, require, same
from .drawing import randomise


def assert_task_permutation_equivariant(
    make: Callable[[Sequence[str]], nn.Module],
    tasks: Tasks,
    x: Tensor,
    lengths: Tensor | None = None,
    task: Tensor | None = None,
    *,
    permutation: Sequence[int] | None = None,
) -> None:
    """Listing the tasks in another order, each with its parameters, gives the same results.

    Args:
        make: Builds the layer for task names in a given order. Its parameters must be named by
            task, as those of this library are; logits of edges follow these.
        tasks: Task names, or their number; at least 2.
        x: ``[B, T, E]`` or ``[B, T, N, E]``.
        lengths: ``[B]``.
        task: ``[B]``, numbers in the order of ``tasks``, or boolean ``[B, K]``; all tasks at once
            are looked at too.
        permutation: The new order as positions in the old; by default the last task comes first.

    Raises:
        AssertionError: If the order of the tasks matters.
        ValueError: If there are fewer than 2 tasks, or the permutation changes nothing.

    Example:
        >>> from mtgnn.nn import StarGraphLSTM
        >>> from mtgnn.testing import random_batch
        >>> make = lambda tasks: StarGraphLSTM(3, 4, tasks)
        >>> assert_task_permutation_equivariant(make, ["a", "b"], *random_batch(3, 2))
    """
    names = task_names(tasks)
    order = list(permutation or [len(names) - 1, *range(len(names) - 1)])
    if sorted(order) != list(range(len(names))) or order == sorted(order):
        raise ValueError(f"expected a new order of {len(names)} tasks, got {order}")
    old, new = randomise(make(names)), make([names[k] for k in order])
    parameter = next(old.parameters())
    new.to(parameter.device, parameter.dtype).load_state_dict(_by_edge(old, new))
    nodes = [task_graph(old).index(name) for name in task_graph(new).nodes]
    moved = x if x.dim() == 3 else x[:, :, nodes]
    every = outputs(old, x, lengths, None)
    same(outputs(new, moved, lengths, None), every[:, :, order], "the order of the tasks matters")
    if task is not None and not has_one_task(task):
        some = outputs(old, x, lengths, task)[:, :, order]
        found = outputs(new, moved, lengths, task[:, order])
        same(found, some, "the order of the tasks matters")
    elif task is not None:
        there = torch.tensor([order.index(k) for k in task.tolist()], device=task.device)
        expected = outputs(old, x, lengths, task)
        same(outputs(new, moved, lengths, there), expected, "the order of the tasks matters")


def assert_all_tasks_equal_single(
    layer: nn.Module, x: Tensor, lengths: Tensor | None = None
) -> None:
    """With ``task=None``, the states of every task are those that this task alone would get.

    Args:
        layer: The layer.
        x: ``[B, T, E]`` or ``[B, T, N, E]``.
        lengths: ``[B]``.

    Raises:
        AssertionError: If ``all[b, :, k]`` is not the result for task k.
    """
    every = outputs(layer, x, lengths, None)
    graph = task_graph(layer)
    require(
        every.dim() == 4 and every.size(2) == graph.num_tasks,
        f"expected states [B, T, {graph.num_tasks}, H] of all tasks, got {list(every.shape)}",
    )
    for k, name in enumerate(graph.tasks):
        single = outputs(layer, x, lengths, torch.full((x.size(0),), k, device=x.device))
        same(every[:, :, k], single, f"task {name!r} differs among all tasks")


def assert_some_tasks_equal_all(
    layer: nn.Module, x: Tensor, lengths: Tensor | None = None, wanted: Tensor | None = None
) -> None:
    """Where only some tasks of a sequence are asked for, their states are those among all tasks.

    Args:
        layer: The layer.
        x: ``[B, T, E]`` or ``[B, T, N, E]``.
        lengths: ``[B]``.
        wanted: ``[B, K]``, boolean, at least one task of each sequence; by default one, two, …, K
            tasks, and from the start again.

    Raises:
        AssertionError: If a state differs, or one that was not asked for is not zero.
        ValueError: If all tasks are asked for, or none of a sequence.
    """
    tasks = torch.arange(task_graph(layer).num_tasks)
    if wanted is None:
        row = torch.arange(x.size(0))[:, None]
        wanted = (tasks - row) % len(tasks) <= row % len(tasks)
    if bool(wanted.all()) or not bool(wanted.any(1).all()):
        raise ValueError(f"expected some tasks of each sequence, and not all, got {wanted}")
    every = outputs(layer, x, lengths, None)
    expected = every.masked_fill(~wanted.to(every.device)[:, None, :, None], 0)
    got = outputs(layer, x, lengths, wanted)
    require(not bool(got[expected == 0].any()), "a task that is not asked for has states")
    same(got, expected, "a task differs where others are not asked for")


def _by_edge(old: nn.Module, new: nn.Module) -> dict[str, Tensor]:
    """The parameters of ``old`` for ``new``: static logits put into the order of its edges."""
    parameters = dict(old.state_dict())
    number = {edge: i for i, edge in enumerate(task_graph(old).edges)}
    order = [number[edge] for edge in task_graph(new).edges]
    for name, module in old.named_modules():
        if isinstance(module, TaskAttentionConv) and module.logit is not None:
            parameters[f"{name}.logit"] = parameters[f"{name}.logit"][order]
        if isinstance(module, GraphLSTM):
            for key in module.edge_logits:
                path = ".".join([*([name] if name else []), "edge_logits", key])
                parameters[path] = parameters[path][order]
    return parameters
