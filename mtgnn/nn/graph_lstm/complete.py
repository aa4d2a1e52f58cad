from typing import Any

from ...graph import TaskGraph, Tasks
from .graph_lstm import GraphLSTM


class CompleteGraphLSTM(GraphLSTM):
    """The complete graph (CG-MTL) of `"Multi-task Learning over Graph Structures"
    <https://arxiv.org/abs/1811.10211>`_: every task may listen to every other.

    Args:
        input_size: Size E of an input.
        hidden_size: Size H of a state.
        num_tasks: Number of tasks, or their names.
        exchange: ``"read"`` (the paper's figure, and cheap) or ``"mutual"``.
        **kwargs: See :class:`GraphLSTM`; with ``memory="all"`` a task reads the others' whole
            sequences, as the star does.

    Shapes: As in :class:`GraphLSTM`.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_tasks: Tasks,
        exchange: str = "read",
        **kwargs: Any,
    ) -> None:
        super().__init__(input_size, hidden_size, TaskGraph.complete(num_tasks), exchange, **kwargs)
