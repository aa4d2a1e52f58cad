import copy
import pickle
import subprocess
import sys
from collections.abc import Collection
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
from torch_geometric.data import Data, HeteroData

from mtgnn import TaskGraph
from mtgnn.cut_graph import CutGraph


def test_complete_has_every_ordered_pair_once() -> None:
    graph = TaskGraph.complete(["a", "b", "c"])
    assert sorted(graph.edges) == [(i, k) for i in "abc" for k in "abc" if i != k]
    assert TaskGraph.complete(1).num_edges == 0


def test_star_and_flat() -> None:
    flat, star = TaskGraph.flat(3), TaskGraph.star(3)
    assert flat.nodes == ("task0", "task1", "task2", "shared")
    assert flat.edge_index.tolist() == [[3, 3, 3], [0, 1, 2]]
    assert star.edge_index.tolist() == [[3, 3, 3, 0, 1, 2], [0, 1, 2, 3, 3, 3]]


def test_hierarchy_is_in_topological_order() -> None:
    graph = TaskGraph.hierarchy({"ner": ["pos", "chunk"], "chunk": ["pos"]})
    assert graph.tasks == ("pos", "chunk", "ner")
    assert graph.generations() == [[0], [1], [2]]
    assert graph.ancestors([1]) == {0, 1}
    assert [sender for _, sender in graph.incoming(2)] == [0, 1]
    with pytest.raises(ValueError, match="cycle"):
        TaskGraph.hierarchy({"a": ["b"], "b": ["a"]})


def test_what_is_kept_of_ancestors_does_not_grow_with_the_sets_asked_for() -> None:
    graph = TaskGraph.from_edges([("a", "b"), ("b", "a"), ("c", "d"), ("d", "e")])
    fresh = len(pickle.dumps(graph))
    for size in range(1, 6):
        for nodes in combinations(range(5), size):
            expected = {i for k in nodes for i in ([0, 1], [0, 1], [2], [2, 3], [2, 3, 4])[k]}
            assert graph.ancestors(nodes) == expected
    assert len(graph._ancestors) <= graph.num_nodes
    assert len(pickle.dumps(graph)) == fresh  # nor does what is saved
    assert copy.deepcopy(graph).ancestors([4]) == {2, 3, 4}


def test_round_trips_keep_names_order_and_weights() -> None:
    graph = TaskGraph.star(["x", "y"], "hub").with_weight(torch.tensor([0.1, 0.2, 0.3, 0.4]))
    assert TaskGraph.from_data(graph.to_data()) == graph
    pytest.importorskip("networkx")
    back = TaskGraph.from_networkx(graph.to_networkx())
    assert (back.tasks, back.virtual) == (graph.tasks, graph.virtual)
    assert back.edge_weight is not None and graph.edge_weight is not None
    weights = dict(zip(back.edges, back.edge_weight.tolist(), strict=True))
    assert weights == dict(zip(graph.edges, graph.edge_weight.tolist(), strict=True))


def test_networkx_graphs_take_an_order_of_tasks() -> None:
    networkx = pytest.importorskip("networkx")
    graph = networkx.DiGraph([("phones", "books"), ("hub", "films"), ("films", "phones")])
    graph.nodes["hub"]["virtual"] = True
    found = TaskGraph.from_networkx(graph, tasks=["books", "films", "phones"])
    assert found.tasks == ("books", "films", "phones") and found.virtual == ("hub",)
    assert set(found.edges) == set(graph.edges)
    with pytest.raises(ValueError, match="expected the graph's tasks .*'phones'.* got .'books'.$"):
        TaskGraph.from_networkx(graph, tasks=["books"])


def test_undirected_networkx_graphs_have_edges_both_ways() -> None:
    networkx = pytest.importorskip("networkx")
    graph = networkx.Graph()
    graph.add_edge("a", "b", weight=0.5)
    graph.add_edge("b", "c", weight=0.25)
    both = {("a", "b"): 0.5, ("b", "a"): 0.5, ("b", "c"): 0.25, ("c", "b"): 0.25}
    assert TaskGraph.from_networkx(graph).weights() == both
    del graph.edges["a", "b"]["weight"]
    assert TaskGraph.from_networkx(graph).edge_weight is None  # where not every edge has one


def test_networkx_multigraphs_are_read_without_keys() -> None:
    networkx = pytest.importorskip("networkx")
    graph = networkx.MultiDiGraph()
    graph.add_edge("a", "b", weight=0.5)
    assert TaskGraph.from_networkx(graph).weights() == {("a", "b"): 0.5}
    with pytest.raises(ValueError, match="tasks in order"):
        TaskGraph.from_networkx(graph, tasks={"a", "b"})
    graph.add_edge("a", "b")
    with pytest.raises(ValueError, match="duplicate edge 'a' → 'b'"):
        TaskGraph.from_networkx(graph)


def test_weights_by_name() -> None:
    graph = TaskGraph.from_edges([("a", "b"), ("b", "a")])
    assert graph.with_weight(torch.tensor([0.25, 0.5])).weights() == {
        ("a", "b"): 0.25,
        ("b", "a"): 0.5,
    }
    with pytest.raises(ValueError, match="a weighted graph"):
        graph.weights()


def named(tasks: list[str], virtual: Collection[str] | None = None) -> Data:
    """Three nodes, an edge, and names."""
    names = {"tasks": tasks, "virtual": virtual or []}
    return Data(edge_index=torch.tensor([[0], [1]]), num_nodes=3, **names)


def test_from_data_keeps_named_nodes_without_edges() -> None:
    data = Data(edge_index=torch.tensor([[0], [1]]), tasks=["a", "b", "c"], virtual=["v"])
    graph = TaskGraph.from_data(data)
    assert graph.nodes == ("a", "b", "c", "v") and graph.edges == [("a", "b")]


def test_checkpoints_may_hold_graphs(tmp_path: Path) -> None:
    graph = TaskGraph.complete(np.array(["a", "b"])).with_weight(torch.tensor([0.5, 2.0]))
    path = tmp_path / "graphs.pt"
    torch.save({"whole": graph, "cut": CutGraph(graph, [1])}, path)
    read = torch.load(path, weights_only=True)
    assert read == {"whole": graph, "cut": CutGraph(graph, [1])}
    alone = f"import torch, mtgnn; print(len(torch.load({str(path)!r}, weights_only=True)))"
    done = subprocess.run([sys.executable, "-c", alone], capture_output=True, text=True, check=True)
    assert done.stdout == "2\n"


def test_from_data_without_names() -> None:
    data = Data(edge_index=torch.tensor([[0], [2]]), num_nodes=3)
    assert TaskGraph.from_data(data).edges == [("task0", "task2")]


def test_tasks_come_in_any_kind_of_order() -> None:
    classes = {"b": ["no", "yes"], "a": ["N", "V"]}
    for tasks in (classes, classes.keys(), np.array(["b", "a"]), iter(["b", "a"])):
        assert TaskGraph.isolated(tasks).tasks == ("b", "a")
    assert TaskGraph.isolated(np.int64(2)).num_tasks == 2


def test_repr() -> None:
    assert (
        repr(TaskGraph.from_edges([("a", "b")])) == "TaskGraph(tasks=['a', 'b'], edges=['a → b'])"
    )
    assert repr(TaskGraph.complete(16)) == "TaskGraph(num_tasks=16, num_edges=240)"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TaskGraph.complete(0), "at least one task"),
        (lambda: TaskGraph.complete([]), "at least one task"),
        (lambda: TaskGraph.complete("abc"), "got the string"),
        (lambda: TaskGraph.complete({"a", "b"}), r"their names in order, .* got \{'"),
        (lambda: TaskGraph.complete(2.0), "a number of tasks, .* got 2.0"),
        (lambda: TaskGraph.complete(None), "a number of tasks, .* got None"),
        (lambda: TaskGraph(2, torch.tensor([[0], [2]]), {"u"}), "virtual nodes in order"),
        (lambda: TaskGraph.from_edges([("u", "a")], virtual="u"), "got the string 'u'"),
        (lambda: TaskGraph.isolated(["a", "a"]), "unique"),
        (lambda: TaskGraph.isolated(["a", ""]), "non-empty"),
        (lambda: TaskGraph.isolated(["a", "c#"]), "without '#'"),
        (lambda: TaskGraph.isolated(["training"]), "not 'training'"),
        (lambda: TaskGraph.isolated(["keys", "<keys>"]), "got '<keys>'"),
        (lambda: TaskGraph.isolated(["_modules"]), "got '_modules'"),
        (lambda: TaskGraph.star(["a", "shared"]), "other names for the virtual nodes"),
        (lambda: TaskGraph(2, torch.tensor([[0], [0]])), "self-loop"),
        (lambda: TaskGraph(2, torch.tensor([[0, 0], [1, 1]])), "duplicate"),
        (lambda: TaskGraph(2, torch.tensor([[0], [2]])), "out of range"),
        (lambda: TaskGraph(2, torch.tensor([0, 1])), r"\[2, E\]"),
        (lambda: TaskGraph(2, torch.tensor([[0.0], [1.0]])), "integers"),
        (lambda: TaskGraph(2, torch.tensor([[True], [False]])), "as integers .* got torch.bool"),
        (lambda: TaskGraph.complete(2).with_weight(torch.ones(3)), r"\[2\]"),
        (
            lambda: TaskGraph.complete(2).with_weight([1.0, 1.0]),
            "as a tensor of shape .* a list",
        ),
        (lambda: TaskGraph.from_data(HeteroData()), "Data object, got a HeteroData"),
        (lambda: TaskGraph.from_edges([("a", "b")], ["a"]), "unknown nodes"),
        (lambda: TaskGraph.from_edges(["ab"]), r"pairs \(sender, receiver\), .* got 'ab'"),
        (lambda: TaskGraph.from_edges([("a", "b", 0.5)]), r"got \('a', 'b', 0.5\)"),
        (lambda: TaskGraph.from_edges({("a", "b")}), "edges in order"),
        (lambda: TaskGraph.hierarchy({"b": "a"}), "senders of 'b' in order, .* the string 'a'"),
        (lambda: TaskGraph.hierarchy({"c": {"a", "b"}}), "senders of 'c' in order"),
        (lambda: TaskGraph.from_data(Data(num_nodes=2)), "with an edge_index"),
        (lambda: TaskGraph.from_data(named(["a", "b"], {"u"})), "virtual nodes in order"),
        (lambda: TaskGraph.from_data(named(["a", "b"])), "expected 3 node names, got 2"),
        (lambda: TaskGraph.from_data(named(["a", "b"], ["u", "v"])), "3 node names, got 4"),
    ],
)
def test_bad_input_is_named(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_unknown_node() -> None:
    with pytest.raises(KeyError, match="no node named 'c'"):
        TaskGraph.isolated(["a", "b"]).index("c")
