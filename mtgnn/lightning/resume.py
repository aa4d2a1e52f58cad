"""Going on from a checkpoint: which one fits, the best epoch so far, the patience left."""

from __future__ import annotations

import math
import os
import shutil
from pathlib import Path
from typing import Any

import lightning.pytorch as L
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor

from .checkpoint import read_checkpoint
from .module import MultiTaskModule

BEST, LAST = "best", "last"
ROUNDING = 1e-6  # means over tasks that differ by less are equal


def check_resume(path: str | os.PathLike[str], max_epochs: int, module: MultiTaskModule) -> None:
    """Raise unless a module's training can go on from a checkpoint up to ``max_epochs``."""
    content = read_checkpoint(path)
    saved = content["mtgnn"]
    if saved["epoch"] >= max_epochs:
        raise ValueError(
            f"{os.fspath(path)} has trained {saved['epoch']} epochs: expected max_epochs beyond "
            f"that, got {max_epochs}"
        )
    own, other = _lasting(module.description), _lasting(saved["model"])
    for part in own if own["format"] == other["format"] else ["format"]:
        # The order of the tasks is that of the weights: as lists, dictionaries differ in it.
        if _ordered(own[part]) != _ordered(other.get(part)):
            raise ValueError(
                f"{os.fspath(path)} is of another model: expected the same {part}, "
                f"got {_short(own[part])} for {_short(other.get(part))}"
            )
    _check_rates(content, module, os.fspath(path))


def _check_rates(content: dict[str, Any], module: MultiTaskModule, path: str) -> None:
    """Raise where the optimiser's state, which is sorted by groups of rates, would not fit."""
    then, now = content["mtgnn"]["learning_rates"], module.learning_rates
    if not module.has_own_adam:
        fits = then == now  # it is in the optimiser's state, and nobody here knows where
        said = "the same, beside an optimiser of one's own"
    else:
        states = [state["param_groups"] for state in content["optimizer_states"]]
        sizes = [[len(group["params"]) for group in groups] for groups in states]
        asked = [len(group["params"]) for group in module.rate_groups()]
        fits = then.keys() == now.keys() and sizes == [asked]
        said = "rates of the same groups"
        if then.keys() == now.keys() and len(sizes[0]) == len(asked) and not fits:
            raise ValueError(
                f"{path} has an optimiser of {sizes[0]} parameters by group, got {asked}: expected "
                "the same to be trained, frozen ones and those of a loss that learns included"
            )
    if not fits:
        raise ValueError(
            f"{path} was trained with learning_rates {then}: expected {said}, got {now}"
        )


def _lasting(description: dict[str, Any]) -> dict[str, Any]:
    """A model's description without the dropout, which may change on the way, and with an encoder's
    options in one order, whatever order they came in."""
    found = dict(description)
    options, encoder = description.get("options"), description.get("encoder")
    if isinstance(options, dict):
        found["options"] = {k: v for k, v in options.items() if k != "dropout"}
    if isinstance(encoder, dict) and isinstance(encoder.get("options"), dict):
        found["encoder"] = {**encoder, "options": dict(sorted(encoder["options"].items()))}
    return found


def _ordered(value: Any) -> Any:
    if isinstance(value, dict):
        return [(name, _ordered(part)) for name, part in value.items()]
    return value


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:100]}…"


@rank_zero_only
def bring_best(resume: str | os.PathLike[str], folder: Path) -> None:
    """Put the best checkpoint so far, which lies beside ``resume``, into ``folder``.

    One of a later epoch than ``resume`` is none so far.
    """
    source, target = Path(resume).parent / f"{BEST}.ckpt", folder / f"{BEST}.ckpt"
    there = source.exists() and _epoch(source) <= _epoch(resume)
    if not there:
        remove_best(folder)
    elif source.resolve() != target.resolve():
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)


@rank_zero_only
def remove_best(folder: Path) -> None:
    """Leave no best checkpoint of another training."""
    (folder / f"{BEST}.ckpt").unlink(missing_ok=True)


def _epoch(path: str | os.PathLike[str]) -> int:
    epoch = read_checkpoint(path)["mtgnn"]["epoch"]
    assert isinstance(epoch, int)
    return epoch


def keep(name: str, folder: Path, monitor: str | None) -> ModelCheckpoint:
    """Keep one checkpoint: the best by ``monitor``, of equal ones that of the least dev loss, or
    the last."""
    return _Checkpoint(
        dirpath=folder,
        filename=name,
        monitor=monitor,
        mode="max",
        save_top_k=1,
        save_on_train_epoch_end=True,
        enable_version_counter=False,
        auto_insert_metric_name=False,
    )


class _Checkpoint(ModelCheckpoint):
    """Tells equal scores apart; knows its file again where the folder is another than it was."""

    loss = math.inf  # on dev, of the epoch that was kept

    def check_monitor_top_k(self, trainer: L.Trainer, current: Tensor | None = None) -> bool:
        """Whether an epoch is to be kept; if so, its loss is remembered.

        Few dev texts have few accuracies: the first of equal epochs would be the least trained one.
        """
        if current is None:
            return False
        loss = float(trainer.callback_metrics["dev/loss"])
        best = self.best_model_score
        lead = math.inf if best is None else float(current) - float(best)
        better = lead > ROUNDING or (lead >= -ROUNDING and loss < self.loss)
        if better:  # on all ranks: scores and losses are those of all
            self.loss = loss
        return better

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "loss": self.loss}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        path = self.format_checkpoint_name({})
        if self.monitor is not None and os.path.exists(path):
            score = state_dict["best_model_score"]
            self.loss = state_dict["loss"]
            super().load_state_dict(
                {
                    **state_dict,
                    "dirpath": self.dirpath,
                    "best_model_path": path,
                    "best_k_models": {path: score},
                    "kth_best_model_path": path,
                }
            )


class Patience(EarlyStopping):
    """Early stopping that goes on after a resume, with the patience it was given now. A score that
    is NaN is no better than any other."""

    def __init__(self, monitor: str, patience: int) -> None:
        super().__init__(
            monitor, mode="max", patience=patience, min_delta=ROUNDING, check_finite=False
        )

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with the epochs already waited."""
        super().load_state_dict({**state_dict, "patience": self.patience})

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Train no further where patience had run out."""
        if self.wait_count >= self.patience:
            trainer.should_stop = True
