"""Which words of the mailbox a task reads."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...data import Vocabulary
from ...graph import TaskGraph
from ...nn.models.check_model import check_task_name
from .readout import MAILBOX, Batch, real_steps
from .words import WordWeight, heaviest


@dataclass(frozen=True)
class MailboxWords:
    """How much each task reads at each word of the mailbox.

    Attributes:
        tasks: Names of the tasks.
        words: The V words.
        weight: ``[V, K]``; 1 is what a word would get if a task read everywhere alike.
        count: ``[V, K]``, how often the word stands in the task's mailbox.
    """

    tasks: tuple[str, ...]
    words: list[str]
    weight: Tensor
    count: Tensor

    def top(self, task: str, number: int = 10, min_count: int = 5) -> list[WordWeight]:
        """The words that ``task`` reads most, heaviest first; see :meth:`WordWeights.top`.

        Raises:
            ValueError: If there is no such task.
        """
        check_task_name(task, self.tasks)
        k = self.tasks.index(task)
        return heaviest(self.words, self.weight[:, k], self.count[:, k], number, min_count)


class MailboxByWord:
    r"""Readout for mailboxes: how much a task reads at a word, in units of equal attention.

    For a word w and a task k, over all positions j of its sentences where w stands,

    .. math::
        \frac{\sum_{j} \sum_t \beta_{t,j}}{\sum_{j} \sum_t u_{t,j}}

    where :math:`u_{t,j}` is the weight under equal attention over what step t may read. The ratio
    keeps words of short sentences, whose weights are larger, from coming first.

    Args:
        graph: The graph that the model's encoder runs on.
        vocabulary: The words.
        past: Whether a step reads no later positions (``memory="past"``).
        bidirectional: Whether the weights are a mean over both directions, in one of which a step
            with ``past`` reads no earlier positions.
    """

    reads = MAILBOX

    def __init__(
        self,
        graph: TaskGraph,
        vocabulary: Vocabulary,
        past: bool = False,
        bidirectional: bool = False,
    ) -> None:
        self.graph, self.words, self.past = graph, vocabulary.tokens, past
        self.bidirectional = past and bidirectional
        self._hears = torch.tensor([bool(graph.incoming(k)) for k in range(graph.num_tasks)])
        size = (len(self.words), graph.num_tasks)
        self._read = torch.zeros(size, dtype=torch.float64)
        self._equal = torch.zeros(size, dtype=torch.float64)
        self._count = torch.zeros(size, dtype=torch.long)

    def update(self, batch: Batch, weights: Tensor) -> None:
        """Take a batch, see :class:`Readout`."""
        device = weights.device
        real = real_steps(batch, device) & self._hears[batch.task.cpu()].to(device).unsqueeze(1)
        where = real.unsqueeze(2) & real.unsqueeze(1)  # step, position
        read = [where.tril()] if self.past else [where]
        if self.bidirectional:
            read.append(where.triu())
        alike = [one / one.sum(2, keepdim=True).clamp(min=1).double() for one in read]
        equal = torch.stack(alike).mean(0)
        tokens, task = batch.tokens.to(device)[real], batch.task.to(device)
        place = (tokens, task.unsqueeze(1).expand_as(real)[real])
        for name, value in (
            ("_read", weights.double().sum(1)[real]),
            ("_equal", equal.sum(1)[real]),
            ("_count", torch.ones_like(tokens)),
        ):
            table = getattr(self, name).to(device)
            setattr(self, name, table.index_put_(place, value, accumulate=True))

    def compute(self) -> MailboxWords:
        """Weights by word and task."""
        equal = self._equal.cpu()
        weight = torch.where(equal > 0, self._read.cpu() / equal, 0.0)
        return MailboxWords(self.graph.tasks, self.words, weight, self._count.cpu())
