"""``examples/sequence_labelling.py``: what it prints, writes and draws is true."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import importlib
import io
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from mtgnn.data import SentenceEncoder
from mtgnn.datasets import WNUT17, CoNLL2000
from mtgnn.lightning import read_checkpoint
from mtgnn.metrics import score_spans
from mtgnn.nn import TaggingModel
from mtgnn.testing import randomise

ROOT = Path(__file__).parents[2]
SMALL = ["--hidden-size", "4", "--embedding-size", "6", "--character-size", "4"]
SMALL += ["--accelerator", "cpu"]
MODELS = ["single", "shared", "hierarchical", "complete", "star"]
CLASSES = {"pos": ["D", "N", "V"], "chunk": ["O", "B-NP"], "ner": ["O", "B-X", "I-X"]}


@pytest.fixture(scope="module")
def load() -> Iterator[Callable[[str], Any]]:
    """A module of ``examples/``."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "examples"))
        yield importlib.import_module


@pytest.fixture(scope="module")
def main(load: Callable[[str], Any]) -> Iterator[Callable[..., tuple[str, str]]]:
    """The program in this process: what it prints, and what goes to the error stream."""
    program = load("sequence_labelling")
    with pytest.MonkeyPatch.context() as patch:

        def run(*arguments: str) -> tuple[str, str]:
            patch.setattr(sys, "argv", ["sequence_labelling.py", *arguments])
            printed, bars = io.StringIO(), io.StringIO()
            with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(bars):
                program.main()
            return printed.getvalue(), bars.getvalue()

        yield run


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


# Planted sentences ----------------------------------------------------------------------------


def test_planted_sentences_need_no_arguments(
    main: Callable[..., tuple[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    printed, bars = main("--quick", "--epochs", "1", *SMALL)
    out = tmp_path / "runs" / "planted-sentences"
    written = rows(out / "results.csv")
    assert [row["model"] for row in written] == [name for name in MODELS for _ in range(3)]
    for name in MODELS:
        own = {row["task"]: row for row in written if row["model"] == name}
        assert {task: row["measure"] for task, row in own.items()} == {
            "pos": "accuracy",
            "chunk": "F1",
            "ner": "F1",
        }
        found = re.search(rf"^{name} +([\d.]+) +([\d.]+) +([\d.]+) +1 of 1 ", printed, re.M)
        assert found is not None
        shown = [float(value) for value in found.groups()]
        assert shown == pytest.approx([100 * float(row["test"]) for row in own.values()], abs=0.06)
        assert all(float(row["sentences_per_s"]) > 0 for row in own.values())
        assert (out / name / "best.ckpt").exists() and f"{name:12}: " in bars
    assert (out / "task_graph.png").read_bytes().startswith(b"\x89PNG")
    assert printed.splitlines()[-1].startswith("In runs/planted-sentences/: results.csv")


# Columns of one's own -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Words whose part of speech is fixed, and capitalised names after "in"."""
    folder = tmp_path_factory.mktemp("own")
    for split, number in (("train", 48), ("dev", 12), ("test", 12)):
        lines = []
        for i in range(number):
            lines += ["the D O", f"{('dog', 'cat', 'boat')[i % 3]} N O", "is V O", "in D O"]
            lines += [f"Rome{i % 4} N B-X", f"Town{i % 3} N I-X", ""] if i % 2 else ["it N O", ""]
        (folder / f"{split}.txt").write_text("\n".join(lines), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def trained(
    folder: Path, main: Callable[..., tuple[str, str]], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, str]:
    """Both graphs trained on that folder, and what was printed."""
    out = tmp_path_factory.mktemp("out")
    data = ["--data", "columns", "--root", str(folder), "--columns", "pos=1", "ner=2:IOB2"]
    options = ["--model", "complete", "star", "--memory", "all", "--epochs", "8"]
    options += ["--batch-size", "8"]
    options += ["--learning-rate", "0.05", "--dropout", "0", "--min-count", "1"]
    return out, main(*data, *options, *SMALL, "--out", str(out))[0]


def test_learns_columns_of_ones_own(trained: tuple[Path, str]) -> None:
    out, printed = trained
    for name in ("complete", "star"):
        assert re.search(rf"^{name} +100\.0 +100\.0 ", printed, re.MULTILINE)
    assert {row["corpus"] for row in rows(out / "results.csv")} == {"columns"}


def test_evaluate_scores_types_and_unknown_words(
    trained: tuple[Path, str], main: Callable[..., tuple[str, str]]
) -> None:
    printed, _ = main("--checkpoint", str(trained[0] / "star" / "best.ckpt"), "--evaluate")
    assert re.search(r"^pos +accuracy +100\.0 +100\.0 +–$", printed, re.MULTILINE)
    assert re.search(r"^ner +F1 +100\.0 +100\.0 +–$", printed, re.MULTILINE)
    assert re.search(r"^  X +F1 +100\.0$", printed, re.MULTILINE)


def test_resume_goes_on_with_the_same_options(
    trained: tuple[Path, str], main: Callable[..., tuple[str, str]], tmp_path: Path
) -> None:
    out = Path(shutil.copytree(trained[0], tmp_path / "out"))
    last = out / "star" / "last.ckpt"
    printed, _ = main("--checkpoint", str(last), "--resume", "--epochs", "9")
    assert re.search(r"^star .* \d of 9 ", printed, re.MULTILINE)
    epochs = {row["model"]: row["epochs"] for row in rows(out / "results.csv")}
    assert epochs == {"complete": "8", "star": "9"}
    assert read_checkpoint(last)["mtgnn"]["notes"]["columns"] == ["pos=1", "ner=2:IOB2"]


PLACES = ["pos", "hears", "ner", "hears*"]


@pytest.mark.parametrize("name", ["complete", "star"])
def test_predict_prints_aligned_tags_and_the_strongest_messages(
    name: str,
    trained: tuple[Path, str],
    main: Callable[..., tuple[str, str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    texts = tmp_path / "texts.txt"
    texts.write_text("the dog is in Rome1 Town2\n\nit is the cat.\n", encoding="utf-8")
    checkpoint = ["--checkpoint", str(trained[0] / name / "best.ckpt")]
    printed, _ = main(*checkpoint, "--predict", str(texts))
    *told, first, second = printed.rstrip("\n").split("\n\n")
    words, *rest = first.split("\n")
    lines = {line.split()[0] + "*" * (i > 2): line for i, line in enumerate(rest)}
    number, *spelt = words.split()
    starts = [words.index(word) for word in spelt]
    assert spelt == ["the", "dog", "is", "in", "Rome1", "Town2"]
    # In a graph of two tasks each hears the same one at every word: that is said once.
    one = ["At every word pos hears ner, ner hears pos, and nobody else."]
    assert told == (one if name == "complete" else [])
    assert list(lines) == (["pos", "ner"] if name == "complete" else PLACES)
    ends = [*starts[1:], None]
    cells = [
        [lines[task][a:b].strip() for a, b in zip(starts, ends, strict=True)]
        for task in ("pos", "ner")
    ]
    assert cells == [["D", "N", "V", "D", "N", "N"], ["O", "O", "O", "O", "B-X", "I-X"]]
    if name == "star":
        heard = [lines["hears"][a:b].split()[0] for a, b in zip(starts, ends, strict=True)]
        assert set(heard) <= set(spelt)
    assert [number, *second.split("\n")[0].split()] == ["1.", "2.", "it", "is", "the", "cat."]
    printed, _ = main(*checkpoint, "--predict", str(texts), "--tokenize")
    assert printed.rstrip("\n").split("\n\n")[-1].split("\n")[0].split()[-2:] == ["cat", "."]


# Parts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["shared", "complete", "star", "star, all"])
def test_tags_and_messages_are_those_of_single_sentences(
    load: Callable[[str], Any], name: str
) -> None:
    sentences = [text.split() for text in ("a dog", "it barks at a dog in Rome", "Rome", "a b c")]
    encoder = SentenceEncoder.build(sentences, CLASSES)
    sizes = {"embedding_size": 4, "character_size": 4, "hidden_size": 3}
    memory = {"encoder_options": {"memory": "all"}} if name == "star, all" else {}
    model = TaggingModel(encoder, name.split(",")[0], **sizes, **memory).double().eval()
    for part in (model.encoder, model.heads):  # in the words, padding stays zero
        randomise(part, scale=1.5)
    for sentence, words in zip(load("_aligned").tag(model, sentences, 3), sentences, strict=True):
        assert sentence.words == words and [sentence.tags] == model.predict([words])
        if name in ("shared", "star"):  # nobody is heard, or the same node at every word
            assert sentence.messages == {}
            continue
        encoded = encoder.encode(words)
        spelt = torch.nn.utils.rnn.pad_sequence(
            encoded.characters.split(encoded.sizes.tolist()), batch_first=True
        )
        for k, task in enumerate(CLASSES):
            given = encoded.tokens[None], spelt[None], torch.tensor([len(words)])
            _, attention = model(*given, torch.tensor([k]), return_attention_weights=True)
            weight = (attention[0][1] + attention[1][1]).detach()[0, :, :, 0] / 2
            names = words if name == "star, all" else [sender for sender, _ in model.graph.edges]
            for t, (sender, share) in enumerate(sentence.messages[task]):
                assert share == pytest.approx(float(weight[t].max()))
                assert sender == names[int(weight[t].argmax())]


def test_what_is_too_wide_goes_on_below(load: Callable[[str], Any]) -> None:
    table = [("", ["some", "extraordinarily", "long", "words"]), ("pos", ["D", "R", "A", "N"])]
    blocks = load("_aligned").align(table, 30).split("\n\n")
    lines = [block.split("\n") for block in blocks]
    assert all(len(line) <= 30 for block in lines for line in block)
    assert [block[0].split() for block in lines] == [
        ["some", "extraordinarily"],
        ["long", "words"],
    ]
    assert [block[1].split() for block in lines] == [["pos", "D", "R"], ["pos", "A", "N"]]


def test_corpora_are_joined(
    load: Callable[[str], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = "".join(f"Word{i} NN B-NP\nhere RB O\n\n" for i in range(6))
    files: dict[Any, dict[str, bytes]] = {
        CoNLL2000: {"train.txt": train.encode(), "test.txt": b"New NN B-NP\n"},
        WNUT17: {
            "wnut17train.conll": b"New\tB-location\nYork\tI-location\n\t\nHi\tO\n",
            "emerging.dev.conll": b"Hi\tO\n",
            "emerging.test.annotated": b"Yo\tO\n",
        },
    }
    for dataset, name in ((CoNLL2000, "conll2000"), (WNUT17, "wnut17")):
        raw = tmp_path / name / "raw"
        raw.mkdir(parents=True)
        for file, content in files[dataset].items():
            (raw / file).write_bytes(content)
        sums = {k: hashlib.sha256(content).hexdigest() for k, content in files[dataset].items()}
        monkeypatch.setattr(dataset, "checksums", sums)
    monkeypatch.setattr(CoNLL2000, "dev_size", 2)
    options = {"data": ["conll2000", "wnut17"], "root": str(tmp_path), "source": None}
    corpus = load("_corpora").read_corpus(options)
    assert list(corpus.classes) == ["pos", "chunk", "ner"]
    assert corpus.schemes == {"chunk": "IOB2", "ner": "IOB2"} and corpus.truth is None
    assert [len(corpus.parts[part]) for part in ("train", "dev", "test")] == [6, 3, 2]
    assert [set(item.tags) for item in corpus.parts["test"]] == [{"pos", "chunk"}, {"ner"}]
    assert {"York", "here"} < corpus.words and "Yo" not in corpus.words


def test_the_scores_are_those_of_predictions(load: Callable[[str], Any]) -> None:
    program, corpora = load("sequence_labelling"), load("_corpora")
    options = load("_tagging_options").read_options("", ["--quick", *SMALL])
    corpus = corpora.read_corpus(options)
    model = program.build_model("complete", options, corpus)
    accuracy, spans = program.test(model, corpus, options)
    items = corpus.parts["test"]
    predicted = model.predict([item.words for item in items])
    for task in corpus.classes:
        found, true = [tags[task] for tags in predicted], [item.tags[task] for item in items]
        right = [
            a == b for x, y in zip(found, true, strict=True) for a, b in zip(x, y, strict=True)
        ]
        assert accuracy[task].accuracy == pytest.approx(sum(right) / len(right))
        if task in corpus.schemes:
            assert spans[task].overall == score_spans(found, true).overall
    assert spans.keys() == corpus.schemes.keys()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "news"], "invalid choice: 'news'"),
        (["--resume"], "--checkpoint goes with one of"),
        (["--checkpoint", "none.ckpt", "--evaluate"], "none.ckpt"),
        (["--checkpoint", "none.ckpt", "--resume", "--out", "x"], "leave out --out"),
        (["--data", "columns"], "--data columns goes with --columns"),
        (["--columns", "pos=1"], "--data columns goes with --columns"),
        (["--data", "planted", "wnut17"], "only different downloaded corpora join"),
        (["--data", "wnut17", "ud-ewt", "--source", "x"], "--source is for one corpus"),
        (["--tokenize"], "--tokenize goes with --predict"),
        (["--data", "wnut17", "--quick"], "it goes with --data planted"),
        (["--model", "flat"], "invalid choice: 'flat'"),
    ],
)
def test_wrong_arguments_are_explained(
    arguments: list[str],
    message: str,
    load: Callable[[str], Any],
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        load("_tagging_options").read_options("", arguments)
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("text", ["pos", "pos=x", "=1", "pos=-1"])
def test_wrong_columns_are_explained(text: str, load: Callable[[str], Any]) -> None:
    with pytest.raises(ValueError, match="expected --columns as TASK=N"):
        load("_corpora").parse_columns([text])
