"""The names of a task's labels, from those of its training texts."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable


def label_names(labels: Iterable[str], task: str) -> list[str]:
    """All labels, sorted; warns where most texts have one that no other has, as where labels and
    texts are swapped."""
    counts = Counter(labels)
    once = sum(count == 1 for count in counts.values())
    if once > 3 and 2 * once > counts.total():
        warnings.warn(
            f"{once} of the {counts.total()} texts of {task!r} have a label that no other text "
            f"has, such as {next(iter(counts))!r:.40}: the label comes first, then the text",
            stacklevel=4,
        )
    return sorted(counts)
