"""What ``sequence_labelling.py`` says of trained models, to a person and to a program."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from _corpora import Corpus
from _report import percent, table

from mtgnn.lightning import FitResult
from mtgnn.metrics import SpanScores, TokenScore

COLUMNS = [
    *("corpus", "task", "model", "head", "seed", "measure", "dev", "test", "unknown_words"),
    *("sentences_per_s", "epochs", "best_epoch", "seconds", "parameters"),
]


@dataclass
class Result:
    """One trained model and its scores on the test sentences."""

    model: str
    fit: FitResult
    parameters: int
    sentences_per_s: float
    accuracy: dict[str, TokenScore] = field(default_factory=dict)
    spans: dict[str, SpanScores] = field(default_factory=dict)

    def score(self, task: str) -> float:
        """F1 where the tags are spans, else accuracy."""
        return score_of(task, self.accuracy, self.spans)


def score_of(task: str, accuracy: dict[str, TokenScore], spans: dict[str, SpanScores]) -> float:
    """F1 where the tags are spans, else accuracy."""
    return spans[task].overall.f1 if task in spans else accuracy[task].accuracy


def summary(results: list[Result], corpus: Corpus) -> str:
    """A row a model: test scores, speed of training, size."""
    tasks = [f"{task} {measure(task, corpus)}" for task in corpus.classes]
    header = ["test", *tasks, "best epoch", "seconds", "sentences/s", "parameters"]
    rows = [
        [
            result.model,
            *(percent(result.score(task)) for task in corpus.classes),
            f"{result.fit.best_epoch} of {result.fit.epochs}",
            f"{result.fit.seconds:.0f}",
            f"{result.sentences_per_s:,.0f}",
            f"{result.parameters:,}",
        ]
        for result in results
    ]
    return table(header, rows)


def measure(task: str, corpus: Corpus) -> str:
    """What a task is scored by."""
    return "F1" if task in corpus.schemes else "accuracy"


def csv_rows(
    result: Result, options: dict[str, Any], corpus: Corpus
) -> Iterator[dict[str, object]]:
    """A row a task."""
    for task in corpus.classes:
        yield {
            "corpus": "+".join(options["data"]),
            "task": task,
            "model": result.model,
            "head": "crf" if options["crf"] else "softmax",
            "seed": options["seed"],
            "measure": measure(task, corpus),
            "dev": f"{result.fit.dev_score_by_task[task]:.4f}",
            "test": f"{result.score(task):.4f}",
            "unknown_words": unknown(result.accuracy[task]),
            "sentences_per_s": f"{result.sentences_per_s:.1f}",
            "epochs": result.fit.epochs,
            "best_epoch": result.fit.best_epoch,
            "seconds": f"{result.fit.seconds:.1f}",
            "parameters": result.parameters,
        }


def unknown(score: TokenScore) -> str:
    """The accuracy of unknown words; nothing where there are none."""
    return f"{score.unknown_accuracy:.4f}" if score.unknown_words else ""
