"""Training from the first epoch, or from a checkpoint, to the best epoch's weights."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast, get_args

import lightning.pytorch as L
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger
from torch import nn

from ..data.sampler import check_weights
from ..nn import MultiTaskLoss, MultiTaskModel, TaggingModel, Trainable, parameter_groups
from ..nn.check import check_numbers, check_option
from ..nn.compiled import uncompiled
from .accelerator import pick_accelerator
from .callbacks import RunProgressBar, Throughput
from .checkpoint import read_checkpoint
from .data import PARTS, MultiTaskDataModule
from .matching import check_matching, check_module, check_part_labels
from .module import MultiTaskModule, Optimizers
from .quiet import device_kept, flags_kept, free_again, quietly
from .resume import BEST, LAST, Patience, bring_best, check_resume, keep, remove_best
from .task_scores import TaskScore, check_scores

Precision = Literal["32-true", "16-mixed", "bf16-mixed"]


@dataclass(frozen=True)
class FitResult:
    """What training came to.

    Attributes:
        dev_accuracy: Accuracy on the dev texts after the best epoch, mean over tasks; NaN where
            there were no dev texts.
        dev_accuracy_by_task: The same of each task that has dev texts.
        best_epoch: Number of the best epoch, from 1; without dev texts the last.
        epochs: Epochs trained.
        seconds: Seconds for all epochs, validation included, also those before a resume.
        tokens_per_second: Tokens read a second in training, padding not counted.
        checkpoint: The best epoch's checkpoint; without dev texts the last one's.
        last_checkpoint: The last epoch's checkpoint, to resume from.
        dev_score: Like ``dev_accuracy``, of what chose the epoch: the same without ``scores``.
        dev_score_by_task: The same of each task that has dev texts.
    """

    dev_accuracy: float
    dev_accuracy_by_task: dict[str, float]
    best_epoch: int
    epochs: int
    seconds: float
    tokens_per_second: float
    checkpoint: Path
    last_checkpoint: Path
    dev_score: float
    dev_score_by_task: dict[str, float]


def fit(
    model: Trainable,
    data: MultiTaskDataModule,
    *,
    max_epochs: int,
    log_dir: str | os.PathLike[str] = "runs",
    patience: int | None = None,
    seed: int = 0,
    learning_rate: float = 1e-3,
    weight_decay: float = 0.0,
    loss: MultiTaskLoss | None = None,
    clip: float | None = None,
    resume: str | os.PathLike[str] | None = None,
    accelerator: str = "auto",
    devices: int = 1,
    precision: Precision = "32-true",
    progress: bool | str = True,
    deterministic: bool = True,
    callbacks: Sequence[Callback] = (),
    loggers: Sequence[Logger] = (),
    notes: Mapping[str, Any] | None = None,
    scores: Mapping[str, TaskScore] | None = None,
    learning_rates: Mapping[str, float] | None = None,
    optimizers: Optimizers | None = None,
    class_weights: Mapping[str, Sequence[float]] | None = None,
) -> FitResult:
    """Train a model; at the end it holds the weights of the epoch with the best dev accuracy, of
    several such epochs the one with the least dev loss.

    After every epoch the dev texts are classified, or the dev sentences tagged. ``log_dir`` gets
    ``best.ckpt`` and ``last.ckpt``, each of which holds the whole model (see :func:`load_model`)
    and can be resumed, and the scores under ``csv/`` and ``tensorboard/``. Checkpoints that are
    there are replaced. A task with labels in one of the train and dev parts alone, or with one
    class, is warned of.

    Without dev texts the model holds the weights of the last epoch, as for a last training on all
    texts there are, once the number of epochs is known. ``log_dir`` then gets no ``best.ckpt``; one
    that is there is removed, but not by a training that goes on from a checkpoint.

    Args:
        model: The model; if it is in evaluation mode, as a loaded one, it is put in training mode.
        data: The texts.
        max_epochs: Epochs at most, those before a resume included.
        log_dir: Folder for what the training writes.
        patience: Stop after so many epochs without a better dev accuracy (default: never); needs
            dev texts.
        seed: Seed of dropout; that of the batches is ``data``'s own.
        learning_rate: Adam's learning rate.
        weight_decay: Adam's weight decay.
        loss: How the samples' losses are joined; by default all count alike.
        clip: Greatest norm of a gradient.
        resume: Checkpoint to go on from. At an epoch boundary, on a CPU, the weights come out bit
            for bit as they would have without the interruption. ``best.ckpt`` beside it stays the
            best, also in another ``log_dir``, until a better epoch comes. If patience had run out
            and there is no more of it, nothing is trained. Adam goes on at ``learning_rate``,
            ``learning_rates`` and ``weight_decay`` as they are given now; another optimiser as it
            was. A ``loss`` has the fixed weights that it is given now.
        accelerator: Lightning's: ``"auto"``, ``"cpu"``, ``"gpu"``, …; no Apple GPU, in whose place
            ``"auto"`` takes the CPU. The model is on its own device again at the end.
        devices: Number of processes. Beyond one, the program itself is started that many times
            (DDP) and must guard its entry by ``if __name__ == "__main__":``.
        precision: Lightning's. ``"bf16-mixed"`` multiplies in bfloat16, which GPUs and some CPUs do
            faster, ``"16-mixed"`` in float16 (on a GPU); parameters, states, gates and sums stay in
            float32.
        progress: Show a progress bar; a string is its title.
        deterministic: Have PyTorch use deterministic algorithms during the training, and warn
            where it has none. What it does beside that, filling fresh memory with NaN, is left
            out.
        callbacks: Further callbacks. What one does to the weights after the last epoch, as
            ``StochasticWeightAveraging`` does, stays where there are no dev texts; otherwise the
            best epoch's take their place.
        loggers: Further loggers of Lightning's, beside those of ``csv/`` and ``tensorboard/``.
        notes: Plain values to keep in every checkpoint, such as a program's options.
        scores: Scores of tasks that then take the place of the accuracy, functions of predicted
            and true labels: of texts ``{"books": lambda predicted, true: f1_score(true, predicted,
            average="macro")}``, with scikit-learn's, of tags ``{"chunk": span_f1}``, with
            :func:`mtgnn.metrics.span_f1`. Of texts they may take probabilities, too, see
            :class:`TaskScores`.
        learning_rates: Learning rates of single groups of parameters, see
            :class:`MultiTaskModule`; to go on from a checkpoint, of the same groups as in the
            training that wrote it, and with ``optimizers`` the same.
        optimizers: Another optimiser than Adam, or a schedule; see :class:`MultiTaskModule`.
        class_weights: How much each label of a task counts in training, such as
            ``{"urgent": [1, 3]}``; see :class:`MultiTaskModule`.

    Raises:
        FloatingPointError: If the loss of an epoch is not finite.
        ValueError: If ``precision`` is unknown, ``max_epochs`` or ``patience`` is below 1, ``clip``
            or a learning rate is not positive, there is no such group of parameters, an Apple GPU
            is asked for, or a GPU that is not there, ``notes`` or what ``model.save`` writes cannot
            be in a checkpoint, the train texts are missing, or dev texts where ``patience`` or
            ``scores`` ask for them, texts are without any label, a dataset's tasks or label names
            are not the model's, or in another order, the vocabulary is another one, a text has a
            task or label that the model does not, or a sentence neighbouring tags that a CRF's
            scheme does not allow, class weights are not of the model's classes, nothing is to be
            trained, or ``resume`` is no such checkpoint, is of another model or has trained
            ``max_epochs`` already.
        OSError: If there is no file ``resume``, or it cannot be opened.
    """
    _check_options(precision, max_epochs, patience, clip)
    accelerator = pick_accelerator(accelerator)
    net = cast(nn.Module, model)
    if any(uncompiled(part) is not part for part in net.modules()):
        raise ValueError(
            "expected a model of which torch.compile wraps no part, for checkpoints name them: "
            "model.compile() compiles it where it is"
        )
    check_module(data)
    check_scores(scores or {})
    _check_data(model, data, set(scores or ()))
    has_dev = data.given("dev") is not None
    if not has_dev and (patience is not None or scores):
        raise ValueError(f"expected texts for 'dev', for {'scores' if scores else 'patience'}")
    if not any(parameter.requires_grad for parameter in net.parameters()):
        raise ValueError("expected parameters to train, got a model in which all are frozen")
    if not net.training:  # as loaded models are; parts that somebody put in it stay there
        net.train()
    batches = -(-len(data.encoded("train")) // data.batch_size)
    module = MultiTaskModule(
        model,
        learning_rate,
        weight_decay,
        loss,
        seed=seed,
        notes=notes,
        scores=scores,
        learning_rates=learning_rates,
        optimizers=optimizers,
        class_weights=class_weights,
    )
    _ = module.description  # else a model that cannot be saved says so after the first epoch
    folder = Path(log_dir)
    if resume is not None:
        check_resume(resume, max_epochs, module)
    if has_dev and resume is not None:
        bring_best(resume, folder)
    elif not has_dev and resume is None:
        remove_best(folder)
    monitor = "dev/score" if scores else "dev/accuracy"
    kept = [keep(BEST, folder, monitor)] * has_dev + [keep(LAST, folder, None)]
    throughput = Throughput()
    own: list[Callback] = [*kept, throughput, *callbacks]
    if patience is not None:
        own.append(Patience(monitor, patience))
    if progress:
        own.append(RunProgressBar(progress if isinstance(progress, str) else "training", monitor))
    with quietly(), flags_kept(), device_kept(net):
        trainer = L.Trainer(
            accelerator=accelerator,
            devices=devices,
            precision=precision,
            # A rank may lack a task that another has: its parameters wait for no gradient here.
            strategy="auto" if devices == 1 else "ddp_find_unused_parameters_true",
            use_distributed_sampler=False,
            max_epochs=max_epochs,
            callbacks=own,
            logger=[
                CSVLogger(folder, name="csv"),
                TensorBoardLogger(folder, name="tensorboard"),
                *loggers,
            ],
            limit_val_batches=1.0 if has_dev else 0,
            log_every_n_steps=max(1, min(50, batches)),
            num_sanity_val_steps=0,
            gradient_clip_val=clip,
            deterministic="warn" if deterministic else False,
            enable_progress_bar=bool(progress),
            enable_model_summary=False,
        )
        with free_again(data):
            trainer.fit(module, datamodule=data, ckpt_path=None if resume is None else str(resume))
    content = read_checkpoint(kept[0].best_model_path)
    if has_dev:
        module.load_state_dict(content["state_dict"])
    accuracy, score = content["mtgnn"]["dev_accuracy"], content["mtgnn"]["dev_score"]
    return FitResult(
        dev_accuracy=_mean(accuracy),
        dev_accuracy_by_task=accuracy,
        best_epoch=content["mtgnn"]["epoch"],
        epochs=_epochs(trainer),
        seconds=throughput.seconds,
        tokens_per_second=throughput.tokens_per_second,
        checkpoint=Path(kept[0].best_model_path),
        last_checkpoint=folder.absolute() / f"{LAST}.ckpt",
        dev_score=_mean(score),
        dev_score_by_task=score,
    )


def _check_options(
    precision: str, max_epochs: int, patience: int | None, clip: float | None
) -> None:
    check_option("precision", precision, get_args(Precision))
    check_numbers(max_epochs=max_epochs)
    if patience is not None:
        check_numbers(patience=patience)
    if clip is not None and not clip > 0:
        raise ValueError(f"expected a positive clip, got {clip}")


def _check_data(model: Trainable, data: MultiTaskDataModule, scored: set[str]) -> None:
    """Raise for texts that do not fit the model; warn of tasks that one part lacks, and of those
    whose accuracy says nothing, if they are not ``scored`` otherwise."""
    check_matching(model, data, PARTS)
    if data.train_weights is not None:
        check_weights(data.train_weights, len(data.encoded("train")))
    train = check_part_labels(model, data.encoded("train"), "train")
    if data.given("dev") is None:
        return
    dev = check_part_labels(model, data.encoded("dev"), "dev")
    _warn_of_tasks(model, dev - train, "train", "they are not trained")
    _warn_of_tasks(model, train - dev, "dev", "they have no say in which epoch is best")
    lone = [model.tasks[k] for k in sorted(dev) if len(model.classes[model.tasks[k]]) == 1]
    if lone := [task for task in lone if task not in scored]:
        warnings.warn(
            f"{lone} have one class: their accuracy of 1 counts in the mean that chooses the epoch",
            stacklevel=3,
        )


def _warn_of_tasks(model: Trainable, numbers: set[int], part: str, without: str) -> None:
    """Warn of tasks that one part has no label of, though the other has, if they are trained."""
    lacking = [model.tasks[number] for number in sorted(numbers)]
    if isinstance(model, (MultiTaskModel, TaggingModel)):  # who trains one task alone knows that
        groups = parameter_groups(model)
        heads = {task: groups[f"heads.{task}"].values() for task in lacking}
        lacking = [task for task in lacking if any(p.requires_grad for p in heads[task])]
    if lacking:
        warnings.warn(f"no labels for {part!r} of {lacking}: {without}", stacklevel=4)


def _mean(by_task: Mapping[str, float]) -> float:
    return sum(by_task.values()) / len(by_task) if by_task else math.nan


def _epochs(trainer: L.Trainer) -> int:
    """Epochs that are over; ``trainer.current_epoch`` lags where a resume trains none."""
    progress: Any = trainer.fit_loop.epoch_progress.current
    return int(progress.processed)
