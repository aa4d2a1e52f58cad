"""The shared LSTM is ``torch.nn.LSTM`` behind the encoders' interface."""

import pytest
import torch
from contract import by_name, check_encoder
from torch import Tensor
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from mtgnn import TaskGraph
from mtgnn.nn import (
    AdversarialLSTM,
    CompleteGraphLSTM,
    CrossStitchLSTM,
    GraphLSTM,
    HierarchicalLSTM,
    MixtureOfExpertsLSTM,
    SharedLSTM,
    SharedPrivateLSTM,
    StarGraphLSTM,
    build_encoder,
)

LENGTHS = torch.tensor([3, 5, 1])
TASK = torch.tensor([1, 0, 1])
HIERARCHY = TaskGraph.hierarchy({"b": ["a"]})
FORMS = [(1, False), (2, False), (1, True), (2, True)]


def words(*several: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(3, 5, *several, 4, generator=generator, dtype=torch.double)


def layer(num_layers: int = 1, bidirectional: bool = False, dropout: float = 0.0) -> SharedLSTM:
    torch.manual_seed(1)
    made = SharedLSTM(
        4, 3, ["a", "b"], num_layers=num_layers, bidirectional=bidirectional, dropout=dropout
    )
    return made.double()


@pytest.mark.parametrize(("num_layers", "bidirectional"), FORMS)
def test_equals_torch(num_layers: int, bidirectional: bool) -> None:
    shared, x = layer(num_layers, bidirectional), words()
    out, state = shared(x, LENGTHS, TASK)
    assert out.shape == (3, 5, shared.output_size)
    for b, length in enumerate(LENGTHS.tolist()):
        expected, (h, c) = shared.lstm(x[b, :length])
        torch.testing.assert_close(out[b, :length], expected)
        assert not out[b, length:].any()
        torch.testing.assert_close(state.h[:, b], h)
        torch.testing.assert_close(state.c[:, b], c)
    full, _ = shared(x)
    torch.testing.assert_close(full[:, :, 1], shared.lstm(x)[0])


@pytest.mark.parametrize(("num_layers", "bidirectional"), FORMS)
@pytest.mark.parametrize("name", ["shared", "single"])
def test_properties_of_an_encoder(name: str, num_layers: int, bidirectional: bool) -> None:
    options = {"num_layers": num_layers, "bidirectional": bidirectional}
    check_encoder(by_name(name, **options), streams=not bidirectional)


def test_an_input_for_each_task_is_read_apart() -> None:
    shared, x = layer(), words(2)
    every, _ = shared(x, LENGTHS)
    torch.testing.assert_close(every[:, :, 1], shared(x[:, :, 1], LENGTHS, TASK)[0])
    assert not torch.allclose(every[:, :, 0], every[:, :, 1])


@pytest.mark.parametrize("task", [TASK, None])
def test_packed_in_packed_out(task: Tensor | None) -> None:
    shared, x = layer(2, True), words()
    packed = pack_padded_sequence(x, LENGTHS, batch_first=True, enforce_sorted=False)
    out, _ = shared(packed, task=task)
    padded, lengths = pad_packed_sequence(out, batch_first=True)
    assert torch.equal(lengths, LENGTHS)
    torch.testing.assert_close(padded, shared(x, LENGTHS, task)[0])


def test_each_task_has_states_of_its_own_to_write_into() -> None:
    with torch.no_grad():
        out, _ = layer()(words(), LENGTHS)
        kept = out[:, :, 1].clone()
        out[:, :, 0] = 7
    assert torch.equal(out[:, :, 1], kept)


def test_transforms_of_functions_go_through() -> None:
    shared, x = layer(2, True), words()
    named = dict(shared.named_parameters())

    def loss(parameters: dict[str, Tensor]) -> Tensor:
        return torch.func.functional_call(shared, parameters, (x, LENGTHS, TASK))[0].sin().sum()

    got = torch.func.grad(loss)(named)
    expected = torch.autograd.grad(loss(named), list(named.values()))
    torch.testing.assert_close(list(got.values()), list(expected))


def test_dropout_between_layers_only_in_training() -> None:
    shared, x = layer(2, dropout=0.5), words()
    torch.manual_seed(0)
    assert not torch.equal(shared(x)[0], shared(x)[0])
    shared.eval()
    assert torch.equal(shared(x)[0], shared(x)[0])
    single = layer(1, dropout=0.5)
    assert torch.equal(single(x)[0], single(x)[0])


def test_attention_is_that_of_a_graph_without_edges() -> None:
    shared = layer(2, True)
    _, _, attention = shared(words(), LENGTHS, TASK, return_attention_weights=True)
    isolated = GraphLSTM(4, 3, TaskGraph.isolated(2), num_layers=2, bidirectional=True).double()
    _, _, expected = isolated(words(), LENGTHS, TASK, return_attention_weights=True)
    assert len(attention) == len(expected) == 4
    for (edge_index, alpha), (edges, like) in zip(attention, expected, strict=True):
        assert edge_index.shape == edges.shape == (2, 0)
        assert alpha.shape == like.shape


def test_reset_draws_anew() -> None:
    shared = layer()
    before = shared.lstm.weight_hh_l0.clone()
    shared.reset_parameters()
    assert not torch.equal(before, shared.lstm.weight_hh_l0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: SharedLSTM(0, 3, 2), "input_size"),
        (lambda: SharedLSTM(4, 3, 2, num_layers=0), "num_layers"),
        (lambda: SharedLSTM(4, 3, 2, dropout=1.0), "dropout"),
        (lambda: SharedLSTM(2.5, 4, 2), "input_size to be an integer of at least 1, got 2.5"),
        (lambda: SharedLSTM(3, 4, 2, bidirectional=2), "to be True or False, got 2"),
        (lambda: layer()(words()[..., :2]), r"\[B, T, 4\]"),
        (lambda: layer()(words(3)), "2 nodes"),
        (lambda: layer()(words(), torch.tensor([3, 6, 1])), "1…5"),
        (lambda: layer()(words(), torch.tensor([3, 0, 1])), "1…5"),
        (lambda: layer()(words(), LENGTHS, TASK + 1), "0…1"),
        (lambda: layer()(words(), state=layer()(words()[:2])[1]), "state of shape"),
        (
            lambda: layer()(words(), state=GraphLSTM(4, 3, HIERARCHY)(words().float())[1]),
            "expected a SharedState .h, c., got a GraphState",
        ),
        (
            lambda: layer(1, True)(words(), state=layer(1, True)(words())[1]),
            "bidirectional",
        ),
        (
            lambda: layer()(pack_padded_sequence(words(), torch.tensor([5, 5, 5]), True), LENGTHS),
            "packed",
        ),
    ],
)
def test_errors(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(
    ("name", "kind", "options"),
    [
        ("single", GraphLSTM, {}),
        ("shared", SharedLSTM, {"num_layers": 2}),
        ("complete", CompleteGraphLSTM, {"exchange": "mutual"}),
        ("star", StarGraphLSTM, {"memory": "past"}),
        ("graph", GraphLSTM, {"graph": HIERARCHY}),
        ("shared_private", SharedPrivateLSTM, {"bidirectional": True}),
        ("adversarial", AdversarialLSTM, {"orthogonality_weight": 0.1}),
        ("hierarchical", HierarchicalLSTM, {"graph": HIERARCHY}),
        ("cross_stitch", CrossStitchLSTM, {"subspaces": 3}),
        ("mixture", MixtureOfExpertsLSTM, {"num_experts": 3}),
    ],
)
def test_build_encoder(name: str, kind: type, options: dict) -> None:
    encoder = build_encoder(name, 4, 3, ["a", "b"], **options)
    assert type(encoder) is kind and encoder.graph.tasks == ("a", "b")
    for option, value in options.items():
        assert getattr(encoder, option) == value
    out, _ = encoder(words().float(), LENGTHS, TASK)
    assert out.shape == (3, 5, encoder.output_size)
    if name == "single":
        assert encoder.graph == TaskGraph.isolated(["a", "b"])


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("circle", {}, "'complete'"),
        ("graph", {}, "'graph' needs a graph"),
        ("hierarchical", {}, "'hierarchical' needs a graph"),
        ("hierarchical", {"graph": TaskGraph.complete(["a", "b"])}, "acyclic"),
        ("graph", {"graph": TaskGraph.complete(2)}, "needs a graph"),
        ("star", {"memorry": "past"}, "memorry"),
        ("shared", {"memory": "past"}, "memory"),
    ],
)
def test_build_encoder_errors(name: str, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_encoder(name, 4, 3, ["a", "b"], **options)
