"""Tagging heads: each sentence as if it were alone with its own task's head."""

import pytest
import torch
from torch import Tensor

from mtgnn.nn import TaggingHeads, allowed_transitions

NAMES = ["pos", "v1.0", "keys"]
CHUNKS = ["O", "B-X", "I-X", "B-Y", "I-Y"]
SIZES = (3, len(CHUNKS), 2)
LENGTHS = torch.tensor([4, 2, 1, 3])
MIXED = [torch.tensor([2, 1, 1, 2]), torch.tensor([0, 1, 2, 1]), torch.tensor([1, 1, 1, 1])]


def heads(crf: bool, constrained: bool = True) -> TaggingHeads:
    torch.manual_seed(0)
    rule = allowed_transitions(CHUNKS, "IOB2") if crf and constrained else None
    layer = TaggingHeads(6, SIZES, NAMES, crf=crf, allowed=[None, rule, None]).double()
    for parameter in layer.parameters():
        parameter.data.normal_()
    return layer


def vectors(*several: int) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    h = torch.randn(4, 4, *several, 6, generator=generator, dtype=torch.double)
    return h.requires_grad_()


def labels(every: bool) -> Tensor:
    """Tags of all tasks that no constraint forbids, one missing; junk beyond the lengths."""
    generator = torch.Generator().manual_seed(2)
    y = torch.stack([torch.randint(size, (4, 4), generator=generator) for size in SIZES], 2)
    y[..., 1] = torch.tensor([[1, 2, 2, 0], [0, 3, 9, 9], [3, 9, 9, 9], [3, 4, 1, 9]])
    y[0, 2] = y[3, 0] = -100
    return y if every else y[..., 1]


def alone(layer: TaggingHeads, h: Tensor, k: int, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Loss, best tags and probabilities of one sentence ``[t, F]`` and task."""
    own = layer.scores.heads[NAMES[k]]
    logits = h @ own.weight.T + own.bias
    if layer.crfs is not None:
        crf = layer.crfs[NAMES[k]]
        one = logits.unsqueeze(0)
        return -crf(one, y.unsqueeze(0))[0], crf.decode(one)[0], crf.marginals(one)[0]
    there = [t for t in range(len(y)) if y[t] >= 0]
    logs = logits.log_softmax(1)
    return -sum(logs[t, y[t]] for t in there), logits.argmax(1), logs.exp()


@pytest.mark.parametrize("crf", [False, True])
@pytest.mark.parametrize("task", MIXED)
def test_each_sentence_meets_its_own_head(crf: bool, task: Tensor) -> None:
    layer, h = heads(crf), vectors()
    y = labels(every=True)[torch.arange(4), :, task]
    logits = layer(h, task)
    assert logits.shape == (4, 4, 5)
    loss = layer.loss(logits, y, LENGTHS, task)
    best = layer.decode(logits, LENGTHS, task)
    probability = layer.marginals(logits, LENGTHS, task)
    assert loss.shape == (4,) and best.shape == (4, 4) and probability.shape == logits.shape
    expected = []
    for b, (k, length) in enumerate(zip(task.tolist(), LENGTHS.tolist(), strict=True)):
        assert (logits[b, :, SIZES[k] :] == -torch.inf).all()
        one = alone(layer, h[b, :length], k, y[b, :length])
        expected.append(one[0])
        assert torch.equal(best[b, :length], one[1]) and (best[b, length:] == -100).all()
        torch.testing.assert_close(probability[b, :length, : SIZES[k]], one[2])
        assert not probability[b, length:].any() and not probability[b, :, SIZES[k] :].any()
    torch.testing.assert_close(loss, torch.stack(expected))
    weight = torch.tensor([1.0, -2.0, 0.5, 3.0])
    leaves = [h, *layer.parameters()]
    ours = torch.autograd.grad((loss * weight).sum(), leaves, allow_unused=True)
    total = (torch.stack(expected) * weight).sum()
    theirs = torch.autograd.grad(total, leaves, allow_unused=True)
    for one, other in zip(ours, theirs, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            torch.testing.assert_close(one, other)


@pytest.mark.parametrize("crf", [False, True])
def test_all_tasks_equal_single(crf: bool) -> None:
    layer, h, y = heads(crf), vectors(3), labels(every=True)
    logits = layer(h)
    loss, best = layer.loss(logits, y, LENGTHS), layer.decode(logits, LENGTHS)
    probability = layer.marginals(logits, LENGTHS)
    assert loss.shape == (4, 3) and best.shape == (4, 4, 3) and probability.shape == (4, 4, 3, 5)
    for k in range(3):
        task = torch.full((4,), k)
        single = layer(h[:, :, k], task)
        torch.testing.assert_close(logits[:, :, k], single)
        torch.testing.assert_close(loss[:, k], layer.loss(single, y[..., k], LENGTHS, task))
        assert torch.equal(best[:, :, k], layer.decode(single, LENGTHS, task))
        torch.testing.assert_close(probability[:, :, k], layer.marginals(single, LENGTHS, task))
    (gradient,) = torch.autograd.grad(loss.sum(), h)
    assert gradient.isfinite().all() and gradient.any()
    assert not any(gradient[b, length:].any() for b, length in enumerate(LENGTHS.tolist()))


@pytest.mark.parametrize("crf", [False, True])
@pytest.mark.parametrize("rows", [[4, 3, 6, 7], [2, 2, 2, 2], [1, 4, 1, 1]])
def test_some_tasks_equal_single(crf: bool, rows: list[int]) -> None:
    some = torch.tensor([[bool(row & 2**k) for k in range(3)] for row in rows])
    layer, h = heads(crf), vectors(3)
    y = labels(every=True).masked_fill(~some.unsqueeze(1), -100)
    y[1, 2:] = 9  # beyond the length
    logits = layer(h, some)
    loss, best = layer.loss(logits, y, LENGTHS, some), layer.decode(logits, LENGTHS, some)
    probability = layer.marginals(logits, LENGTHS, some)
    assert loss.shape == (4, 3) and best.shape == (4, 4, 3) and probability.shape == (4, 4, 3, 5)
    expected = torch.zeros(4, 3, dtype=torch.double)
    for b, k in some.nonzero().tolist():
        length = int(LENGTHS[b])
        one = alone(layer, h[b, :length, k], k, y[b, :length, k])
        expected[b, k] = one[0]
        assert torch.equal(best[b, :length, k], one[1]) and (best[b, length:, k] == -100).all()
        torch.testing.assert_close(probability[b, :length, k, : SIZES[k]], one[2])
        assert not probability[b, length:, k].any()
    assert (best.movedim(1, 2)[~some] == -100).all() and not probability.movedim(1, 2)[~some].any()
    torch.testing.assert_close(loss, expected)
    (ours,) = torch.autograd.grad(loss.square().sum(), h)
    (theirs,) = torch.autograd.grad(expected.square().sum(), h)
    torch.testing.assert_close(ours, theirs)
    assert not ours.movedim(1, 2)[~some].any()


@pytest.mark.parametrize("crf", [False, True])
def test_absent_tasks_have_no_gradient(crf: bool) -> None:
    layer, task = heads(crf), torch.tensor([1, 2, 1, 1])
    y = labels(every=True)[torch.arange(4), :, task]
    layer.loss(layer(vectors(), task), y, LENGTHS, task).sum().backward()
    parts = [layer.scores.heads] + ([] if layer.crfs is None else [layer.crfs])
    for part in parts:
        assert all(p.grad is None for p in part["pos"].parameters())
        assert all(p.grad is not None for p in part["keys"].parameters())
        assert all(p.grad.any() for p in part["v1.0"].parameters())


@pytest.mark.parametrize("crf", [False, True])
def test_a_sentence_without_labels_costs_nothing(crf: bool) -> None:
    layer, h = heads(crf), vectors()
    y = labels(every=False).clone()
    y[1] = -100
    task = torch.ones(4, dtype=torch.long)
    loss = layer.loss(layer(h, task), y, LENGTHS, task)
    assert loss[1] == 0 and (loss[[0, 2, 3]] > 0).all()
    loss.sum().backward()
    assert not h.grad[1].any() and h.grad[0].any()


def test_constraints_hold_in_decoding() -> None:
    layer, task = heads(crf=True), torch.ones(4, dtype=torch.long)
    allowed = allowed_transitions(CHUNKS, "IOB2")
    logits, broken = torch.randn(4, 40, 5, dtype=torch.double) * 5, 0
    lengths = torch.full((4,), 40)
    for row in layer.decode(logits, lengths, task):
        assert allowed.start[row[0]] and allowed.between[row[:-1], row[1:]].all()
    free = heads(crf=True, constrained=False)
    for row in free.decode(logits, lengths, task):
        broken += int((~allowed.between[row[:-1], row[1:]]).sum())
    assert broken > 0


def test_reset_draws_anew_and_representation() -> None:
    for crf in (False, True):
        layer = heads(crf)
        before = [p.clone() for p in layer.parameters()]
        layer.reset_parameters()
        assert all(not torch.equal(p, q) for p, q in zip(layer.parameters(), before, strict=True))
        assert f"TaggingHeads(\n  crf={crf}" in repr(layer)


TASK, LOGITS, EVERY = MIXED[1], torch.zeros(4, 4, 5), torch.zeros(4, 4, 3, 5)
SOME = torch.tensor([[1, 0, 1], [1, 1, 1], [0, 1, 0], [1, 1, 1]]).bool()
Y = torch.zeros(4, 4, dtype=torch.long)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: TaggingHeads(6, [3, 2], allowed=[None]), "2 tasks"),
        (
            lambda: TaggingHeads(6, [5], allowed=[allowed_transitions(CHUNKS, "IOB2")]),
            "crf=True",
        ),
        (lambda: TaggingHeads(6, []), "at least one task"),
        (lambda: heads(True)(vectors()), r"\[B, T, K, F\] with several"),
        (lambda: heads(True)(vectors()[:, 0], TASK), "with a task each"),
        (lambda: heads(True)(vectors(), SOME), r"\[B, T, K, F\] with several"),
        (lambda: heads(True).decode(EVERY, LENGTHS, SOME[:2]), r"booleans \[4, 3\], got \[2, 3\]"),
        (lambda: heads(False).decode(EVERY, LENGTHS, SOME[:, :2]), r"booleans \[4, 3\]"),
        (lambda: heads(True).decode(EVERY, LENGTHS, SOME & False), "at least one task"),
        (lambda: heads(True).decode(EVERY, LENGTHS, SOME.long()), r"integer tasks of shape \[4\]"),
        (lambda: heads(True).decode(LOGITS, LENGTHS, SOME[:, 0]), r"booleans \[4, 3\], got \[4\]"),
        (lambda: heads(True)(vectors(3), SOME[:2]), r"booleans \[4, 3\]"),
        (
            lambda: heads(True).loss(EVERY, Y[..., None].expand(4, 4, 3), LENGTHS, SOME),
            r"of each sentence alone, got others in sentences \[0, 2\]",
        ),
        (lambda: heads(True)(vectors(), TASK + 1), "0…2"),
        (lambda: heads(False).loss(LOGITS[..., :4], Y, LENGTHS, TASK), "logits of shape"),
        (lambda: heads(False).loss(LOGITS, Y[:3], LENGTHS, TASK), "labels of shape"),
        (lambda: heads(False).loss(LOGITS, Y, LENGTHS - 1, TASK), "1…4"),
        (lambda: heads(False).loss(LOGITS, Y + 3, LENGTHS, TASK), r"got \[3\]"),
        (lambda: heads(True).loss(LOGITS, Y + 3, LENGTHS, TASK), r"got \[3\]"),
        (lambda: heads(False).loss(LOGITS, Y - 1, LENGTHS, TASK), r"got \[-1\]"),
        (lambda: heads(True).loss(LOGITS, Y + 2, LENGTHS, TASK * 0 + 1), "allow"),
    ],
)
def test_errors(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
