"""The adversarial shared-private baseline."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from ...graph import Tasks
from ...ops.device import to_device
from ..check import check_option, whole_numbers
from ..heads import pool
from ..tasks import has_one_task, pick_wanted, task_mask
from .shared_private import SharedPrivateLSTM


class AdversarialLSTM(SharedPrivateLSTM):
    r"""The adversarial shared-private model (ASP-MTL) of `"Adversarial Multi-task Learning for
    Text Classification" <https://arxiv.org/abs/1704.05742>`_ (section 4).

    It computes what :class:`SharedPrivateLSTM` does. What differs is the training: a discriminator
    learns to tell the task from the shared states while these, through a reversed gradient, learn
    to hide it; and shared and private states are to be orthogonal. With :math:`\mathbf{s}` the
    pooled shared states of sequence b of task k and T steps,

    .. math::
        \ell_b = -\lambda \log \mathrm{softmax}(\mathbf{U} \, R(\mathbf{s}) + \mathbf{b})_k +
        \gamma \, \bigl\| \tfrac{1}{T} \mathbf{S}^\top \mathbf{P} \bigr\|_F^2

    where R is the identity, whose gradient has its sign reversed, and the rows of S and P are the
    shared and private states of the sequence's steps. The paper has no 1/T. Without it the penalty
    grows with the square of the length, and drowns the task loss on long texts.

    These are auxiliary losses, one a sequence (:meth:`auxiliary_losses`): whoever trains adds
    their mean over the batch to the loss, as :class:`mtgnn.lightning.MultiTaskModule` does. They
    need no label, so sequences without one take part.

    Args:
        input_size: Size E of an input.
        hidden_size: Size H of a state of each of the two LSTMs.
        num_tasks: Number of tasks, or their names.
        adversarial_weight: :math:`\lambda`.
        orthogonality_weight: :math:`\gamma`.
        pooling: How the discriminator's input is pooled: ``"last"``, as in the paper, ``"mean"`` or
            ``"max"``, see :func:`pool`.
        **kwargs: See :class:`SharedPrivateLSTM`.

    Shapes: As in :class:`SharedPrivateLSTM`.

    Raises:
        ValueError: Also for an unknown ``pooling``, or a weight that is negative or not finite.

    Example:
        >>> import torch
        >>> rnn = AdversarialLSTM(3, 4, ["books", "dvd"])
        >>> lengths, task = torch.tensor([5, 2]), torch.tensor([0, 1])
        >>> out, _ = rnn(torch.randn(2, 5, 3), lengths, task)
        >>> rnn.auxiliary_losses(out, lengths, task).shape  # loss = task loss + their mean
        torch.Size([2])
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_tasks: Tasks,
        *,
        adversarial_weight: float = 0.05,
        orthogonality_weight: float = 0.01,
        pooling: str = "last",
        **kwargs: Any,
    ) -> None:
        super().__init__(input_size, hidden_size, num_tasks, **kwargs)
        check_option("pooling", pooling, ("last", "mean", "max"))
        for weight in (adversarial_weight, orthogonality_weight):
            if not (math.isfinite(weight) and weight >= 0):
                raise ValueError(f"expected weights of at least 0, got {weight}")
        self.adversarial_weight = adversarial_weight
        self.orthogonality_weight = orthogonality_weight
        self.pooling = pooling
        self.discriminator = nn.Linear(self.shared.output_size, self.graph.num_tasks)

    def reset_parameters(self) -> None:
        """Draw all parameters anew."""
        super().reset_parameters()
        self.discriminator.reset_parameters()

    def auxiliary_losses(self, out: Tensor, lengths: Tensor, task: Tensor | None) -> Tensor:
        """What to add to the loss of each sequence; of one with several tasks, a mean over these.

        Args:
            out: ``[B, T, F]`` or ``[B, T, K, F]``, what :meth:`forward` gave for these tasks.
            lengths: ``[B]``, real steps.
            task: ``[B]``, the task of each sequence; ``[B, K]``, boolean, its tasks; ``None``: all.

        Returns:
            Losses ``[B]``.

        Raises:
            ValueError: If ``out`` is of another shape than such tasks give.
        """
        num_tasks = self.graph.num_tasks
        one = has_one_task(task)
        expected = out.shape[:2] if one else (*out.shape[:2], num_tasks)
        asked = (len(out),) if one else (len(out), num_tasks)
        fits = task is None or task.shape == asked
        if out.shape != (*expected, self.output_size) or not fits:
            said = "all" if task is None else list(task.shape)
            raise ValueError(
                f"expected outputs [B, T, {self.output_size}] for a task each, or "
                f"[B, T, {num_tasks}, {self.output_size}], got {list(out.shape)} and tasks {said}"
            )
        if has_one_task(task):
            return self._losses(out, lengths, whole_numbers(task))
        wanted = task_mask(task, len(out), num_tasks)
        own, _, row, number = pick_wanted(out, wanted)
        losses = self._losses(own, lengths.cpu()[row], number)
        share = to_device(1 / wanted.sum(1)[row], out.device).to(losses.dtype)
        return losses.new_zeros(len(out)).index_add(0, to_device(row, out.device), losses * share)

    def _losses(self, out: Tensor, lengths: Tensor, task: Tensor) -> Tensor:
        shared, private = self.split(out)
        pooled = pool(shared, lengths, self.pooling, bidirectional=self.bidirectional)
        logits = self.discriminator(reverse_gradient(pooled))
        number = task.to(out.device, non_blocking=True)
        adversarial = nn.functional.cross_entropy(logits, number, reduction="none")
        # The products of padding are zero: it is exact zeros.
        product = shared.transpose(1, 2) @ private
        # Under autocast: the square of a sum over many steps is beyond float16.
        product = product.to(torch.promote_types(product.dtype, torch.float32))
        steps = lengths.to(out.device, non_blocking=True)
        overlap = product.square().sum((1, 2)) / steps**2
        return self.adversarial_weight * adversarial + self.orthogonality_weight * overlap


def reverse_gradient(x: Tensor) -> Tensor:
    """The same values, whose gradient has its sign reversed (`"Unsupervised Domain Adaptation by
    Backpropagation" <https://arxiv.org/abs/1409.7495>`_)."""
    return 2 * x.detach() - x  # exact: doubling changes no digit
