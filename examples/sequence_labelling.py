"""Train multi-task taggers side by side: who listens to whom, and what does it bring?

Without arguments: planted sentences (no download) with parts of speech, chunks that follow from
these, and entities that follow from chunks; five models, in under three minutes.

    python examples/sequence_labelling.py
    python examples/sequence_labelling.py --data conll2000 wnut17 --root data --model star
    python examples/sequence_labelling.py --data columns --root my/folder --columns pos=1 ner=2:IOB2

Models: "single", an LSTM of its own for each task; "shared", one for all; "hierarchical", a stack
that the tasks leave one above the other, in their order; the graphs "complete" and "star". They
differ in the encoder alone: words, characters and heads are the same.

A checkpoint that this wrote holds its model and its options; ``explain.py`` makes a page about it.
With

    python examples/sequence_labelling.py --checkpoint runs/planted-sentences/complete/best.ckpt

goes one of ``--resume --epochs 40``, ``--evaluate``, and ``--predict sentences.txt``, which shows
words, tags and, of a graph, the strongest message at each word: the sending task or, with
``--memory all``, the word of the star's mailbox, with its share of the attention. Where a task has
one sender, as in any other star, that is said once.
"""

from __future__ import annotations

import logging
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from _aligned import only_senders, show, tag
from _batches import numbered_batches
from _command_line import folder_of, read_lines
from _corpora import Corpus, read_corpus
from _errors import one_line_errors
from _folders import out_folder
from _models import count_parameters, fit_options, graph_options
from _report import peak_memory, percent, table, update_csv
from _scoring import device_of
from _tagging_options import read_options
from _tagging_report import COLUMNS, Result, csv_rows, measure, score_of, summary

from mtgnn import TaskGraph
from mtgnn.data import EncodedSentences, SentenceEncoder, tokenize
from mtgnn.explain import average_attention, plot_task_graphs
from mtgnn.lightning import MultiTaskDataModule, fit, load_model
from mtgnn.metrics import SpanF1, SpanScores, TokenAccuracy, TokenScore, span_f1
from mtgnn.nn import TaggingModel
from mtgnn.ops import keep_memory

# Models ---------------------------------------------------------------------------------------


def build_model(name: str, options: dict[str, Any], corpus: Corpus) -> TaggingModel:
    """One of the models to compare; they differ in the encoder alone."""
    torch.manual_seed(options["seed"])
    train = [item.words for item in corpus.parts["train"]]
    sentences = SentenceEncoder.build(train, corpus.classes, min_count=options["min_count"])
    chain = TaskGraph.from_edges(pairwise(sentences.tasks), sentences.tasks)
    further = {"graph": chain} if name == "hierarchical" else graph_options(name, options)
    return TaggingModel(
        sentences,
        name,
        embedding_size=options["embedding_size"],
        characters=options["characters"],
        character_size=options["character_size"],
        hidden_size=options["hidden_size"],
        crf=options["crf"],
        schemes=corpus.schemes,
        dropout=options["dropout"],
        encoder_options=further,
    )


def train(
    name: str, options: dict[str, Any], corpus: Corpus, out: Path, resume: str | None = None
) -> tuple[TaggingModel, Result]:
    """Train one model; the dev sentences choose its epoch, and only then the test is read."""
    model = build_model(name, options, corpus)
    train, dev = (
        EncodedSentences(corpus.parts[part], model.sentences) for part in ("train", "dev")
    )
    done = fit(
        model,
        MultiTaskDataModule(
            train, dev, None, batch_size=options["batch_size"], seed=options["seed"]
        ),
        **fit_options(model, options),
        scores=dict.fromkeys(corpus.schemes, span_f1),
        log_dir=out / name if resume is None else folder_of(resume),
        resume=resume,
        progress=f"{name:12}",
        notes={**options, "model": [name]},
    )
    speed = done.tokens_per_second * len(train) / int(train.lengths.sum())
    return model, Result(name, done, count_parameters(model), speed, *test(model, corpus, options))


# Testing --------------------------------------------------------------------------------------


@torch.no_grad()
def test(
    model: TaggingModel, corpus: Corpus, options: dict[str, Any]
) -> tuple[dict[str, TokenScore], dict[str, SpanScores]]:
    """The accuracy of each task on the test sentences, and where tags are spans their scores."""
    device = device_of(options["accelerator"])
    model.to(device).eval()
    encoded = EncodedSentences(corpus.parts["test"], model.sentences, known=corpus.words)
    accuracy = {task: TokenAccuracy() for task in model.tasks}
    spans = {task: SpanF1(model.classes[task]) for task in corpus.schemes}
    for _, batch in numbered_batches(encoded, options["batch_size"]):
        there = batch.to(device)
        predicted = model.predicted(model.read(there), there).cpu()
        for k, task in enumerate(model.tasks):
            accuracy[task].update(predicted[:, :, k], batch.y[:, :, k], batch.unknown)
            if task in spans:
                spans[task].update(predicted[:, :, k], batch.y[:, :, k])
    return (
        {task: metric.compute() for task, metric in accuracy.items()},
        {task: metric.compute() for task, metric in spans.items()},
    )


# What a person sees ---------------------------------------------------------------------------


def compare(options: dict[str, Any], out: Path) -> None:
    """Train the models one after the other, and show what came of it."""
    resume = options["checkpoint"] if options.get("resume") else None
    corpus = read_corpus(options)
    results = []
    written = ["results.csv"]
    for name in options["model"]:
        model, result = train(name, options, corpus, out, resume)
        results.append(result)
        if name == "complete" and model.graph.num_edges:
            draw_graph(model, corpus, options, out / "task_graph.png")
            written.append("task_graph.png (who listened to whom)")
    rows = [row for result in results for row in csv_rows(result, options, corpus)]
    update_csv(rows, COLUMNS, out / "results.csv")
    print("\n" + summary(results, corpus))
    print(f"\npeak memory: {peak_memory()}")
    written.append("MODEL/{best,last}.ckpt")
    print(f"In {out}/: {', '.join(written)}, MODEL/csv and MODEL/tensorboard (logs)")


def draw_graph(model: TaggingModel, corpus: Corpus, options: dict[str, Any], path: Path) -> None:
    """Draw who listened to whom on the dev sentences, beside the truth where it is known."""
    dev = EncodedSentences(corpus.parts["dev"], model.sentences, by_task=True)
    batches = (batch for _, batch in numbered_batches(dev, options["batch_size"]))
    graphs = {"learned": average_attention(model.cpu(), batches)}
    if corpus.truth is not None:
        graphs = {"planted": corpus.truth, **graphs}
    plot_task_graphs(graphs, path)


def load(options: dict[str, Any]) -> TaggingModel:
    """The model in the checkpoint."""
    model = load_model(options["checkpoint"])
    assert isinstance(model, TaggingModel)
    return model


def evaluate(options: dict[str, Any]) -> None:
    """Test a trained model on the data it was trained for, or on other data with the same tags."""
    corpus, model = read_corpus(options), load(options)
    if corpus.classes != model.classes:
        raise ValueError(f"expected the model's tags {model.classes}, got {corpus.classes}")
    accuracy, spans = test(model, corpus, options)
    rows = []
    for task, score in accuracy.items():
        test_score = percent(score_of(task, accuracy, spans))
        unknown = percent(score.unknown_accuracy) if score.unknown_words else percent(None)
        rows.append([task, measure(task, corpus), test_score, percent(score.accuracy), unknown])
        for kind, of_kind in spans[task].per_type.items() if task in spans else ():
            rows.append([f"  {kind}", "F1", percent(of_kind.f1), "", ""])
    print(table(["test", "measure", "score", "tags right", "of unknown words"], rows))


def predict(options: dict[str, Any]) -> None:
    """Print the sentences of a file with their tags, and of a graph the strongest messages."""
    lines = read_lines(options["predict"])
    split = [tokenize(line, lower=False) if options["tokenize"] else line.split() for line in lines]
    sentences = [words for words in split if words]
    if not sentences:
        raise ValueError(f"expected a sentence a line, got none in {options['predict']}")
    width = shutil.get_terminal_size((100, 24)).columns
    model = load(options)
    parts = [only_senders(model)]
    for number, sentence in enumerate(tag(model, sentences, options["batch_size"]), 1):
        parts.append(show(sentence, number, width))
    print("\n\n".join(part for part in parts if part))


def main() -> None:
    """Do what the command line says."""
    logging.basicConfig(format="%(message)s")
    logging.getLogger("mtgnn").setLevel(logging.INFO)  # downloads
    options = read_options(__doc__ or "")
    if options.get("predict"):
        predict(options)
    elif options.get("evaluate"):
        evaluate(options)
    else:
        planted = options["data"] == ["planted"]
        name = "planted-sentences" if planted else "-".join(options["data"])
        with out_folder(options.get("out"), f"runs/{name}") as out:
            compare(options, out)


if __name__ == "__main__":
    keep_memory()
    with one_line_errors():
        main()
