from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from .plan import Plan


class GraphState(NamedTuple):
    """The states after the last real step; row ``l·D + d`` is layer ``l``, direction ``d``.

    Attributes:
        h: ``[L·D, B, N, H]`` of every node that ran; zeros for the others.
        c: Like ``h``.
        sender_h: Like ``h``, of the runs without messages that ``exchange="read"`` reads from.
        sender_c: Like ``h``.
        ran: ``[B, 2, N]``, which nodes ran: as themselves (0), as silent senders (1).
        mailbox: ``[L·D, B, T, H]``, where later steps read from all earlier ones; else ``None``.
        mailbox_mask: ``[B, T]``, the mailbox's real positions.
    """

    h: Tensor
    c: Tensor
    sender_h: Tensor
    sender_c: Tensor
    ran: Tensor
    mailbox: Tensor | None = None
    mailbox_mask: Tensor | None = None

    def detach(self) -> GraphState:
        """The same values without their history, to go on from: gradients end here."""
        return self._with(Tensor.detach)

    def to(self, device: torch.device | str | int) -> GraphState:
        """The same values on a device, such as those that were saved on another one."""
        return self._with(lambda value: value.to(device))

    def _with(self, change: Callable[[Tensor], Tensor]) -> GraphState:
        values = {name: change(v) for name, v in self._asdict().items() if v is not None}
        return self._replace(**values)

    def check(self, plan: Plan, sizes: tuple[int, ...], nodes: tuple[str, ...]) -> None:
        """Raise where this state cannot start a plan.

        Args:
            plan: What is to run.
            sizes: L, B, N and H.
            nodes: Names of the nodes.

        Raises:
            ValueError: If its sizes are others, or it lacks a node that is to run.
        """
        for name, value in zip(self._fields[:4], self[:4], strict=True):
            if tuple(value.shape) != sizes:
                raise ValueError(
                    f"expected a state of {sizes[0]} layers, {sizes[1]} sequences, {sizes[2]} "
                    f"nodes and size {sizes[3]}, got {name} of shape {list(value.shape)}"
                )
        for stage in plan.stages:
            lacking = ~self.ran[stage.sequence, plan.kind(stage), stage.node]
            if lacking.any():
                node = nodes[int(stage.node[lacking][0])]
                raise ValueError(
                    f"the state lacks node {node!r} for some sequence: "
                    "continue with the tasks it came from"
                )


def join_states(
    ends: list[list[tuple[Tensor, Tensor]]], plan: Plan, batch_size: int, num_nodes: int
) -> GraphState:
    """Collect the final states ``[S, H]`` of every row (outer list) and stage."""
    first = ends[0][0][0]
    ran = torch.zeros(batch_size, 2, num_nodes, dtype=torch.bool, device=first.device)
    # Filled in place: with many tasks these are large, and a copy for each stage would be dear.
    h = first.new_zeros(len(ends), 2, batch_size, num_nodes, first.size(-1))
    c = torch.zeros_like(h)
    for number, row in enumerate(ends):
        for stage, (end_h, end_c) in zip(plan.stages, row, strict=True):
            exists = stage.layout.exists
            node, sequence = stage.node[exists], stage.sequence[exists]
            kind = torch.full_like(node, plan.kind(stage))
            place = torch.full_like(node, number), kind, sequence, node
            h.index_put_(place, end_h[exists])
            c.index_put_(place, end_c[exists])
            ran[sequence, kind, node] = True
    return GraphState(h[:, 0], c[:, 0], h[:, 1], c[:, 1], ran)
