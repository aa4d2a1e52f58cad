"""Whether texts and a model mean the same by their numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def check_names(model: Any, names: dict[str, tuple[Any, Any]]) -> None:
    """Raise where datasets name tasks or labels otherwise than the model that they are for.

    Args:
        model: With ``tasks`` and ``classes``.
        names: For each part, the ``tasks`` and ``classes`` of its dataset. What are no lists of
            tasks, and no labels by task, other libraries' datasets mean otherwise.
    """
    for part, (tasks, classes) in names.items():
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


def check_vocabulary(model: Any, vocabulary: Any) -> None:
    """Raise where texts are encoded by another vocabulary than the model's."""
    own = getattr(model, "vocabulary", None)
    if vocabulary is None or own is None or vocabulary is own:
        return
    if vocabulary.tokens != own.tokens:
        raise ValueError(
            f"expected the model's own vocabulary, of {len(own)} tokens, got another one, "
            f"of {len(vocabulary)}"
        )
