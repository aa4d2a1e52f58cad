"""A layer with edges cut is the layer on the smaller graph."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from reader import make_batches, reader
from torch_geometric.nn import SAGEConv

from mtgnn import TaskGraph
from mtgnn.cut_graph import CutGraph
from mtgnn.data import Vocabulary
from mtgnn.explain import read_graphml, without_edges, write_graphml
from mtgnn.explain.readouts.readout import equal_shares
from mtgnn.nn import (
    CompleteGraphLSTM,
    GraphLSTM,
    MultiTaskModel,
    SharedLSTM,
    StarGraphLSTM,
    add_task,
)
from mtgnn.testing import assert_heard, random_batch, randomise

E, H, TASKS = 3, 4, ("a", "b", "c")
EDGES = [("c", "a"), ("shared", "b"), ("b", "c"), ("b", "a"), ("a", "shared"), ("a", "b")]
CYCLIC = TaskGraph.from_edges(EDGES, TASKS, ("shared",))
ACYCLIC = TaskGraph.from_edges([EDGES[0], EDGES[1], EDGES[2], EDGES[3]], TASKS, ("shared",))
OPTIONS = [
    {},
    {"score": "static", "heads": 2},
    {"score": "dot", "score_owner": "receiver", "fusion": "gated"},
    {"num_layers": 2, "bidirectional": True},
]


def smaller(layer: GraphLSTM, cut: set[int], **options: object) -> GraphLSTM:
    """A new layer on the graph without the edges, with the same parameters."""
    graph = layer.graph
    left = [e for e in range(graph.num_edges) if e not in cut]
    few = TaskGraph(graph.tasks, graph.edge_index[:, left], graph.virtual)
    new = GraphLSTM(E, H, few, layer.exchange, **options).double()
    state = layer.state_dict()
    state = {k: v[left] if k.endswith("logit") else v for k, v in state.items()}
    new.load_state_dict({k: state[k] for k in new.state_dict()})
    return new


@pytest.mark.parametrize("options", OPTIONS, ids=lambda o: "-".join(o) or "plain")
@pytest.mark.parametrize("exchange", ["mutual", "read", "cascade"])
@pytest.mark.parametrize("cut", [{0}, {3}, {1}, {0, 3}], ids=str)
def test_it_is_the_layer_on_the_smaller_graph(cut: set[int], exchange: str, options: dict) -> None:
    graph = ACYCLIC if exchange == "cascade" else CYCLIC
    layer = randomise(GraphLSTM(E, H, graph, exchange, **options))
    x, lengths, task = random_batch(E, 3, batch_size=5)
    assert_heard(layer, x, lengths, task)
    fewer = without_edges(layer, cut)
    out, _, attention = fewer(x, lengths, task, return_attention_weights=True)
    expected, _, other = smaller(layer, cut, **options)(
        x, lengths, task, return_attention_weights=True
    )
    torch.testing.assert_close(out, expected)
    assert not torch.allclose(out, layer(x, lengths, task)[0])
    left = [e for e in range(graph.num_edges) if e not in cut]
    for (edge_index, alpha), (_, few) in zip(attention, other, strict=True):
        assert torch.equal(edge_index, graph.edge_index)  # edges keep their numbers
        torch.testing.assert_close(alpha[:, :, left], few)
        assert not alpha[:, :, sorted(cut)].any()
    torch.testing.assert_close(fewer(x, lengths)[0], smaller(layer, cut, **options)(x, lengths)[0])


@pytest.mark.parametrize("exchange", ["mutual", "read", "cascade"])
@pytest.mark.parametrize("cut", [{0}, {3}, {1}, {0, 3}], ids=str)
def test_of_a_conv_it_is_the_layer_on_the_smaller_graph_too(cut: set[int], exchange: str) -> None:
    graph = ACYCLIC if exchange == "cascade" else CYCLIC
    layer = randomise(GraphLSTM(E, H, graph, exchange, conv=SAGEConv(H, 5)))
    x, lengths, task = random_batch(E, 3, batch_size=5)
    assert_heard(layer, x, lengths, task)
    fewer, small = without_edges(layer, cut), smaller(layer, cut, conv=SAGEConv(H, 5))
    for inputs in ((x, lengths, task), (x, lengths)):
        out = fewer(*inputs)[0]
        torch.testing.assert_close(out, small(*inputs)[0])
        assert not torch.allclose(out, layer(*inputs)[0])


@pytest.mark.parametrize("memory", ["all", "past", "current"])
def test_a_task_without_its_mailbox_is_an_lstm(memory: str) -> None:
    layer = randomise(StarGraphLSTM(E, H, TASKS, memory))
    x, lengths, task = random_batch(E, 3, batch_size=5)
    out = without_edges(layer, [1])(x, lengths, task)[0]
    lstm = torch.nn.LSTM(E, H, batch_first=True).double()
    own = layer.nodes["b"]
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    lstm.load_state_dict({f"{name}_l0": own.get(name, "l0") for name in names})
    for b in range(5):
        alone = layer(x, lengths, task)[0][b]
        if task[b] == 1:
            alone = torch.zeros_like(alone)
            alone[: lengths[b]] = lstm(x[b : b + 1, : lengths[b]])[0][0]
        torch.testing.assert_close(out[b], alone)


def test_parameters_are_shared_and_the_model_is_left_alone() -> None:
    model = reader(CompleteGraphLSTM(4, 3, TASKS))
    graph = model.encoder.graph
    (batch,) = make_batches(3, (6,))
    before = model(batch.tokens, batch.lengths, batch.task)[0]
    fewer = without_edges(model, [0])
    assert [id(p) for p in fewer.parameters()] == [id(p) for p in model.parameters()]
    assert not torch.equal(fewer(batch.tokens, batch.lengths, batch.task)[0], before)
    assert model.encoder.graph is graph and fewer.encoder.graph.cut == {0}
    assert torch.equal(model(batch.tokens, batch.lengths, batch.task)[0], before)
    fewer(batch.tokens, batch.lengths, batch.task)[0].sum().backward()
    assert model.encoder.nodes["a"].weight_ih_l0.grad is not None


@pytest.mark.parametrize("encoder", ["complete", "star"])
def test_what_is_cut_stays_so(encoder: str, tmp_path: Path) -> None:
    vocabulary = Vocabulary(["good", "bad"])
    classes = {task: ["no", "yes"] for task in TASKS}
    model = MultiTaskModel(vocabulary, classes, encoder, embedding_size=3, hidden_size=4).eval()
    for parameter in model.encoder.nodes.parameters():
        torch.nn.init.normal_(parameter)  # fresh nodes are alike: it would not matter who is heard
    edges = [model.graph.edges[0], model.graph.edges[-1]]
    fewer = without_edges(without_edges(model, edges[:1]), edges[1:])
    assert fewer.graph is fewer.encoder.graph and fewer.graph != model.graph
    assert fewer.graph.cut == {0, model.graph.num_edges - 1}
    fewer.save(tmp_path / "model.pt")
    inputs = torch.tensor([[3, 4, 3]] * 3), torch.full((3,), 3), torch.arange(3)
    expected = fewer(*inputs)
    assert not torch.equal(model(*inputs), expected)
    loaded = MultiTaskModel.load(tmp_path / "model.pt")
    more = add_task(fewer, "new", ["no", "yes"])
    assert loaded.graph == fewer.graph and more.graph.cut == fewer.graph.cut
    assert all(edge in more.graph.edges for edge in edges)
    assert torch.equal(loaded(*inputs), expected) and torch.equal(more(*inputs), expected)
    whole = add_task(model, "new", ["no", "yes"])
    assert torch.equal(whole(*inputs), model(*inputs))


def test_a_cut_graph_says_so() -> None:
    graph = CutGraph(TaskGraph.hierarchy({"c": ["a", "b"]}), [1])
    assert repr(graph).endswith("edges=['a → c', 'b → c'], cut=['b → c'])")
    assert graph.ancestors([graph.index("c")]) == {graph.index("a"), graph.index("c")}


def test_a_cut_graph_with_other_weights_has_the_same_cuts() -> None:
    graph = CutGraph(TaskGraph.complete(3).with_weight(torch.rand(6)), [0, 1])
    weighted = graph.with_weight(torch.arange(6.0))
    assert weighted.edge_weight is not None and weighted.edge_weight.tolist() == [0, 1, 2, 3, 4, 5]
    assert weighted != graph and weighted.with_weight(graph.edge_weight) == graph
    assert graph.with_weight(None) == CutGraph(TaskGraph.complete(3), [0, 1])
    assert graph.with_weight(None).incoming(0) == []


def test_constructors_give_whole_graphs() -> None:
    whole = TaskGraph.complete(3)
    assert CutGraph.complete(3) == CutGraph.from_data(whole.to_data()) == whole
    assert CutGraph.isolated(3) == TaskGraph.isolated(3)


def test_what_cannot_be_cut_is_refused() -> None:
    with pytest.raises(ValueError, match="edges in 0…5, got \\[6\\]"):
        without_edges(CompleteGraphLSTM(E, H, TASKS), [0, 6])
    with pytest.raises(ValueError, match="got Reader with a SharedLSTM"):
        without_edges(reader(SharedLSTM(4, 3, 3)), [0])
    with pytest.raises(ValueError, match="got Linear"):
        without_edges(torch.nn.Linear(2, 2), [0])


def test_edges_by_name() -> None:
    layer = CompleteGraphLSTM(E, H, TASKS)
    number = layer.graph.edges.index(("b", "a"))
    named, numbered = (without_edges(layer, [edge]).graph for edge in (("b", "a"), number))
    assert named.cut == numbered.cut == {number}
    assert without_edges(layer, np.array([number])).graph.cut == {number}
    with pytest.raises(ValueError, match=r"got \('a', 'a'\)"):
        without_edges(layer, [("a", "a")])


def test_exports_of_a_cut_graph_hold_what_is_left(tmp_path: Path) -> None:
    graph = CutGraph(TaskGraph.complete(["a", "b", "c"]).with_weight(torch.arange(6.0)), [0, 4])
    left = [edge for number, edge in enumerate(graph.edges) if number not in (0, 4)]
    kept = dict(zip(left, [1.0, 2.0, 3.0, 5.0], strict=True))
    assert TaskGraph.from_data(graph.to_data()).weights() == kept
    assert TaskGraph.from_networkx(graph.to_networkx(), ["a", "b", "c"]).weights() == kept
    with torch.device("meta"):
        assert CutGraph(TaskGraph.isolated(3), []).to_data().num_edges == 0
    write_graphml(graph, tmp_path / "graph.graphml")
    assert read_graphml(tmp_path / "graph.graphml").weights() == kept


def test_a_compiled_model_stays_as_it_is() -> None:
    model = reader(CompleteGraphLSTM(4, 3, 3))
    compiled = torch.compile(model, backend="eager")
    (batch,) = make_batches(3, (4,))
    parts = dict(model.named_modules())
    fewer = without_edges(compiled, [0])
    assert dict(model.named_modules()) == parts and fewer.encoder.graph.cut == {0}
    given = batch.tokens, batch.lengths, batch.task
    expected = without_edges(model, [0])(*given)[0]
    assert torch.equal(fewer(*given)[0], expected)
    assert not torch.equal(model(*given)[0], expected)


class Twice(torch.nn.Module):
    """Holds its encoder in another part, too, and runs that one."""

    def __init__(self, compiled: bool) -> None:
        super().__init__()
        inner = reader(CompleteGraphLSTM(4, 3, 3))
        self.encoder = inner.encoder
        self.inner = torch.compile(inner, backend="eager") if compiled else inner

    def forward(self, *arguments: torch.Tensor) -> torch.Tensor:
        return self.inner(*arguments)[0]


class Hidden(torch.nn.Module):
    """Holds its encoder where no module sees it."""

    def __init__(self) -> None:
        super().__init__()
        self.held = [reader(CompleteGraphLSTM(4, 3, 3))]

    @property
    def encoder(self) -> torch.nn.Module:
        return self.held[0].encoder


def test_an_encoder_that_no_module_holds_cannot_be_cut() -> None:
    with pytest.raises(ValueError, match="holds its encoder as a module, got a Hidden"):
        without_edges(Hidden(), [0])


@pytest.mark.parametrize("compiled", [False, True])
def test_edges_are_cut_wherever_a_module_holds_the_encoder(compiled: bool) -> None:
    model, (batch,) = Twice(compiled), make_batches(3, (4,))
    given = batch.tokens, batch.lengths, batch.task
    expected = without_edges(model.inner, [0, 1])(*given)[0]
    before = model(*given)
    assert torch.equal(without_edges(model, [0, 1])(*given), expected)
    assert torch.equal(model(*given), before) and not torch.equal(before, expected)


def test_equal_attention_is_over_the_edges_that_are_left() -> None:
    graph = CutGraph(CYCLIC, [3, 5])
    shares = equal_shares(graph)
    assert shares[[3, 5]].tolist() == [0, 0]
    assert shares[[0, 1, 2, 4]].equal(equal_shares(graph.remaining()))
    assert shares.tolist() == [1, 1, 1, 0, 1, 0] != equal_shares(CYCLIC).tolist()
