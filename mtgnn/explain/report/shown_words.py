"""Words as the page of a report shows them."""

from __future__ import annotations

from typing import Any

import torch

from ..readouts.mailbox import MailboxWords
from ..readouts.readout import equal_shares
from ..readouts.words import WordWeight, WordWeights, heaviest


def shown_words(table: WordWeights | MailboxWords, number: int, min_count: int) -> list[Any]:
    """For each edge, or each task that reads a mailbox, its heaviest words: those that weigh more
    than under equal attention."""
    equal = torch.ones(table.weight.size(1))  # a mailbox's weights are in units of it
    if isinstance(table, WordWeights):
        equal = equal_shares(table.graph)
    heavy = [
        heaviest(table.words, table.weight[:, i], table.count[:, i], number, min_count)
        for i in range(len(equal))
    ]
    return [
        [_word(entry) for entry in entries if entry.weight > 1.001 * float(one)]
        for entries, one in zip(heavy, equal, strict=True)
    ]


def rare_words(table: WordWeights | MailboxWords, min_count: int) -> list[list[int] | None]:
    """For each task how many words are rarer than ``min_count``, and how many it has read; ``None``
    where it listens to nobody."""
    if isinstance(table, WordWeights):
        into = [table.graph.incoming(k) for k in range(table.graph.num_tasks)]
        columns = [edges[0][0] if edges else None for edges in into]
    else:
        columns = list(range(len(table.tasks)))
    found: list[list[int] | None] = []
    for column in columns:
        if column is None:
            found.append(None)
            continue
        count = table.count[:, column]
        found.append([int(((count > 0) & (count < min_count)).sum()), int((count > 0).sum())])
    return found


def _word(entry: WordWeight) -> list[Any]:
    return [entry.word, float(f"{entry.weight:.4g}"), entry.occurrences]
