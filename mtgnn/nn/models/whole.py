"""What whole models have in common: their encoder, and prediction batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from ...graph import TaskGraph
from ..modes import evaluating
from ..tasks import has_one_task, pick_wanted
from .check_model import check_encoder
from .encoders import build_encoder
from .trainable import Output

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class WholeModel(nn.Module):
    """What whole models have in common: an encoder over a task graph."""

    encoder: nn.Module

    @property
    def graph(self) -> TaskGraph:
        """The encoder's task graph."""
        return self.encoder.graph  # type: ignore[return-value]

    @property
    def has_auxiliary_losses(self) -> bool:
        """Whether the encoder wants anything added to the loss."""
        return hasattr(self.encoder, "auxiliary_losses")

    def _output(self, *given: Any) -> Output:
        """What the model makes of arguments of its own; in training, with auxiliary losses."""
        if self.training and self.has_auxiliary_losses:
            return Output(*self(*given, return_auxiliary_losses=True))
        return Output(self(*given))


def take_encoder(
    encoder: str | nn.Module,
    options: Mapping[str, Any] | None,
    input_size: int,
    hidden_size: int,
    tasks: tuple[str, ...],
) -> nn.Module:
    """The encoder itself, or one built by its name.

    Raises:
        ValueError: For an unknown name or option, or an encoder of another size or other tasks.
    """
    if isinstance(encoder, str):
        encoder = build_encoder(encoder, input_size, hidden_size, tasks, **dict(options or {}))
    check_encoder(encoder, tasks, input_size)
    return encoder


def encode(
    encoder: nn.Module,
    x: Tensor,
    lengths: Tensor,
    task: Tensor | None,
    attention: bool,
    auxiliary: bool,
) -> tuple[Tensor, list[Any]]:
    """States, and a list of what else was asked for: attention, auxiliary losses."""
    asked = {"return_attention_weights": True} if attention else {}
    out, _, *rest = encoder(x, lengths, task, **asked)
    if auxiliary:
        if hasattr(encoder, "auxiliary_losses"):
            rest.append(encoder.auxiliary_losses(out, lengths, task))  # type: ignore[operator]
        else:
            rest.append(out.new_zeros(len(out)))
    return out, rest


def head_logits(heads: nn.Module, dropout: nn.Module, out: Tensor, task: Tensor | None) -> Tensor:
    """Logits ``[B, *, C]`` of the outputs ``[B, *, F]`` of one task each; or of several,
    ``[B, *, K, C]`` of ``[B, *, K, F]``, with zeros for tasks that a sequence does not have."""
    if task is None or has_one_task(task):
        logits: Tensor = heads(dropout(out), task)
        return logits
    # Those that are asked for alone: dropout of the others would cost more than their heads.
    own, place, _, number = pick_wanted(out, task)
    own = heads(dropout(own), number)
    every = own.new_zeros(task.numel(), *own.shape[1:]).index_copy(0, place, own)
    return every.unflatten(0, task.shape).movedim(1, -2)


def answer_in_batches(
    model: nn.Module,
    items: Sequence[Item],
    sizes: Sequence[int],
    batch_size: int,
    answer: Callable[[list[Item]], list[Answer]],
) -> list[Answer]:
    """Answers to all items, in evaluation mode; the shortest go first, which spares padding."""
    order = sorted(range(len(items)), key=lambda i: sizes[i])
    answers: dict[int, Answer] = {}
    with evaluating(model), torch.no_grad():
        for start in range(0, len(order), batch_size):
            chosen = order[start : start + batch_size]
            answers.update(zip(chosen, answer([items[i] for i in chosen]), strict=True))
    return [answers[i] for i in range(len(items))]
