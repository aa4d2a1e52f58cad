"""The page, as text and in a browser."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from dom import NODE, content, drawn
from torch_geometric.data import Data
from torch_geometric.loader import DataLoader as PyGLoader

from mtgnn import TaskGraph
from mtgnn.data import EncodedSentences, EncodedTexts, SentenceEncoder, Vocabulary, WordForm
from mtgnn.datasets import PlantedTasks
from mtgnn.explain import (
    average_attention,
    edge_ablation,
    edge_insertion,
    profile_graph,
    report,
    task_clusters,
)
from mtgnn.nn import GraphLSTM, MultiTaskModel, TaggingModel
from mtgnn.testing import randomise

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
BROWSER = next((found for name in NAMES if (found := shutil.which(name))), None)
EVIL = "</script><script>bad()</script>"

DATA = PlantedTasks(num_tasks=5, num_groups=2, num_train=12, seed=100)
# One task's name and a word are nothing but trouble, and another name is long.
VOCABULARY = Vocabulary([EVIL.replace(" ", ""), *Vocabulary.build(i.text for i in DATA).tokens[3:]])
ODD = {0: "<i>&amp;'\"", 4: "health_and_personal_care_of_all"}
CLASSES = {ODD.get(k, task): DATA.classes[task] for k, task in enumerate(DATA.tasks)}
TASKS = list(CLASSES)
TRUTH = TaskGraph(TASKS, DATA.graph.edge_index)
GRAPH = TaskGraph.from_edges(
    [
        *TaskGraph.complete(TASKS).edges,
        *[("shared", TASKS[1]), (TASKS[2], "shared"), (TASKS[3], "shared")],
    ],
    TASKS,
    ("shared",),
)
# Two tasks hear nobody, one hears a single other task.
HIERARCHY = TaskGraph.from_edges(
    [(TASKS[0], TASKS[2]), *[(sender, receiver) for receiver in TASKS[3:] for sender in TASKS[:3]]],
    TASKS,
)


class Texts(EncodedTexts):
    """The first word of every text is the troublesome one."""

    def __getitem__(self, index: int) -> Any:
        item = super().__getitem__(index)
        return item._replace(tokens=torch.cat([torch.tensor([3]), item.tokens]))


def loader() -> torch.utils.data.DataLoader:
    texts = Texts(DATA, VOCABULARY)
    return torch.utils.data.DataLoader(texts, 20, collate_fn=texts.collate)


MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "complete": ("complete", {}),
    "graph": ("graph", {"graph": GRAPH, "exchange": "mutual"}),
    "uniform": ("complete", {"score": "uniform"}),
    "star": ("star", {}),
    "past": ("star", {"memory": "past"}),
    "current": ("star", {"memory": "current"}),
    "several": ("complete", {"memory": "all"}),
    "hierarchy": ("graph", {"graph": HIERARCHY, "exchange": "cascade"}),
    "whole": ("graph", {"graph": HIERARCHY, "exchange": "read", "memory": "all"}),
}


def make_model(name: str) -> MultiTaskModel:
    encoder, options = MODELS[name]
    sizes = {"embedding_size": 4, "hidden_size": 3}
    return randomise(MultiTaskModel(VOCABULARY, CLASSES, encoder, encoder_options=options, **sizes))


# Models that tag, over four tasks; a tag and a word are trouble, and the word is unknown.
TAGS = {task: ["O", "<b>", "I-X"] for task in ("pos", "chunk", "<i>&", "ner")}
SENTENCES = [
    Data(
        words=words,
        tags={k: [c[(i + len(words)) % 3] for i in range(len(words))] for k, c in TAGS.items()},
    )
    for words in (
        ["An", EVIL.replace(" ", ""), "dog"],
        ["A", "Cat"],
        ["a", "dog", "sees", "a", "cat"],
        *[["x", "y", "z"]] * 3,
    )
]
TAGGERS: dict[str, tuple[str, dict[str, Any]]] = {
    "tags": ("complete", {}),
    "tags of a star": ("star", {"memory": "all"}),
    "tags of mailboxes": ("complete", {"memory": "all"}),
}


def make_tagger(name: str) -> TaggingModel:
    encoder, options = TAGGERS[name]
    words = [item.words for item in SENTENCES[1:]]
    letters = [EVIL.replace(" ", "")]
    sentences = SentenceEncoder.build(words, TAGS, WordForm(lower=True))
    sentences = SentenceEncoder(
        sentences.words,
        SentenceEncoder.build([*words, letters, ["n"]], TAGS).characters,
        TAGS,
        WordForm(lower=True),
    )
    sizes = {"embedding_size": 4, "character_size": 4, "hidden_size": 3}
    torch.manual_seed(0)
    model = TaggingModel(sentences, encoder, crf=True, encoder_options=options, **sizes)
    randomise(model.encoder, dtype=torch.float32)
    return model


def sentence_loader(model: TaggingModel) -> torch.utils.data.DataLoader:
    encoded = EncodedSentences(SENTENCES, model.sentences, by_task=True)
    return torch.utils.data.DataLoader(encoded, 9, collate_fn=encoded.collate)


@pytest.fixture(scope="module")
def tagged_pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("tagged")
    found = {name: folder / f"{name}.html" for name in TAGGERS}
    for name, path in found.items():
        model = make_tagger(name)
        report(model, sentence_loader(model), path, title="<Tasks> & $words", min_count=1)
    return found


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    found = {name: folder / f"{name}.html" for name in MODELS}
    for name, path in found.items():
        truth = TRUTH if name in ("complete", "graph", "several") else None
        report(make_model(name), loader(), path, title="<Tasks> & $words", truth=truth)
    return found


def test_the_numbers_are_those_of_the_readouts(pages: dict[str, Path]) -> None:
    model, told = make_model("graph"), content(pages["graph"])
    assert told["nodes"] == list(GRAPH.nodes) and told["tasks"] == TASKS
    assert told["edges"] == GRAPH.edge_index.t().tolist()
    attention, ablation, _, truth = told["readouts"]
    assert [r["key"] for r in told["readouts"]] == ["attention", "ablation", "gradient", "truth"]
    expected = average_attention(model, loader()).edge_weight
    torch.testing.assert_close(torch.tensor(attention["weight"]), expected, rtol=1e-3, atol=1e-4)
    cut = edge_ablation(model, loader())
    torch.testing.assert_close(
        torch.tensor(ablation["weight"]), cut.graph.edge_weight, rtol=1e-3, atol=1e-4
    )
    virtual = GRAPH.edge_index[1] == GRAPH.index("shared")
    own = cut.error[torch.arange(GRAPH.num_edges), GRAPH.edge_index[1] % len(TASKS)]
    mean = cut.error.square().sum(1).sqrt() / len(TASKS)  # over tasks, as the weight is
    error = torch.where(virtual, mean, own)
    torch.testing.assert_close(
        torch.tensor(ablation["error"]).double(), error, rtol=1e-3, atol=1e-4 * float(error.max())
    )
    assert truth["weight"] == [float(edge in TRUTH.edges) for edge in GRAPH.edges]
    assert [row["pair"] for row in told["agreements"]][0] == "attention and ablation"
    assert len(told["clusters"]) == len(told["embedding"]) == len(TASKS)
    assert len(told["words"]) == GRAPH.num_edges


def test_profiles_tell_clusters_where_any_two_tasks_have_an_edge(
    pages: dict[str, Path], tmp_path: Path
) -> None:
    model, told = make_model("complete"), content(pages["complete"])
    attention = average_attention(model, loader())
    expected = profile_graph(attention, edge_insertion(model, loader()).graph)
    [profile] = [r for r in told["readouts"] if r["key"] == "profile"]
    weight = torch.tensor(profile["weight"])
    torch.testing.assert_close(weight, expected.edge_weight, rtol=1e-3, atol=1e-4)
    assert told["clustered_by"] == "profile" and told["clusters"] == task_clusters(expected)
    assert content(pages["graph"])["clustered_by"] == "ablation"
    graphs = report(model, loader(), tmp_path / "page.html", cluster_by="attention")
    assert content(tmp_path / "page.html")["clusters"] == task_clusters(attention)
    assert list(graphs) == ["attention", "ablation", "gradient", "profile"]
    torch.testing.assert_close(graphs["profile"].edge_weight, expected.edge_weight)


def test_profiles_follow_the_edges_of_the_graph(tmp_path: Path) -> None:
    edges = [(sender, receiver) for sender in TASKS for receiver in TASKS if sender != receiver]
    graph = TaskGraph.from_edges(edges, TASKS)
    assert graph.edges != TaskGraph.complete(TASKS).edges
    options: dict[str, Any] = {"encoder_options": {"graph": graph, "exchange": "read"}}
    sizes = {"embedding_size": 4, "hidden_size": 3}
    model = randomise(MultiTaskModel(VOCABULARY, CLASSES, "graph", **options, **sizes))
    found = report(model, loader(), tmp_path / "page.html")["profile"]
    attention = average_attention(model, loader())
    expected = profile_graph(attention, edge_insertion(model, loader()).graph)
    assert found.edges == graph.edges
    by_edge = dict(zip(expected.edges, expected.edge_weight.tolist(), strict=True))
    assert found.edge_weight.tolist() == pytest.approx([by_edge[edge] for edge in edges])


@pytest.mark.parametrize("name", MODELS)
def test_sentences_words_and_predictions(name: str, pages: dict[str, Path]) -> None:
    model, told = make_model(name), content(pages[name])
    assert [s["task"] for s in told["sentences"]] == [task for task in TASKS for _ in range(5)]
    texts = {EVIL.replace(" ", "") + " " + item.text for item in DATA}
    for s in told["sentences"]:
        assert " ".join(s["words"]) in texts
        [prediction] = model.predict([" ".join(s["words"])], s["task"])
        assert s["prediction"] == prediction.label
        assert s["label"] in model.classes[s["task"]]
        if not model.graph.incoming(TASKS.index(s["task"])):
            assert s["weights"] == [] and not s["senders"]
            continue
        senders = s["words"] if s["senders"] is None else s["senders"]
        assert [len(row) for row in s["weights"]] == [len(s["words"])] * len(senders)
        sums = torch.tensor(s["weights"]).sum(0)
        torch.testing.assert_close(sums, torch.ones_like(sums), rtol=0, atol=5e-3)
    assert (told["kind"] == "mailbox") == (name in ("star", "past", "several", "whole"))
    # Without a score of words, they would all have the same weight.
    if name == "uniform":
        assert told["words"] is None
    else:  # one who has a single sender listens to it at all words alike
        assert any(told["words"]) == (name != "current")


def test_tags_are_those_of_the_sentence_that_was_read(tmp_path: Path) -> None:
    """Not of the words that are shown, which lack letters."""
    words = ["Internationally", "c\u00e4t2", "dog", "internally"]
    classes = {"pos": [f"T{n}" for n in range(9)], "chunk": [f"C{n}" for n in range(9)]}
    form = WordForm(lower=True, digits=True)
    known = [["internationally", "c\u00e4t0", "dog", "internally"]]
    plain = SentenceEncoder.build(known, classes, form)
    letters = SentenceEncoder.build([["intlydogear"]], classes).characters
    sentences = SentenceEncoder(plain.words, letters, classes, form, max_characters=4)
    torch.manual_seed(1)
    model = TaggingModel(sentences, "complete", embedding_size=9, character_size=10, hidden_size=9)
    for parameter in model.parameters():
        parameter.data *= 2  # so that tags are not all alike
    data = [
        Data(words=words[i:] + words[:i], tags={"pos": ["T0"] * 4, "chunk": ["C0"] * 4})
        for i in range(4)
    ]
    encoded = EncodedSentences(data, sentences, by_task=True)
    loader = torch.utils.data.DataLoader(encoded, 3, collate_fn=encoded.collate)
    report(model, loader, tmp_path / "page.html", progress=False)
    told = content(tmp_path / "page.html")["sentences"]
    expected = [
        (task, tags[task]) for task in classes for tags in model.predict([d.words for d in data])
    ]
    assert sorted((s["task"], s["tags"]) for s in told) == sorted(expected)
    assert {word for s in told for word in s["words"]} == {
        "\ufffdnly",
        "inly",
        "\ufffd\ufffdt\ufffd",
        "dog",
    }
    again = [model.predict([s["words"]])[0][s["task"]] for s in told]
    assert any(tags != s["tags"] for tags, s in zip(again, told, strict=True))


@pytest.mark.parametrize("name", TAGGERS)
def test_tagged_sentences(name: str, tagged_pages: dict[str, Path]) -> None:
    model, told = make_tagger(name), content(tagged_pages[name])
    assert [s["task"] for s in told["sentences"]] == [task for task in TAGS for _ in range(5)]
    labels = {(tuple(item.words), k): tags for item in SENTENCES for k, tags in item.tags.items()}
    for s in told["sentences"]:
        assert s["labels"] == labels[tuple(s["words"]), s["task"]]
        [tags] = model.predict([s["words"]], s["task"])
        assert s["tags"] == tags[s["task"]] and "label" not in s
    assert any(s["tags"] != s["labels"] for s in told["sentences"])
    batches = sentence_loader(model)
    cut = edge_ablation(model, batches)
    [ablation] = [r for r in told["readouts"] if r["key"] == "ablation"]
    torch.testing.assert_close(
        torch.tensor(ablation["weight"]), cut.graph.edge_weight, rtol=1e-3, atol=1e-4
    )
    keys = [r["key"] for r in told["readouts"]]
    star = name == "tags of a star"
    assert keys == (["ablation"] if star else ["attention", "ablation", "gradient", "profile"])
    assert "24 labelled sentences" in told["summary"]
    assert any(told["words"]) and (told["kind"] == "edges") == (name == "tags")


def test_readouts_that_a_model_lacks_are_left_out(pages: dict[str, Path]) -> None:
    keys = {name: [r["key"] for r in content(page)["readouts"]] for name, page in pages.items()}
    assert keys["complete"] == ["attention", "ablation", "gradient", "profile", "truth"]
    assert keys["uniform"] == ["attention", "ablation", "profile"]
    assert keys["star"] == keys["past"] == ["ablation"]
    assert keys["hierarchy"] == keys["whole"] == ["attention", "ablation", "gradient"]
    assert keys["several"] == ["attention", "ablation", "gradient", "profile", "truth"]
    about = content(pages["several"])["readouts"][0]["about"]
    assert about.startswith("The share of each sender") and "A true edge weighs more" in about
    [row] = content(pages["uniform"])["agreements"]
    assert row["mean"] is None  # equal weights have no order
    assert content(pages["star"])["clusters"] is None


def test_how_many_clusters_sentences_and_words(pages: dict[str, Path], tmp_path: Path) -> None:
    wanted = {"num_clusters": 4, "per_task": 2, "num_words": 1}
    report(make_model("complete"), loader(), tmp_path / "page.html", progress=False, **wanted)
    told, usual = content(tmp_path / "page.html"), content(pages["complete"])
    assert len(set(told["clusters"])) == 4 != len(set(usual["clusters"]))
    for page, number in ((told, 2), (usual, 5)):
        assert Counter(s["task"] for s in page["sentences"]) == dict.fromkeys(TASKS, number)
    assert told["words"] == [words[:1] for words in usual["words"]] != usual["words"]


def test_where_a_task_has_one_sequence_errors_are_unknown(tmp_path: Path) -> None:
    model, [batch, *rest] = make_model("complete"), list(loader())
    batch.y[batch.task == 0] = -100
    for other in rest:
        other.y[other.task == 0] = -100
    batch.y[0] = 1
    assert batch.task[0] == 0
    report(model, [batch, *rest], tmp_path / "page.html", progress=False)
    ablation = content(tmp_path / "page.html")["readouts"][1]
    for edge, receiver in enumerate(model.graph.edge_index[1].tolist()):
        for kind in ("error", "bar"):
            assert (ablation[kind][edge] is None) == (receiver == 0)


def test_it_stands_alone_and_keeps_text_apart_from_code(
    pages: dict[str, Path], tagged_pages: dict[str, Path]
) -> None:
    for page in (pages | tagged_pages).values():
        text = page.read_text(encoding="utf-8")
        assert set(re.findall(r"https?://[^\s\"'<)]*", text)) == {"http://www.w3.org/2000/svg"}
        assert not re.search(r"\b(src|href)=\"(?!data:,\")|@import|url\(|fetch\(|import ", text)
        assert EVIL.replace(" ", "") not in text and "bad()" in text
        assert "<title>&lt;Tasks&gt; &amp; $words</title>" in text


@pytest.mark.parametrize("progress", [True, False])
def test_each_pass_has_a_progress_bar(
    progress: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report(make_model("complete"), loader(), tmp_path / "page.html", progress=progress)
    shown = capsys.readouterr().err
    passes = ("attention", "cutting edges", "gradients", "edges alone")
    assert [f"{name}: 100%" in shown for name in passes] == [progress] * len(passes)
    assert bool(shown) == progress


def test_what_cannot_be_reported_is_refused(tmp_path: Path) -> None:
    model = make_model("complete")
    with pytest.raises(ValueError, match="got an iterator"):
        report(model, iter(loader()), tmp_path / "no.html")
    with pytest.raises(ValueError, match="expected cluster_by"):
        report(model, loader(), tmp_path / "no.html", cluster_by="truth")
    unread = ["no batch: whoever reads this fails"]
    with pytest.raises(ValueError, match="of this model, got 'profile'"):
        report(make_model("graph"), unread, tmp_path / "no.html", cluster_by="profile")
    with pytest.raises(ValueError, match="expected truth of the tasks"):
        report(model, unread, tmp_path / "no.html", truth=TaskGraph.complete(["x", "y"]))
    one_way = TaskGraph.from_edges([(TASKS[0], TASKS[1])], TASKS)
    small = MultiTaskModel(VOCABULARY, CLASSES, GraphLSTM(4, 3, one_way), embedding_size=4)
    with pytest.raises(ValueError, match="has edges that the model's graph has not"):
        report(small, unread, tmp_path / "no.html", truth=TaskGraph.complete(TASKS))
    with pytest.raises(ValueError, match="no edges"):
        single = MultiTaskModel(VOCABULARY, CLASSES, "single", embedding_size=4, hidden_size=3)
        report(single, loader(), tmp_path / "no.html")
    broken = make_model("hierarchy")
    next(broken.heads.parameters()).data.fill_(torch.nan)
    with pytest.raises(ValueError, match="computes NaN"):
        report(broken, loader(), tmp_path / "no.html")
    assert not list(tmp_path.iterdir())


def test_first_mistakes_are_named(tmp_path: Path) -> None:
    """What is wrong with a path or a model is said before anything is computed."""
    model, path = make_model("complete"), tmp_path / "no.html"
    unread = ["no batch: whoever reads this fails"]
    with pytest.raises(ValueError, match="expected path in a folder that exists"):
        report(model, unread, tmp_path / "nodir" / "no.html")
    with pytest.raises(ValueError, match="expected path of a file"):
        report(model, unread, tmp_path)
    with pytest.raises(ValueError, match="TaggingModel, got CompleteGraphLSTM"):
        report(model.encoder, unread, path)
    for batches, got in (
        (unread, "got a str in the place of a batch"),
        ([Data(x=torch.ones(1))], "got a Data in the place of a batch"),
        (EncodedTexts(DATA, VOCABULARY), "in the place of a batch"),
        (torch.utils.data.DataLoader(EncodedTexts(DATA, VOCABULARY), 4), "without collate_fn"),
        (PyGLoader(EncodedTexts(DATA, VOCABULARY), 4), "got torch_geometric's DataLoader"),
    ):
        for read in (lambda data: report(model, data, path), lambda d: edge_ablation(model, d)):
            with pytest.raises(ValueError, match=f"expected batches that are .*{got}"):
                read(batches)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["complete", "graph", "several", "star"])
def test_a_page_of_some_tasks_needs_no_others(name: str, tmp_path: Path) -> None:
    model, added, path = make_model(name), TASKS[3], tmp_path / "page.html"
    texts = Texts([item for item in DATA if int(item.task) == 3], VOCABULARY)
    own = torch.utils.data.DataLoader(texts, 8, collate_fn=texts.collate)
    truth = None if name == "star" else TRUTH
    with pytest.raises(ValueError, match="expected no cluster_by"):
        report(model, own, path, tasks=[added], cluster_by="attention")
    found = report(model, own, path, tasks=[added], truth=truth, progress=False)
    told = content(path)
    assert "profile" not in found and told["clusters"] is None
    edges = [edge for edge, _ in model.graph.incoming(3)]
    for graph in found.values():
        assert graph.edge_index.tolist() == model.graph.edge_index[:, edges].tolist()
    assert told["edges"] == model.graph.edge_index[:, edges].t().tolist()
    assert {s["task"] for s in told["sentences"]} == {added} and told["asked"] == [3]
    assert [answer["task"] for answer in told["answers"]] == [added]
    assert name == "several" or name == "star" or len(told["words"]) == len(edges)
    for readout in told["readouts"]:
        assert len(readout["weight"]) == len(readout["bar"]) == len(edges)
    if NODE is not None:
        page = drawn(path, "choose({ task: 0 }); choose({ task: 3 })")
        assert f"task {added}, " in page and "of which" in page


# In a browser ---------------------------------------------------------------------------------

LISTEN = """<script>
const heard = [];
addEventListener("error", (event) => heard.push(event.message));
addEventListener("securitypolicyviolation", (event) => heard.push(event.blockedURI));
for (const kind of ["error", "warn"]) console[kind] = (...all) => heard.push(all.join(" "));
</script>"""
PROBE = """<script>
{ // a block: the names are not to meet those of the page
const told = [];
const text = (id) => document.getElementById(id).textContent;
const tell = (name) => told.push([name, text("place"), text("at"), text("said")]);
const click = (id) => document.getElementById(id).click();
const press = (key) =>
  document.body.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
tell("start");
click("next-word"); tell("next word");
press("ArrowRight"); tell("right");
click("previous-word"); tell("previous word");
click("next-sentence"); tell("next sentence");
press("p"); press("p"); tell("back over the first");
for (const button of document.querySelectorAll("button")) button.click();
for (const menu of document.querySelectorAll("select")) {
  menu.value = "2"; menu.dispatchEvent(new Event("change"));
}
tell("third task");
for (const one of document.querySelectorAll(".pickable")) one.dispatchEvent(new Event("click"));
const loaded = performance.getEntriesByType("resource").map((entry) => entry.name);
const alone = document.querySelectorAll("script").length;
const outside = (text) => {
  const [own, all] = [text, text.closest("svg")].map((node) => node.getBoundingClientRect());
  return own.left < all.left - 1 || own.right > all.right + 1;
};
const cut = [...document.querySelectorAll("svg text")].filter(outside);
const probe = document.createElement("pre");
probe.id = "probe";
probe.textContent = JSON.stringify({ told, heard, loaded, alone, ready: document.body.dataset.ready,
  cut: cut.map((text) => text.textContent), pictures: document.querySelectorAll("svg").length,
  broken: page.innerHTML.match(/NaN|undefined|Infinity/g) });
document.body.append(probe);
}
</script>"""


@pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")
@pytest.mark.parametrize("name", [*MODELS, *TAGGERS])
def test_a_browser_shows_it_and_steps_through_sentences(
    name: str, pages: dict[str, Path], tagged_pages: dict[str, Path], tmp_path: Path
) -> None:
    pages = pages | tagged_pages
    assert BROWSER is not None
    page = tmp_path / "page.html"
    text = pages[name].read_text(encoding="utf-8")
    text = text.replace("<head>", f"<head>{LISTEN}").replace("</body>", f"{PROBE}</body>")
    page.write_text(text, encoding="utf-8")
    flags = ["--headless", "--disable-gpu", "--disable-background-networking", "--dump-dom"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        flags.append("--no-sandbox")
    done = subprocess.run(
        [BROWSER, *flags, f"--user-data-dir={tmp_path / 'profile'}", page.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
    )
    [found] = re.findall(r'<pre id="probe">(.*?)</pre>', done.stdout, re.DOTALL)
    for entity, character in (("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&")):
        found = found.replace(entity, character)
    probe = json.loads(found)
    assert probe["heard"] == [] and probe["loaded"] == [] and probe["broken"] is None
    assert probe["ready"] == "true" and probe["alone"] == 4  # none of the texts became a script
    assert probe["pictures"] >= 3 and probe["cut"] == []
    assert ('<p class="soft">Two senders are' in done.stdout) == (name == "graph")
    sentences = content(pages[name])["sentences"]
    places = {event: (place, at, said) for event, place, at, said in probe["told"]}
    number = len(sentences)
    for event, (sentence, word) in {
        "start": (0, 0),
        "next word": (0, 1),
        "right": (0, 2),
        "previous word": (0, 1),
        "next sentence": (1, 0),
        "back over the first": (number - 1, 0),
        "third task": (10, 0),
    }.items():
        place, at, said = places[event]
        own = sentences[sentence]
        assert place == f"sentence {sentence + 1} of {number}", event
        assert f"“{own['words'][word]}” (word {word + 1} of {len(own['words'])})" in at
        if name in MODELS:
            assert said.startswith(f"task {own['task']}, labelled {own['label']}, predicted")
            continue
        tag, label = own["tags"][word], own["labels"][word]
        wrong = sum(map(str.__ne__, own["tags"], own["labels"]))
        assert said == (
            f"task {own['task']}, labelled {label}, predicted {tag}; "
            f"{wrong} of {len(own['words'])} tags of the sentence are wrong"
        )
