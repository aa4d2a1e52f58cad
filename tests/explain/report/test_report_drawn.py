"""What a report's page draws: of weights that are about equal no more than that."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from dom import NODE, drawn, section

from mtgnn import TaskGraph
from mtgnn.explain.plots.plot import edge_strength
from mtgnn.explain.readouts.words import WordWeights
from mtgnn.explain.report.render import render_page
from mtgnn.explain.report.shown_graphs import shown_agreements, shown_readout, shown_truth
from mtgnn.explain.report.shown_words import rare_words, shown_words

draws = pytest.mark.skipif(NODE is None, reason="no node is installed")

GRAPH = TaskGraph.complete(["a", "b", "c", "d"])


def make_page(path: Path, attention: list[float], ablation: list[float], **more: Any) -> Path:
    """A page of the complete graph of four tasks with the given weights."""
    readouts = []
    for name, weight in (("attention", attention), ("ablation", ablation)):
        weighted = GRAPH.with_weight(torch.tensor(weight))
        readouts.append(shown_readout(name, weighted, None, None, False))
    readouts[1]["bar"] = [0.0] * GRAPH.num_edges
    readouts.append(shown_truth(GRAPH, TaskGraph.from_edges([("b", "a")], GRAPH.tasks)))
    sentence = {"task": "a", "words": ["x", "y"], "senders": ["b", "c", "d"], "label": None}
    sentence |= {"prediction": None, "weights": [[0.5, 0.2], [0.25, 0.4], [0.25, 0.4]]}
    content = {
        "title": "t",
        "summary": "s",
        "answers": [],
        "labelled": "sentences",
        "kind": "edges",
        "tasks": list(GRAPH.tasks),
        "nodes": list(GRAPH.nodes),
        "asked": [0, 1, 2, 3],
        "edges": GRAPH.edge_index.t().tolist(),
        "readouts": readouts,
        "agreements": [],
        "words": None,
        "min_count": 5,
        "sentences": [sentence],
        "clusters": None,
    }
    path.write_text(render_page(content | more), encoding="utf-8")
    return path


def widths(page: str) -> list[float]:
    return [
        float(w) for w in re.findall(r'fill="none" stroke="#\w+" stroke-width="([\d.]+)"', page)
    ]


def cells(page: str) -> list[str]:
    """The colours of the matrix's cells, less those of no edge and of its key."""
    matrix = page[page.index('aria-label="matrix') :].split("</svg>")[0]
    return re.findall(r'<rect [^>]*fill="(rgb[^"]*)"', matrix)


EQUAL, THIRDS = [1 / 3] * 12, [0.31, 0.34, 0.35] * 4


@draws
def test_equal_weights_look_equal(tmp_path: Path) -> None:
    page = drawn(make_page(tmp_path / "page.html", EQUAL, [0.0] * 12))
    graph = section(page, "Who listens to whom")
    assert set(cells(graph)) == {"rgb(254,232,56)"} and len(cells(graph)) == 12
    assert "colours from 0 to .33" in graph and widths(graph) == []


@draws
def test_nearly_equal_shares_look_nearly_equal(tmp_path: Path) -> None:
    page = drawn(make_page(tmp_path / "page.html", THIRDS, [1e-6, -1e-6] * 6))
    graph = section(page, "Who listens to whom")
    blue = [int(colour[4:-1].split(",")[0]) for colour in cells(graph)]
    assert min(blue) > 200  # all of them yellow
    assert widths(graph) and max(widths(graph)) < 1.2  # of 5


@draws
def test_signed_weights_are_white_at_zero(tmp_path: Path) -> None:
    effects = [0.2, -0.1, 0.0, *[0.0] * 9]
    page = make_page(tmp_path / "page.html", EQUAL, effects)
    graph = section(drawn(page, "choose({ readout: 1 })"), "Who listens to whom")
    assert "colours from −.20 to .20" in graph
    colours = cells(graph)
    assert colours[0] == "rgb(127,59,8)" and set(colours[2:]) == {"rgb(247,247,247)"}
    tiny = make_page(tmp_path / "tiny.html", EQUAL, [1e-6, -1e-6] * 6)
    graph = section(drawn(tiny, "choose({ readout: 1 })"), "Who listens to whom")
    assert set(cells(graph)) == {"rgb(247,247,247)"}  # what reads as 0 has no colour


@draws
def test_strong_edges_and_true_ones_are_thick(tmp_path: Path) -> None:
    page = make_page(tmp_path / "page.html", [0.8, 0.1, 0.1] * 4, [0.0] * 12)
    graph = section(drawn(page), "Who listens to whom")
    assert widths(graph) == [5.0] * 4
    truth = section(drawn(page, "choose({ readout: 2 })"), "Who listens to whom")
    assert widths(truth) == [5.0] and "colours from 0 to 1.00" in truth


@draws
def test_a_lone_sender_is_off_the_scale_of_attention_alone(tmp_path: Path) -> None:
    graph = TaskGraph.from_edges([("b", "a"), ("c", "a"), ("d", "a"), ("a", "b")], GRAPH.tasks)
    readouts = []
    for name, weight in (("attention", [0.5, 0.3, 0.2, 1.0]), ("ablation", [0.1, 0, 0, 0.8])):
        weighted = graph.with_weight(torch.tensor(weight))
        readouts.append(shown_readout(name, weighted, None, None, False))
    of = {"edges": graph.edge_index.t().tolist(), "readouts": readouts}
    path = make_page(tmp_path / "page.html", EQUAL, [0.0] * 12, **of)
    graph_section = section(drawn(path), "Who listens to whom")
    assert "colours from 0 to .50" in graph_section and len(cells(graph_section)) == 3
    assert "White: the only sender has all the weight." in graph_section
    effects = section(drawn(path, "choose({ readout: 1 })"), "Who listens to whom")
    assert "colours from −.80 to .80" in effects and "White" not in effects
    assert cells(effects)[3] == "rgb(127,59,8)"


@draws
def test_numbers_of_an_axis_do_not_hide_each_other(tmp_path: Path) -> None:
    for least, both in ((-0.005, False), (-0.1, True)):
        rows = [{"pair": "p", "mean": None, "why": "w"}]
        effects = [0.2, least, *[0.0] * 10]
        page = make_page(tmp_path / "page.html", EQUAL, effects, agreements=rows)
        text = section(drawn(page), "Does attention say what matters?")
        ends = re.findall(r'text-anchor="end">([^<]*)</text>', text)
        assert ("−.10" in ends or "−.005" in ends) == both and "0" in ends and ".20" in ends


@draws
def test_tasks_at_one_place_are_seen_beside_each_other(tmp_path: Path) -> None:
    embedding = [[0.3, 0.7]] * 3 + [[1.0, 0.0]]
    of = {"clusters": [0, 0, 0, 1], "clustered_by": "attention", "embedding": embedding}
    page = drawn(make_page(tmp_path / "page.html", EQUAL, [0.0] * 12, **of))
    dots = re.findall(r'<circle cx="([\d.]+)" cy="([\d.]+)" r="9"', section(page, "Clusters"))
    places = torch.tensor([[float(x), float(y)] for x, y in dots])
    assert len(places) == 4
    assert torch.pdist(places).min() > 18  # which is as wide as a dot is
    assert torch.pdist(places[:3]).max() < 3 * 18


def test_strength_of_edges_in_the_picture() -> None:
    def of(weight: list[float]) -> torch.Tensor:
        return edge_strength(GRAPH.with_weight(torch.tensor(weight)))

    assert edge_strength(GRAPH).nansum() == 12  # without weights: all of them, in full
    assert of(EQUAL).nansum() < 1e-5 and (~of(EQUAL).isnan()).sum() == 12
    assert of(THIRDS).nan_to_num().max() == pytest.approx(0.05)
    assert of([0.8, 0.1, 0.1] * 4).nansum() == 4
    effects = of([0.5, 0.0, 0.1, 0.02, -0.1, 0.0, *[1e-5, 0, 0] * 2])
    drawn = effects[~effects.isnan()]  # by rows; of what is tiny next to the largest no more
    assert drawn.tolist() == pytest.approx([0.6, 0.04, 0, 0], abs=1e-4)


def test_a_lone_share_is_drawn_in_full() -> None:
    graph = TaskGraph.from_edges([("a", "b"), ("a", "c"), ("b", "c")])
    strength = edge_strength(graph.with_weight(torch.tensor([1.0, 0.5, 0.5])))
    assert strength[1, 0] == 1 and strength[2, :2].tolist() == [0, 0]


@draws
def test_two_senders_have_no_rank_correlation(tmp_path: Path) -> None:
    edges = [("b", "a"), ("c", "a"), ("a", "b"), ("c", "b"), ("a", "c"), ("b", "c"), ("d", "c")]
    few = TaskGraph.from_edges(edges[:4], GRAPH.tasks)
    first, second = torch.tensor([0.4, 0.6, 0.3, 0.7, 0.2, 0.3, 0.5]), torch.arange(7) - 3.0
    of = {"attention": few.with_weight(first[:4]), "ablation": few.with_weight(second[:4])}
    rows = shown_agreements(of)
    page = make_page(tmp_path / "page.html", EQUAL, [0.0] * 12, agreements=rows)
    assert "none: two senders" in section(drawn(page), "Does attention say what matters?")
    graph = TaskGraph.from_edges(edges, GRAPH.tasks)
    of = {"attention": graph.with_weight(first), "ablation": graph.with_weight(second)}
    [row] = rows = shown_agreements(of)
    assert row["by_receiver"] == {"c": 1.0}
    page = make_page(tmp_path / "page.html", EQUAL, [0.0] * 12, agreements=rows)
    text = section(drawn(page), "Does attention say what matters?")
    assert '<td class="number">1.00</td>' in text and "±" not in text


@draws
def test_words_that_stand_out_and_how_many_are_rare(tmp_path: Path) -> None:
    weight, count = torch.full((3, 12), 1 / 3), torch.full((3, 12), 2)
    weight[0, 0], weight[1, 0], count[0] = 0.5, 0.9, 7
    table = WordWeights(GRAPH, ["often", "rare", "even"], weight, count)
    words = shown_words(table, 8, 5)
    assert words[0] == [["often", 0.5, 7]] and not any(words[1:])
    assert rare_words(table, 5) == [[2, 3]] * 4 and rare_words(table, 1) == [[0, 3]] * 4
    told = {"words": words, "rare": rare_words(table, 5)}
    page = drawn(make_page(tmp_path / "page.html", EQUAL, [0.0] * 12, **told))
    text = section(page, "Words that make a task listen")
    assert "Left out: 2 of the 3 words that a has seen" in text
    assert text.count("no word stands out") == 2
    mailbox = {"kind": "mailbox", "words": [[["w", 1.2, 9]], [], [], []], "rare": [[0, 1]] * 4}
    page = drawn(make_page(tmp_path / "page.html", EQUAL, [0.0] * 12, **told | mailbox))
    assert "Left out" not in section(page, "Words that a task reads")


@draws
def test_a_mailbox_says_which_axis_is_which(tmp_path: Path) -> None:
    sentence = {"task": "a", "words": ["x", "y"], "senders": None, "label": None}
    sentence |= {"prediction": None, "weights": [[0.5, 0.2], [0.5, 0.8]]}
    of = {"kind": "mailbox", "sentences": [sentence]}
    page = drawn(make_page(tmp_path / "page.html", EQUAL, [0.0] * 12, **of))
    text = section(page, "Sentence by sentence")
    assert "word that is read ↓" in text and "at the word (step) →" in text
    assert "x at “y”: .20" in text  # rows are read, columns are the steps
