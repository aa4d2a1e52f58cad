"""Siblings of an encoder that tell how the loss depends on the weights of its messages."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ...graph import TaskGraph
from ...nn import GraphLSTM
from ...nn.graph_lstm.mailbox import mixes_senders
from ...nn.graph_lstm.plan import Stage


def tap_for(encoder: GraphLSTM) -> type[StepTap] | type[ShareTap]:
    """The kind that serves an encoder.

    Raises:
        ValueError: If its messages have no weight that could change.
    """
    if encoder.memory == "current":
        if encoder.score == "uniform":
            raise ValueError(
                "expected attention that has a gradient, got uniform scores: edge_ablation can cut "
                "their edges"
            )
        return StepTap
    if not mixes_senders(encoder):
        raise ValueError(
            "expected mailboxes of several senders, whose shares can change, got mailboxes of one: "
            "edge_ablation can cut their edges"
        )
    return ShareTap


class StepTap:
    """Of edges weighed at every step.

    The attention an encoder hands out is laid out anew, so the loss does not depend on it; on the
    plain path it depends on the weights of the single steps, which pass through
    ``GraphLSTM._join_weights``.

    Args:
        encoder: The encoder.

    Attributes:
        encoder: The sibling, which is to be called with ``return_attention_weights=True``; nearly
            all parameters are shared.
    """

    def __init__(self, encoder: GraphLSTM) -> None:
        self._original = encoder
        self._steps: list[list[Tensor]] = []
        self._runs: list[tuple[Any, int, int]] = []
        self.encoder = copy.copy(encoder)
        # Frozen or not, static weights have a gradient: that of their logits.
        convs = copy.deepcopy(encoder.convs).requires_grad_()
        self.encoder._modules = {**encoder._modules, "convs": convs}
        self.encoder.kernel = "reference"
        self.encoder.forward = self._forward  # type: ignore[assignment,method-assign]
        self.encoder._join_weights = self._join  # type: ignore[method-assign]
        self.encoder._attention = self._attention  # type: ignore[method-assign]

    def changes(self, losses: Tensor) -> Tensor:
        """What cutting an edge does to each loss, ``[B, E]``; see :func:`edge_gradient`."""
        graph = self._original.graph
        if not any(self._steps):  # nobody in this batch has a sender
            return torch.zeros(len(losses), graph.num_edges)
        found = [_step_change(alpha, g, graph) for alpha, g in self._gradients(losses)]
        return torch.stack(found).sum(0)

    def _gradients(self, losses: Tensor) -> list[tuple[Tensor, Tensor]]:
        """For each layer and direction, the weights and the gradients of the losses' sum.

        Both are ``[B, T, E, P]``.
        """
        flat = [alpha for steps in self._steps for alpha in steps]
        gradients = torch.autograd.grad(losses.sum(), flat, materialize_grads=True)
        left, stages, found = list(gradients), iter(self._steps), []
        for run, batch_size, steps in self._runs:
            laid = []
            for stage, _ in run.weights:
                number = len(next(stages))
                own, left = left[:number], left[number:]
                laid.append((stage, partial(self._original._join_weights, own, stage)))
            alpha = self._original._attention(run, batch_size, steps).detach()
            run.weights = laid
            found.append((alpha, self._original._attention(run, batch_size, steps)))
        return found

    def _forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Any:
        """From inputs that require a gradient, so that a frozen model has one, too."""
        return self._original.__class__.forward(
            self.encoder, x.detach().requires_grad_(), *args, **kwargs
        )

    def _join(self, alphas: list[Tensor], stage: Stage) -> Tensor:
        self._steps.append(alphas)
        return self._original._join_weights(alphas, stage)

    def _attention(self, run: Any, batch_size: int, steps: int) -> Tensor:
        self._runs.append((run, batch_size, steps))
        return self._original._attention(run, batch_size, steps)


class ShareTap:
    """Of mailboxes: of the senders' shares in them.

    Args:
        encoder: The encoder.

    Attributes:
        encoder: The sibling; parameters are shared.
    """

    def __init__(self, encoder: GraphLSTM) -> None:
        self._original = encoder
        self._shares: list[tuple[Tensor, Stage, Tensor]] = []
        self.encoder = copy.copy(encoder)
        self.encoder._shares = self._tapped  # type: ignore[method-assign]

    def changes(self, losses: Tensor) -> Tensor:
        """What cutting an edge does to each loss, ``[B, E]``; see :func:`edge_gradient`."""
        shares = [share for share, _, _ in self._shares]
        size = len(losses), self._original.graph.num_edges
        if not shares:  # nobody in this batch has a sender
            return torch.zeros(size)
        total = shares[0].new_zeros(size)
        gradients = torch.autograd.grad(losses.sum(), shares, materialize_grads=True)
        for (share, stage, slot), gradient in zip(self._shares, gradients, strict=True):
            share = share.detach()
            pull = share * gradient
            change = _change(share, pull, pull.sum(1, keepdim=True))
            place = stage.sequence[slot].unsqueeze(1).expand_as(change), stage.edge[slot]
            total.index_put_(place, change * stage.mask[slot], accumulate=True)
        return total

    def _tapped(self, key: str, stage: Stage, slot: Tensor) -> Tensor:
        share = self._original._shares(key, stage, slot).detach().requires_grad_()
        self._shares.append((share, stage, slot))
        return share


def _step_change(alpha: Tensor, gradient: Tensor, graph: TaskGraph) -> Tensor:
    """From weights and their gradients ``[B, T, E, P]`` to changes ``[B, E]``."""
    pull = alpha * gradient
    receiver = graph.edge_index[1].to(alpha.device)
    shape = (*alpha.shape[:2], graph.num_nodes, alpha.size(3))
    whole = alpha.new_zeros(shape).index_add(2, receiver, pull).index_select(2, receiver)
    return _change(alpha, pull, whole).sum((1, 3))


def _change(alpha: Tensor, pull: Tensor, whole: Tensor) -> Tensor:
    """Of edges weighed ``alpha``, from α g and its sum over all edges into the same receiver."""
    rest = 1 - alpha
    # Without another sender nothing takes the place of the message.
    alone = rest < 1e-6
    return alpha * ((whole - pull) / rest.masked_fill(alone, 1)).masked_fill(alone, 0) - pull
