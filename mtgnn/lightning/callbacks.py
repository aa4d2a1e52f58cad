"""What happens beside the training: counting tokens, one progress bar for the whole run."""

from __future__ import annotations

import sys
import time
from typing import Any

import lightning.pytorch as L
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, ProgressBar
from lightning.pytorch.callbacks.progress.tqdm_progress import Tqdm


class Throughput(Callback):
    """Counts the tokens that all ranks read in training, and the seconds this took.

    Attributes:
        tokens: Real tokens, not padding.
        train_seconds: Seconds in training epochs, without validation.
        seconds: Seconds in all, over all runs that this one resumes.
    """

    def __init__(self) -> None:
        self.tokens = 0
        self.train_seconds = 0.0
        self.seconds = 0.0
        self._pending = 0
        self._since = 0.0
        self._lap = 0.0

    @property
    def tokens_per_second(self) -> float:
        """Real tokens a second in training."""
        return self.tokens / self.train_seconds if self.train_seconds else 0.0

    def on_fit_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Start the clock."""
        self._lap = time.perf_counter()

    def on_train_epoch_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Start the clock of training."""
        self._pending, self._since = 0, time.perf_counter()

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_index: int,
    ) -> None:
        """Count; a GPU's clock stops when it is done."""
        self._pending += int(batch.lengths.sum())
        if trainer.is_last_batch:
            if module.device.type == "cuda":
                torch.cuda.synchronize(module.device)
            self.train_seconds += time.perf_counter() - self._since
            count = torch.tensor(self._pending, device=module.device)
            self.tokens += int(trainer.strategy.reduce(count, reduce_op="sum"))

    def on_train_epoch_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Count the epoch's seconds, validation included."""
        now = time.perf_counter()
        self.seconds += now - self._lap
        self._lap = now

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run counts on from."""
        return {
            "tokens": self.tokens,
            "train_seconds": self.train_seconds,
            "seconds": self.seconds,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Count on."""
        self.tokens = state_dict["tokens"]
        self.train_seconds = state_dict["train_seconds"]
        self.seconds = state_dict["seconds"]


class RunProgressBar(ProgressBar):
    """One line for the whole run: batches of all epochs, the last dev score and the best one.

    Args:
        description: What stands before the bar.
        monitor: Name of the dev score.
    """

    def __init__(self, description: str = "training", monitor: str = "dev/accuracy") -> None:
        super().__init__()
        self.description, self.monitor = description, monitor
        self._bar: Tqdm | None = None
        self._best: float | None = None
        self._enabled = True

    def disable(self) -> None:
        """Show nothing: other ranks than the first."""
        self._enabled = False

    def enable(self) -> None:
        """Show the bar."""
        self._enabled = True

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Draw the bar; a training that goes on knows its best so far."""
        for callback in trainer.checkpoint_callbacks:
            if isinstance(callback, ModelCheckpoint) and callback.monitor == self.monitor:
                known = callback.best_model_score
                self._best = None if known is None else float(known)
        epochs = trainer.max_epochs or 0
        batches = int(trainer.num_training_batches)
        terminal = sys.stderr.isatty()
        self._bar = Tqdm(
            desc=self.description,
            total=epochs * batches,
            initial=min(trainer.current_epoch, epochs) * batches,
            disable=not self._enabled,
            unit=" batches",
            dynamic_ncols=terminal,
            ncols=None if terminal else 100,
            mininterval=0.2 if terminal else 10.0,  # a log file need not hold every step
            file=sys.stderr,
        )

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_index: int,
    ) -> None:
        """Move on by one batch."""
        if self._bar is not None:
            self._bar.update(1)

    def on_validation_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Show the scores of the epoch."""
        score = trainer.callback_metrics.get(self.monitor)
        if self._bar is None or score is None:
            return
        self._best = float(score) if self._best is None else max(self._best, float(score))
        epoch = f"{trainer.current_epoch + 1}/{trainer.max_epochs}"
        self._bar.set_postfix_str(f"epoch {epoch}, dev {score:.1%}, best {self._best:.1%}")

    def on_train_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Leave the bar where training ended."""
        self._close()

    def on_exception(
        self, trainer: L.Trainer, module: L.LightningModule, exception: BaseException
    ) -> None:
        """Leave the bar where training broke off."""
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
