"""Whether texts and a model mean the same by their numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .data import MultiTaskDataModule


def check_matching(model: Any, data: MultiTaskDataModule, parts: Iterable[str]) -> None:
    """Raise where datasets name tasks or labels otherwise than the model that they are for, or are
    encoded by another vocabulary.

    Args:
        model: With ``tasks`` and ``classes``.
        data: What are no lists of ``tasks`` and no ``classes`` by task, other libraries' datasets
            mean otherwise.
        parts: The parts that count.
    """
    for part in parts:
        tasks, classes = data.names[part]
        if isinstance(tasks, (list, tuple)) and list(tasks) != list(model.tasks):
            raise ValueError(
                f"expected texts for {part!r} of the model's tasks {list(model.tasks)} in this "
                f"order, got tasks {list(tasks)}: mtgnn.data.renumber_tasks(dataset, model.tasks)"
            )
        for task, labels in classes.items() if isinstance(classes, Mapping) else ():
            known = model.classes.get(task)
            if known is not None and list(labels) != list(known):
                raise ValueError(
                    f"expected labels of {task!r} for {part!r} as the model has them, "
                    f"{list(known)}, got {list(labels)}"
                )
    own, other = getattr(model, "vocabulary", None), data.vocabulary
    if own is not None and other is not None and own.tokens != other.tokens:
        raise ValueError(
            f"expected the model's own vocabulary, of {len(own)} tokens, got another one, "
            f"of {len(other)}"
        )
