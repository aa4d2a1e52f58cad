from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from ..data import SequenceBatch
from ..graph import TaskGraph
from ..nn import GraphLSTM
from ..nn.check import check_option
from ..nn.modes import evaluating
from .cut import with_encoder
from .effects import EdgeEffects, EffectSums, LossPerSample, find_encoder, find_loss, labelled


def edge_gradient(
    model: nn.Module,
    batches: Iterable[SequenceBatch],
    loss: LossPerSample | None = None,
    *,
    instead: str = "others",
) -> EdgeEffects:
    r"""What cutting an edge would do to the loss, to first order: gradient × message.

    With :math:`g_i = \partial L / \partial \alpha_i = \langle \partial L / \partial \mathbf{r},
    \mathbf{m}_i \rangle` at every step, head, layer and direction, and summed over these,

    .. math::
        \Delta_i = -\alpha_i g_i \quad (\texttt{"nothing"}), \qquad
        \Delta_i = \alpha_i \Bigl(\frac{\sum_{j \ne i} \alpha_j g_j}{1 - \alpha_i} - g_i\Bigr)
        \quad (\texttt{"others"})

    One backward pass a batch, in the place of :func:`edge_ablation`'s run an edge. It is exact
    where the loss is linear in the messages.

    Args:
        model: As in :func:`edge_ablation`.
        batches: Batches of labelled sequences, on the model's device.
        loss: As in :func:`edge_ablation`.
        instead: What takes the place of the edge's message: ``"others"``, those of the receiver's
            other senders, as when the edge is cut; ``"nothing"``: the weights of the others stay
            as they are.

    Raises:
        ValueError: As in :func:`edge_ablation`; also for a mailbox, and
            attention without gradient, as uniform scores have it.
    """
    check_option("instead", instead, ("others", "nothing"))
    encoder, measure = find_encoder(model), find_loss(model, loss)
    if getattr(encoder, "memory", "current") != "current":
        raise ValueError(
            "expected edges weighed at every step, got a mailbox: edge_ablation can cut its edges"
        )
    sums = EffectSums(encoder.graph)
    with evaluating(model):
        for batch in batches:
            tap = Tap(encoder)
            tapped = tap.encoder if model is encoder else with_encoder(model, tap.encoder)
            with torch.enable_grad():
                answer = tapped(
                    batch.tokens, batch.lengths, batch.task, return_attention_weights=True
                )
                losses = measure(answer[0], batch)
            rows, task = labelled(batch)
            sums.add_loss(losses.detach().cpu()[rows], task)
            change = sum(
                _change(alpha, g, encoder.graph, instead) for alpha, g in tap.gradients(losses)
            )
            assert isinstance(change, Tensor)
            edge, row = torch.cartesian_prod(
                torch.arange(encoder.graph.num_edges), torch.arange(len(rows))
            ).unbind(1)
            sums.add_change(change.cpu()[rows[row], edge], edge, task[row])
    return sums.compute()


def _change(alpha: Tensor, gradient: Tensor, graph: TaskGraph, instead: str) -> Tensor:
    """From weights and their gradients ``[B, T, E, P]`` to changes ``[B, E]``."""
    pull = alpha * gradient
    change = -pull
    if instead == "others":
        receiver = graph.edge_index[1].to(alpha.device)
        shape = (*alpha.shape[:2], graph.num_nodes, alpha.size(3))
        whole = alpha.new_zeros(shape).index_add(2, receiver, pull).index_select(2, receiver)
        rest = 1 - alpha
        # Without another sender nothing takes the place of the message.
        alone = rest < 1e-6
        change = change + alpha * ((whole - pull) / rest.masked_fill(alone, 1)).masked_fill(
            alone, 0
        )
    return change.sum((1, 3))


class Tap:
    """A sibling of an encoder that keeps the weights by which messages were multiplied.

    The attention an encoder hands out is laid out anew, so the loss does not depend on it; on the
    plain path it depends on the weights of the single steps, which pass through
    :meth:`GraphLSTM.join_weights`.

    Attributes:
        encoder: The sibling; parameters are shared.
    """

    def __init__(self, encoder: GraphLSTM) -> None:
        self._original = encoder
        self._steps: list[list[Tensor]] = []
        self._runs: list[tuple[Any, int, int]] = []
        self.encoder = copy.copy(encoder)
        self.encoder.kernel = "reference"
        self.encoder.forward = self._forward  # type: ignore[assignment,method-assign]
        self.encoder.join_weights = self._join  # type: ignore[method-assign]
        self.encoder.attention = self._attention  # type: ignore[method-assign]

    def gradients(self, losses: Tensor) -> list[tuple[Tensor, Tensor]]:
        """For each layer and direction, the weights and the gradients of the losses' sum.

        Both are ``[B, T, E, P]``.
        """
        flat = [alpha for steps in self._steps for alpha in steps]
        if not all(alpha.requires_grad for alpha in flat):
            raise ValueError(
                "the attention has no gradient: its scores are uniform, or static and frozen"
            )
        gradients = torch.autograd.grad(losses.sum(), flat, materialize_grads=True)
        left, stages, found = list(gradients), iter(self._steps), []
        for run, batch_size, steps in self._runs:
            laid = []
            for stage, _ in run.weights:
                number = len(next(stages))
                own, left = left[:number], left[number:]
                laid.append((stage, self._original.join_weights(own, stage)))
            alpha = self._original.attention(run, batch_size, steps).detach()
            run.weights = laid
            found.append((alpha, self._original.attention(run, batch_size, steps)))
        return found

    def _forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Any:
        """From inputs that require a gradient, so that a frozen model has one, too."""
        return self._original.__class__.forward(
            self.encoder, x.detach().requires_grad_(), *args, **kwargs
        )

    def _join(self, alphas: list[Tensor], stage: Any) -> Tensor:
        self._steps.append(alphas)
        return self._original.join_weights(alphas, stage)

    def _attention(self, run: Any, batch_size: int, steps: int) -> Tensor:
        self._runs.append((run, batch_size, steps))
        return self._original.attention(run, batch_size, steps)
