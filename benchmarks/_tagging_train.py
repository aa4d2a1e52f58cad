"""A run of the tagging benchmark: build, train to the best epoch on dev, tag the test part."""

from __future__ import annotations

import argparse
import tempfile
import time
from functools import lru_cache
from typing import Any, NamedTuple

import lightning.pytorch as L
import torch
from _examples import count_parameters, group_rates, numbered_batches
from _record import Row
from _tagging_answers import Answer, answer, look, of_task, tag
from _tagging_data import Corpus, encode, encode_words, read_corpus
from _tagging_plan import Run, levels
from _timing import middles

from mtgnn.data import EncodedSentences, SentenceEncoder, TokenBatch
from mtgnn.lightning import FitResult, MultiTaskDataModule, fit
from mtgnn.metrics import span_f1
from mtgnn.nn import TaggingModel, parameter_groups

NODES = ("nodes.", "virtual.")  # groups of parameters


class Prepared(NamedTuple):
    """The data of runs that differ in model and head alone."""

    corpora: list[Corpus]
    schemes: dict[str, str]
    sentences: SentenceEncoder
    train: EncodedSentences
    dev: EncodedSentences


class Bench:
    """Runs with the options of a command line.

    Args:
        options: The command line of ``tagging.py``.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.corpus = lru_cache(None)(self._corpus)
        self._prepare = lru_cache(8)(self._prepared)  # all there are of a seed

    def _corpus(self, name: str) -> Corpus:
        source = self.options.sources[name]
        return read_corpus(name, self.options.root, source, self.options.quick)

    def prepare(self, run: Run) -> Prepared:
        """The data of a run; with all labels the same for all seeds."""
        return self._prepare(run.corpora, run.tasks, run.seed if self.options.labels else 0)

    def _prepared(self, names: tuple[str, ...], tasks: tuple[str, ...], seed: int) -> Prepared:
        options = self.options
        corpora = [self.corpus(name).draw(options.labels, seed) for name in names]
        classes = {k: c.classes[k] for c in corpora for k in c.tasks if k in tasks}
        schemes = {k: s for c in corpora for k, s in c.schemes.items() if k in tasks}
        sentences = encode_words(corpora, classes, options.min_count, options.lower)
        train, dev = (encode(corpora, part, sentences) for part in ("train", "dev"))
        return Prepared(corpora, schemes, sentences, train, dev)

    def build(self, run: Run, dropout: float) -> TaggingModel:
        """A fresh model; all have the same words and heads."""
        options, data = self.options, self.prepare(run)
        own = {"own_rank": options.own_rank}
        encoder: dict[str, dict[str, Any]] = {
            "complete": {"score": options.score, "exchange": options.exchange, **own},
            "star": {"score": "additive", "memory": options.memory, **own},
            "hierarchical": {"graph": levels(run.tasks)},
        }
        torch.manual_seed(run.seed)
        return TaggingModel(
            data.sentences,
            run.model,
            embedding_size=options.embedding_size,
            characters=options.characters,
            character_size=options.character_size,
            hidden_size=options.hidden_size,
            crf=run.head == "crf",
            schemes=data.schemes if run.head == "crf" else None,
            dropout=dropout,
            encoder_options=encoder.get(run.model),
        )

    def size(self, run: Run) -> Row:
        """How many parameters a run's encoder has, and its model: with words and heads."""
        model = self.build(run, 0.0)
        told = {"scope": run.scope, "tasks": " ".join(run.tasks), "model": run.model}
        for name, part in (("encoder", model.encoder), ("parameters", model)):
            told[name] = str(count_parameters(part))
        return {**told, "head": run.head}

    def train(self, run: Run, learning_rate: float) -> tuple[TaggingModel, FitResult]:
        """Train to the best epoch: that with the best mean over tasks of the dev scores."""
        options, data = self.options, self.prepare(run)
        model = self.build(run, options.dropout)
        with tempfile.TemporaryDirectory() as folder:
            done = fit(
                model,
                MultiTaskDataModule(
                    data.train, data.dev, None, batch_size=options.batch_size, seed=run.seed
                ),
                max_epochs=options.epochs,
                learning_rate=learning_rate,
                learning_rates=_rates(model, learning_rate, options.own_rate),
                clip=options.clip,
                seed=run.seed,
                log_dir=folder,
                accelerator=options.accelerator,
                progress=options.progress,
                callbacks=[LinearDecay()],
                scores=dict.fromkeys(data.schemes, span_f1),
            )
        return model, done

    def answers(self, run: Run, model: TaggingModel) -> dict[tuple[str, str], Answer]:
        """Tag the test part of each corpus, for its tasks."""
        data, found = self.prepare(run), {}
        for corpus in data.corpora:
            known = corpus.words()
            encoded = encode([corpus], "test", data.sentences, known=known)
            rows = tag(model.eval(), encoded, self.options.batch_size)
            for task in corpus.tasks:
                if task in run.tasks:
                    sides = of_task(rows, model.tasks.index(task))
                    spans = model.classes[task] if task in data.schemes else None
                    found[corpus.name, task] = answer(model.classes[task], sides, spans)
        return found

    def batches(self, run: Run) -> list[TokenBatch]:
        """Test sentences of all corpora, each once for every task of the run."""
        data = self.prepare(run)
        encoded = EncodedSentences(
            [item for corpus in data.corpora for item in corpus.parts["test"]],
            data.sentences,
            by_task=True,
        )
        return [batch for _, batch in numbered_batches(encoded, self.options.batch_size)]

    def sentences(self, run: Run) -> int:
        """How many different sentences a run trains on."""
        return sum(len(corpus.parts["train"]) for corpus in self.prepare(run).corpora)

    def seconds(self, run: Run) -> float:
        """About how long a run takes a processor, from a few batches of middle length."""
        data, options = self.prepare(run), self.options
        model = self.build(run, options.dropout)
        batches = middle_batches(data.train, options.batch_size)
        train, test = measure(model, batches, options.learning_rate[0])
        words = sum(int(batch.lengths.sum()) for batch in batches)
        epoch = int(data.train.lengths.sum()) * train + int(data.dev.lengths.sum()) * test
        return options.epochs * epoch / words


def middle_batches(data: EncodedSentences, size: int) -> list[TokenBatch]:
    """Batches that begin at the middles of equal pieces of all sentences in order of length."""
    order = torch.argsort(data.lengths).tolist()
    starts = (max(0, min(place, len(order) - size)) for place in middles(range(len(order)), 3))
    return [data.collate([data[i] for i in order[start : start + size]]) for start in starts]


def measure(model: TaggingModel, batches: list[TokenBatch], rate: float) -> list[float]:
    """Seconds of training on batches and of tagging them, after a first time that is slower.

    They are the processor's, which other programs beside this one change little.
    """
    optimiser = torch.optim.Adam(model.parameters(), rate, fused=True)
    seconds = {step: 0.0, look: 0.0}
    for number, batch in enumerate([batches[-1], *batches]):
        for work in seconds:
            model.train(work is step)
            before = time.process_time()
            work(model, batch, optimiser)
            seconds[work] += time.process_time() - before if number else 0.0
    return list(seconds.values())


def step(model: TaggingModel, batch: TokenBatch, optimiser: torch.optim.Optimizer) -> None:
    """One step of training."""
    losses = model.losses(model.read(batch), batch)
    optimiser.zero_grad()
    losses.value[losses.labelled].mean().backward()
    optimiser.step()


class LinearDecay(L.Callback):
    """Lets every learning rate fall to zero over the training, step by step."""

    def on_train_batch_start(self, trainer: L.Trainer, *_: object) -> None:
        """Set the rates of this step."""
        left = 1 - trainer.global_step / trainer.estimated_stepping_batches
        for group in trainer.optimizers[0].param_groups:
            group["lr"] = group.setdefault("initial_lr", group["lr"]) * left


def _rates(model: TaggingModel, learning_rate: float, own: float) -> dict[str, float]:
    """Learning rates of groups; what nodes have beside a common part learns ``own`` times as
    fast."""
    rates = group_rates(model, learning_rate)
    if getattr(model.encoder, "common", None) is not None:
        nodes = [name for name in parameter_groups(model) if name.startswith(NODES)]
        rates |= dict.fromkeys(nodes, own * learning_rate)
    return rates
