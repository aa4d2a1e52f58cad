import re

import pytest
import torch
from reader import WORDS, make_batches, reader

from mtgnn import TaskGraph
from mtgnn.explain import SentenceSample, collect_attention, plot_sentence, plot_task_graphs
from mtgnn.nn import CompleteGraphLSTM


def test_a_picture_is_drawn(tmp_path) -> None:
    graph = TaskGraph.complete(["a", "b", "c"])
    learned = graph.with_weight(torch.tensor([0.9, 0.1, 0.5, 0.5, 0.2, 0.8]))
    plot_task_graphs({"equal": graph, "learned": learned}, tmp_path / "graph.png", [0, 0, 1])
    assert (tmp_path / "graph.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ValueError, match="expected tasks"):
        plot_task_graphs({"one": graph, "other": TaskGraph.complete(2)}, tmp_path / "no.png")
    with pytest.raises(ValueError, match="a group for each"):
        plot_task_graphs({"one": graph}, tmp_path / "no.png", [0])


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_a_sentence_is_drawn(ending: str, tmp_path) -> None:
    model = reader(CompleteGraphLSTM(4, 3, ["$a_1$", "b", "c"]))
    sample = SentenceSample(model.encoder.graph, WORDS, per_task=1)
    (sentence, *_) = collect_attention(model, make_batches(3), [sample])[0]
    plot_sentence(sentence, tmp_path / f"sentence.{ending}")
    start = {"png": b"\x89PNG", "svg": b"<?xml"}[ending]
    assert (tmp_path / f"sentence.{ending}").read_bytes().startswith(start)


def test_negative_weights_are_drawn_and_written(tmp_path) -> None:
    graph = TaskGraph.complete(["a", "b", "c"])
    effects = graph.with_weight(torch.tensor([0.02, -0.004, -0.3, 0.0001, 0.5, 0.1]))
    plot_task_graphs({"ablation": effects}, tmp_path / "graph.svg")
    text = (tmp_path / "graph.svg").read_text(encoding="utf-8")
    for label in (".020", "−.004", "−.30", "0", ".50", ".10"):
        assert f"<!-- {label} -->" in text
    # Drawn in the circle: what weighs more than the mean of its receiver's, and more than 0.
    circle = text[text.index('id="axes_1"') : text.index('id="axes_2"')]
    assert len(set(re.findall(r'id="(patch_\d+)"', circle))) == 3


@pytest.mark.parametrize("other", [-0.3, 0.0])
def test_a_missing_edge_is_none_that_weighs_nothing(other: float, tmp_path) -> None:
    """Drawn is what weighs more than the mean of the edges that there are."""
    edges = [("b", "a"), ("c", "a"), ("a", "b"), ("d", "b"), ("c", "b")]
    graph = TaskGraph.from_edges(edges, ["a", "b", "c", "d"])
    weighted = graph.with_weight(torch.tensor([0.12, 0.2, other, 0.3, 0.2]))
    plot_task_graphs({"learned": weighted}, tmp_path / "graph.svg")
    text = (tmp_path / "graph.svg").read_text(encoding="utf-8")
    circle = text[text.index('id="axes_1"') : text.index('id="axes_2"')]
    drawn = 3  # c → a; d → b and c → b, for the mean into b counts the third edge
    assert len(set(re.findall(r'id="(patch_\d+)"', circle))) == drawn
