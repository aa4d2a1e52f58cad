"""How good the model is, on the page of a report: against counts of single predictions."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from dom import NODE, content, drawn, section
from torch.utils.data import DataLoader
from torch_geometric.data import Data

from mtgnn import TaskGraph
from mtgnn.data import EncodedSentences, EncodedTexts, SentenceEncoder, Vocabulary
from mtgnn.datasets import TextList
from mtgnn.explain import report
from mtgnn.explain.readouts.answers import LabelCounts
from mtgnn.explain.report.shown_answers import shown_answers
from mtgnn.nn import MultiTaskModel, TaggingModel
from mtgnn.testing import randomise

MOODS = ["bad", "fair", "good"]
# Nobody talks to the first task, so it needs no labels.
GRAPH = TaskGraph.from_edges([("films", "books"), ("films", "music"), ("books", "music")])
TEXTS = TextList(
    {
        task: [(mood, f"{mood} w{i} w{i * k % 7}") for i, mood in enumerate(moods)]
        for k, (task, moods) in enumerate(
            [
                ("films", ["good"] * 3),
                ("books", ["bad", "good", "fair", "good", "good", "bad"] * 3),
                ("music", ["fair", "bad", "bad", "good"] * 4),
            ]
        )
    },
    dict.fromkeys(GRAPH.tasks, MOODS),
)
TAGS = {"pos": ["N", "V"], "chunk": ["O", "B", "I"], "ner": ["O", "P"]}
SENTENCES = [
    Data(
        words=words, tags={task: [tags[ord(w) % len(tags)] for w in words] for task, tags in given}
    )
    for words, given in (
        (["a", "b", "c", "d"], TAGS.items()),
        (["e", "a"], list(TAGS.items())[:2]),
        (["b", "f", "a", "a", "c"], TAGS.items()),
        (["c"], list(TAGS.items())[1:]),
    )
]


def make_model() -> MultiTaskModel:
    sizes = {"embedding_size": 4, "hidden_size": 3}
    options = {"graph": GRAPH, "exchange": "read"}
    vocabulary = Vocabulary.build(TEXTS.text)
    model = MultiTaskModel(vocabulary, TEXTS.classes, "graph", encoder_options=options, **sizes)
    return randomise(model, scale=2.0)


def batches(model: MultiTaskModel, unlabelled: Iterable[int] = ()) -> list[Any]:
    texts = EncodedTexts(TEXTS, model.vocabulary)
    made = list(DataLoader(texts, 10, collate_fn=texts.collate))
    labels = torch.cat([batch.y for batch in made])
    labels[list(unlabelled)] = -100
    for batch, own in zip(made, labels.split(10), strict=True):
        batch.y = own
    return made


def expected(pairs: dict[str, list[tuple[str, str]]]) -> list[tuple[str, int, float, float]]:
    """Of pairs (label, prediction): task, labelled, accuracy, share of the most frequent label."""
    return [
        (
            task,
            len(own),
            statistics.mean(label == said for label, said in own),
            Counter(label for label, _ in own).most_common(1)[0][1] / len(own),
        )
        for task, own in pairs.items()
    ]


def told(page: Path) -> list[tuple[str, int, float, float]]:
    return [(a["task"], a["labelled"], a["right"], a["share"]) for a in content(page)["answers"]]


def test_texts_are_counted_as_single_predictions_are(tmp_path: Path) -> None:
    model, page = make_model(), tmp_path / "page.html"
    left_out = {1, 5, 7, 20, 21}
    pairs: dict[str, list[tuple[str, str]]] = {task: [] for task in model.tasks}
    for i, text in enumerate(TEXTS.text):
        if i not in left_out:
            task = model.tasks[int(TEXTS[i].task)]
            [said] = model.predict([text], task)
            pairs[task].append((MOODS[int(TEXTS[i].y)], said.label))
    report(model, batches(model, left_out), page, progress=False)
    assert told(page) == expected(pairs)
    assert content(page)["labelled"] == "sentences"
    assert any(0 < right < 1 for _, _, right, _ in told(page))
    [books] = [a for a in content(page)["answers"] if a["task"] == "books"]
    assert books["usual"] == "good"


@pytest.mark.parametrize("crf", [False, True])
def test_tags_are_counted_over_labelled_words(crf: bool, tmp_path: Path) -> None:
    sentences = SentenceEncoder.build([item.words for item in SENTENCES], TAGS)
    sizes = {"embedding_size": 4, "character_size": 4, "hidden_size": 3}
    model = TaggingModel(sentences, "complete", crf=crf, **sizes)
    randomise(model, dtype=torch.float32)
    data = EncodedSentences(SENTENCES, sentences, by_task=True)
    report(model, DataLoader(data, 3, collate_fn=data.collate), tmp_path / "p.html", progress=False)
    pairs: dict[str, list[tuple[str, str]]] = {task: [] for task in TAGS}
    for item in SENTENCES:
        [said] = model.predict([item.words])
        for task, labels in item.tags.items():
            pairs[task] += zip(labels, said[task], strict=True)
    assert told(tmp_path / "p.html") == expected(pairs)
    assert content(tmp_path / "p.html")["labelled"] == "words"


def test_a_model_that_always_answers_the_same_is_no_better(tmp_path: Path) -> None:
    model, page = make_model(), tmp_path / "page.html"
    with torch.no_grad():
        for head in model.heads.heads.values():
            head.bias.copy_(torch.tensor([0.0, 0.0, 1e4]))
    report(model, batches(model), page, progress=False)
    answers = {answer["task"]: answer for answer in content(page)["answers"]}
    assert answers["books"]["right"] == answers["books"]["share"] == 0.5
    assert answers["music"]["right"] < answers["music"]["share"]
    says = "no better than always answering “{}”: what follows says little"
    assert answers["films"]["says"] == answers["books"]["says"] == says.format("good")
    assert answers["music"]["says"] == says.format("bad")
    if NODE is not None:
        page_text = drawn(page)
        assert page_text.index("How good is the model?") < page_text.index("Who listens to whom")
        text = section(page_text, "How good is the model?")
        assert f"<b>films, books</b>: {says.format('good')}" in text
        assert f"<b>music</b>: {says.format('bad')}" in text
        assert '<td class="number warn">50.0 %</td><td class="number">50.0 %</td>' in text


def test_a_model_that_is_right_needs_no_warning(tmp_path: Path) -> None:
    model, page = make_model(), tmp_path / "page.html"
    made = batches(model)
    with torch.no_grad():
        logits = [model(batch.tokens, batch.lengths, batch.task) for batch in made]
        task = torch.cat([batch.task for batch in made])
        means = [torch.cat(logits)[task == k].mean(0) for k in range(len(model.tasks))]
        for head, mean in zip(model.heads.heads.values(), means, strict=True):
            head.bias.sub_(mean)  # now it does not always say the same
        for batch in made:  # the labels are what it says
            batch.y = model(batch.tokens, batch.lengths, batch.task).argmax(1)
    report(model, made, page, progress=False, tasks=["books", "music"])
    for answer in content(page)["answers"]:
        assert answer["right"] == 1 and answer["share"] < 1 and answer["says"] == ""


def test_without_labels_nothing_is_known(tmp_path: Path) -> None:
    model, page = make_model(), tmp_path / "page.html"
    report(model, batches(model, range(3)), page, progress=False)
    [films, books, _] = content(page)["answers"]
    assert films == {
        "task": "films",
        "labelled": 0,
        "says": "no labels: nothing is known of how good the model is here",
    }
    assert books["labelled"] == 18
    if NODE is not None:
        text = section(drawn(page), "How good is the model?")
        assert "<b>films</b>: no labels: nothing is known" in text and "–" in text


def test_a_gain_is_that_of_pairs_of_answers() -> None:
    """The difference, text by text, of the model and of who always answers the same."""
    generator = torch.Generator().manual_seed(1)
    for number in (5, 40, 300):
        label = torch.randint(3, (number,), generator=generator).clamp(max=1)
        said = torch.where(torch.rand(number, generator=generator) < 0.5, label, 1 - label)
        pairs = list(zip(label.tolist(), said.tolist(), strict=True))
        given, right = Counter(y for y, _ in pairs), Counter(y for y, z in pairs if y == z)
        counts = LabelCounts([given[0], given[1], 0], [right[0], right[1], 0])
        usual = given.most_common(1)[0][0]
        differences = [(y == z) - (y == usual) for y, z in pairs]
        mean, error = counts.gain()
        assert mean == pytest.approx(statistics.mean(differences))
        assert error == pytest.approx(statistics.stdev(differences) / math.sqrt(number))


def test_what_may_be_chance_is_said_to() -> None:
    classes = {task: ["x", "y"] for task in ("few", "many", "one")}
    counts = {
        "few": LabelCounts([6, 5], [5, 3]),
        "many": LabelCounts([600, 500], [500, 300]),
        "one": LabelCounts([0, 1], [0, 1]),
    }
    few, many, one = shown_answers(counts, classes, list(classes))
    assert few["right"] == pytest.approx(many["right"], abs=1e-9) and few["right"] > few["share"]
    assert "less than two standard errors, which may be chance" in few["says"]
    assert many["says"] == "" and one["says"].startswith("no better than always answering “y”")
