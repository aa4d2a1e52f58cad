from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..graph import TaskGraph, Tasks
from ..ops import attend
from ..ops.recurrence import Channel
from .channel import stage_scores
from .graph_lstm import GraphLSTM, GraphState
from .plan import Stage

MEMORIES = ("all", "past", "current")


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
        with ``task=None``. With ``memory="current"`` it is as in :class:`GraphLSTM`.

    Raises:
        ValueError: For an unknown memory, or static scores (positions have no fixed edge).
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
        if memory not in MEMORIES:
            raise ValueError(f"expected memory to be one of {MEMORIES}, got {memory!r}")
        if kwargs.get("score") == "static":
            raise ValueError("static scores belong to edges; a mailbox has positions, not edges")
        for name in ("conv", "exchange"):
            if name in kwargs:
                raise ValueError(f"the star's communication is its mailbox: it takes no {name}")
        graph = TaskGraph.flat(num_tasks, virtual)
        super().__init__(input_size, hidden_size, graph, "read", **kwargs)
        self.memory = memory

    def _check_state(self, state: GraphState | None, plan: Any) -> None:
        if state is not None and self.memory != "current":
            raise ValueError(f"memory={self.memory!r} takes no state; memory='current' streams")
        super()._check_state(state, plan)

    def channel(self, run: Any, stage: Stage, memory: Tensor, words: Tensor, mutual: bool) -> Any:
        """The mailbox: every step of the virtual node's states."""
        if self.memory == "current":
            return super().channel(run, stage, memory, words, mutual)
        return self._mailbox(run, stage, memory, words)

    def _mailbox(self, run: Any, stage: Stage, memory: Tensor, words: Tensor) -> Channel:
        assert stage.senders is not None
        scores = stage_scores(self, run.key, stage)
        values = memory[stage.senders[..., 0]]  # [R, M, T, H]
        keys = scores.project_senders(values.flatten(1, 2))
        keys = None if keys is None else keys.unflatten(1, values.shape[1:3])
        context = scores.project_context(words.permute(2, 0, 1, 3))
        real = run.real[stage.sequence]  # [R, M, T]
        dropout = self._attention_dropout if self.training else 0.0

        def step(t: int, h: Tensor) -> tuple[Tensor, Tensor]:
            end = t + 1 if self.memory == "past" else values.size(2)
            word = None if context is None else context[t if context.size(0) > 1 else 0]
            query = scores.project_query(h, word)
            key = None if keys is None else keys[:, :, :end]
            message, beta = attend(
                scores, query, key, values[:, :, :end], real[..., :end], None, dropout
            )
            missing = values.size(2) - end
            return message, torch.nn.functional.pad(beta, (0, 0, 0, missing))

        return step

    def attention(self, run: Any, plan: Any) -> Tensor:
        """Mailbox weights: ``[B, T, T, P]``, with all tasks ``[B, K, T, T, P]``."""
        if self.memory == "current":
            return super().attention(run, plan)
        ((stage, weights),) = run.weights
        weights = weights.permute(1, 2, 0, 3, 4).flatten(0, 1)  # [R·M, T, T, P]
        beta = weights[plan.answer - stage.offset]
        every = beta.dim() == 5
        real = run.real[:, None] if every else run.real
        beta = beta.masked_fill(~real[..., None, None], 0.0)
        steps = 2 if every else 1
        return run.in_order(run.in_order(beta, steps), steps + 1)

    @property
    def _attention_dropout(self) -> float:
        return next(iter(next(iter(self.convs.values())).values())).dropout
