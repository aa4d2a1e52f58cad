"""Shared-private against two LSTMs from the formula; and these two alone, by name."""

import pytest
import torch
from contract import TASKS, E, H, by_name, check_against, check_encoder, inputs, lstm
from torch import Tensor

from mtgnn.nn import SharedPrivateLSTM, build_encoder
from mtgnn.testing import random_batch, randomise

FORMS = [(1, False), (2, False), (1, True), (2, True)]


@pytest.mark.parametrize(("layers", "both"), FORMS)
def test_reference_is_an_lstm(layers: int, both: bool) -> None:
    made = randomise(torch.nn.LSTM(E, H, layers, bidirectional=both))
    x = random_batch(E, 2).x[0]
    torch.testing.assert_close(lstm(x, made, layers, both), made(x)[0])


@pytest.mark.parametrize(("layers", "both"), FORMS)
@pytest.mark.parametrize("name", ["single", "shared"])
def test_single_and_shared_by_name(name: str, layers: int, both: bool) -> None:
    layer = randomise(build_encoder(name, E, H, TASKS, num_layers=layers, bidirectional=both))
    nodes = {k: layer.nodes[k] if name == "single" else layer.lstm for k in TASKS}
    batch = random_batch(E, 2)  # the third task is absent

    def reference(x: Tensor, task: int) -> Tensor:
        return lstm(x, nodes[TASKS[task]], layers, both)

    check_against(layer, reference, batch)


@pytest.mark.parametrize(("layers", "both"), FORMS)
def test_is_both_side_by_side(layers: int, both: bool) -> None:
    layer = randomise(SharedPrivateLSTM(E, H, TASKS, num_layers=layers, bidirectional=both))

    def reference(x: Tensor, task: int) -> Tensor:
        shared = lstm(x, layer.shared.lstm, layers, both)
        private = lstm(x, layer.nodes[TASKS[task]], layers, both)
        halves = [shared[:, :H], private[:, :H], shared[:, H:], private[:, H:]]
        return torch.cat(halves, -1)  # what runs backwards is the second half

    batch = random_batch(E, 2)
    check_against(layer, reference, batch)
    out, _ = layer(*batch)
    shared, private = layer.split(out)
    torch.testing.assert_close(shared, layer.shared(*batch)[0])
    torch.testing.assert_close(private, layer.private(*batch)[0])


@pytest.mark.parametrize(("layers", "both"), [(2, False), (1, True)])
def test_properties(layers: int, both: bool) -> None:
    check_encoder(
        by_name("shared_private", num_layers=layers, bidirectional=both), streams=not both
    )


def test_attention_is_that_of_a_graph_without_edges() -> None:
    layer = randomise(SharedPrivateLSTM(E, H, TASKS, num_layers=2))
    out, _, attention = layer(*inputs(layer), return_attention_weights=True)
    assert torch.equal(out, layer(*inputs(layer))[0])
    assert len(attention) == 2 and attention[0][1].shape == (6, 5, 0, 1)


def test_dropout_only_in_training() -> None:
    layer = randomise(SharedPrivateLSTM(E, H, TASKS, num_layers=2, dropout=0.5))
    batch = inputs(layer)
    for part in range(2):
        first, second = (layer.split(layer(*batch)[0])[part] for _ in range(2))
        assert not torch.equal(first, second)
    layer.eval()
    assert torch.equal(layer(*batch)[0], layer(*batch)[0])


def test_errors() -> None:
    layer = randomise(SharedPrivateLSTM(E, H, TASKS))
    x, lengths, task = inputs(layer)
    _, state = layer(x, lengths, task)
    for call, message in [
        (lambda: SharedPrivateLSTM(0, H, TASKS), "input_size"),
        (lambda: SharedPrivateLSTM(E, H, TASKS, dropout=1.0), "dropout"),
        (lambda: layer(x[..., :2]), r"\[B, T, 3\]"),
        (lambda: layer(x, lengths, task + 1), "0…2"),
        (lambda: layer(x, lengths, task.flip(0), state), "lacks node"),
    ]:
        with pytest.raises(ValueError, match=message):
            call()
