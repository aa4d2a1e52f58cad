"""Which kernel ran: for tests, and for whoever wonders."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_RAN: ContextVar[list[str] | None] = ContextVar("ran", default=None)


@contextmanager
def kernels_ran() -> Iterator[list[str]]:
    """Record the kernel of every recurrence, in the order in which they run.

    Yields:
        A list that grows: ``"reference"``, or ``"fused"`` with the kind of communication,
        ``"fused"`` (none), ``"fused pairs"``, ``"fused sparse"``, ``"fused edges"``,
        ``"fused mailbox"`` or, any of these behind a gate, ``"fused gated"``; with the loops of
        :func:`compile_native` ``"native"`` in the place of ``"fused"``.

    Example:
        >>> import torch
        >>> from mtgnn.nn import CompleteGraphLSTM
        >>> layer = CompleteGraphLSTM(3, 4, num_tasks=5, exchange="mutual")
        >>> with kernels_ran() as ran:
        ...     out, state = layer(torch.randn(2, 6, 3))
        >>> ran
        ['fused pairs']
    """
    ran: list[str] = []
    token = _RAN.set(ran)
    try:
        yield ran
    finally:
        _RAN.reset(token)


def note(kernel: str) -> None:
    """Say that a kernel runs."""
    ran = _RAN.get()
    if ran is not None:
        ran.append(kernel)
