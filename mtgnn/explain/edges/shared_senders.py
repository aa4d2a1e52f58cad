"""Cuts in the exchange "read", whose senders run once for all of them."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ...nn import GraphLSTM, GraphState
from ...nn.graph_lstm.plan import Plan, Stage
from ...nn.graph_lstm.run import Run
from ...nn.tasks import Wanted
from ...ops.layout import Layout
from ...ops.words import Words
from ..readouts.readout import find_encoder
from .cut import with_encoder

States = tuple[Tensor, Tensor, Tensor | None]


class SharedSenders:
    """Siblings of a model that lack edges, and read the states of the same senders.

    In the exchange "read" senders hear nobody, so that no cut changes their states: on one batch
    they run once, and each sibling runs receivers alone. With K tasks in a complete graph that is
    one run of a node a sequence in the place of K.

    Args:
        model: Holds as ``encoder``, or is, a :class:`mtgnn.nn.GraphLSTM` with that exchange; no
            mailbox of one sender.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._plans: dict[Any, Plan] = {}
        self._known: list[_Known] = []

    def forget(self) -> None:
        """Free what was kept of a batch."""
        self._plans.clear()
        self._known.clear()

    def without(self, edges: Iterable[int]) -> nn.Module:
        """The model without these edges, in the mode that the model is in now."""
        cut = torch.tensor(sorted(edges), dtype=torch.long)
        encoder = find_encoder(self._model)
        sibling = self._encoder(encoder, cut)
        return sibling if encoder is self._model else with_encoder(self._model, sibling)

    def _encoder(self, encoder: GraphLSTM, cut: Tensor) -> GraphLSTM:
        sibling = copy.copy(encoder)

        def make_plan(tasks: Wanted, lengths: list[int], device: torch.device) -> Plan:
            key = None if tasks is None else tuple(tasks), tuple(lengths), device
            if key not in self._plans:
                self._plans[key] = encoder._make_plan(tasks, lengths, device)
            return _masked(self._plans[key], cut.to(device))

        def make_run(row: int, plan: Plan, state: GraphState | None) -> Run:
            return _Receivers(self._known, sibling, row, plan, state)

        sibling.__dict__ |= {"_make_plan": make_plan, "_make_run": make_run}
        return sibling


class _Known(NamedTuple):
    """The states of senders, and what they come from."""

    row: int
    layout: Layout
    source: Tensor
    states: States


class _Receivers(Run):
    """A run that computes the states of senders only where nobody has yet."""

    def __init__(
        self,
        known: list[_Known],
        layer: GraphLSTM,
        row: int,
        plan: Plan,
        state: GraphState | None,
    ) -> None:
        super().__init__(layer, row, plan, state)
        self._known = known

    def _recur(self, stage: Stage, words: Words) -> States:
        if stage.hears or self.state is not None:
            return super()._recur(stage, words)
        for known in self._known:
            same = known.row == self.row and known.layout is stage.layout
            if same and torch.equal(known.source, words.source):
                return known.states
        states = super()._recur(stage, words)
        self._known.append(_Known(self.row, stage.layout, words.source, states))
        return states


def _masked(plan: Plan, cut: Tensor) -> Plan:
    """The plan with masks that leave edges out."""
    stages = [
        stage._replace(mask=stage.mask & ~torch.isin(stage.edge, cut)) for stage in plan.stages
    ]
    return plan._replace(stages=stages)
