from __future__ import annotations

from typing import Any

from ...graph import TaskGraph, Tasks
from .graph_lstm import GraphLSTM


class StarGraphLSTM(GraphLSTM):
    r"""The star graph (SG-MTL) of `"Multi-task Learning over Graph Structures"
    <https://arxiv.org/abs/1811.10211>`_: a virtual node shared by all tasks reads the sentence and
    keeps its states as a mailbox; at each step a task attends over the mailbox.

    .. math::
        \beta_{t,j} \propto \exp \mathrm{score}(\mathbf{h}_{k,t-1}, \mathbf{x}_t, \mathbf{s}_j),
        \quad \mathbf{r}_t = \sum_j \beta_{t,j} \mathbf{s}_j

    Only the virtual node and a sentence's own task run, so the cost of a sentence does not grow
    with the number of tasks. In a bidirectional layer each direction has a mailbox of its own.

    Args:
        input_size: Size E of an input.
        hidden_size: Size H of a state.
        num_tasks: Number of tasks, or their names.
        memory: Which positions j a step t may read: ``"all"`` real ones, ``"past"``
            (:math:`j \le t`) or ``"current"`` (:math:`j = t`; equals
            ``GraphLSTM(TaskGraph.flat(...), exchange="read")``).
        virtual: Name of the virtual node.
        **kwargs: See :class:`GraphLSTM`; no ``conv``, no ``exchange``.

    Shapes: As in :class:`GraphLSTM`; attention handed out is ``(edge_index, beta)`` with
        ``beta [B, T, T, P]`` (step, mailbox position) for a given task, ``[B, K, T, T, P]``
        of several. With ``memory="current"`` it is as in :class:`GraphLSTM`.

    Raises:
        ValueError: For an unknown memory, a ``conv`` or ``exchange``, or static scores of a mailbox
            (positions have no fixed edge).
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_tasks: Tasks,
        memory: str = "all",
        *,
        virtual: str = "shared",
        **kwargs: Any,
    ) -> None:
        for name in ("conv", "exchange"):
            if name in kwargs:
                raise ValueError(f"the star's communication is its mailbox: it takes no {name}")
        graph = TaskGraph.flat(num_tasks, virtual)
        super().__init__(input_size, hidden_size, graph, "read", memory=memory, **kwargs)
