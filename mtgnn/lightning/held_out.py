"""Scores that learn from held-out batches, beside a training with Lightning."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import lightning.pytorch as L
import torch
from lightning.pytorch.callbacks import Callback

from ..data import SequenceBatch
from ..nn import HeldOutScores


class TrainScoresHeldOut(Callback):
    """Has the attention scores learn from held-out texts, and from no others.

    A callback for :func:`fit`: see :class:`mtgnn.nn.HeldOutScores` for what that is good for.
    The optimiser of the training passes over the scores, whatever it was made with.

    Args:
        batches: Held-out batches, such as ``data.dev_dataloader()``; shuffled ones are better.
        every: A step of the scores comes after so many steps of the training.
        learning_rate: Of the scores.

    Raises:
        ValueError: If ``every`` is below 1; when training starts, if the attention has no
            parameters, or there is more than one process.

    Used as in ``fit(model, data, max_epochs=20, callbacks=[TrainScoresHeldOut(dev_batches)])``.
    """

    def __init__(
        self, batches: Iterable[SequenceBatch], every: int = 2, learning_rate: float = 0.1
    ) -> None:
        if every < 1:
            raise ValueError(f"expected every of at least 1, got {every}")
        self._batches, self.every, self.learning_rate = batches, every, learning_rate
        self.scores: HeldOutScores | None = None
        self._kept: dict[str, Any] | None = None

    def on_fit_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Find the scores."""
        if trainer.world_size > 1:
            raise ValueError(f"expected one process, got {trainer.world_size}")
        model: Any = module.model

        def loss(net: Any, batch: SequenceBatch) -> torch.Tensor:
            here = batch.to(module.device)
            answer = net(here.tokens, here.lengths, here.task)
            losses: torch.Tensor = net.loss_per_sample(answer, here)
            return losses

        self.scores = HeldOutScores(model, self._batches, loss, self.learning_rate)
        if self._kept is not None:
            self.scores.load_state_dict(self._kept)

    def on_before_optimizer_step(
        self, trainer: L.Trainer, module: L.LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        """Forget what training texts say about the scores: Adam passes over no gradient."""
        assert self.scores is not None
        for parameter in self.scores.parameters:
            parameter.grad = None

    def on_train_batch_end(
        self, trainer: L.Trainer, module: L.LightningModule, outputs: Any, batch: Any, index: int
    ) -> None:
        """Perhaps a step of the scores."""
        if index % self.every == 0:
            assert self.scores is not None
            self.scores.step()

    def state_dict(self) -> dict[str, Any]:
        """What a resumed training goes on from; the order of held-out batches begins anew."""
        return {} if self.scores is None else self.scores.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on."""
        self._kept = state_dict or None
