"""Building, training and testing for ``accuracy.py``."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import Any

import torch
from _alone import SeparateModels, train_alone
from _examples import (
    CONTROLS,
    Texts,
    build_model,
    count_parameters,
    graph_options,
    is_right,
    kinds,
    read_texts,
)
from _reviews import Reviews
from _settings import PROTOCOLS, SETTINGS, SMALLEST_BATCH, fraction
from _training import EVAL_BATCH, train
from _word_vectors import kept_vectors
from torch import Tensor

from mtgnn.data import EncodedTexts, Vocabulary
from mtgnn.lightning import FitResult
from mtgnn.nn import MultiTaskModel, build_encoder, edge_logit_group, freeze

Model = MultiTaskModel | SeparateModels
TINY: dict[str, Any] = {"epochs": 1, "hidden_size": 4, "embedding_size": 4, "accelerator": "cpu"}


@dataclass
class Run:
    """A setting, a model and a seed."""

    setting: str
    model: str
    seed: int


class Study:
    """A data set under its protocol.

    Args:
        data: ``"planted"`` or ``"fdu-mtl"``.
        out: Folder for word vectors.
        quick: Tiny sizes, whose numbers mean nothing.
        **options: ``root``, ``source``, ``accelerator``.
    """

    def __init__(self, data: str, out: Path, quick: bool = False, **options: Any) -> None:
        self.data, self.out = data, out
        self.options = {**PROTOCOLS[data].options, "quick": quick, **options}
        if quick:
            self.options |= TINY
        self.texts = lru_cache(maxsize=1)(self._texts)
        self._tested = lru_cache(maxsize=1)(self._reviews)
        self.vocabulary = lru_cache(maxsize=1)(self._vocabulary)

    def _texts(self, seed: int) -> Texts:
        return read_texts({**self.options, "seed": seed})

    def _vocabulary(self, seed: int) -> Vocabulary:
        # Of all training texts: words need no labels.
        return Vocabulary.build(self.of(seed).train.text, self.options["min_count"])

    def of(self, seed: int) -> Texts:
        """The texts of a seed: planted ones are drawn anew, real ones stay."""
        return self.texts(seed if self.data == "planted" else 0)

    @property
    def is_there(self) -> bool:
        """Whether the texts can be read without fetching them first."""
        return self.data == "planted" or Path(self.options["root"]).is_dir()

    def reviews(self, seed: int) -> Reviews:
        """The test texts of a seed."""
        return self._tested(seed if self.data == "planted" else 0)

    def _reviews(self, seed: int) -> Reviews:
        texts = self.of(seed).test
        numbers = torch.tensor([number_of(text) for text in texts.text])
        return Reviews(numbers, torch.as_tensor(texts.task).flatten(), kinds(texts))

    def words(self, seed: int) -> Vocabulary:
        """The vocabulary of a seed."""
        return self.vocabulary(seed if self.data == "planted" else 0)

    @cached_property
    def vectors(self) -> Tensor | None:
        """Word vectors, the same for all models and seeds; trained ones are kept in a file."""
        return kept_vectors(self.out, self.options, self.of(0), self.words(0))

    def run_options(self, run: Run) -> dict[str, Any]:
        """Everything that decides how a run goes, but its learning rate."""
        setting = SETTINGS[run.setting]
        options = {**self.options, **setting.options, "seed": run.seed, "rates": setting.rates}
        smaller = round(options["batch_size"] * fraction(run.setting, self.data))
        options["batch_size"] = max(smaller, min(SMALLEST_BATCH, options["batch_size"]))
        if setting.matched:
            options["hidden_size"] = self._matched_size(run)
        return options

    def build(self, run: Run, with_vectors: bool = True) -> MultiTaskModel:
        """A fresh model; without word vectors it costs the same, and learns less."""
        vocabulary, texts = self.words(run.seed), self.of(run.seed)
        further = SETTINGS[run.setting].encoder
        options = self.run_options(run)
        vectors = self.vectors if with_vectors else None
        model = build_model(run.model, options, texts, vocabulary, vectors, **further)
        if SETTINGS[run.setting].equal:
            logits = edge_logit_group(model)
            assert logits is not None
            freeze(model, [logits])
        return model

    def _matched_size(self, run: Run) -> int:
        """The hidden size whose encoder is nearest in parameters to the star's as it is."""
        star = Run(run.setting, "star", run.seed)
        wanted = self._encoder_size(star, self.options["hidden_size"])
        # All numbers of parameters are polynomials of second degree in the hidden size.
        a, b, c = (self._encoder_size(run, size) for size in (1, 2, 3))

        def parameters(h: int) -> int:
            return a + (h - 1) * (b - a) + (h - 1) * (h - 2) // 2 * (c - 2 * b + a)

        return min(range(1, 5000), key=lambda h: abs(parameters(h) - wanted))

    def _encoder_size(self, run: Run, hidden_size: int) -> int:
        setting = SETTINGS[run.setting]
        options = {**self.options, **setting.options}
        further = {**graph_options(run.model, options), **setting.encoder}
        tasks = self.of(run.seed).train.tasks
        build = CONTROLS.get(run.model) or partial(build_encoder, run.model)
        encoder = build(options["embedding_size"], hidden_size, tasks, **further)
        return count_parameters(encoder)

    def train_texts(self, run: Run) -> Any:
        """The training texts, or a part of them."""
        texts = self.of(run.seed).train
        share = fraction(run.setting, self.data)
        if share == 1:
            return texts
        return texts[stratified(texts.task, texts.y, share, run.seed)]

    def train(
        self, run: Run, learning_rate: float, progress: bool | str = False
    ) -> tuple[Model, FitResult]:
        """A model after its best epoch on dev; of ``single``, each task's own."""
        options = {**self.run_options(run), "learning_rate": learning_rate}
        texts, given = self.of(run.seed), self.train_texts(run)
        if run.model == "single":
            parts = given, texts.dev, texts.classes, self.words(run.seed), self.vectors
            further = SETTINGS[run.setting].encoder
            return train_alone(run.model, *parts, options, progress, **further)
        model = self.build(run)
        return model, train(model, given, texts.dev, options, progress)

    def test(self, model: Model, run: Run) -> Tensor:
        """Which test texts the model has right, ``[n]``."""
        options, texts = self.run_options(run), self.of(run.seed).test
        encoded = EncodedTexts(texts, model.vocabulary, options["max_length"])
        size = max(options["batch_size"], EVAL_BATCH)
        return is_right(model, encoded, size, options["accelerator"])


def stratified(task: Tensor, y: Tensor, share: float, seed: int) -> list[int]:
    """Numbers of a part of the texts, drawn by task and label; smaller parts lie in larger ones."""
    order = torch.randperm(len(task), generator=torch.Generator().manual_seed(seed))
    drawn: list[int] = []
    for own in torch.unique(torch.stack([task, y]), dim=1).t():
        members = order[((task == own[0]) & (y == own[1]))[order]]
        drawn += members[: max(1, round(share * len(members)))].tolist()
    return sorted(drawn)


def number_of(text: str) -> int:
    """A number that equal texts share, and in practice no others."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=7).digest(), "big")
