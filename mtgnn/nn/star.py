from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..graph import TaskGraph, Tasks
from ..ops import ScoreWeights, Senders
from .check import check_option
from .graph_lstm import GraphLSTM
from .plan import Plan, Stage
from .run import Run
from .state import GraphState

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

    def senders(self, run: Run, scores: ScoreWeights, stage: Stage) -> Senders:
        """The mailbox: every step of the virtual node's states."""
        if self.memory == "current":
            return super().senders(run, scores, stage)
        values, mask = self._mailbox(run, stage.senders[:, 0])
        past = 1 if self.memory == "past" else None
        if run.state is not None:
            assert run.state.mailbox is not None and run.state.mailbox_mask is not None  # checked
            before = run.state.mailbox[run.row][stage.sequence]
            past = before.size(1) + 1
            values = torch.cat([before, values], 1)
            mask = torch.cat([run.state.mailbox_mask[stage.sequence], mask], 1)
        shared = scores.sender is not None and scores.sender.size(0) == 1
        keys = values @ scores.sender[0] if shared else None  # type: ignore[index]
        return Senders(values, keys, mask, None, None, past, scores.heads)

    def _mailbox(self, run: Run, slots: Tensor) -> tuple[Tensor, Tensor]:
        """States ``[S, T, H]`` of the virtual node's slots, and which positions are real."""
        tokens, place = run.memory.tokens, run.memory.place
        ends = run.memory.lengths[slots].unsqueeze(1)
        steps = torch.arange(place.size(0), device=place.device)
        index = place[steps.minimum(ends - 1), slots.unsqueeze(1)]  # padding repeats the last one
        return tokens[index], steps < ends

    def join_weights(self, alphas: list[Tensor], stage: Stage) -> Tensor:
        """The weights ``[s, T', P]`` of all steps, padded: ``[S, T, T', P]``."""
        if self.memory == "current":
            return super().join_weights(alphas, stage)
        slots = stage.layout.num_slots
        pad = torch.nn.functional.pad
        return torch.stack([pad(a, (0, 0, 0, 0, 0, slots - a.size(0))) for a in alphas], 1)

    def attention(self, run: Run, batch_size: int, steps: int) -> Tensor:
        """Mailbox weights: ``[B, T, T, P]``, with all tasks ``[B, K, T, T, P]``."""
        if self.memory == "current":
            return super().attention(run, batch_size, steps)
        ((stage, beta),) = run.weights
        if run.reverse:
            beta = _turn(_turn(beta, stage.layout.length, 1), stage.layout.length, 2)
        beta = torch.nn.functional.pad(beta, (0, 0, 0, 0, 0, steps - beta.size(1)))
        if run.state is None:
            beta = torch.nn.functional.pad(beta, (0, 0, 0, steps - beta.size(2)))
        out = torch.zeros_like(beta).index_copy(0, stage.answer, beta[stage.wanted])
        return out.unflatten(0, (batch_size, -1)) if run.plan.every else out

    def final_state(
        self, runs: list[Run], plan: Plan, state: GraphState | None, batch_size: int, steps: int
    ) -> GraphState:
        """The state to go on from; ``memory="past"`` carries its mailbox."""
        end = super().final_state(runs, plan, state, batch_size, steps)
        if self.memory != "past" or self.bidirectional:
            return end
        stage = plan.stages[0]  # the virtual node's: one slot a sequence
        slots = torch.argsort(stage.sequence)
        boxes, masks = zip(*(self._mailbox(run, slots) for run in runs), strict=True)
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
