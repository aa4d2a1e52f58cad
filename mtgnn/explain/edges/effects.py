"""What edges do to the loss of each task, summed up batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ...graph import TaskGraph
from ...nn import is_labelled
from ..readouts.readout import Batch, arguments, edges_into, weighted

LossPerSample = Callable[[Any, Batch], Tensor]
"""From a model's answer and the batch to the loss of each sequence ``[B]``."""


class EdgeEffect(NamedTuple):
    """What cutting an edge does to its receiver.

    Attributes:
        sender: Name of the sender.
        receiver: Name of the receiver, which is a task.
        change: Mean rise of the receiver's loss.
        error: Standard error of that mean over sequences; NaN, unknown, where there is but one.
    """

    sender: str
    receiver: str
    change: float
    error: float


@dataclass(frozen=True)
class EdgeEffects:
    """How much the loss rises where an edge is cut.

    Attributes:
        graph: The task graph; an edge weighs the rise of its receiver's loss, an edge into a
            virtual node the mean rise over tasks. What helps weighs more than 0.
        loss: ``[K]``, mean loss of each task with all edges.
        change: ``[E, K]``, mean rise of each task's loss.
        error: ``[E, K]``, standard error of that mean over sequences; NaN, unknown, of tasks with
            fewer than two.
        count: ``[K]``, number of labelled sequences.
    """

    graph: TaskGraph
    loss: Tensor
    change: Tensor
    error: Tensor
    count: Tensor

    def top(self, number: int | None = None) -> list[EdgeEffect]:
        """The edges into tasks, those first that help their receiver most.

        Args:
            number: So many; by default all.

        Example:
            >>> import torch
            >>> graph = TaskGraph.from_edges([("a", "b"), ("b", "a")])
            >>> change = torch.tensor([[0.0, 0.3], [0.1, 0.0]])
            >>> loss, error, count = torch.ones(2), torch.zeros(2, 2), torch.ones(2)
            >>> effects = EdgeEffects(graph, loss, change, error, count)
            >>> [(e.sender, e.receiver, round(e.change, 2)) for e in effects.top()]
            [('a', 'b', 0.3), ('b', 'a', 0.1)]
        """
        found = [
            EdgeEffect(*names, float(self.change[edge, k]), float(self.error[edge, k]))
            for edge, names in enumerate(self.graph.edges)
            if (k := int(self.graph.edge_index[1, edge])) < self.graph.num_tasks
        ]
        return sorted(found, key=lambda effect: -effect.change)[:number]


class EffectSums:
    """Sums for :class:`EdgeEffects`, of the edges into some tasks, by default of all edges.

    Raises:
        ValueError: If one of ``tasks`` listens to nobody.
    """

    def __init__(self, graph: TaskGraph, tasks: Sequence[str] | None = None) -> None:
        self.graph, self.edges = graph, edges_into(graph, tasks)
        self._loss, self._count = torch.zeros(2, graph.num_tasks, dtype=torch.float64)
        size = (2, graph.num_edges, graph.num_tasks)
        self._first, self._second = torch.zeros(size, dtype=torch.float64)

    def add_loss(self, losses: Tensor, task: Tensor) -> None:
        """Losses ``[n]`` of sequences of the tasks ``[n]``."""
        self._loss.index_add_(0, task, losses.double())
        self._count.index_add_(0, task, torch.ones_like(task).double())

    def add_change(self, change: Tensor, edge: Tensor, task: Tensor) -> None:
        """By how much cutting the edges ``[n]`` raises the losses of sequences: ``[n]``."""
        self._first.index_put_((edge, task), change.double(), accumulate=True)
        self._second.index_put_((edge, task), change.double() ** 2, accumulate=True)

    def compute(self) -> EdgeEffects:
        """Means and standard errors.

        Raises:
            ValueError: If a task that receives and is asked for has no labelled sequence.
        """
        receiver = self.graph.edge_index[1, self.edges]
        own = receiver[receiver < self.graph.num_tasks].unique()
        missing = [self.graph.tasks[int(k)] for k in own if self._count[k] == 0]
        if missing or not self._count.any():
            raise ValueError(
                f"no labelled sequence belongs to {missing or list(self.graph.tasks)}; tasks=[…] "
                "asks for some tasks alone"
            )
        count = self._count.clamp(min=1)
        change = self._first[self.edges] / count
        spread = (self._second[self.edges] / count - change**2).clamp(min=0)
        error = (spread / (count - 1)).sqrt().masked_fill(self._count < 2, torch.nan)
        tasks = self._count > 0
        at_receiver = change.gather(1, receiver.clamp(max=self.graph.num_tasks - 1).unsqueeze(1))
        virtual = receiver >= self.graph.num_tasks
        weight = torch.where(virtual, change[:, tasks].mean(1), at_receiver.squeeze(1))
        graph = weighted(self.graph, self.edges, weight.float())
        return EdgeEffects(graph, self._loss / count, change, error, self._count.long())


def edge_errors(effects: EdgeEffects) -> Tensor:
    """Standard errors of the graph's weights ``[E]``, NaN where they are unknown."""
    graph, tasks = effects.graph, effects.count > 0
    receiver = graph.edge_index[1]
    own = effects.error.gather(1, receiver.clamp(max=graph.num_tasks - 1).unsqueeze(1)).squeeze(1)
    # Of a mean over tasks, whose sequences are others.
    mean = effects.error[:, tasks].square().sum(1).sqrt() / tasks.sum()
    return torch.where(receiver >= graph.num_tasks, mean, own)


def find_loss(model: Any, loss: LossPerSample | None) -> LossPerSample:
    """The given loss, or the model's own; it raises where a loss is not one number a sequence.

    Raises:
        ValueError: If there is neither.
    """
    found = loss or getattr(model, "loss_per_sample", None)
    if found is None:
        raise ValueError(f"{type(model).__name__} has no loss_per_sample: give a loss")

    def measure(answer: Any, batch: Batch) -> Tensor:
        losses = found(answer, batch)
        got = list(losses.shape) if isinstance(losses, Tensor) else type(losses).__name__
        if got != (expected := list(batch.lengths.shape)):
            raise ValueError(f"expected a loss of each sequence {expected}, got {got}")
        return losses

    return measure


def labelled(batch: Batch) -> tuple[Tensor, Tensor]:
    """Rows with a label, or with labelled words, and their tasks, on the CPU."""
    task = arguments(batch)[-1].cpu()
    there = is_labelled(batch.y).cpu()
    rows = there.view(len(there), -1).any(1).nonzero().flatten()
    return rows, task[rows]
