"""Graph layers that are something simpler; what holds for all of them, test_properties_* has."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from mtgnn import TaskGraph
from mtgnn.nn import CompleteGraphLSTM, GraphLSTM, StarGraphLSTM
from mtgnn.testing import randomise

B, T, E, H = 4, 5, 3, 4
LENGTHS = torch.tensor([5, 2, 4, 1])
TASK = torch.tensor([0, 2, 1, 0])


def words() -> Tensor:
    return torch.randn(B, T, E, generator=torch.Generator().manual_seed(3)).double()


@pytest.mark.parametrize("bidirectional", [False, True])
def test_without_messages_it_is_nn_lstm(bidirectional: bool) -> None:
    layer = GraphLSTM(E, H, TaskGraph.isolated(["only"]), num_layers=2, bidirectional=bidirectional)
    randomise(layer)
    reference = nn.LSTM(E, H, 2, batch_first=True, bidirectional=bidirectional).double()
    reference.load_state_dict(layer.nodes["only"].state_dict())
    packed = nn.utils.rnn.pack_padded_sequence(words(), LENGTHS, True, enforce_sorted=False)
    expected, (h, c) = reference(packed)
    out, state = layer(packed, task=torch.zeros(B, dtype=torch.long))
    torch.testing.assert_close(out.data, expected.data)
    torch.testing.assert_close(state.h[:, :, 0], h)
    torch.testing.assert_close(state.c[:, :, 0], c)


def test_current_memory_equals_the_flat_graph() -> None:
    star = randomise(StarGraphLSTM(E, H, 3, "current"))
    flat = GraphLSTM(E, H, TaskGraph.flat(3), "read").double()
    flat.load_state_dict(star.state_dict())
    assert torch.equal(star(words(), LENGTHS, TASK)[0], flat(words(), LENGTHS, TASK)[0])


def test_a_task_that_takes_no_part_has_no_gradient() -> None:
    layer = randomise(GraphLSTM(E, H, TaskGraph.flat(["a", "b"]), "read"))
    layer(words(), LENGTHS, torch.zeros(B, dtype=torch.long))[0].sum().backward()
    assert all(p.grad is None for p in layer.nodes["b"].parameters())
    assert all(p.grad is not None for p in layer.nodes["a"].parameters())


@pytest.mark.parametrize(
    "make",
    [
        lambda: CompleteGraphLSTM(E, H, 3),
        lambda: CompleteGraphLSTM(E, H, 3, "mutual"),
        lambda: GraphLSTM(E, H, TaskGraph.hierarchy({"c": ["a", "b"], "b": ["a"]}), "cascade"),
        lambda: StarGraphLSTM(E, H, 3, "past"),
    ],
    ids=["read", "mutual", "cascade", "past"],
)
def test_the_state_after_two_parts_is_that_after_the_whole(make: Callable[[], GraphLSTM]) -> None:
    layer, x = randomise(make()), words()
    _, end = layer(x, None, TASK)
    _, state = layer(x[:, :2], None, TASK)
    _, state = layer(x[:, 2:], None, TASK, state)
    torch.testing.assert_close(state.h, end.h)
    torch.testing.assert_close(state.c, end.c)


def test_weights_of_a_graph_are_not_used_and_said_not_to_be() -> None:
    graph = TaskGraph.complete(3)
    plain = randomise(GraphLSTM(E, H, graph))
    with pytest.warns(UserWarning, match="edge_weight is not used: .*with_weight.None."):
        weighted = randomise(GraphLSTM(E, H, graph.with_weight(torch.rand(6))))
    assert torch.equal(weighted(words(), LENGTHS, TASK)[0], plain(words(), LENGTHS, TASK)[0])
