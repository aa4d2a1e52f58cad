"""The training of a multi-task model as a LightningModule."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import lightning.pytorch as L
import torch
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor, nn

from ..nn import MultiTaskLoss, Output, Samples, Trainable
from ..nn.models.saved import plain
from ..nn.models.trainable import hits
from .checkpoint import describe
from .class_weights import ClassWeights
from .metrics import TaskMean
from .rates import check_rates, rate_groups
from .task_scores import TaskScore, TaskScores

Optimizers = Callable[[list[dict[str, Any]]], Any]


class MultiTaskModule(L.LightningModule):
    """Trains a :class:`~mtgnn.nn.MultiTaskModel` or a :class:`~mtgnn.nn.TaggingModel` with Adam.

    Any :class:`~mtgnn.nn.Trainable` will do. A sample is what its ``losses`` give one loss for: a
    text, or a sentence's labels for one task. Accuracy is over single labels.

    The loss of a step is that of the *global* batch: the sum over its labelled samples, divided by
    their number on all ranks. DDP averages gradients over the ranks, so each rank multiplies its
    share by their number, and the gradient is that of one process on the joined batch.

    Auxiliary losses of the encoder (see :class:`~mtgnn.nn.AdversarialLSTM`) are added: their sum
    over the sequences of the global batch, labelled or not, divided by the number of these. They
    count in ``train/loss`` and, alone, in ``train/auxiliary_loss``, and in no other score.

    Logged are ``train/loss``, of a step on this rank; of an epoch, over all ranks,
    ``train/epoch_loss``, ``{dev,test}/loss`` and ``{train,dev,test}/accuracy``, means over the
    tasks in which each counts once, and ``/accuracy/TASK``; with ``scores`` also
    ``{dev,test}/score`` and ``/score/TASK``.

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
        scores: For tasks that are to be scored by something else than accuracy, a function of
            predicted and true labels (see :class:`TaskScores`), such as the F1 of spans; of texts
            also of probabilities.
        learning_rates: Learning rates of single groups of parameters, by the names that
            :func:`~mtgnn.nn.freeze` takes, such as ``{"scores": 0.1}``. Of two that hold for a
            parameter the later counts.
        class_weights: For some tasks how much each label counts in training, such as
            ``{"urgent": [1, 3]}`` in the order of the task's classes; of texts, not of tags. Losses
            are multiplied, and joined as before. Dev and test losses are without.
        optimizers: Takes groups of parameters, dictionaries with ``"params"`` and ``"lr"``, and
            returns what Lightning's ``configure_optimizers`` may return, such as an optimiser, or
            a dictionary with one and a scheduler; by default Adam.

    Raises:
        ValueError: If a learning rate is not positive, ``weight_decay`` is negative or given beside
            ``optimizers``, these are no function, ``loss`` is no :class:`~mtgnn.nn.MultiTaskLoss`
            or for another number of tasks, there is no such group of parameters, ``notes`` are no
            plain values, there are ``scores`` of a task that the model does not have, or
            ``class_weights`` that are not of its classes.

    With a ``Trainer`` of one's own: ``use_distributed_sampler=False`` (the batches of
    :class:`MultiTaskDataModule` are already each rank's), and with several processes
    ``strategy="ddp_find_unused_parameters_true"``, since a rank may lack a task.
    """

    def __init__(
        self,
        model: Trainable,
        learning_rate: float = 1e-3,
        weight_decay: float = 0.0,
        loss: MultiTaskLoss | None = None,
        *,
        seed: int = 0,
        notes: Mapping[str, Any] | None = None,
        scores: Mapping[str, TaskScore] | None = None,
        learning_rates: Mapping[str, float] | None = None,
        optimizers: Optimizers | None = None,
        class_weights: Mapping[str, Sequence[float]] | None = None,
    ) -> None:
        super().__init__()
        rates = {name: float(rate) for name, rate in (learning_rates or {}).items()}
        check_rates(model, learning_rate, rates)
        if not weight_decay >= 0:
            raise ValueError(f"expected weight_decay of at least 0, got {weight_decay}")
        if weight_decay and optimizers is not None:
            raise ValueError(
                f"weight_decay is Adam's: expected none beside optimizers, got {weight_decay}"
            )
        if optimizers is not None and not callable(optimizers):
            raise ValueError(
                "expected optimizers as a function of groups of parameters, such as "
                f"lambda groups: torch.optim.AdamW(groups), got {optimizers!r:.60}"
            )
        if loss is not None and not isinstance(loss, MultiTaskLoss):
            raise ValueError(
                "expected loss as a MultiTaskLoss, which joins the samples' losses, got a "
                f"{type(loss).__name__}"
            )
        if loss is not None and loss.num_tasks != len(model.tasks):
            raise ValueError(
                f"expected a loss for {len(model.tasks)} tasks, got one for {loss.num_tasks}"
            )
        self.model = model
        self.tasks = model.tasks
        self.loss = MultiTaskLoss(len(self.tasks)) if loss is None else loss
        # Of numpy's numbers a checkpoint could not be read.
        self.learning_rate, self.weight_decay = float(learning_rate), float(weight_decay)
        self.learning_rates, self.optimizers_of = rates, optimizers
        self.seed, self.notes = seed, plain(notes or {})
        self.task_scores = TaskScores(model.classes, scores or {})
        self.class_weights = ClassWeights(model, class_weights) if class_weights else None
        self.dev_accuracy: dict[str, float] = {}
        self.dev_score: dict[str, float] = {}
        for part in ("train", "dev", "test"):
            for name in ("accuracy", "mean_loss"):
                setattr(self, f"{part}_{name}_metric", TaskMean(len(self.tasks)))

    def forward(self, batch: Any) -> Output:
        """What the model makes of a batch."""
        return self.model.read(batch)

    # Steps --------------------------------------------------------------------------------------

    def training_step(self, batch: Any, batch_index: int) -> Tensor | None:
        """This rank's share of the global batch's loss, times the number of ranks.

        ``None``, no step, where nothing that learns takes part: texts of old tasks, say, beside a
        new one that alone is not frozen. Of several processes every one has to take part.
        """
        output = self(batch)
        samples = self._score(output, batch, "train")
        if self.class_weights is not None:
            samples = self.class_weights(samples, batch.y)
        losses, task, labelled = samples
        count = self._over_ranks(self.loss.count(task, labelled))
        loss = self.loss(losses, task, count, labelled=labelled) * self.trainer.world_size
        auxiliary = output.auxiliary
        if auxiliary is not None:
            size = self._over_ranks(torch.tensor(float(len(auxiliary)), device=auxiliary.device))
            added = auxiliary.sum() / size * self.trainer.world_size
            self.log("train/auxiliary_loss", added.detach(), on_step=True, on_epoch=False)
            loss = loss + added
        self.log("train/loss", loss.detach(), on_step=True, on_epoch=False)
        if loss.requires_grad:
            return loss
        if self.trainer.world_size == 1:
            return None
        return loss + sum(0 * p.sum() for p in self.parameters() if p.requires_grad)

    def _over_ranks(self, count: Tensor) -> Tensor:
        """The sum over all processes."""
        total = self.trainer.strategy.reduce(count, reduce_op="sum")
        assert isinstance(total, Tensor)
        return total

    def validation_step(self, batch: Any, batch_index: int) -> None:
        """Count what is right."""
        self._score(self(batch), batch, "dev")

    def test_step(self, batch: Any, batch_index: int) -> None:
        """Count what is right."""
        self._score(self(batch), batch, "test")

    def _score(self, output: Output, batch: Any, part: str) -> Samples:
        """The loss of each sample; the metrics of ``part`` count."""
        losses = self.model.losses(output, batch)
        predicted = self.model.predicted(output, batch)
        self._metric(part, "accuracy").update(*hits(predicted, batch.y, batch.task))
        self._metric(part, "mean_loss").update(*losses)
        if part != "train":
            shares = None
            if self.task_scores.wants_probability and hasattr(self.model, "probabilities"):
                shares = self.model.probabilities(output)
            self.task_scores.update(predicted, batch.y, batch.task, shares)
        return losses

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
        self.dev_score = self._log_scores("dev", self.dev_accuracy)

    def on_test_epoch_end(self) -> None:
        """Log the epoch."""
        self._log_scores("test", self._log_epoch("test"))

    def _log_epoch(self, part: str) -> dict[str, float]:
        """Log and forget the scores of an epoch; they are of all ranks, and equal on all."""
        accuracy, loss = self._metric(part, "accuracy"), self._metric(part, "mean_loss")
        scores = accuracy.compute().view(-1)  # of one task, torchmetrics makes a scalar
        per_task = {
            task: score
            for task, score in zip(self.tasks, scores.tolist(), strict=True)
            if score == score  # a task without samples has none
        }
        mean = loss.macro()
        # Before a checkpoint is kept.
        if self.trainer.state.fn == TrainerFn.FITTING and bool(mean.isinf()):
            raise FloatingPointError(
                f"the {part} loss of epoch {self.current_epoch + 1} is not finite: a smaller "
                "learning rate, or clip, may help; vectors and parameters are to be finite"
            )
        loss_name = "train/epoch_loss" if part == "train" else f"{part}/loss"
        values = {f"{part}/accuracy": scores.nanmean(), loss_name: mean}
        values |= {f"{part}/accuracy/{task}": torch.tensor(s) for task, s in per_task.items()}
        self._log_all(values)
        accuracy.reset()
        loss.reset()
        return per_task

    def _log_scores(self, part: str, accuracy: dict[str, float]) -> dict[str, float]:
        """The score of each task: its own where it has one, else its accuracy."""
        scores = accuracy | self.task_scores.compute()
        if self.task_scores.scores:
            values = {f"{part}/score/{task}": torch.tensor(s) for task, s in scores.items()}
            mean = torch.tensor(sum(scores.values()) / max(1, len(scores)))
            self._log_all({f"{part}/score": mean, **values})
        self.task_scores.reset()
        return scores

    def _log_all(self, values: dict[str, Tensor]) -> None:
        """Log values of an epoch that are of all ranks already."""
        self.log_dict(
            {name: value.to(self.device) for name, value in values.items()},
            on_step=False,
            on_epoch=True,
            batch_size=1,
            sync_dist=True,
        )

    # The rest -----------------------------------------------------------------------------------

    def configure_optimizers(self) -> Any:
        """Adam over the model and, where it has parameters, the loss; or what was asked for."""
        if self.optimizers_of is not None:
            return self.optimizers_of(self.rate_groups())
        return torch.optim.Adam(
            self.rate_groups(),
            weight_decay=self.weight_decay,
            # Seven times as fast on large embeddings there; elsewhere PyTorch's own choice.
            fused=True if self.device.type == "cpu" else None,
        )

    @cached_property
    def description(self) -> dict[str, Any]:
        """What rebuilds the model, beside its weights; see :func:`describe`."""
        return describe(self.model)

    @property
    def has_own_adam(self) -> bool:
        """Whether the optimiser is this class' own."""
        usual = type(self).configure_optimizers is MultiTaskModule.configure_optimizers
        return usual and self.optimizers_of is None

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on at the rates that are asked for now: Adam's state has those of then."""
        for state in checkpoint.get("optimizer_states", []) if self.has_own_adam else []:
            for group, asked in zip(state["param_groups"], self.rate_groups(), strict=True):
                group |= {"lr": asked["lr"], "weight_decay": self.weight_decay}

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip by the norm of all gradients, or by value.

        Lightning's own way refuses fused optimisers under mixed precision. What it fears, that
        they unscale gradients by themselves, concerns float16 with a scaler, on a GPU; here they
        are fused on CPUs alone.
        """
        if not gradient_clip_val:
            return
        by_value = gradient_clip_algorithm == "value"
        clip = nn.utils.clip_grad_value_ if by_value else nn.utils.clip_grad_norm_
        clip([p for group in optimizer.param_groups for p in group["params"]], gradient_clip_val)

    def rate_groups(self) -> list[dict[str, Any]]:
        """All parameters with their learning rates, as optimisers take them."""
        return rate_groups(self, self.model, self.learning_rate, self.learning_rates)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what rebuilds the model, the dev scores and the notes; plain values all."""
        checkpoint["mtgnn"] = {
            "model": self.description,
            "dev_accuracy": dict(self.dev_accuracy),
            "dev_score": dict(self.dev_score),
            "epoch": self.current_epoch + 1,
            "notes": self.notes,
            "learning_rates": self.learning_rates,
        }
