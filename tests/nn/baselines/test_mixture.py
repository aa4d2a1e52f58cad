"""The mixture of experts against a loop over the experts; its gates are attention on a graph."""

import pytest
import torch
from contract import SOME, TASKS, E, H, by_name, check_against, check_encoder, inputs, lstm
from torch import Tensor

from mtgnn.nn import MixtureOfExpertsLSTM, SharedLSTM
from mtgnn.testing import (
    assert_attention_sums_to_one,
    assert_heard,
    random_batch,
    randomise,
)

FORMS = [(1, False, 1), (1, False, 4), (2, False, 2), (2, True, 3)]


def layer(layers: int = 1, both: bool = False, experts: int = 2) -> MixtureOfExpertsLSTM:
    made = MixtureOfExpertsLSTM(E, H, TASKS, experts, num_layers=layers, bidirectional=both)
    return randomise(made)


@pytest.mark.parametrize(("layers", "both", "experts"), FORMS)
def test_is_the_gated_sum(layers: int, both: bool, experts: int) -> None:
    made = layer(layers, both, experts)

    def reference(x: Tensor, task: int) -> Tensor:
        scores = x @ made.gates[TASKS[task]].weight.t()
        gate = scores.exp() / scores.exp().sum(-1, keepdim=True)
        return sum(
            gate[:, i, None] * lstm(x, made.nodes[f"expert{i}"], layers, both)
            for i in range(experts)
        )

    check_against(made, reference, random_batch(E, 2))  # the absent third task's gate has none


@pytest.mark.parametrize(("layers", "both", "experts"), FORMS[2:])
def test_properties(layers: int, both: bool, experts: int) -> None:
    options = {"num_layers": layers, "bidirectional": both, "num_experts": experts}
    check_encoder(by_name("mixture", **options), streams=not both)


@pytest.mark.parametrize("per_node", [False, True])
def test_gates_are_attention_over_the_experts(per_node: bool) -> None:
    made = layer(experts=3)
    x, lengths, task = inputs(made, per_node)
    assert_heard(made, x, lengths, task)
    assert_heard(made, x, lengths)
    assert_attention_sums_to_one(made, x, lengths, task)
    assert_attention_sums_to_one(made, x, lengths)
    assert_attention_sums_to_one(made, x, lengths, SOME)
    dirty = x.clone()
    dirty[torch.arange(5) >= lengths[:, None]] = torch.nan
    ((edge_index, alpha),) = made(dirty, lengths, task, return_attention_weights=True)[2]
    for b, k in enumerate(task.tolist()):
        word = x[b, 0] if not per_node else x[b, 0, k]
        gate = torch.softmax(made.gates[TASKS[k]].weight @ word, 0)
        into = edge_index[1] == k
        assert torch.equal(edge_index[0][into], torch.tensor([3, 4, 5]))
        torch.testing.assert_close(alpha[b, 0, into, 0], gate)
        assert not alpha[b, :, ~into].any()


def test_padding_reaches_no_gate() -> None:
    made = layer()
    x, lengths, task = inputs(made)
    x[torch.arange(5) >= lengths[:, None]] = torch.nan
    made(x, lengths, task)[0].sum().backward()
    assert all(p.grad.isfinite().all() and p.grad.any() for p in made.parameters())


def test_one_expert_is_the_shared_lstm() -> None:
    made = layer(experts=1)
    shared = SharedLSTM(E, H, TASKS).double()
    shared.lstm.load_state_dict(made.nodes["expert0"].state_dict())
    torch.testing.assert_close(made(*inputs(made))[0], shared(*inputs(made))[0])


@pytest.mark.parametrize("layers", [1, 2])
def test_dropout_between_layers_only_in_training(layers: int) -> None:
    made = randomise(MixtureOfExpertsLSTM(E, H, TASKS, num_layers=layers, dropout=0.5))
    batch = inputs(made)
    assert torch.equal(made(*batch)[0], made(*batch)[0]) == (layers == 1)
    made.eval()
    assert torch.equal(made(*batch)[0], made(*batch)[0])


def test_errors() -> None:
    made = layer()
    x, lengths, task = inputs(made)
    for call, message in [
        (lambda: MixtureOfExpertsLSTM(E, H, TASKS, 0), "num_experts"),
        (lambda: MixtureOfExpertsLSTM(E, H, ["expert0"]), "expert0"),
        (lambda: MixtureOfExpertsLSTM(E, H, TASKS, dropout=1.0), "dropout"),
        (lambda: made(x.unsqueeze(2).expand(-1, -1, 3, -1)), "5 nodes"),
        (lambda: made(x[:2], state=made(x)[1]), "2 sequences"),
    ]:
        with pytest.raises(ValueError, match=message):
            call()
