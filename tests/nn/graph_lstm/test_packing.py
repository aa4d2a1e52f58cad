"""What is handed out at padding."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from mtgnn.nn import CompleteGraphLSTM

B, T, E, H = 3, 6, 2, 4


@pytest.fixture(autouse=True)
def fresh_memory_is_nan() -> Iterator[None]:
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    assert torch.utils.deterministic.fill_uninitialized_memory
    assert torch.zeros(1).new_empty(2).isnan().all()
    yield
    torch.use_deterministic_algorithms(before)


@pytest.mark.parametrize("length", range(1, T + 1))
@pytest.mark.parametrize("every", [False, True])
@pytest.mark.parametrize("exchange", ["read", "mutual"])
def test_padding_is_zero(exchange: str, every: bool, length: int) -> None:
    """Also where the states of all tasks together are as many as the places handed out."""
    layer = CompleteGraphLSTM(E, H, 3, exchange)
    task = None if every else torch.arange(B)
    out, _ = layer(torch.randn(B, T, E), torch.full((B,), length), task)
    assert not out[:, length:].any()  # NaN would be true
    assert out[:, :length].all()
