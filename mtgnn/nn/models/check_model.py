"""Early errors of whole models."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from ...data import NO_LABEL
from ...data.text_check import check_several, check_text
from ...graph import TaskGraph
from ..check import whole_numbers
from ..tasks import has_one_task


def check_kind(value: object, kind: type) -> None:
    """Raise where a value is of another class."""
    if not isinstance(value, kind):
        raise ValueError(f"expected a {kind.__name__}, got {value!r:.60}")


def check_encoder(encoder: nn.Module, tasks: tuple[str, ...], input_size: int) -> None:
    """Raise where an encoder does not fit."""
    graph = getattr(encoder, "graph", None)
    if not isinstance(graph, TaskGraph) or not hasattr(encoder, "output_size"):
        raise ValueError(
            "expected an encoder with a TaskGraph as its graph and an output_size, "
            f"got {type(encoder).__name__}"
        )
    if graph.tasks != tasks:
        raise ValueError(f"expected an encoder of tasks {tasks}, as in classes, got {graph.tasks}")
    size = getattr(encoder, "input_size", input_size)
    if size != input_size:
        raise ValueError(
            f"expected an encoder of input_size {input_size}, the embedding_size, got {size}"
        )


def check_texts(texts: Iterable[str]) -> list[str]:
    """All texts; raise where one string stands for several, or a text is no string."""
    check_several(texts)
    every = list(texts)
    for text in every:
        check_text(text)
    return every


def check_task_name(task: str, tasks: Sequence[str]) -> None:
    """Raise where there is no such task."""
    if task not in tasks:
        raise ValueError(f"expected a task among {list(tasks)}, got {task!r}")


def check_no_nan(logits: Tensor) -> None:
    """Raise where a model that is to predict computes NaN: a label would come out all the same."""
    if bool(logits.isnan().any()):
        raise ValueError("the model computes NaN: its parameters are not finite")


@torch.compiler.disable  # looks at values
def check_tokens(tokens: Tensor, size: int) -> None:
    """Raise where tokens are of a wrong shape, or, on the CPU, out of the vocabulary."""
    if tokens.dim() != 2 or tokens.is_floating_point():
        raise ValueError(
            f"expected integer tokens of shape [B, T], got {tokens.dtype} of {list(tokens.shape)}"
        )
    if tokens.device.type == "cpu" and tokens.numel():
        low, high = (int(end) for end in tokens.aminmax())
        if low < 0 or high >= size:
            raise ValueError(f"expected tokens in 0…{size - 1}, got {low}…{high}")


def check_labels(
    y: Tensor, task: Tensor | None, tasks: Sequence[str], num_classes: Sequence[int]
) -> None:
    """Raise where a label ``[B]`` or, of several tasks, ``[B, K]`` on the CPU is none of its task's
    classes, or of a task that its text does not have."""
    if y.is_floating_point():
        raise ValueError(
            f"expected labels y as integers, numbers of classes, got {y.dtype} (for regression put "
            "RegressionHeads on an encoder)"
        )
    y, task = whole_numbers(y), None if task is None else whole_numbers(task)
    number = task if has_one_task(task) else torch.arange(len(tasks)).expand_as(y)
    wrong = (y != NO_LABEL) & ((y < 0) | (y >= torch.tensor(num_classes)[number]))
    if wrong.any():
        k = int(number[wrong][0])
        raise ValueError(
            f"expected labels of task {tasks[k]!r} in 0…{num_classes[k] - 1}, "
            f"or {NO_LABEL} for none, got {int(y[wrong][0])}"
        )
    if task is None or has_one_task(task):
        return
    stray = ((y != NO_LABEL) & ~task).any(1).nonzero().flatten().tolist()
    if stray:
        raise ValueError(
            f"expected labels for the tasks of each text alone, got others in texts {stray[:5]}"
        )
