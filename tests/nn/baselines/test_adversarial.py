"""The auxiliary losses of adversarial shared-private, from the paper's formulas."""

import pytest
import torch
from contract import SOME, TASKS, E, H, by_name, check_encoder, inputs
from torch import Tensor

from mtgnn.nn import AdversarialLSTM, SharedPrivateLSTM
from mtgnn.testing import randomise


def layer(both: bool = False, **options: float | str) -> AdversarialLSTM:
    return randomise(AdversarialLSTM(E, H, TASKS, bidirectional=both, **options))


def states(made: AdversarialLSTM) -> tuple[Tensor, Tensor, Tensor]:
    """Outputs, lengths and tasks; the outputs are a leaf."""
    x, lengths, task = inputs(made)
    return made(x, lengths, task)[0].detach().requires_grad_(), lengths, task


def discriminate(made: AdversarialLSTM, out: Tensor, length: int, task: int) -> Tensor:
    """−log of the task's probability, by the state that has read the whole sequence."""
    shared = out[length - 1, :H]
    if made.bidirectional:
        shared = torch.cat([shared, out[0, 2 * H : 3 * H]])
    scores = made.discriminator.weight @ shared + made.discriminator.bias
    return scores.logsumexp(0) - scores[task]


def overlap(made: AdversarialLSTM, out: Tensor, length: int) -> Tensor:
    """The squared norm of the mean over steps of s pᵀ, entry by entry."""
    size = H * (1 + made.bidirectional)
    shared = [d * 2 * H + i for d in range(1 + made.bidirectional) for i in range(H)]
    total = out.new_zeros(())
    for i in range(size):
        for j in range(size):
            entry = sum(out[t, shared[i]] * out[t, shared[j] + H] for t in range(length))
            total = total + (entry / length) ** 2
    return total


@pytest.mark.parametrize("both", [False, True])
def test_losses_are_the_formula(both: bool) -> None:
    made = layer(both, adversarial_weight=0.3, orthogonality_weight=0.7)
    out, lengths, task = states(made)
    got = made.auxiliary_losses(out, lengths, task)
    for b, (length, k) in enumerate(zip(lengths.tolist(), task.tolist(), strict=True)):
        adversarial = discriminate(made, out[b], length, k)
        expected = 0.3 * adversarial + 0.7 * overlap(made, out[b], length)
        torch.testing.assert_close(got[b], expected)


@pytest.mark.parametrize("some", [SOME, None])
def test_with_several_tasks_they_are_a_mean_over_these(some: Tensor | None) -> None:
    made = layer(both=True)
    x, lengths, _ = inputs(made)
    out = made(x, lengths, some)[0].detach().requires_grad_()
    got = made.auxiliary_losses(out, lengths, some)
    expected = []
    for b, own in enumerate((torch.ones(6, 3).bool() if some is None else some).tolist()):
        each = [
            made.auxiliary_losses(out[b : b + 1, :, k], lengths[b : b + 1], torch.tensor([k]))[0]
            for k, wanted in enumerate(own)
            if wanted
        ]
        expected.append(sum(each) / len(each))
    torch.testing.assert_close(got, torch.stack(expected))
    mine, theirs = (
        torch.autograd.grad(loss.square().sum(), [out, made.discriminator.weight])
        for loss in (got, torch.stack(expected))
    )
    torch.testing.assert_close(mine, theirs)


def test_weights_are_the_papers() -> None:
    default, given = layer(), layer(adversarial_weight=0.05, orthogonality_weight=0.01)
    torch.testing.assert_close(
        default.auxiliary_losses(*states(default)), given.auxiliary_losses(*states(given))
    )


@pytest.mark.parametrize("both", [False, True])
def test_the_discriminator_goes_down_and_the_shared_states_up(both: bool) -> None:
    made = layer(both, adversarial_weight=0.3, orthogonality_weight=0)
    out, lengths, task = states(made)
    leaves = [made.discriminator.weight, made.discriminator.bias, out]
    got = torch.autograd.grad(made.auxiliary_losses(out, lengths, task).sum(), leaves)
    plain = 0.3 * sum(
        discriminate(made, out[b], int(lengths[b]), int(task[b])) for b in range(len(out))
    )
    weight, bias, states_ = torch.autograd.grad(plain, leaves)
    torch.testing.assert_close(got[0], weight)
    torch.testing.assert_close(got[1], bias)
    torch.testing.assert_close(got[2], -states_)
    assert states_.any()


def test_the_penalty_goes_down_for_both() -> None:
    made = layer(adversarial_weight=0, orthogonality_weight=1)
    out, lengths, task = states(made)
    (got,) = torch.autograd.grad(made.auxiliary_losses(out, lengths, task).sum(), out)
    total = sum(overlap(made, out[b], int(lengths[b])) for b in range(len(out)))
    (expected,) = torch.autograd.grad(total, out)
    torch.testing.assert_close(got, expected)
    assert got[..., :H].any() and got[..., H:].any()


@pytest.mark.parametrize("pooling", ["mean", "max"])
def test_the_discriminator_may_see_other_poolings(pooling: str) -> None:
    made = layer(pooling=pooling, adversarial_weight=1.0, orthogonality_weight=0)
    out, lengths, task = states(made)
    for b, (length, k) in enumerate(zip(lengths.tolist(), task.tolist(), strict=True)):
        steps = out[b, :length, :H]
        shared = steps.mean(0) if pooling == "mean" else steps.max(0).values
        expected = -made.discriminator(shared).log_softmax(0)[k]
        got = made.auxiliary_losses(out, lengths, task)[b]
        torch.testing.assert_close(got, expected)


def test_a_sequence_s_loss_knows_no_companions_and_no_padding() -> None:
    made = layer()
    out, lengths, task = states(made)
    losses = made.auxiliary_losses(out, lengths, task)
    for b in range(len(out)):
        one = slice(b, b + 1)
        alone = made.auxiliary_losses(out[one, : lengths[b]], lengths[one], task[one])
        torch.testing.assert_close(alone, losses[one])


def test_the_penalty_is_finite_in_half_precision() -> None:
    made = AdversarialLSTM(3, 8, 2)
    given = torch.full((1, 400, 16), 0.9), torch.tensor([400]), torch.tensor([0])
    expected = made.auxiliary_losses(*given)
    with torch.autocast("cpu", torch.float16):
        got = made.auxiliary_losses(*given)
    torch.testing.assert_close(got.float(), expected, rtol=1e-2, atol=1e-2)


def test_outputs_are_those_of_shared_private() -> None:
    made = layer()
    plain = SharedPrivateLSTM(E, H, TASKS).double()
    plain.load_state_dict(
        {k: v for k, v in made.state_dict().items() if not k.startswith("discriminator")}
    )
    assert torch.equal(made(*inputs(made))[0], plain(*inputs(made))[0])


def test_properties() -> None:
    check_encoder(by_name("adversarial"), streams=True)


def test_errors() -> None:
    made = layer()
    out, lengths, task = states(made)
    for call, message in [
        (lambda: layer(adversarial_weight=-1.0), "at least 0"),
        (lambda: layer(orthogonality_weight=float("nan")), "at least 0"),
        (lambda: layer(pooling="attention"), "pooling"),
        (lambda: made.auxiliary_losses(made(inputs(made).x)[0], lengths, task), "a task each"),
        (lambda: made.auxiliary_losses(out, lengths, None), "tasks all"),
        (lambda: made.auxiliary_losses(out[..., :H], lengths, task), r"\[B, T, 8\]"),
        (lambda: made.auxiliary_losses(out, lengths, task[:2]), r"tasks \[2\]"),
        (lambda: made.auxiliary_losses(out, lengths + 5, task), "1…5"),
    ]:
        with pytest.raises(ValueError, match=message):
            call()
