"""Whether texts and a model mean the same by their numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch import Tensor

from ..data import EncodedSentences, EncodedTexts
from ..data.parts import dataset_names
from ..nn import MultiTaskModel, TaggingModel
from ..nn.heads.tag_scheme import AllowedTransitions, first_not_allowed
from ..nn.models.check_model import check_labels
from .data import MultiTaskDataModule


def check_module(data: Any) -> None:
    """Raise where texts come otherwise than :func:`fit` and :func:`evaluate` take them."""
    if not isinstance(data, MultiTaskDataModule):
        raise ValueError(
            f"expected a MultiTaskDataModule, got a {type(data).__name__} (with loaders of one's "
            "own, a lightning Trainer trains MultiTaskModule)"
        )


def check_matching(model: Any, data: MultiTaskDataModule, parts: Iterable[str]) -> None:
    """Raise where datasets name tasks or labels otherwise than the model that they are for, or are
    encoded by another vocabulary or encoder.

    Args:
        model: With ``tasks`` and ``classes``.
        data: What are no lists of ``tasks`` and no ``classes`` by task, other libraries' datasets
            mean otherwise.
        parts: The parts that count.
    """
    for part in parts:
        texts = data.given(part)
        _check_names(model, *dataset_names(texts), part)
        if isinstance(texts, EncodedTexts):
            _check_vocabulary(model, texts.vocabulary, f", for {part!r}")
        own = getattr(model, "sentences", None)
        if isinstance(texts, EncodedSentences) and own is not None and own != texts.encoder:
            raise ValueError(
                f"expected sentences for {part!r} that the model's own encoder has encoded, "
                f"{own}, got those of {texts.encoder}: EncodedSentences(data, model.sentences)"
            )
    _check_vocabulary(model, data.vocabulary, "")


def _check_names(model: Any, tasks: Any, classes: Any, part: str) -> None:
    if isinstance(tasks, (list, tuple)) and list(tasks) != list(model.tasks):
        raise ValueError(
            f"expected texts for {part!r} of the model's tasks {list(model.tasks)} in this "
            f"order, got tasks {list(tasks)}: mtgnn.data.renumber_tasks(dataset, model.tasks), or "
            "for labels by name EncodedTexts(…, classes=model.classes)"
        )
    for task, labels in classes.items() if isinstance(classes, Mapping) else ():
        known = model.classes.get(task)
        if known is not None and list(labels) != list(known):
            raise ValueError(
                f"expected labels of {task!r} for {part!r} as the model has them, "
                f"{list(known)}, got {list(labels)}"
            )


def _check_vocabulary(model: Any, other: Any, where: str) -> None:
    own = getattr(model, "vocabulary", None)
    if own is not None and other is not None and own is not other and own.tokens != other.tokens:
        raise ValueError(
            f"expected the model's own vocabulary, of {len(own)} tokens, got another one, "
            f"of {len(other)}{where}"
        )


def check_part_labels(model: Any, texts: Any, part: str) -> set[int]:
    """Numbers of the tasks that have a label.

    Raises:
        ValueError: If texts are of another kind than the model reads, have a task or label that it
            does not, or no label at all, or neighbouring tags that its CRFs do not allow. Models of
            one's own are looked at for labels alone.
    """
    kind = {TaggingModel: EncodedSentences, MultiTaskModel: EncodedTexts}.get(type(model))
    if kind is not None and not isinstance(texts, kind):
        names = type(model).__name__, kind.__name__, type(texts).__name__
        raise ValueError(f"a {names[0]} reads {names[1]}, got {names[2]} for {part!r}")
    there: set[int] = texts.labelled_tasks()
    if not there:
        raise ValueError(f"expected labels among the texts for {part!r}, got none")
    if kind is EncodedTexts:
        _check_tasks(model, texts.task, part)
        check_labels(texts.y, texts.task, model.tasks, model.heads.num_classes)
    if kind is EncodedSentences and model.heads.crfs is not None:
        for k, (task, crf) in enumerate(model.heads.crfs.items()):
            if crf.allowed is not None:
                _check_tags(model.classes[task], crf.allowed, task, texts.labels(k), part)
    return there


def _check_tasks(model: MultiTaskModel, task: Tensor, part: str) -> None:
    num_tasks = len(model.tasks)
    if task.dim() == 2:
        if task.size(1) != num_tasks:
            raise ValueError(
                f"expected texts for {part!r} with labels of {num_tasks} tasks, got {task.size(1)}"
            )
        if model.own_tables():
            raise ValueError(
                f"the model's tasks have vectors of their own: expected one task of each text for "
                f"{part!r}, as of EncodedTexts(…, by_task=True)"
            )
        return
    wrong = (task < 0) | (task >= num_tasks)
    if bool(wrong.any()):
        number = int(wrong.nonzero()[0])
        raise ValueError(
            f"text {number} for {part!r}: expected a task of 0 to {num_tasks - 1}, "
            f"got {int(task[number])}"
        )


def _check_tags(
    names: Sequence[str], allowed: AllowedTransitions, task: str, labels: list[Tensor], part: str
) -> None:
    found = first_not_allowed(AllowedTransitions(*(value.cpu() for value in allowed)), labels)
    if found is not None:
        number, place = found
        tags = [None if label < 0 else names[label] for label in labels[number].tolist()]
        raise ValueError(
            f"sentence {number} for {part!r} has tags of {task!r} that its scheme does not allow, "
            f"at word {place} of {tags}: mtgnn.data.repair_tags mends them"
        )
