"""``recovery.py`` runs to its end, goes on from its record, and computes what it says."""

from __future__ import annotations

import argparse
import csv
import math
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from scipy.stats import entropy as entropy_of

from mtgnn import TaskGraph
from mtgnn.explain import average_attention

Program = Callable[[str], ModuleType]
COLUMNS = "shape,tasks,groups,strength,method,seed,auroc,average_precision,accuracy"
WAYS = ("held_out", "entropy")  # of a variant's training, not of its encoder
OPTIONS: dict[str, Any] = {
    "tasks": 4, "groups": 2, "train": 16, "dev": 8, "test": 8, "noise": 0.0, "epochs": 1,
    "hidden": 4, "batch": 16, "learning_rate": 0.01, "weight_decay": 0.0, "lookahead": 0.1,
}  # fmt: skip


@pytest.fixture
def options() -> argparse.Namespace:
    return argparse.Namespace(**OPTIONS)


def test_it_goes_on_from_its_record(
    program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recovery = program("recovery")
    record = tmp_path / "recovery.csv"
    command = ["recovery.py", "--quick", "--csv", str(record), "--shapes", "groups", "chain"]

    def run(*more: str) -> list[dict[str, str]]:
        monkeypatch.setattr(sys, "argv", [*command, *more])
        recovery.main()
        with record.open(newline="") as file:
            return list(csv.DictReader(file))

    first = run("--variants", "static", "--no-comparisons")
    assert record.read_text().splitlines()[0] == COLUMNS
    methods = [f"{how} (static)" for how in recovery.READOUTS]
    assert [(row["shape"], row["method"]) for row in first] == [
        (shape, method) for shape in ("groups", "chain") for method in methods
    ]
    assert run("--variants", "static", "--no-comparisons") == first
    both = run("--variants", "static")
    assert both[: len(first)] == first
    assert {row["method"] for row in both[len(first) :]} == set(recovery.COMPARISONS)
    boxes = run("--variants", "mailbox", "--no-comparisons")[len(both) :]
    assert [row["method"] for row in boxes] == 2 * [f"{how} (mailbox)" for how in recovery.READOUTS]
    for row in both + boxes:
        assert 0 <= float(row["auroc"]) <= 1
        assert float(row["auroc"]) == 0.5 or row["method"] != "uniform"


def test_ranks(program: Program) -> None:
    graph = TaskGraph.from_edges([("b", "a"), ("c", "a"), ("d", "a"), ("a", "b")], list("abcd"))
    weights = ([0.1, 0.7, 0.2, 1.0], [3.0, 3.0, -1.0, 5.0])
    ranks = program("recovery").mean_ranks([graph.with_weight(torch.tensor(w)) for w in weights])
    assert ranks.edge_weight.tolist() == [(1 + 2.5) / 2, (3 + 2.5) / 2, (2 + 1) / 2, 1]


def test_noise_turns_training_labels_round(program: Program, options: argparse.Namespace) -> None:
    training = program("_planted_training")
    options.train = 250
    clean = training.read_texts(options, "groups", 1.0, 100)
    options.noise = 0.2
    noisy = training.read_texts(options, "groups", 1.0, 100)
    turned = (clean.train.y != noisy.train.y).float().mean()
    assert turned == pytest.approx(0.2, abs=0.05)
    assert torch.equal(clean.dev.y, noisy.dev.y)
    assert torch.equal(clean.test.y, noisy.test.y)


def test_static_scores_learn_faster(program: Program, options: argparse.Namespace) -> None:
    training, recovery = program("_planted_training"), program("recovery")
    texts = training.read_texts(options, "groups", 1.0, 100)
    for name, chosen in recovery.VARIANTS.items():
        further = {key: value for key, value in chosen.items() if key not in WAYS}
        model = training.train(texts, options, 100, "complete", further)
        plain = model.encoder.common is None and not model.encoder.concat_messages
        assert plain == (name == "static, plain")
        groups = training.learning_groups(model, options.learning_rate)
        rates = {id(p): group["lr"] for group in groups for p in group["params"]}
        assert len(rates) == len(list(model.parameters()))
        for key, parameter in model.named_parameters():
            fast = "logit" in key
            assert rates[id(parameter)] == pytest.approx(0.1 if fast else 0.01)
            assert not fast or "static" in name or name == "mailbox"


def test_held_out_texts_train_the_scores_alone(
    program: Program, options: argparse.Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = program("_planted_training")
    texts = training.read_texts(options, "groups", 1.0, 100)
    static = {"score": "static"}

    def logits(held_out: bool) -> torch.Tensor:
        model = training.train(texts, options, 100, "complete", static, held_out=held_out)
        return model.encoder.convs["l0"]["shared"].logit.detach()

    moved = logits(True)
    monkeypatch.setattr(training.HeldOutScores, "step", lambda self: 0.0)
    untouched = logits(True)  # by the training texts
    options.epochs = 0
    assert torch.equal(untouched, logits(True))
    assert not torch.equal(moved, untouched)


def test_entropy_is_that_of_the_weights(program: Program, options: argparse.Namespace) -> None:
    training = program("_planted_training")
    texts = training.read_texts(options, "groups", 1.0, 100)

    def trained(entropy: float) -> Any:
        static = {"score": "static"}
        return training.train(texts, options, 100, "complete", static, entropy=entropy)

    options.epochs = 0
    assert training.static_entropy(trained(0.0)).item() == pytest.approx(math.log(3))
    options.epochs, options.learning_rate = 3, 0.1
    plain, sharp, flat = (trained(entropy) for entropy in (0.0, 10.0, -10.0))
    for model in (plain, sharp, flat):
        weight = average_attention(model, list(training.batches(texts.train)))
        by_receiver = [weight.edge_weight[[e for e, _ in weight.incoming(k)]] for k in range(4)]
        expected = statistics.mean(entropy_of(own.double().numpy()) for own in by_receiver)
        assert training.static_entropy(model).item() == pytest.approx(expected, abs=1e-5)
    assert training.static_entropy(sharp) < training.static_entropy(plain)
    assert training.static_entropy(flat) > training.static_entropy(plain)


def test_affinity(program: Program, options: argparse.Namespace) -> None:
    training, comparisons = program("_planted_training"), program("_affinity")
    texts = training.read_texts(options, "groups", 1.0, 100)
    shared = training.train(texts, options, 100, "shared")
    before = [parameter.clone() for parameter in shared.parameters()]
    affinity = comparisons.lookahead_affinity(shared, texts, options)
    assert all(map(torch.equal, before, shared.parameters()))
    # A small enough step on a task's own texts helps where it is tested on them.
    texts.dev, options.lookahead = texts.train, 1e-3
    own = comparisons.lookahead_affinity(shared.double(), texts, options).diagonal()
    assert affinity.shape == (4, 4)
    assert (own > 0).all()
    for matrix in (
        comparisons.gradient_cosine(shared, texts),
        comparisons.representation_similarity(
            training.train(texts, options, 100, "single", embedding="task"), texts.dev
        ),
    ):
        torch.testing.assert_close(matrix, matrix.t(), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(
            matrix.diagonal(), torch.ones(4, dtype=matrix.dtype), rtol=1e-4, atol=1e-5
        )
        assert matrix.abs().max() < 1 + 1e-5
