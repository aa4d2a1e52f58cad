"""The training of a multi-task model as a LightningModule."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import lightning.pytorch as L
import torch
from torch import Tensor

from ..data import SequenceBatch
from ..nn import MultiTaskLoss, MultiTaskModel, is_labelled
from .checkpoint import describe
from .metrics import TaskMean


class MultiTaskModule(L.LightningModule):
    """Trains a :class:`~mtgnn.nn.MultiTaskModel` with Adam.

    The loss of a step is that of the *global* batch: the sum over its labelled samples, divided by
    their number on all ranks. DDP averages gradients over the ranks, so each rank multiplies its
    share by their number, and the gradient is that of one process on the joined batch.

    Auxiliary losses of the encoder (see :class:`~mtgnn.nn.AdversarialLSTM`) are added: their sum
    over the sequences of the global batch, labelled or not, divided by the number of these. They
    count in ``train/loss`` and, alone, in ``train/auxiliary_loss``, and in no other score.

    Logged are ``train/loss`` (a step), ``{train,dev,test}/loss`` and ``/accuracy`` (an epoch, mean
    over the tasks, each counting once) and ``/accuracy/TASK``, over all ranks.

    Dropout is drawn anew from ``seed``, the epoch and the rank when an epoch starts, so that
    training that goes on from a checkpoint draws what uninterrupted training would have drawn.

    A task that is in no batch of a step has no gradient, and Adam leaves its parameters alone.

    Args:
        model: The model.
        learning_rate: Adam's learning rate.
        weight_decay: Adam's weight decay.
        loss: How the samples' losses are joined; by default all count alike.
        seed: Seed of dropout.
        notes: Plain values to keep in every checkpoint, such as a program's options.

    Raises:
        ValueError: If ``learning_rate`` is not positive, ``weight_decay`` is negative, or ``loss``
            is for another number of tasks.

    With a ``Trainer`` of one's own: ``use_distributed_sampler=False`` (the batches of
    :class:`MultiTaskDataModule` are already each rank's), and with several processes
    ``strategy="ddp_find_unused_parameters_true"``, since a rank may lack a task.
    """

    def __init__(
        self,
        model: MultiTaskModel,
        learning_rate: float = 1e-3,
        weight_decay: float = 0.0,
        loss: MultiTaskLoss | None = None,
        *,
        seed: int = 0,
        notes: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if not learning_rate > 0:
            raise ValueError(f"expected a positive learning_rate, got {learning_rate}")
        if not weight_decay >= 0:
            raise ValueError(f"expected weight_decay of at least 0, got {weight_decay}")
        if loss is not None and loss.num_tasks != len(model.tasks):
            raise ValueError(
                f"expected a loss for {len(model.tasks)} tasks, got one for {loss.num_tasks}"
            )
        self.model = model
        self.tasks = model.tasks
        self.loss = MultiTaskLoss(len(self.tasks)) if loss is None else loss
        self.learning_rate, self.weight_decay = learning_rate, weight_decay
        self.seed, self.notes = seed, dict(notes or {})
        self.dev_accuracy: dict[str, float] = {}
        self._description: dict[str, Any] | None = None
        for part in ("train", "dev", "test"):
            for name in ("accuracy", "mean_loss"):
                setattr(self, f"{part}_{name}_metric", TaskMean(len(self.tasks)))

    def forward(self, tokens: Tensor, lengths: Tensor, task: Tensor) -> Tensor:
        """Logits ``[B, C]`` of the model."""
        return self.model(tokens, lengths, task)

    # Steps --------------------------------------------------------------------------------------

    def training_step(self, batch: SequenceBatch, batch_index: int) -> Tensor:
        """This rank's share of the global batch's loss, times the number of ranks."""
        logits, auxiliary = self.model(
            batch.tokens, batch.lengths, batch.task, return_auxiliary_losses=True
        )
        losses, labelled = self._score(logits, batch, "train")
        task = batch.task.to(losses.device)
        count = self._over_ranks(self.loss.count(task, labelled))
        loss = self.loss(losses, task, count, labelled=labelled) * self.trainer.world_size
        if self.model.has_auxiliary_losses:
            size = self._over_ranks(torch.tensor(float(len(auxiliary)), device=auxiliary.device))
            added = auxiliary.sum() / size * self.trainer.world_size
            self.log("train/auxiliary_loss", added.detach(), on_step=True, on_epoch=False)
            loss = loss + added
        self.log("train/loss", loss.detach(), on_step=True, on_epoch=False)
        return loss

    def _over_ranks(self, count: Tensor) -> Tensor:
        """The sum over all processes."""
        total = self.trainer.strategy.reduce(count, reduce_op="sum")
        assert isinstance(total, Tensor)
        return total

    def validation_step(self, batch: SequenceBatch, batch_index: int) -> None:
        """Count what is right."""
        self._score(self(batch.tokens, batch.lengths, batch.task), batch, "dev")

    def test_step(self, batch: SequenceBatch, batch_index: int) -> None:
        """Count what is right."""
        self._score(self(batch.tokens, batch.lengths, batch.task), batch, "test")

    def _score(self, logits: Tensor, batch: SequenceBatch, part: str) -> tuple[Tensor, Tensor]:
        """Loss of each sample, and which have a label ``[B]``; the metrics of ``part`` count."""
        losses = self.model.loss_per_sample(logits, batch)
        labelled, task = is_labelled(batch.y), batch.task.to(losses.device)
        self._metric(part, "accuracy").update(logits.argmax(-1) == batch.y, task, labelled)
        self._metric(part, "mean_loss").update(losses, task, labelled)
        return losses, labelled

    def _metric(self, part: str, name: str) -> TaskMean:
        metric = getattr(self, f"{part}_{name}_metric")
        assert isinstance(metric, TaskMean)
        return metric

    # Epochs -------------------------------------------------------------------------------------

    def on_train_epoch_start(self) -> None:
        """Draw dropout from the seed, the epoch and the rank."""
        ranks = self.trainer.world_size
        place = self.trainer.current_epoch * ranks + self.trainer.global_rank
        torch.manual_seed((self.seed * 1_000_003 + place) % 2**63)

    def on_train_epoch_end(self) -> None:
        """Log the epoch."""
        self._log_epoch("train")

    def on_validation_epoch_end(self) -> None:
        """Log the epoch."""
        self.dev_accuracy = self._log_epoch("dev")

    def on_test_epoch_end(self) -> None:
        """Log the epoch."""
        self._log_epoch("test")

    def _log_epoch(self, part: str) -> dict[str, float]:
        """Log and forget the scores of an epoch; they are of all ranks, and equal on all."""
        accuracy, loss = self._metric(part, "accuracy"), self._metric(part, "mean_loss")
        scores = accuracy.compute()
        per_task = {
            task: score
            for task, score in zip(self.tasks, scores.tolist(), strict=True)
            if score == score  # a task without samples has none
        }
        loss_name = "train/epoch_loss" if part == "train" else f"{part}/loss"
        values = {f"{part}/accuracy": scores.nanmean(), loss_name: loss.macro()}
        values |= {f"{part}/accuracy/{task}": torch.tensor(s) for task, s in per_task.items()}
        self.log_dict(
            {name: value.to(self.device) for name, value in values.items()},
            on_step=False,
            on_epoch=True,
            batch_size=1,
            sync_dist=True,
        )
        accuracy.reset()
        loss.reset()
        return per_task

    # The rest -----------------------------------------------------------------------------------

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam over the model and, where it has parameters, the loss."""
        return torch.optim.Adam(
            self.parameters(), lr=self.learning_rate, weight_decay=self.weight_decay
        )

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what rebuilds the model, the dev scores and the notes; plain values all."""
        if self._description is None:
            self._description = describe(self.model)
        checkpoint["mtgnn"] = {
            "model": self._description,
            "dev_accuracy": dict(self.dev_accuracy),
            "epoch": self.current_epoch + 1,
            "notes": self.notes,
        }
