"""From states at every step to one vector a sequence."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from ..check import check_lengths, check_option, whole_numbers

POOLINGS = ("last", "mean", "max", "attention")


def pool(
    states: Tensor, lengths: Tensor, how: str = "max", *, bidirectional: bool = False
) -> Tensor:
    """Pool states over the real steps. What stands beyond the lengths counts for nothing.

    Args:
        states: ``[B, T, F]`` or ``[B, T, K, F]``.
        lengths: ``[B]``, real steps, each in 1…T; checked where they are on the CPU.
        how: ``"last"``: the state at the last real step, for the backward half of a bidirectional
            encoder the one at step 0, where that half has read the whole sequence; ``"mean"``;
            ``"max"``, feature by feature.
        bidirectional: Whether the second half of the features runs backwards.

    Returns:
        ``[B, F]`` or ``[B, K, F]``.

    Raises:
        ValueError: For an unknown ``how``, wrong sizes, or a length out of range.
    """
    check_option("how", how, ("last", "mean", "max"))
    _check(states, lengths)
    lengths = whole_numbers(lengths.to(states.device, non_blocking=True))
    if how == "last":
        return _last(states, lengths, bidirectional)
    mask = real_steps(states, lengths)
    if how == "mean":
        total = states.masked_fill(~mask, 0).sum(1)
        return total / lengths.view(-1, *[1] * (total.dim() - 1))
    return states.masked_fill(~mask, -torch.inf).amax(1)


class Pooling(nn.Module):
    r"""Pooling of states over the real steps, see :func:`pool`; also with learned attention.

    ``"attention"`` weighs the steps by one learned query :math:`\mathbf{q}`:

    .. math::
        \mathbf{p} = \sum_t \alpha_t \mathbf{h}_t, \quad
        \alpha_t = \mathrm{softmax}_t \, \mathbf{q}^\top \mathbf{h}_t / \sqrt{F}

    All tasks share the query: what is a task's own stands in its states and its head, and a task
    with few examples gains from the others here. It starts at zero, as the mean.

    Args:
        how: ``"last"``, ``"mean"``, ``"max"`` or ``"attention"``.
        channels: Size F of a state; needed for ``"attention"`` alone.
        bidirectional: Whether the second half of the features runs backwards.

    Shapes:
        - **input:** states :math:`(B, T, F)` or :math:`(B, T, K, F)`, lengths :math:`(B)`
        - **output:** :math:`(B, F)` or :math:`(B, K, F)`

    Raises:
        ValueError: For an unknown ``how``, or attention without ``channels``.
    """

    def __init__(
        self, how: str = "max", channels: int | None = None, *, bidirectional: bool = False
    ) -> None:
        super().__init__()
        check_option("how", how, POOLINGS)
        self.how, self.channels, self.bidirectional = how, channels, bidirectional
        if how == "attention":
            if channels is None or channels < 1:
                raise ValueError(f"attention pooling needs channels of at least 1, got {channels}")
            self.query = nn.Parameter(torch.zeros(channels))

    def reset_parameters(self) -> None:
        """Set the query to zero."""
        if self.how == "attention":
            nn.init.zeros_(self.query)

    def forward(self, states: Tensor, lengths: Tensor) -> Tensor:
        """Pool; shapes as in the class description."""
        if self.how != "attention":
            return pool(states, lengths, self.how, bidirectional=self.bidirectional)
        _check(states, lengths)
        if states.size(-1) != self.channels:
            raise ValueError(f"expected states of size {self.channels}, got {states.size(-1)}")
        mask = real_steps(states, lengths.to(states.device, non_blocking=True))
        states = states.masked_fill(~mask, 0)
        scores = states @ self.query / self.query.numel() ** 0.5
        alpha = scores.masked_fill(~mask.squeeze(-1), -torch.inf).softmax(1)
        return (alpha.unsqueeze(-1) * states).sum(1)

    def extra_repr(self) -> str:
        """Options in the representation."""
        return f"{self.how!r}" + (", bidirectional=True" if self.bidirectional else "")


def _last(states: Tensor, lengths: Tensor, bidirectional: bool) -> Tensor:
    row = torch.arange(states.size(0), device=states.device)
    last = states[row, lengths - 1]
    if not bidirectional:
        return last
    half = states.size(-1) // 2
    return torch.cat([last[..., :half], states[:, 0, ..., half:]], -1)


def real_steps(states: Tensor, lengths: Tensor) -> Tensor:
    """Which steps are real: ``[B, T, 1]`` or ``[B, T, 1, 1]``."""
    mask = torch.arange(states.size(1), device=states.device) < lengths.unsqueeze(1)
    return mask.view(*mask.shape, *[1] * (states.dim() - 2))


def _check(states: Tensor, lengths: Tensor) -> None:
    if isinstance(states, PackedSequence):
        raise ValueError(
            "expected padded states, got a PackedSequence: pad_packed_sequence(states, "
            "batch_first=True) first"
        )
    if states.dim() not in (3, 4):
        raise ValueError(
            f"expected states of shape [B, T, F] or [B, T, K, F], got {list(states.shape)}"
        )
    check_lengths(lengths, *states.shape[:2])
