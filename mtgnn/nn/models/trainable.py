"""What a trainer asks of a model, whatever its labels are of: texts or words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from ...data.batch import is_labelled
from ..tasks import has_one_task


class Output(NamedTuple):
    """What a model makes of a batch.

    Attributes:
        logits: Of whatever shape the model's own methods understand.
        auxiliary: What the encoder wants added to the loss of each sequence ``[B]``; ``None``
            where it wants nothing, and in evaluation mode.
    """

    logits: Tensor
    auxiliary: Tensor | None = None


class Samples(NamedTuple):
    """Values of samples, as :class:`MultiTaskLoss` and a mean over tasks take them.

    Attributes:
        value: ``[n]``, such as losses; whatever stands where there is no label.
        task: ``[n]``, the task of each.
        labelled: ``[n]``, which count.
    """

    value: Tensor
    task: Tensor
    labelled: Tensor


class Trainable(Protocol):
    """What :class:`mtgnn.lightning.MultiTaskModule` trains: any module with these.

    A batch has ``lengths`` ``[B]``, ``task`` ``[B]``, ``[B, K]`` or ``None``, and integer labels
    ``y``, −100 where there is none: ``[B]`` of texts, ``[B, T]`` of words; ``[B, K]`` of texts,
    ``[B, T, K]`` of words in several tasks.
    What a *sample* is, whose losses are joined and counted, is the model's to say.
    """

    tasks: tuple[str, ...]

    @property
    def classes(self) -> Mapping[str, Sequence[str]]:
        """The label names of each task, in the order of their numbers."""

    def read(self, batch: Any) -> Output:
        """Compute the logits of a batch."""

    def losses(self, output: Output, batch: Any) -> Samples:
        """The loss of each sample."""

    def predicted(self, output: Output, batch: Any) -> Tensor:
        """The class that the model gives in the place of each label of ``batch.y``."""

    def save(self, path: Any) -> None:
        """Write, by ``torch.save``, a dictionary of plain values and tensors, with ``"format"``,
        the name of what it is, and ``"state_dict"``; training that goes on from a checkpoint asks
        that the rest is the same."""


class LabelledTexts(Protocol):
    """What :meth:`MultiTaskModel.loss_per_sample` reads of a batch."""

    @property
    def task(self) -> Tensor | None:
        """Task of each sequence ``[B]``; or its tasks ``[B, K]``; ``None``: all."""

    @property
    def y(self) -> Tensor:
        """Class of each sequence ``[B]``, or in each task ``[B, K]``; −100 where there is none."""


def samples(value: Tensor, labelled: Tensor, task: Tensor | None) -> Samples:
    """The samples of a batch: values of sequences or words of a task each, ``[B]``, ``[B, T]``; or
    of each task of each, ``[B, K]``, ``[B, T, K]``, where those count that a sequence has."""
    labelled = labelled.to(value.device, non_blocking=True)
    middle = [1] * (value.dim() - 1)
    if has_one_task(task):
        number = task.to(value.device, non_blocking=True).view(-1, *middle)
    else:
        number = torch.arange(value.size(-1), device=value.device)
        if task is not None:
            own = task.to(value.device, non_blocking=True)
            labelled = labelled & own.view(len(own), *middle[1:], -1)
    return Samples(value.flatten(), number.expand_as(value).flatten(), labelled.flatten())


def hits(predicted: Tensor, y: Tensor, task: Tensor | None) -> Samples:
    """Which labels, of any of these shapes, are predicted right: each is a sample.

    Raises:
        ValueError: If labels are no integers.
    """
    if y.is_floating_point():
        raise ValueError(
            f"expected labels y as integers, numbers of classes, got {y.dtype}: regression takes a "
            "loop of one's own"
        )
    return samples(predicted.to(y.device) == y, is_labelled(y), task)
