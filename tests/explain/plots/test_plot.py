"""What the pictures show: their numbers, names and arrows."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from matplotlib.figure import Figure
from reader import WORDS, make_batches, reader

from mtgnn import TaskGraph
from mtgnn.explain import SentenceSample, collect_attention, plot_sentence, plot_task_graphs
from mtgnn.explain.plots.plot import weight_matrix
from mtgnn.explain.readouts.sentences import SentenceWeights
from mtgnn.nn import CompleteGraphLSTM


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that are saved."""
    made: list[Figure] = []
    save = Figure.savefig

    def spy(self: Figure, *arguments: Any, **options: Any) -> None:
        made.append(self)
        save(self, *arguments, **options)

    monkeypatch.setattr(Figure, "savefig", spy)
    return made


def ticks(axes: Any) -> tuple[list[str], list[str]]:
    """The names of the columns and of the rows."""
    columns, rows = axes.get_xticklabels(), axes.get_yticklabels()
    return [label.get_text() for label in columns], [label.get_text() for label in rows]


def test_rows_of_a_matrix_receive() -> None:
    graph = TaskGraph.from_edges([("a", "b"), ("c", "a")], ("a", "b", "c"))
    expected = torch.zeros(3, 3)
    expected[1, 0], expected[0, 2] = 0.2, 0.7
    weights, there = weight_matrix(graph.with_weight(torch.tensor([0.2, 0.7])))
    assert torch.equal(weights, expected) and torch.equal(there, expected > 0)
    star = TaskGraph.from_edges(
        [("a", "b"), ("u", "b"), ("u", "a"), ("b", "u")], ("a", "b"), ("u",)
    )
    weights, there = weight_matrix(star)
    assert weights.tolist() == [[0, 0], [0.5, 0]]  # equal weights, of tasks alone
    assert there.tolist() == [[False, False], [True, False]]


def test_a_matrix_has_a_row_for_each_receiver(tmp_path: Path, figures: list[Figure]) -> None:
    graph = TaskGraph.complete(["a", "b", "c"])
    learned = graph.with_weight(torch.tensor([0.9, 0.1, 0.5, 0.5, 0.2, 0.8]))
    plot_task_graphs({"equal": graph, "learned": learned}, tmp_path / "graph.png", [0, 0, 1])
    assert (tmp_path / "graph.png").read_bytes().startswith(b"\x89PNG")
    [figure] = figures
    for column, shown in enumerate((graph, learned)):
        circle, matrix = figure.axes[column], figure.axes[2 + column]
        assert circle.get_title() == ("equal", "learned")[column]
        assert ticks(matrix) == (["a", "b", "c"], ["a", "b", "c"])
        assert (matrix.get_xlabel(), matrix.get_ylabel()) == ("sender", "receiver")
        numbers = matrix.images[0].get_array()
        weights = torch.full((3, 3), torch.nan)
        for edge, (sender, receiver) in enumerate(shown.edge_index.t().tolist()):
            weights[receiver, sender] = 0.5 if column == 0 else learned.edge_weight[edge]
        torch.testing.assert_close(torch.tensor(numbers.filled(torch.nan)), weights, equal_nan=True)


def test_arrows_point_at_receivers(tmp_path: Path, figures: list[Figure]) -> None:
    graph = TaskGraph.from_edges([("c", "b")], ("a", "b", "c"))
    plot_task_graphs({"one": graph}, tmp_path / "graph.png")
    circle = figures[0].axes[0]
    [arrow] = circle.patches
    texts = {text.get_text(): text.get_position() for text in circle.texts}
    place = {name: (x / 1.16, y / 1.2) for name, (x, y) in texts.items()}  # names stand outside
    start, end = arrow._posA_posB
    assert start == pytest.approx(place["c"]) and end == pytest.approx(place["b"])


def test_without_matplotlib_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    sentence = SentenceWeights("a", ["w"], ["b"], torch.ones(1, 1), None)
    with pytest.raises(ImportError, match=r"mtgnn\[plot\]"):
        plot_sentence(sentence, tmp_path / "no.png")
    with pytest.raises(ImportError, match=r"mtgnn\[plot\]"):
        plot_task_graphs({"one": TaskGraph.complete(2)}, tmp_path / "no.png")


def test_graphs_and_groups_that_fit_no_picture_are_refused(tmp_path: Path) -> None:
    graph = TaskGraph.complete(["a", "b", "c"])
    with pytest.raises(ValueError, match="expected tasks"):
        plot_task_graphs({"one": graph, "other": TaskGraph.complete(2)}, tmp_path / "no.png")
    with pytest.raises(ValueError, match="a group for each"):
        plot_task_graphs({"one": graph}, tmp_path / "no.png", [0])
    with pytest.raises(ValueError, match="as a dict, by their titles, got a list"):
        plot_task_graphs([graph], tmp_path / "no.png")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least one graph"):
        plot_task_graphs({}, tmp_path / "no.png")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_a_sentence_has_a_row_for_each_sender(
    ending: str, tmp_path: Path, figures: list[Figure]
) -> None:
    model = reader(CompleteGraphLSTM(4, 3, ["$\\a$", "b", "c"]))  # no mathematics: it has no \a
    sample = SentenceSample(model.encoder.graph, WORDS, per_task=1)
    sentences = collect_attention(model, make_batches(3), [sample])[0]
    for sentence in sentences:
        plot_sentence(sentence, tmp_path / f"sentence.{ending}")
    start = {"png": b"\x89PNG", "svg": b"<?xml"}[ending]
    assert (tmp_path / f"sentence.{ending}").read_bytes().startswith(start)
    for sentence, figure in zip(sentences, figures, strict=True):
        axes = figure.axes[0]
        assert ticks(axes) == (sentence.words, list(sentence.senders))
        assert axes.get_title(loc="left") == f"{sentence.task} listens to"
        shown = torch.tensor(axes.images[0].get_array().filled(torch.nan))
        torch.testing.assert_close(shown, sentence.weights.float())


def test_negative_weights_are_drawn_and_written(tmp_path: Path) -> None:
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
def test_a_missing_edge_is_none_that_weighs_nothing(
    other: float, tmp_path: Path, figures: list[Figure]
) -> None:
    """Drawn is what weighs more than the mean of the edges that there are."""
    edges = [("b", "a"), ("c", "a"), ("a", "b"), ("d", "b"), ("c", "b")]
    graph = TaskGraph.from_edges(edges, ["a", "b", "c", "d"])
    weighted = graph.with_weight(torch.tensor([0.12, 0.2, other, 0.3, 0.2]))
    plot_task_graphs({"learned": weighted}, tmp_path / "graph.svg")
    text = (tmp_path / "graph.svg").read_text(encoding="utf-8")
    circle = text[text.index('id="axes_1"') : text.index('id="axes_2"')]
    drawn = 3  # c → a; d → b and c → b, for the mean into b counts the third edge
    assert len(set(re.findall(r'id="(patch_\d+)"', circle))) == drawn
    matrix = figures[0].axes[1]
    shown = torch.tensor(matrix.images[0].get_array().filled(torch.nan))
    sender, receiver = weighted.edge_index
    there = torch.zeros(4, 4, dtype=torch.bool)
    there[receiver, sender] = True
    assert torch.equal(~shown.isnan(), there)
    assert {text.get_position() for text in matrix.texts} == set(
        zip(sender.tolist(), receiver.tolist(), strict=True)
    )
