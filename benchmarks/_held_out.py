"""Attention scores that learn from texts which train nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from mtgnn.nn import parameter_groups


class HeldOutScores:
    """Trains the attention scores of a graph model on held-out batches.

    On the texts that train everything else, scores have little to go by: as soon as nodes know
    their own few texts by heart, it no longer matters whom they listen to. On other texts a score
    rises where listening helps. Of architectures this is the first-order form of `"DARTS:
    Differentiable Architecture Search" <https://arxiv.org/abs/1806.09055>`_ (eqs. 3 and 4).

    The held-out texts, as a dev set that chooses the epoch, are no longer unseen. Everything that
    is to be reported wants others.

    Args:
        model: Its ``encoder`` runs on a task graph, and its attention has parameters.
        batches: Held-out batches; read again from the start when they are at their end.
        loss: From the model and a batch to its mean loss.
        learning_rate: Of Adam. Static scores are logits, which want larger steps than weights.

    Attributes:
        parameters: The scores' parameters.
        others: All other parameters that can learn: what the optimiser of the training takes.

    Raises:
        ValueError: If the attention has no parameters, or there is no batch.
    """

    def __init__(
        self,
        model: nn.Module,
        batches: Iterable[Any],
        loss: Callable[[Any, Any], Tensor],
        learning_rate: float,
    ) -> None:
        groups = parameter_groups(model)
        named = [groups[name] for name in groups if name.partition(".")[0] == "scores"]
        self.parameters = [p for group in named for p in group.values() if p.requires_grad]
        if not self.parameters:
            raise ValueError("the attention has no parameters that could learn")
        own = {id(parameter) for parameter in self.parameters}
        self.others = [p for p in model.parameters() if p.requires_grad and id(p) not in own]
        self._model, self._batches, self._loss = model, batches, loss
        self._optimizer = torch.optim.Adam(self.parameters, learning_rate)
        self._left: Iterator[Any] = iter(())

    def step(self) -> float:
        """A step on the next batch, in the mode that the model is in; returns its mean loss.

        The gradients of other parameters are left as they are, those of the scores are dropped:
        what training batches say about them is not taken.
        """
        loss = self._loss(self._model, self._next())
        gradients = torch.autograd.grad(loss, self.parameters, allow_unused=True)
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            parameter.grad = gradient
        self._optimizer.step()
        for parameter in self.parameters:
            parameter.grad = None
        return float(loss.detach())

    def _next(self) -> Any:
        batch = next(self._left, None)
        if batch is None:
            self._left = iter(self._batches)
            batch = next(self._left, None)
        if batch is None:
            raise ValueError("expected at least one held-out batch, got none")
        return batch
