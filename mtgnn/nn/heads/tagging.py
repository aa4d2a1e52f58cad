"""Heads that tag: for each task a softmax a word, or a CRF over the sentence."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch_geometric.nn.module_dict import ModuleDict

from ...data import NO_LABEL
from ...graph import Tasks
from ..check import check_tasks, whole_numbers
from ..tasks import has_one_task, task_mask
from . import chain, crf
from .chain import Scores
from .crf import LinearChainCRF
from .linear import ClassificationHeads
from .pooling import real_steps
from .tag_scheme import AllowedTransitions


class TaggingHeads(nn.Module):
    """One linear tagger a task; over its scores a softmax a word, or a CRF over the sentence.

    The CRFs of all tasks run at once, and each keeps its own tags. With one task of each sentence,
    the head and CRF of a task that is in no sentence keep ``grad is None``, and so does the CRF
    with some tasks of each. With all tasks, what has no labels has a gradient of zeros.

    Args:
        in_channels: Size F of a word's vector.
        num_tags: Number of tags of each task.
        tasks: Task names; by default ``task0``, ``task1``, ….
        crf: Whether each task has a :class:`LinearChainCRF`.
        allowed: For each task, which tags may follow each other (see
            :func:`allowed_transitions`), or ``None``: all. For CRFs alone.

    Shapes:
        - **input:** :math:`(B, T, F)` and task :math:`(B)`; or :math:`(B, T, K, F)`, of all tasks
          or of those that a boolean task :math:`(B, K)` names
        - **output:** logits :math:`(B, T, C)`, or :math:`(B, T, K, C)`, with C the largest number
          of tags and :math:`-\\infty` beyond a task's own

    Raises:
        ValueError: If there is no task, a name occurs twice or cannot name a module, a size is
            below 1, numbers do not match, or there is ``allowed`` without a CRF.

    Example:
        >>> heads = TaggingHeads(8, [5, 3], ["chunk", "pos"], crf=True)
        >>> h, lengths, task = torch.randn(2, 4, 8), torch.tensor([4, 2]), torch.tensor([1, 0])
        >>> logits = heads(h, task)
        >>> heads.decode(logits, lengths, task).shape
        torch.Size([2, 4])
    """

    def __init__(
        self,
        in_channels: int,
        num_tags: Sequence[int],
        tasks: Tasks | None = None,
        *,
        crf: bool = False,
        allowed: Sequence[AllowedTransitions | None] | None = None,
    ) -> None:
        super().__init__()
        self.scores = ClassificationHeads(in_channels, num_tags, tasks)
        self.tasks, self.num_tags = self.scores.tasks, self.scores.num_classes
        if allowed is not None and len(allowed) != len(self.tasks):
            raise ValueError(
                f"expected allowed transitions for {len(self.tasks)} tasks, got {len(allowed)}"
            )
        rules = [None] * len(self.tasks) if allowed is None else allowed
        if not crf and any(rule is not None for rule in rules):
            raise ValueError("allowed transitions need crf=True: a softmax tags word by word")
        self.crfs: ModuleDict | None = None
        if crf:
            sizes = zip(self.tasks, self.num_tags, rules, strict=True)
            self.crfs = ModuleDict({name: LinearChainCRF(size, rule) for name, size, rule in sizes})

    def reset_parameters(self) -> None:
        """Draw all parameters anew."""
        self.scores.reset_parameters()
        for own in [] if self.crfs is None else self.crfs.values():
            own.reset_parameters()

    def forward(self, h: Tensor, task: Tensor | None = None) -> Tensor:
        """Compute each word's logits; shapes as in the class description.

        Raises:
            ValueError: For wrong sizes or a task out of range.
        """
        each = has_one_task(task)
        if h.dim() != (3 if each else 4):
            raise ValueError(
                f"expected h of shape [B, T, F] with a task each or [B, T, K, F] with several, "
                f"got {list(h.shape)}{' with a task each' if each else ''}"
            )
        check_tasks(task, h.size(0), len(self.tasks))
        return self.scores(h, task if each else None)

    def loss(
        self, logits: Tensor, y: Tensor, lengths: Tensor, task: Tensor | None = None
    ) -> Tensor:
        """Negative log-likelihood of each sentence's labels: a sum over its words.

        Args:
            logits: What :meth:`forward` gave.
            y: ``[B, T]``, or of several tasks ``[B, T, K]``: tags, −100 where there is none. A CRF
                sums over what is missing, a softmax leaves it out: in both, the likelihood is that
                of the labels that are there. What stands beyond the lengths does not matter.
            lengths: ``[B]``, real words.
            task: ``[B]``, task of each sentence; ``[B, K]``, boolean, its tasks; ``None``: all.

        Returns:
            ``[B]``, or of several tasks ``[B, K]``; 0 for a sentence without labels.

        Raises:
            ValueError: For wrong sizes, a label that is none of its task's tags or of a task that
                its sentence does not have, or labels that the transitions forbid.
        """
        sizes, task = self._check(logits, lengths, task)
        if y.shape != logits.shape[:-1] or y.is_floating_point():
            raise ValueError(
                f"expected integer labels of shape {list(logits.shape[:-1])}, "
                f"got {y.dtype} of {list(y.shape)}"
            )
        y = whole_numbers(y.to(logits.device, non_blocking=True))
        _check_wanted(y, sizes, task)
        if self.crfs is not None:
            groups = _Groups(task, logits, len(self.tasks))
            scores = self._stack(groups, logits)
            found = crf.log_likelihood(scores, groups.split(y), groups.lengths(sizes))
            return -groups.join(found)
        real = _real(sizes, y, task)
        y = torch.where(real, y, NO_LABEL)
        self._check_labels(y, task)
        flat = nn.functional.cross_entropy(
            logits.flatten(0, -2), y.flatten(), reduction="none", ignore_index=NO_LABEL
        )
        return flat.view_as(y).sum(1)

    @torch.no_grad()
    def decode(self, logits: Tensor, lengths: Tensor, task: Tensor | None = None) -> Tensor:
        """The likeliest tags: of each word, or with a CRF of each sentence as a whole.

        Arguments and errors are those of :meth:`loss`.

        Returns:
            ``[B, T]``, or of several tasks ``[B, T, K]``; −100 beyond the lengths, and for tasks
            that a sentence does not have.
        """
        sizes, task = self._check(logits, lengths, task)
        if self.crfs is None:
            best = logits.argmax(-1)
            return torch.where(_real(sizes, best, task), best, NO_LABEL)
        groups = _Groups(task, logits, len(self.tasks))
        best = crf.decode(self._stack(groups, logits), groups.lengths(sizes))
        return groups.join(best, NO_LABEL)

    @torch.no_grad()
    def marginals(self, logits: Tensor, lengths: Tensor, task: Tensor | None = None) -> Tensor:
        """The probability of each tag, shaped like the logits, zeros beyond the lengths and for
        tasks that a sentence does not have.

        Arguments and errors are those of :meth:`loss`.
        """
        sizes, task = self._check(logits, lengths, task)
        if self.crfs is None:
            return torch.where(_real(sizes, logits, task), logits.softmax(-1), 0)
        groups = _Groups(task, logits, len(self.tasks))
        return groups.join(chain.marginals(self._stack(groups, logits), groups.lengths(sizes)))

    def _stack(self, groups: _Groups, logits: Tensor) -> Scores:
        assert self.crfs is not None
        own = [self.crfs[self.tasks[k]] for k in groups.present]
        return crf.stack_crf_scores(own, groups.split(logits))

    def _check(
        self, logits: Tensor, lengths: Tensor, task: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Raise where sizes do not fit; else return the lengths, where the logits are, and tasks,
        where they are read: on the CPU."""
        width = max(self.num_tags)
        shape = (width,) if has_one_task(task) else (len(self.tasks), width)
        if logits.dim() != 2 + len(shape) or logits.shape[2:] != shape:
            raise ValueError(
                f"expected logits of shape {['B', 'T', *shape]}, got {list(logits.shape)}"
            )
        if task is not None:
            task = whole_numbers(task.cpu())
            check_tasks(task, logits.size(0), len(self.tasks))
        sizes = crf.whole_lengths(lengths, *logits.shape[:2])
        return sizes.to(logits.device, non_blocking=True), task

    def _check_labels(self, y: Tensor, task: Tensor | None) -> None:
        if y.device.type != "cpu":  # there, to look would wait
            return
        sizes = torch.tensor(self.num_tags)
        limit = sizes[task].unsqueeze(1) if has_one_task(task) else sizes
        wrong = (y != NO_LABEL) & ((y < 0) | (y >= limit))
        if bool(wrong.any()):
            raise ValueError(
                f"expected labels of tags that there are, or {NO_LABEL}, "
                f"got {sorted(set(y[wrong].tolist()))[:5]}"
            )

    def extra_repr(self) -> str:
        """Kind of the output in the representation."""
        return f"crf={self.crfs is not None}"


class _Groups:
    """Sentences by task: one chain for each task that is present, as many sentences in each.

    Where a task has fewer sentences than another, its first one stands in the places left over.

    Args:
        task: ``[B]``, ``[B, K]`` or ``None``.
        like: Any tensor on the device.
        num_tasks: K.
    """

    def __init__(self, task: Tensor | None, like: Tensor, num_tasks: int) -> None:
        self.every, self.each = task is None, has_one_task(task)
        self.present = list(range(num_tasks))
        if task is None:
            return
        wanted = task_mask(task, len(task), num_tasks)
        self.present = wanted.any(0).nonzero().flatten().tolist()
        rows = [wanted[:, k].nonzero().squeeze(1) for k in self.present]
        width = max(len(own) for own in rows)
        index = torch.stack([torch.cat([own, own[:1].expand(width - len(own))]) for own in rows])
        place = torch.zeros(wanted.shape, dtype=torch.long)
        for n, (k, own) in enumerate(zip(self.present, rows, strict=True)):
            place[own, k] = n * width + torch.arange(len(own))
        if self.each:
            place = place.gather(1, task.cpu().unsqueeze(1)).squeeze(1)
        self.index, self.place, self.number, self.wanted = (
            part.to(like.device, non_blocking=True)
            for part in (index, place, torch.tensor(self.present).unsqueeze(1), wanted)
        )

    def split(self, values: Tensor) -> Tensor:
        """``[B, T, …]``, or ``[B, T, K, …]``, to ``[N, S, T, …]``."""
        if self.every:
            return values.movedim(2, 0)
        return values[self.index] if self.each else values[self.index, :, self.number]

    def lengths(self, lengths: Tensor) -> Tensor:
        """``[B]`` to ``[N, S]``."""
        if self.every:
            return lengths.expand(len(self.present), -1)
        return lengths[self.index]

    def join(self, values: Tensor, missing: int = 0) -> Tensor:
        """``[N, S, …]`` back to ``[B, …]``; several tasks to ``[B, K]``, ``[B, T, K, …]``, with
        ``missing`` for tasks that a sentence does not have."""
        where = min(2, values.dim() - 1)
        if self.every:
            return values.movedim(0, where)
        own = values.flatten(0, 1)[self.place]
        if self.each:
            return own
        other = ~self.wanted.view(*self.wanted.shape, *[1] * (own.dim() - 2))
        return own.masked_fill(other, missing).movedim(1, where)


def _real(lengths: Tensor, like: Tensor, task: Tensor | None = None) -> Tensor:
    """Which steps of ``[B, T, …]`` are real, and of tasks that a sentence has, with as many
    dimensions."""
    mask = real_steps(like, lengths)
    if task is None or has_one_task(task):
        return mask
    return mask & task.to(like.device).unsqueeze(1).view(len(task), 1, -1, *[1] * (like.dim() - 3))


def _check_wanted(y: Tensor, lengths: Tensor, task: Tensor | None) -> None:
    """Raise where a sentence has labels for a task that it does not have."""
    if task is None or has_one_task(task) or y.device.type != "cpu":
        return
    stray = ((y != NO_LABEL) & _real(lengths, y)).any(1) & ~task.cpu()
    if bool(stray.any()):
        raise ValueError(
            f"expected labels for the tasks of each sentence alone, got others in sentences "
            f"{stray.any(1).nonzero().flatten().tolist()[:5]}"
        )
