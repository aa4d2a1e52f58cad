"""Pooling against plain loops over the real steps; padding counts for nothing."""

import pytest
import torch
from torch import Tensor
from torch.nn.utils.rnn import pack_padded_sequence

from mtgnn import TaskGraph
from mtgnn.nn import GraphLSTM, Pooling, pool

LENGTHS = torch.tensor([5, 1, 3])
HOWS = ["last", "mean", "max", "attention"]


def states(*several: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(3, 5, *several, 4, generator=generator, dtype=torch.double) - 2


PACKED = pack_padded_sequence(states(), LENGTHS, batch_first=True, enforce_sorted=False)


def layer(how: str, bidirectional: bool = False) -> Pooling:
    pooling = Pooling(how, 4, bidirectional=bidirectional).double()
    for parameter in pooling.parameters():
        parameter.data = torch.randn(4, generator=torch.Generator().manual_seed(1)).double()
    return pooling


def plain(pooling: Pooling, real: Tensor) -> Tensor:
    """One sequence ``[T, F]`` without padding."""
    if pooling.how == "last":
        if pooling.bidirectional:
            return torch.cat([real[-1, :2], real[0, 2:]])
        return real[-1]
    if pooling.how == "mean":
        return sum(real) / len(real)
    if pooling.how == "max":
        return torch.stack([max(column) for column in real.t()])
    weights = [(pooling.query @ step / 4**0.5).exp() for step in real]
    return sum(w * step for w, step in zip(weights, real, strict=True)) / sum(weights)


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("all_tasks", [False, True])
def test_equals_a_loop(how: str, bidirectional: bool, all_tasks: bool) -> None:
    pooling = layer(how, bidirectional)
    h = states(2) if all_tasks else states()
    got = pooling(h, LENGTHS)
    for b, length in enumerate(LENGTHS.tolist()):
        for k in range(2 if all_tasks else 1):
            own, found = (h[b, :, k], got[b, k]) if all_tasks else (h[b], got[b])
            torch.testing.assert_close(found, plain(pooling, own[:length]))


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("rubbish", [9.0, torch.nan, torch.inf, -torch.inf])
def test_padding_counts_for_nothing(how: str, rubbish: float) -> None:
    pooling, clean = layer(how), states()
    dirty = clean.clone()
    for b, length in enumerate(LENGTHS.tolist()):
        dirty[b, length:] = rubbish
    assert not torch.equal(dirty, clean)
    dirty.requires_grad_()
    got = pooling(dirty, LENGTHS)
    torch.testing.assert_close(got, pooling(clean, LENGTHS))
    got.square().sum().backward()
    for b, length in enumerate(LENGTHS.tolist()):
        assert not dirty.grad[b, length:].any()
        assert dirty.grad[b, :length].any()
    assert all(p.grad.isfinite().all() and p.grad.any() for p in pooling.parameters())


def test_last_takes_each_direction_at_its_own_end() -> None:
    encoder = GraphLSTM(3, 2, TaskGraph.isolated(1), bidirectional=True)
    x = torch.randn(2, 4, 3)
    lengths, task = torch.tensor([4, 2]), torch.tensor([0, 0])
    out, state = encoder(x, lengths, task)
    got = pool(out, lengths, "last", bidirectional=True)
    torch.testing.assert_close(got, state.h[:, :, 0].transpose(0, 1).flatten(1))


def test_attention_starts_as_the_mean() -> None:
    h = states()
    fresh = Pooling("attention", 4).double()
    torch.testing.assert_close(fresh(h, LENGTHS), pool(h, LENGTHS, "mean"))
    moved = layer("attention")
    assert not torch.allclose(moved(h, LENGTHS), fresh(h, LENGTHS))
    moved.reset_parameters()
    assert torch.equal(moved(h, LENGTHS), fresh(h, LENGTHS))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Pooling("median"), "how"),
        (lambda: Pooling("attention"), "channels"),
        (lambda: pool(states(), LENGTHS, "attention"), "how"),
        (lambda: pool(states()[0], LENGTHS), r"\[B, T, F\]"),
        (lambda: pool(states(), LENGTHS[:2]), "lengths of shape"),
        (lambda: pool(states(), LENGTHS > 0), "integer lengths of shape"),
        (lambda: pool(states(), torch.tensor([5, 0, 3])), r"1…5"),
        (lambda: pool(states(), torch.tensor([6, 1, 3])), r"1…5"),
        (lambda: layer("attention")(states()[..., :3], LENGTHS), "size 4"),
        (lambda: pool(PACKED, LENGTHS), "padded states, got a PackedSequence"),
        (lambda: layer("attention")(PACKED, LENGTHS), "padded states, got a PackedSequence"),
    ],
)
def test_errors(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
