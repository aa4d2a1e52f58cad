"""Cross-stitch against loops over tasks, subspaces and steps."""

import pytest
import torch
from contract import (
    TASKS,
    E,
    H,
    check_absent_tasks,
    check_against,
    check_encoder,
    inputs,
    lstm,
)
from torch import Tensor

from mtgnn.nn import CrossStitchLSTM, GraphLSTM
from mtgnn.testing import assert_heard, random_batch, randomise

FORMS = [(1, False, 1), (2, False, 2), (2, False, 4), (1, True, 8), (2, True, 1)]


def layer(layers: int = 1, both: bool = False, subspaces: int = 1) -> CrossStitchLSTM:
    made = CrossStitchLSTM(E, H, TASKS, num_layers=layers, bidirectional=both, subspaces=subspaces)
    return randomise(made)


@pytest.mark.parametrize(("layers", "both", "subspaces"), FORMS)
def test_states_are_combined_after_every_layer(layers: int, both: bool, subspaces: int) -> None:
    made = layer(layers, both, subspaces)

    def reference(x: Tensor, task: int) -> Tensor:
        own = [x] * 3
        for number in range(layers):
            states = [
                lstm(x, node[number], 1, both)
                for x, node in zip(own, (made.nodes[name] for name in TASKS), strict=True)
            ]
            width = states[0].size(1) // subspaces
            own = []
            for name in TASKS:
                alpha = made.stitches[number][name]
                parts = [
                    sum(alpha[g, j] * states[j][:, g * width : (g + 1) * width] for j in range(3))
                    for g in range(subspaces)
                ]
                own.append(torch.cat(parts, -1))
        return own[task]

    # Of the absent third task, what it takes from the last layer has no gradient; its LSTM has.
    check_against(made, reference, random_batch(E, 2))


@pytest.mark.parametrize(("layers", "both", "subspaces"), FORMS[2:4])
def test_properties(layers: int, both: bool, subspaces: int) -> None:
    check_encoder(
        lambda tasks: randomise(
            CrossStitchLSTM(E, H, tasks, num_layers=layers, bidirectional=both, subspaces=subspaces)
        ),
        streams=not both,
        permutes=False,  # the columns of a combination follow the order of the tasks: see below
    )
    made = layer(layers, both, subspaces)
    assert_heard(made, *inputs(made))


def test_the_order_of_the_tasks_does_not_matter() -> None:
    made, order = layer(2, subspaces=2), [1, 2, 0]
    names = [TASKS[k] for k in order]
    other = CrossStitchLSTM(E, H, names, num_layers=2, subspaces=2).double()
    other.load_state_dict(made.state_dict())
    for stitch in other.stitches:
        for name in names:
            stitch[name].data = stitch[name].data[:, order]
    torch.testing.assert_close(made.matrix(1)[:, order][..., order], other.matrix(1))
    x, lengths, task = inputs(made)
    there = torch.tensor([order.index(k) for k in task.tolist()])
    torch.testing.assert_close(other(x, lengths, there)[0], made(x, lengths, task)[0])


def test_starts_near_the_identity() -> None:
    made = CrossStitchLSTM(E, H, TASKS, num_layers=2, subspaces=2)
    expected = torch.full((2, 3, 3), 0.05) + 0.85 * torch.eye(3)
    torch.testing.assert_close(made.matrix(0), expected)
    torch.testing.assert_close(made.matrix(1), expected)
    randomise(made).reset_parameters()
    torch.testing.assert_close(made.matrix(1), expected.double())
    alone = CrossStitchLSTM(E, H, 1)
    assert alone.matrix(0).item() == 1


def test_the_identity_lets_each_task_be() -> None:
    made = CrossStitchLSTM(E, H, TASKS, num_layers=1, own_weight=1.0).double()
    single = GraphLSTM(E, H, made.layers[0].graph).double()
    single.load_state_dict(made.layers[0].state_dict())
    torch.testing.assert_close(made(*inputs(made))[0], single(*inputs(made))[0])


@pytest.mark.parametrize("layers", [1, 2])
def test_dropout_between_layers_only_in_training(layers: int) -> None:
    made = randomise(CrossStitchLSTM(E, H, TASKS, num_layers=layers, dropout=0.5))
    batch = inputs(made)
    assert torch.equal(made(*batch)[0], made(*batch)[0]) == (layers == 1)
    made.eval()
    assert torch.equal(made(*batch)[0], made(*batch)[0])


def test_errors() -> None:
    made, both = layer(2), layer(both=True)
    x, lengths, task = inputs(made)
    for call, message in [
        (lambda: CrossStitchLSTM(E, H, TASKS, subspaces=3), "divide 4"),
        (lambda: CrossStitchLSTM(E, H, TASKS, subspaces=0), "divide 4"),
        (lambda: CrossStitchLSTM(E, H, TASKS, num_layers=0), "num_layers"),
        (lambda: CrossStitchLSTM(E, H, TASKS, dropout=1.0), "dropout"),
        (lambda: CrossStitchLSTM(E, H, TASKS, own_weight=1.1), "own_weight"),
        (lambda: made(x, lengths, task, return_attention_weights=True), "matrix"),
        (lambda: made(x, lengths, task - 1), "0…2"),
        (lambda: made(x, lengths, task, layer(1)(x, lengths, task)[1]), "2 layers"),
        (lambda: made(x[:2], state=made(x)[1]), "2 sequences"),
        (lambda: both(x, lengths, task, both(x, lengths, task)[1]), "bidirectional"),
    ]:
        with pytest.raises(ValueError, match=message):
            call()


def test_absent_tasks_have_no_gradient() -> None:
    check_absent_tasks(layer(2), ["keys"])
