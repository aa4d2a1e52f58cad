"""What a model of texts says of texts: probabilities of all classes, and the likeliest ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from ...data.encoded import warn_of_unknown
from ..check import check_numbers
from .check_model import check_no_nan, check_task_name, check_texts
from .whole import answer_in_batches

if TYPE_CHECKING:
    from .multi_task_model import MultiTaskModel


class Prediction(NamedTuple):
    """What a model says of a text: the name of the likeliest label, and how likely it is."""

    label: str
    probability: float


def likeliest(probabilities: Tensor, names: Sequence[str]) -> list[Prediction]:
    """The answer to each row ``[N, C]``."""
    best, label = probabilities.max(1)
    pairs = zip(label.tolist(), best.tolist(), strict=True)
    return [Prediction(names[number], probability) for number, probability in pairs]


def by_text(answers: dict[str, list[Prediction]]) -> list[dict[str, Prediction]]:
    """The answers of each task to all texts as those to each text by task."""
    return [dict(zip(answers, row, strict=True)) for row in zip(*answers.values(), strict=True)]


def text_probabilities(
    model: MultiTaskModel,
    texts: Iterable[str],
    task: str | None,
    batch_size: int,
    max_length: int | None,
) -> dict[str, Tensor]:
    """Of the one task, or of all, ``[N, C]`` on the CPU; arguments and errors are those of
    :meth:`MultiTaskModel.predict`."""
    if task is not None:
        check_task_name(task, model.tasks)
    texts = check_texts(texts)
    check_numbers(batch_size=batch_size)
    if max_length is not None:
        check_numbers(max_length=max_length)
    encoded = [model.vocabulary.encode(text)[:max_length] for text in texts]
    warn_of_unknown([token for tokens in encoded for token in tokens], model.vocabulary)
    if task is not None:
        return {task: _read(model, encoded, task, batch_size)[0]}
    if model.own_tables():  # one reading is with one task's vectors
        return {name: _read(model, encoded, name, batch_size)[0] for name in model.tasks}
    return dict(zip(model.tasks, _read(model, encoded, None, batch_size), strict=True))


def _read(
    model: MultiTaskModel, encoded: list[list[int]], task: str | None, batch_size: int
) -> list[Tensor]:
    """The probabilities ``[N, C]`` of each task that was asked for."""
    names = model.tasks if task is None else (task,)
    lengths = [len(tokens) for tokens in encoded]
    rows = answer_in_batches(
        model, encoded, lengths, batch_size, lambda chosen: _probabilities(model, chosen, task)
    )
    empty = model.embedding.weight.new_empty(0, max(model.heads.num_classes), device="cpu")
    every = torch.stack(rows).unbind(1) if rows else [empty] * len(names)
    sizes = [len(model.classes[name]) for name in names]  # what is beyond belongs to larger tasks
    return [own[:, :size].contiguous() for own, size in zip(every, sizes, strict=True)]


def _probabilities(
    model: MultiTaskModel, encoded: list[list[int]], task: str | None
) -> list[Tensor]:
    """``[K, C]`` of each text: of the tasks that were asked for, 0 beyond a task's own classes."""
    lengths = torch.tensor([len(tokens) for tokens in encoded])
    tokens = pad_sequence([torch.tensor(tokens) for tokens in encoded], batch_first=True)
    number = None if task is None else torch.full_like(lengths, model.tasks.index(task))
    logits = model(tokens.to(model.embedding.weight.device), lengths, number)
    check_no_nan(logits)
    known = logits.softmax(-1).cpu()
    return list(known if task is None else known.unsqueeze(1))
