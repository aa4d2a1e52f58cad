"""Messages in the output: what they are, on both paths, with their gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mtgnn import TaskGraph
from mtgnn.data import Vocabulary
from mtgnn.nn import (
    CompleteGraphLSTM,
    GraphLSTM,
    MultiTaskModel,
    StarGraphLSTM,
    add_task,
)
from mtgnn.ops import kernels_ran
from mtgnn.testing import (
    assert_all_tasks_equal_single,
    assert_batch_invariant,
    assert_heard,
    assert_padding_invariant,
    random_batch,
    randomise,
)

E, H, TASKS = 3, 4, ("a", "b", "c")
CHAIN = TaskGraph.from_edges([("a", "b"), ("a", "c"), ("b", "c")], TASKS)
RING = TaskGraph.from_edges([(str(i), str((i + 1) % 9)) for i in range(9)], [*map(str, range(9))])

LAYERS: dict[str, tuple[str, Callable[..., GraphLSTM]]] = {
    "read": ("edges", lambda **o: CompleteGraphLSTM(E, H, TASKS, **o)),
    "cascade": ("edges", lambda **o: GraphLSTM(E, H, CHAIN, "cascade", heads=2, **o)),
    "mutual": ("pairs", lambda **o: CompleteGraphLSTM(E, H, TASKS, "mutual", heads=2, **o)),
    "static": ("pairs", lambda **o: CompleteGraphLSTM(E, H, TASKS, "mutual", score="static", **o)),
    "sparse": ("sparse", lambda **o: GraphLSTM(E, H, RING, "mutual", **o)),
    "star": ("mailbox", lambda **o: StarGraphLSTM(E, H, TASKS, **o)),
    "past": ("mailbox", lambda **o: StarGraphLSTM(E, H, TASKS, "past", heads=2, **o)),
    "several": ("mailbox", lambda **o: CompleteGraphLSTM(E, H, TASKS, memory="past", **o)),
    "current": ("edges", lambda **o: StarGraphLSTM(E, H, TASKS, "current", **o)),
    "deep": (
        "edges",
        lambda **o: CompleteGraphLSTM(E, H, TASKS, num_layers=2, bidirectional=True, **o),
    ),
}


def gradients(layer: nn.Module, batch: Any, **options: Any) -> dict[str, Tensor | None]:
    layer.zero_grad()
    out, _ = layer(*batch, **options)
    (out * torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view_as(out)).sum().backward()
    return {name: parameter.grad for name, parameter in layer.named_parameters()}


@pytest.mark.parametrize("every", [False, True])
@pytest.mark.parametrize("name", LAYERS)
def test_paths_are_equal_and_states_stay_what_they_were(name: str, every: bool) -> None:
    kernel, make = LAYERS[name]
    fast = randomise(make(concat_messages=True, kernel="fused"))
    plain = make(concat_messages=True, kernel="reference").double()
    without = make().double()
    for layer in (plain, without):
        layer.load_state_dict(fast.state_dict())
    tasks = fast.graph.num_tasks
    x, lengths, task = random_batch(E, tasks, batch_size=3 * tasks)
    batch = (x, lengths, None if every else task)
    assert_heard(fast, x, lengths, task)
    with kernels_ran() as ran:
        out, _ = fast(*batch)
    assert any(kernel in one for one in ran)
    torch.testing.assert_close(out, plain(*batch)[0])
    width = out.size(-1) // (1 + fast.bidirectional)
    assert out.size(-1) == fast.output_size and width == H + fast.message_size
    states = torch.cat([part[..., :H] for part in out.split(width, -1)], -1)
    torch.testing.assert_close(states, without(*batch)[0])
    expected = gradients(plain, batch)
    for key, gradient in gradients(fast, batch).items():
        torch.testing.assert_close(gradient, expected[key])


@pytest.mark.parametrize("name", ["read", "static", "star", "deep"])
def test_invariances(name: str) -> None:
    layer = randomise(LAYERS[name][1](concat_messages=True))
    x, lengths, task = random_batch(E, 3, batch_size=6)
    assert_padding_invariant(layer, x, lengths, task)
    assert_batch_invariant(layer, x, lengths, task)
    assert_all_tasks_equal_single(layer, x, lengths)


def lstm(layer: GraphLSTM, name: str, x: Tensor) -> Tensor:
    """The states of a node that hears nothing, by torch's own LSTM."""
    values = {k: v for k, v in layer.nodes[name].state_dict().items() if "_rh_" not in k}
    plain = nn.LSTM(E, H, batch_first=True).double()
    plain.load_state_dict(values)
    return plain(x)[0]


@pytest.mark.parametrize("kernel", ["fused", "reference"])
def test_read_hands_out_the_weighted_mean_of_senders(kernel: str) -> None:
    layer = randomise(CompleteGraphLSTM(E, H, TASKS, concat_messages=True, kernel=kernel))
    x, _, task = random_batch(E, 3, batch_size=6)
    out, _, [(edge_index, alpha)] = layer(x, None, task, return_attention_weights=True)
    sent = torch.stack([lstm(layer, name, x) for name in TASKS], 2)
    expected = torch.zeros_like(out[..., H:])
    for edge, (sender, receiver) in enumerate(edge_index.t().tolist()):
        mine = (task == receiver).nonzero().squeeze(1)
        expected[mine] += alpha[mine, :, edge] * sent[mine, :, sender]
    assert expected.all()
    torch.testing.assert_close(out[..., H:], expected)


@pytest.mark.parametrize("kernel", ["fused", "reference"])
def test_mutual_hands_out_that_of_the_states_before(kernel: str) -> None:
    layer = randomise(CompleteGraphLSTM(E, H, TASKS, "mutual", concat_messages=True, kernel=kernel))
    x, *_ = random_batch(E, 3, batch_size=2)
    out, _, [(edge_index, alpha)] = layer(x, return_attention_weights=True)
    before = torch.cat([torch.zeros_like(out[:, :1]), out[:, :-1]], 1)[..., :H]
    expected = torch.zeros_like(before)
    for edge, (sender, receiver) in enumerate(edge_index.t().tolist()):
        expected[:, :, receiver] += alpha[:, :, edge] * before[:, :, sender]
    torch.testing.assert_close(out[..., H:], expected)
    assert not out[:, 0, :, H:].any() and out[:, 1:, :, H:].abs().min() > 0


@pytest.mark.parametrize("kernel", ["fused", "reference"])
def test_star_hands_out_the_mailbox(kernel: str) -> None:
    layer = randomise(StarGraphLSTM(E, H, TASKS, concat_messages=True, kernel=kernel))
    x, _, task = random_batch(E, 3, batch_size=6)
    out, _, [(_, beta)] = layer(x, None, task, return_attention_weights=True)
    torch.testing.assert_close(out[..., H:], beta[..., 0] @ lstm(layer, "shared", x))


def test_nodes_that_hear_nothing_have_zeros() -> None:
    layer = randomise(GraphLSTM(E, H, CHAIN, "cascade", concat_messages=True))
    x, *_ = random_batch(E, 3, batch_size=2)
    out, _ = layer(x)
    assert not out[:, :, 0, H:].any() and out[:, :, 1:, H:].any(-1).all()
    alone = randomise(GraphLSTM(E, H, TaskGraph.isolated(TASKS), concat_messages=True))
    out, _ = alone(x)
    assert out.shape[-1] == alone.output_size and not out[..., H:].any()


@pytest.mark.parametrize("kernel", ["auto", "reference"])
def test_messages_come_as_dropout_left_them(kernel: str) -> None:
    layer = randomise(
        CompleteGraphLSTM(
            E, H, TASKS, score="uniform", concat_messages=True, message_dropout=0.5, kernel=kernel
        )
    )
    x, lengths, task = random_batch(E, 3, batch_size=6)
    whole = layer.eval()(x, lengths, task)[0][..., H:]
    dropped = layer.train()(x, lengths, task)[0][..., H:]
    gone = dropped == 0
    real = torch.arange(x.size(1)) < lengths[:, None]
    assert 0.3 < gone[real].double().mean() < 0.7
    torch.testing.assert_close(dropped[~gone], 2 * whole[~gone])


def test_models_and_new_tasks_take_it() -> None:
    words = Vocabulary.build(["a good book", "a bad film"])
    options = {"concat_messages": True, "score": "static"}
    classes = {"a": ["-", "+"], "b": ["-", "+"]}
    model = MultiTaskModel(
        words, classes, "complete", embedding_size=E, hidden_size=H, encoder_options=options
    )
    more = add_task(model, "c", ["no", "yes"])
    assert more.encoder.concat_messages and more.encoder.output_size == 2 * H
    for task in classes:
        assert more.predict(["a good film"], task) == model.predict(["a good film"], task)
