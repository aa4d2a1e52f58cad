from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..graph import TaskGraph, Tasks
from ..ops import Channel, Mailbox, ScoreWeights, Talk, Words
from .check import check_option
from .graph_lstm import GraphLSTM
from .mailbox import by_length, by_mailbox, mailbox, mailbox_channel, open_mailboxes
from .plan import Plan, Stage
from .run import Run
from .state import GraphState
from .talks import dropout_of, scored

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
        check_option("memory", memory, MEMORIES)
        if kwargs.get("score") == "static":
            raise ValueError("static scores belong to edges; a mailbox has positions, not edges")
        for name in ("conv", "exchange"):
            if name in kwargs:
                raise ValueError(f"the star's communication is its mailbox: it takes no {name}")
        graph = TaskGraph.flat(num_tasks, virtual)
        super().__init__(input_size, hidden_size, graph, "read", **kwargs)
        self.memory = memory

    def check_state(self, state: GraphState, plan: Plan, batch_size: int) -> None:
        """Raise where a state makes no sense here."""
        if self.memory == "all":
            raise ValueError('memory="all" reads the whole sentence first: it takes no state')
        super().check_state(state, plan, batch_size)
        if self.memory == "past" and (state.mailbox is None or state.mailbox_mask is None):
            raise ValueError('memory="past" goes on from a state with a mailbox, got one without')

    def extra_repr(self) -> str:
        """What stands in the representation after the graph."""
        return f"{super().extra_repr()}, memory={self.memory!r}"

    def talk(self, run: Run, scores: ScoreWeights, stage: Stage, words: Words) -> Talk:
        """The mailbox on the fast path."""
        if self.memory == "current":
            return super().talk(run, scores, stage, words)
        boxes = open_mailboxes(run, stage, self.memory == "past")
        mine = scored(scores, words, self.hidden_size)
        keys = None if mine.sender is None else boxes.values @ mine.sender
        return Mailbox(
            *boxes.reading(stage.layout),
            boxes.mask,
            boxes.past,
            scores.heads,
            mine.query,
            mine.word,
            mine.att,
            boxes.values,
            keys,
            dropout_of(self),
        )

    def channel(self, run: Run, scores: ScoreWeights, stage: Stage) -> Channel:
        """The mailbox on the plain path."""
        if self.memory == "current":
            return super().channel(run, scores, stage)
        dropout = self.attention_dropout if self.training else 0.0
        return mailbox_channel(
            scores, stage, open_mailboxes(run, stage, self.memory == "past"), dropout
        )

    def join_weights(self, alphas: list[Tensor], stage: Stage) -> Tensor:
        """The weights ``[s, T', P]`` of all steps, by mailbox: ``[M, T, T', P]``."""
        if self.memory == "current":
            return super().join_weights(alphas, stage)
        return by_mailbox(alphas, stage.layout)

    def attention(self, run: Run, batch_size: int, steps: int) -> Tensor:
        """Mailbox weights: ``[B, T, T, P]``, with all tasks ``[B, K, T, T, P]``."""
        if self.memory == "current":
            return super().attention(run, batch_size, steps)
        ((stage, beta),) = run.weights
        slot = by_length(stage.layout)
        if run.reverse:
            length = stage.layout.length[slot]
            beta = _turn(_turn(beta, length, 1), length, 2)
        beta = torch.nn.functional.pad(beta, (0, 0, 0, 0, 0, steps - beta.size(1)))
        if run.state is None:
            beta = torch.nn.functional.pad(beta, (0, 0, 0, steps - beta.size(2)))
        answer = torch.full_like(stage.node, -1).index_copy(0, stage.wanted, stage.answer)
        out = torch.zeros_like(beta).index_copy(0, answer[slot], beta)
        return out.unflatten(0, (batch_size, -1)) if run.plan.every else out

    def final_state(
        self, runs: list[Run], plan: Plan, state: GraphState | None, batch_size: int, steps: int
    ) -> GraphState:
        """The state to go on from; ``memory="past"`` carries its mailbox."""
        end = super().final_state(runs, plan, state, batch_size, steps)
        if self.memory != "past" or self.bidirectional:
            return end
        stage = plan.stages[0]  # the virtual node's: one slot a sequence
        slots = torch.full_like(stage.node, 0)[:batch_size].index_copy(
            0, stage.sequence[stage.layout.exists], stage.layout.exists
        )
        boxes, masks = zip(*(mailbox(run.memory, slots) for run in runs), strict=True)
        box, mask = torch.stack(boxes), masks[0]
        if state is not None:
            assert state.mailbox is not None and state.mailbox_mask is not None
            box = torch.cat([state.mailbox, box], 2)
            mask = torch.cat([state.mailbox_mask, mask], 1)
        return end._replace(mailbox=box, mailbox_mask=mask)


def _turn(values: Tensor, lengths: Tensor, dim: int) -> Tensor:
    """Reverse ``[S, …]`` along ``dim`` within the lengths."""
    steps = torch.arange(values.size(dim), device=values.device)
    ends = lengths.unsqueeze(1)
    index = torch.where(steps < ends, ends - 1 - steps, steps)
    shape = [1] * values.dim()
    shape[0], shape[dim] = index.shape
    return values.gather(dim, index.view(shape).expand_as(values))
