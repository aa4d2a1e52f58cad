"""What a tagger says of sentences: tags, or probabilities of all tags, by task."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from ...data import EncodedWords
from ...data.spelling import pad_spelling
from ..check import check_numbers
from .check_model import check_no_nan, check_task_name
from .whole import answer_in_batches

if TYPE_CHECKING:
    from .tagging_model import TaggingModel

Answer = TypeVar("Answer")
Decode = Callable[[Tensor, Tensor, "Tensor | None"], Tensor]


def tag_answers(
    model: TaggingModel,
    sentences: Iterable[Sequence[str]],
    task: str | None,
    batch_size: int,
    decode: Decode,
    answer: Callable[[Tensor, str], Answer],
) -> list[dict[str, Answer]]:
    """An answer to each sentence and task.

    Args:
        model: The model.
        sentences: The words of each sentence.
        task: The one task, or all.
        batch_size: Number of sentences read at once.
        decode: From logits, lengths and task to what is known of each word.
        answer: From that, of one sentence ``[T, …]``, and a task's name to what is handed out.

    Raises:
        ValueError: As :meth:`TaggingModel.predict`.
    """
    if task is not None:
        check_task_name(task, model.tasks)
    every = [sentences] if isinstance(sentences, str) else list(sentences)
    strings = [given for given in every if isinstance(given, str)]
    if strings:
        raise ValueError(f"expected sentences as lists of words, got {strings[0][:40]!r}")
    check_numbers(batch_size=batch_size)
    names = model.tasks if task is None else (task,)
    encoded = [model.sentences.encode(words) for words in every]
    sizes = [len(words.tokens) for words in encoded]

    def answers(chosen: list[EncodedWords]) -> list[dict[str, Answer]]:
        known, lengths = _read(model, chosen, task, decode)
        return [
            {name: answer(own[:length, k], name) for k, name in enumerate(names)}
            for own, length in zip(known, lengths.tolist(), strict=True)
        ]

    return answer_in_batches(model, encoded, sizes, batch_size, answers)


def _read(
    model: TaggingModel, encoded: list[EncodedWords], task: str | None, decode: Decode
) -> tuple[Tensor, Tensor]:
    """What is known of words, ``[B, T, K, …]`` on the CPU, and the lengths."""
    device = model.words.embedding.weight.device
    lengths = torch.tensor([len(words.tokens) for words in encoded])
    tokens = pad_sequence([words.tokens for words in encoded], batch_first=True)
    characters = pad_spelling([words.spelling for words in encoded])
    number = None if task is None else torch.full_like(lengths, model.tasks.index(task))
    logits = model(tokens.to(device), characters.to(device), lengths, number)
    check_no_nan(logits)
    known = decode(logits, lengths, number).cpu()
    return (known if task is None else known.unsqueeze(2)), lengths
