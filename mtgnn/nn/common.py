"""What the nodes of a graph have in common, and what keeps them close to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from .graph_lstm import GraphLSTM


def own_losses(layer: GraphLSTM, task: Tensor | None, batch_size: int) -> Tensor:
    r"""For each sequence :math:`\tfrac{\lambda}{2}` times the squared size of what is own, ``[B]``.

    It counts the own part of the sequence's task, or, with all tasks, the mean over them; and that
    of every virtual node. A task without a sequence in the batch gets no gradient from it.
    """
    names = layer.graph.tasks
    of = list(range(len(names))) if task is None else sorted(set(task.tolist()))
    size = torch.stack([_squares(layer, names[k]) for k in of])
    if task is None:
        each = size.mean().expand(batch_size)
    else:
        row = {k: number for number, k in enumerate(of)}
        rows = torch.tensor([row[k] for k in task.tolist()])
        each = size[rows.to(size.device, non_blocking=True)]
    for name in layer.graph.virtual:
        each = each + _squares(layer, name)
    return 0.5 * layer.own_penalty * each


def _squares(layer: GraphLSTM, name: str) -> Tensor:
    parameters = layer.nodes[name].parameters()
    return torch.stack([parameter.square().sum() for parameter in parameters]).sum()
