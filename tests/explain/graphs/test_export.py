from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import networkx
import pytest
import torch

from mtgnn import TaskGraph
from mtgnn.explain import read_graphml, write_graphml

EDGES = [("c & d", "a"), ("shared", "<b>"), ("a", "c & d"), ("<b>", "a"), ("a", "shared")]
GRAPH = TaskGraph.from_edges(EDGES, ("a", "<b>", "c & d"), ("shared",))
WEIGHTED = GRAPH.with_weight(torch.tensor([0.1, 0.2, 0.3, 0.4, 0.7]))


@pytest.mark.parametrize("graph", [GRAPH, WEIGHTED, TaskGraph.complete(12), TaskGraph.isolated(2)])
def test_what_was_written_is_read(graph: TaskGraph, tmp_path) -> None:
    write_graphml(graph, tmp_path / "graph.graphml")
    assert read_graphml(tmp_path / "graph.graphml") == graph


def test_numbers_names_and_weights_stay_together(tmp_path) -> None:
    write_graphml(WEIGHTED, tmp_path / "graph.graphml")
    space = {"g": "http://graphml.graphdrawing.org/xmlns"}
    root = ElementTree.parse(tmp_path / "graph.graphml").getroot()
    keys = {key.get("id"): key.get("attr.name") for key in root.findall("g:key", space)}
    found = {}
    for edge in root.iterfind(".//g:edge", space):
        data = {keys[d.get("key")]: d.text for d in edge.findall("g:data", space)}
        found[int(edge.attrib["id"])] = (edge.get("source"), edge.get("target"), data["weight"])
    for number, (sender, receiver) in enumerate(EDGES):
        weight = float(WEIGHTED.edge_weight[number])
        assert found[number][:2] == (sender, receiver)
        assert float(found[number][2]) == pytest.approx(weight)


def test_other_programs_files_are_read(tmp_path) -> None:
    other = networkx.DiGraph([("x", "y"), ("z", "y")])
    networkx.write_graphml(other, tmp_path / "graph.graphml")
    graph = read_graphml(tmp_path / "graph.graphml")
    assert graph.edges == [("x", "y"), ("z", "y")] and graph.tasks == ("x", "y", "z")
