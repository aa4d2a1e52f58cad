"""The CRF against an enumeration of all paths, which shares no code with it."""

import itertools
import math

import pytest
import torch
from torch import Tensor

from mtgnn.nn import AllowedTransitions, LinearChainCRF, allowed_transitions

IOB2 = ["O", "B-X", "I-X", "I-Y", "B-Y"]
IOBES = ["S-X", "I-X", "O", "E-X", "B-X"]
ALLOWED = {
    "free": None,
    "IOB2": allowed_transitions(IOB2, "IOB2"),
    "IOBES": allowed_transitions(IOBES, "IOBES"),
}
LENGTHS = torch.tensor([3, 5, 1, 2])
SIZE = 5


def layer(kind: str = "free", seed: int = 0) -> LinearChainCRF:
    torch.manual_seed(seed)
    crf = LinearChainCRF(SIZE, ALLOWED[kind]).double()
    for parameter in crf.parameters():
        parameter.data.normal_()
    return crf


def emissions(seed: int = 0, scale: float = 2.0) -> Tensor:
    torch.manual_seed(seed + 100)
    return (torch.randn(4, 5, SIZE, dtype=torch.double) * scale).requires_grad_()


def paths(crf: LinearChainCRF, own: Tensor, kind: str) -> tuple[Tensor, Tensor]:
    """Every allowed path ``[P, T]`` of a sentence ``[T, C]``, and its score ``[P]``."""
    every = torch.tensor(list(itertools.product(range(SIZE), repeat=len(own))))
    allowed = ALLOWED[kind]
    if allowed is not None:
        fine = allowed.start[every[:, 0]] & allowed.end[every[:, -1]]
        for t in range(1, len(own)):
            fine &= allowed.between[every[:, t - 1], every[:, t]]
        every = every[fine]
    score = crf.start_transitions[every[:, 0]] + crf.end_transitions[every[:, -1]]
    for t in range(len(own)):
        score = score + own[t, every[:, t]]
        if t:
            score = score + crf.transitions[every[:, t - 1], every[:, t]]
    return every, score


def likelihood(crf: LinearChainCRF, e: Tensor, y: Tensor, kind: str) -> Tensor:
    """By enumeration ``[B]``; missing labels fit every path."""
    answers = []
    for b, length in enumerate(LENGTHS.tolist()):
        every, score = paths(crf, e[b, :length], kind)
        fits = ((every == y[b, :length]) | (y[b, :length] == -100)).all(1)
        answers.append(score[fits].logsumexp(0) - score.logsumexp(0))
    return torch.stack(answers)


def labels(crf: LinearChainCRF, e: Tensor, kind: str, seed: int = 0) -> Tensor:
    """Random allowed labels; a number that is no tag beyond the lengths."""
    torch.manual_seed(seed)
    y = torch.full((4, 5), 77)
    for b, length in enumerate(LENGTHS.tolist()):
        every, _ = paths(crf, e[b, :length], kind)
        y[b, :length] = every[torch.randint(len(every), ())]
    return y


def gradients(value: Tensor, crf: LinearChainCRF, e: Tensor) -> list[Tensor]:
    leaves = [e, *crf.parameters()]
    return list(torch.autograd.grad(value, leaves, retain_graph=True, materialize_grads=True))


@pytest.mark.parametrize("kind", ALLOWED)
@pytest.mark.parametrize("seed", [0, 1])
def test_likelihood_and_gradients(kind: str, seed: int) -> None:
    crf, e = layer(kind, seed), emissions(seed)
    y, weight = labels(crf, e, kind), torch.randn(4, dtype=torch.double)
    got = crf(e, y, LENGTHS)
    expected = likelihood(crf, e, y, kind)
    torch.testing.assert_close(got, expected)
    assert (got < 0).all()
    ours, theirs = (gradients((value * weight).sum(), crf, e) for value in (got, expected))
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other)
        assert one.any()


@pytest.mark.parametrize("kind", ALLOWED)
@pytest.mark.parametrize("seed", [0, 1])
def test_decode_and_marginals(kind: str, seed: int) -> None:
    crf, e = layer(kind, seed), emissions(seed)
    best, probability = crf.decode(e, LENGTHS), crf.marginals(e, LENGTHS)
    for b, length in enumerate(LENGTHS.tolist()):
        every, score = paths(crf, e[b, :length].detach(), kind)
        assert torch.equal(best[b, :length], every[score.argmax()])
        assert (best[b, length:] == -100).all()
        expected = torch.zeros(5, SIZE, dtype=torch.double)
        for t in range(length):
            expected[t].index_add_(0, every[:, t], score.detach().softmax(0))
        torch.testing.assert_close(probability[b], expected)
    assert not best.requires_grad and not probability.requires_grad


@pytest.mark.parametrize("kind", ALLOWED)
def test_missing_labels_are_summed_over(kind: str) -> None:
    crf, e = layer(kind), emissions()
    y = labels(crf, e, kind)
    y[0, 1] = y[1, 0] = y[1, 3] = y[1, 4] = -100
    y[2, 0] = -100  # a sentence without any label
    got = crf(e, y, LENGTHS)
    expected = likelihood(crf, e, y, kind)
    torch.testing.assert_close(got, expected)
    assert got[2] == 0 and (got[[0, 1, 3]] < 0).all()
    ours, theirs = (gradients(value.sum(), crf, e) for value in (got, expected))
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other)
    assert not gradients(got.sum(), crf, e)[0][2].any()


@pytest.mark.parametrize("kind", ALLOWED)
def test_padding_and_companions_count_for_nothing(kind: str) -> None:
    crf, e = layer(kind), emissions()
    y = labels(crf, e, kind)
    whole = crf(e, y, LENGTHS), crf.decode(e, LENGTHS), crf.marginals(e, LENGTHS)
    other = e.detach().clone()
    for b, length in enumerate(LENGTHS.tolist()):
        other[b, length:] = torch.tensor([math.nan, math.inf, -math.inf, 1e300, -1e300])
    torch.testing.assert_close(crf(other, y, LENGTHS), whole[0])
    assert torch.equal(crf.decode(other, LENGTHS), whole[1])
    torch.testing.assert_close(crf.marginals(other, LENGTHS), whole[2])
    leaf = other.requires_grad_()
    assert all(g.isfinite().all() for g in gradients(crf(leaf, y, LENGTHS).sum(), crf, leaf))
    for b, length in enumerate(LENGTHS.tolist()):
        alone, own = e[b : b + 1, :length], y[b : b + 1, :length]
        torch.testing.assert_close(crf(alone, own)[0], whole[0][b])
        assert torch.equal(crf.decode(alone)[0], whole[1][b, :length])


def test_a_mask_is_as_good_as_lengths() -> None:
    crf, e = layer(), emissions()
    y, mask = labels(crf, e, "free"), torch.arange(5) < LENGTHS.unsqueeze(1)
    assert torch.equal(crf(e, y, mask), crf(e, y, LENGTHS))
    assert torch.equal(crf.decode(e, mask), crf.decode(e, LENGTHS))
    with pytest.raises(ValueError, match="holes"):
        crf(e, y, mask.flip(1))


def test_decoding_leaves_its_input_alone() -> None:
    crf, e = layer(), emissions().detach()
    for part in (e, e[:, :1], e[:1]):
        before = part.clone()
        crf.decode(part)
        assert torch.equal(part, before)


@pytest.mark.parametrize("kind", ALLOWED)
def test_single_precision_follows_double(kind: str) -> None:
    crf, e = layer(kind), emissions()
    y = labels(crf, e, kind)
    exact = gradients(crf(e, y, LENGTHS).sum(), crf, e)
    single, leaf = layer(kind).float(), e.detach().float().requires_grad_()
    got = single(leaf, y, LENGTHS)
    assert got.dtype == torch.float
    for one, other in zip(gradients(got.sum(), single, leaf), exact, strict=True):
        assert one.dtype == torch.float
        torch.testing.assert_close(one.double(), other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_that_of_the_emissions_alone(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    crf, low = LinearChainCRF(9), (torch.randn(20, 40, 9) * 4).to(dtype)
    y = torch.randint(9, (20, 40))
    assert torch.equal(crf.decode(low), crf.decode(low.float()))
    assert torch.equal(crf(low, y), crf(low.float(), y)) and crf(low, y).dtype == torch.float32
    with torch.autocast("cpu", dtype):
        assert torch.equal(crf.decode(low), crf.decode(low.float()))
        assert torch.equal(crf(low, y), crf(low.float(), y))
    torch.testing.assert_close(
        crf.to(dtype)(low, y), crf.float()(low.float(), y), rtol=0.02, atol=0
    )


@pytest.mark.parametrize("scale", [30.0, 3e3, 3e5])
@pytest.mark.parametrize("kind", ALLOWED)
def test_no_score_is_too_large(kind: str, scale: float) -> None:
    """Scores beyond the range of exponentials: still those of the enumeration."""
    crf, e = layer(kind), emissions(scale=scale)
    y = labels(crf, e, kind)
    got, probability = crf(e, y, LENGTHS), crf.marginals(e, LENGTHS)
    expected = likelihood(crf, e, y, kind)
    torch.testing.assert_close(got, expected)
    ours, theirs = (gradients(value.sum(), crf, e) for value in (got, expected))
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other)
    gradient = theirs[0]
    one_hot = torch.zeros_like(probability)
    for b, length in enumerate(LENGTHS.tolist()):
        one_hot[b, torch.arange(length), y[b, :length]] = 1
    torch.testing.assert_close(probability, one_hot - gradient)


def test_long_sentences_keep_their_probability() -> None:
    """Probabilities sum to one and the likelihood is that of the recursion, after 2,000 steps."""
    crf = layer("IOB2")
    e = torch.randn(2, 2000, SIZE, dtype=torch.double) * 3
    y = crf.decode(e)
    probability = crf.marginals(e)
    torch.testing.assert_close(probability.sum(2), torch.ones(2, 2000, dtype=torch.double))
    transitions, start, end = crf.constraints()
    for b in range(2):
        alpha = start + e[b, 0]
        score = start[y[b, 0]] + e[b, 0, y[b, 0]] + end[y[b, -1]]
        for t in range(1, 2000):
            alpha = (alpha.unsqueeze(1) + transitions).logsumexp(0) + e[b, t]
            score = score + transitions[y[b, t - 1], y[b, t]] + e[b, t, y[b, t]]
        expected = score - (alpha + end).logsumexp(0)
        torch.testing.assert_close(crf(e, y)[b], expected)


def test_what_is_forbidden_is_never_learned() -> None:
    crf, e = layer("IOB2"), emissions()
    crf(e, labels(crf, e, "IOB2"), LENGTHS).sum().backward()
    allowed = ALLOWED["IOB2"]
    assert allowed is not None
    assert not crf.transitions.grad[~allowed.between].any()
    assert crf.transitions.grad[allowed.between].any()
    assert not crf.start_transitions.grad[~allowed.start].any()
    assert set(crf.state_dict()) == {"transitions", "start_transitions", "end_transitions"}


def test_reset_and_representation() -> None:
    crf = layer("IOB2")
    crf.reset_parameters()
    assert all(p.abs().max() <= 0.1 and p.any() for p in crf.parameters())
    assert repr(crf) == "LinearChainCRF(5, constrained)" and repr(layer()) == "LinearChainCRF(5)"


def matrix(*rows: list[int]) -> Tensor:
    return torch.tensor(rows, dtype=torch.bool)


EVERY = torch.ones(2, dtype=torch.bool)
RING = AllowedTransitions(matrix([0, 1], [1, 0]), matrix([1, 0])[0], matrix([0, 1])[0])
Y = torch.zeros(4, 5, dtype=torch.long)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: LinearChainCRF(0), "num_tags"),
        (lambda: LinearChainCRF(3, ALLOWED["IOB2"]), r"shape \[3, 3\]"),
        (
            lambda: LinearChainCRF(2, AllowedTransitions(matrix([1, 0], [1, 1]), EVERY, ~EVERY)),
            "no allowed path",
        ),
        (
            lambda: LinearChainCRF(2, AllowedTransitions(matrix([1, 0], [0, 1]), RING[1], EVERY)),
            r"no allowed path.*\[1\]",
        ),
        (lambda: layer()(emissions()[0], Y), r"\[B, T, 5\]"),
        (lambda: layer()(emissions(), Y[:3]), "labels of shape"),
        (lambda: layer()(emissions(), Y > 0), "integer labels"),
        (lambda: layer()(emissions(), Y + 5), r"got \[5\]"),
        (lambda: layer()(emissions(), Y - 1), r"got \[-1\]"),
        (lambda: layer()(emissions(), Y, LENGTHS - 1), "1…5"),
        (lambda: layer()(emissions(), Y, LENGTHS[:3]), "lengths of shape"),
        (lambda: layer()(emissions(), Y, Y[:, :4] > 0), r"a mask of shape \[4, 5\], got \[4, 4\]"),
        (lambda: layer("IOB2")(emissions(), Y + 2), r"allow, got \[2, 2, 2, 2, 2\] in sentence 0"),
        (lambda: LinearChainCRF(2, RING).decode(emissions()[:, :, :2].float()), "length 5"),
        (lambda: LinearChainCRF(2, RING)(emissions()[:, :, :2].float(), Y), "allow"),
    ],
)
def test_errors(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_an_alternating_chain() -> None:
    """Each tag is reachable at every other step alone: no false alarm, and no other path."""
    crf, e = LinearChainCRF(2, RING).double(), torch.randn(1, 4, 2, dtype=torch.double)
    y = torch.tensor([[0, 1, 0, 1]])
    assert torch.equal(crf.decode(e), y)
    torch.testing.assert_close(crf(e, y), torch.zeros(1, dtype=torch.double))
