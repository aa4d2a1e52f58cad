"""What a model of texts says of texts: probabilities of all classes of a task."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from ...data.encoded import warn_of_unknown
from ..check import check_numbers
from .check_model import check_no_nan, check_task_name, check_texts
from .whole import answer_in_batches

if TYPE_CHECKING:
    from .multi_task_model import MultiTaskModel


def text_probabilities(
    model: MultiTaskModel,
    texts: Iterable[str],
    task: str,
    batch_size: int,
    max_length: int | None,
) -> Tensor:
    """``[N, C]`` on the CPU; arguments and errors are those of :meth:`MultiTaskModel.predict`."""
    check_task_name(task, model.tasks)
    texts = check_texts(texts)
    check_numbers(batch_size=batch_size)
    if max_length is not None:
        check_numbers(max_length=max_length)
    encoded = [model.vocabulary.encode(text)[:max_length] for text in texts]
    warn_of_unknown([token for tokens in encoded for token in tokens], model.vocabulary)
    sizes = [len(tokens) for tokens in encoded]
    number = model.tasks.index(task)
    rows = answer_in_batches(
        model, encoded, sizes, batch_size, lambda chosen: _probabilities(model, chosen, number)
    )
    if not rows:
        return model.embedding.weight.new_empty(0, len(model.classes[task]), device="cpu")
    return torch.stack(rows)


def _probabilities(model: MultiTaskModel, encoded: list[list[int]], number: int) -> list[Tensor]:
    lengths = torch.tensor([len(tokens) for tokens in encoded])
    tokens = pad_sequence([torch.tensor(tokens) for tokens in encoded], batch_first=True)
    task = torch.full((len(encoded),), number)
    logits = model(tokens.to(model.embedding.weight.device), lengths, task)
    check_no_nan(logits)
    own = logits[:, : model.heads.num_classes[number]]  # the rest belongs to larger tasks
    return list(own.softmax(1).cpu())
