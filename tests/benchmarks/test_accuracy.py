"""The benchmark of accuracy: equal care for all models, and nothing is run or read twice."""

from __future__ import annotations

import csv
import json
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

Program = Callable[[str], ModuleType]
ROOT = Path(__file__).parents[2]
COLUMNS = "dataset,setting,model,seed,task,reviews,dev,test,epochs,seconds,parameters"


@pytest.fixture
def study(program: Program, tmp_path: Path) -> Any:
    return program("_study").Study("planted", tmp_path, quick=True)


def run_of(program: Program, setting: str, model: str, seed: int = 0) -> Any:
    return program("_study").Run(setting, model, seed)


def start(program: Program, folder: Path, *arguments: str) -> None:
    accuracy = program("accuracy")
    places = ["--quick", "--results", str(folder / "results"), "--out", str(folder / "out")]
    options = accuracy.read_options([*arguments, *places])
    parts = accuracy.Accuracy(options)
    for stage in accuracy.STAGES:
        if stage in options.stages:
            getattr(parts, stage)()


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "results" / "accuracy.csv").open(newline="") as file:
        return list(csv.DictReader(file))


# Settings -------------------------------------------------------------------------------------


def test_every_setting_builds_every_model(program: Program, study: Any) -> None:
    settings = program("_settings")
    for name, setting in settings.SETTINGS.items():
        for model in setting.models:
            built = study.build(run_of(program, name, model))
            assert built.tasks == tuple(study.texts(0).train.tasks)


def test_changes_change_the_encoder(program: Program, study: Any) -> None:
    for setting, model, name, expected in (
        ("exchange-mutual", "complete", "exchange", "mutual"),
        ("score-additive", "complete", "score", "additive"),
        ("exchange-mailbox", "complete", "memory", "all"),
        ("score-dot", "star", "score", "dot"),
        ("score-uniform", "complete", "score", "uniform"),
        ("fusion-gated", "star", "fusion", "gated"),
        ("memory-past", "star", "memory", "past"),
        ("detach", "complete", "detach", True),
        ("heads-4", "complete", "heads", 4),
        ("no-concat", "star", "concat_messages", False),
        ("own-biases", "star", "own_rank", 0),
        ("bidirectional", "mixture", "bidirectional", True),
        ("quarter-bidirectional", "star", "bidirectional", True),
    ):
        usual = getattr(study.build(run_of(program, "headline", model)).encoder, name)
        changed = getattr(study.build(run_of(program, setting, model)).encoder, name)
        assert usual != changed == expected
    encoders = [
        study.build(run_of(program, setting, "star")).encoder
        for setting in ("headline", "no-common")
    ]
    sizes = [sum(p.numel() for p in encoder.parameters()) for encoder in encoders]
    assert sizes[0] > sizes[1]


def test_senders_that_weigh_the_same(program: Program, study: Any) -> None:
    run = run_of(program, "edges-equal", "complete")
    study.options["epochs"] = 2
    model, _ = study.train(run, 0.1)
    logits = [p for name, p in model.named_parameters() if "logit" in name]
    assert logits and not any(p.any() for p in logits)
    usual, _ = study.train(run_of(program, "headline", "complete"), 0.1)
    assert any(p.any() for name, p in usual.named_parameters() if "logit" in name)


def test_parts_with_a_rate_of_their_own(program: Program, study: Any) -> None:
    """Adam's steps are at most the rate, and near it; clipping does not change them."""
    moved = {}
    for setting in ("headline", "own-slow"):
        run = run_of(program, setting, "star")
        before = study.build(run)
        after, _ = study.train(run, 0.01)
        parts = {"own": "encoder.nodes.a1", "common": "encoder.common"}
        for part, name in parts.items():
            own = [k for k, _ in before.named_parameters() if k.startswith(name)]
            old, new = before.state_dict(), after.state_dict()
            moved[setting, part] = max(float((new[k] - old[k]).abs().max()) for k in own)
    steps = moved["headline", "own"] / 0.01
    assert steps > 0.5
    assert moved["own-slow", "own"] == pytest.approx(moved["headline", "own"] / 10, rel=0.3)
    assert moved["own-slow", "common"] == pytest.approx(moved["headline", "common"], rel=0.3)


def test_single_models_train_each_by_itself(program: Program, study: Any) -> None:
    study.options["epochs"] = 3
    run = run_of(program, "quarter", "single")
    model, done = study.train(run, 0.01)
    assert model.tasks == tuple(study.texts(0).train.tasks) and len(model.models) == 9
    assert done.dev_accuracy_by_task.keys() == set(model.tasks)
    right = study.test(model, run)
    texts = study.texts(0).test
    for k, (name, own) in enumerate(model.by_task()):
        items = [item for item in texts if int(item.task) == k]
        told = own.predict([item.text for item in items], name, max_length=256)
        labels = own.classes[name]
        expected = [labels.index(p.label) == int(i.y) for p, i in zip(told, items, strict=True)]
        assert right[texts.task == k].tolist() == expected
    both = run_of(program, "quarter-bidirectional", "single")
    study.options["epochs"] = 1
    for own in study.train(both, 0.01)[0].models:
        assert own.encoder.bidirectional
    study.options["epochs"] = 3
    # What another task's texts say changes nothing.
    alone = program("_alone")
    texts, options = study.texts(0), {**study.run_options(run), "learning_rate": 0.01}
    classes = dict(list(texts.classes.items())[:1])
    parts = study.train_texts(run), texts.dev
    found, _ = alone.train_alone("single", *parts, classes, study.words(0), None, options)
    [one] = found.models
    for name, value in one.state_dict().items():
        assert value.equal(model.models[0].state_dict()[name])


def test_matched_sizes(program: Program, tmp_path: Path) -> None:
    study = program("_study").Study("planted", tmp_path, quick=True)
    study.options["hidden_size"] = 20

    def size(setting: str, model: str) -> int:
        encoder = study.build(run_of(program, setting, model)).encoder
        return sum(parameter.numel() for parameter in encoder.parameters())

    wanted = size("headline", "star")
    for model in program("_settings").BASELINES:
        for setting in ("matched", "quarter-matched"):
            assert size(setting, model) == pytest.approx(wanted, rel=0.05)
    assert size("headline", "shared") < 0.2 * wanted


def test_protocols_keep_tuning_apart(program: Program, capsys: pytest.CaptureFixture[str]) -> None:
    settings = program("_settings")
    for name, protocol in settings.PROTOCOLS.items():
        for setting in settings.SETTINGS:
            assert not set(protocol.tuning_seeds) & set(settings.seeds(setting)), name
    with pytest.raises(SystemExit):
        program("accuracy").read_options(["--seeds", "0", "100"])
    kept = sorted(settings.PROTOCOLS["planted"].tuning_seeds)
    assert f"seeds {kept} are for tuning: they are not reported" in capsys.readouterr().err


def test_ablations_that_change_nothing_are_refused(
    program: Program, capsys: pytest.CaptureFixture[str]
) -> None:
    for data, setting in (("planted", "exchange-read"), ("fdu-mtl", "exchange-mailbox")):
        with pytest.raises(SystemExit):
            program("accuracy").read_options(["--data", data, "--settings", setting])
        assert f"{setting} changes nothing on {data}" in capsys.readouterr().err
    found = program("accuracy").read_options(["--data", "fdu-mtl", "--settings", "exchange-read"])
    assert found.settings == ["exchange-read"]


# Data -----------------------------------------------------------------------------------------


def test_parts_are_stratified_and_nested(program: Program) -> None:
    stratified = program("_study").stratified
    task = torch.tensor([0] * 40 + [1] * 60)
    y = torch.tensor([0, 1] * 50)
    quarter, tenth = (stratified(task, y, share, 3) for share in (0.25, 0.1))
    assert set(tenth) < set(quarter)
    assert len(quarter) == len(set(quarter))
    counts = Counter((int(task[i]), int(y[i])) for i in quarter)
    assert counts == {(0, 0): 5, (0, 1): 5, (1, 0): 8, (1, 1): 8}
    assert stratified(task, y, 0.25, 3) == quarter != stratified(task, y, 0.25, 4)


def test_fewer_texts_in_smaller_batches(program: Program, study: Any) -> None:
    whole, part = (run_of(program, name, "shared") for name in ("headline", "quarter"))
    assert len(study.train_texts(whole)) == 9 * 20
    assert len(study.train_texts(part)) == 9 * 2 * round(0.25 * 10)
    assert study.run_options(whole)["batch_size"] == 32
    assert study.run_options(part)["batch_size"] == 8
    assert len(study.words(0)) == len(study.build(part).vocabulary)


# A run ----------------------------------------------------------------------------------------


def test_goes_on_where_it_was(
    program: Program,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    study = program("_study").Study
    tested: list[tuple[str, int]] = []
    test = study.test

    def spy(self: Any, model: Any, run: Any) -> Any:
        tested.append((run.model, run.seed))
        return test(self, model, run)

    monkeypatch.setattr(study, "test", spy)
    both = ["--models", "shared", "star"]
    start(program, tmp_path, "tune", *both)
    assert tested == []  # dev alone chooses
    assert not (tmp_path / "results" / "accuracy.csv").exists()
    start(program, tmp_path, "run", *both, "--seeds", "1")
    start(program, tmp_path, *both, "--seeds", "0", "1")
    assert tested == [("shared", 1), ("star", 1), ("shared", 0), ("star", 0)]
    rows = rows_of(tmp_path)
    assert (tmp_path / "results" / "accuracy.csv").read_text().splitlines()[0] == COLUMNS
    assert len(rows) == len({(r["model"], r["seed"], r["task"]) for r in rows}) == 2 * 2 * 9
    choices = json.loads((tmp_path / "results" / "accuracy_choices.json").read_text())
    tried = choices["planted"]["headline"]["star"]["tried"]
    assert [one["seed"] for one in tried] == [100, 101]
    printed = capsys.readouterr().out
    assert "hours at most" in printed and "all: better on" in printed
    # The record and the single reviews say the same.
    [row] = [r for r in rows if (r["model"], r["seed"], r["task"]) == ("star", "1", "b2")]
    single = program("_record").read(tmp_path / "results" / "accuracy_reviews.csv")
    [kept] = [r for r in single if (r["model"], r["seed"]) == ("star", "1")]
    tested = program("_study").Study("planted", tmp_path, quick=True).reviews(1)
    right = program("_reviews").unpack(kept["right"], len(tested.task))
    assert kept["texts"] == tested.name
    assert float(right[tested.task == 4].float().mean()) == pytest.approx(
        float(row["test"]), abs=5e-5
    )
    # So do the table and the bootstrap.
    [found] = program("_record").read(tmp_path / "results" / "accuracy_bootstrap.csv")
    score = {
        model: sum(float(r["test"]) for r in rows if r["model"] == model) / 18
        for model in ("shared", "star")
    }
    difference = 100 * (score["star"] - score["shared"])
    assert float(found["difference"]) == pytest.approx(difference, abs=0.02)
    assert float(found["low"]) <= difference <= float(found["high"])


def test_single_reviews_are_kept_to_the_bit_and_with_their_texts(program: Program) -> None:
    reviews = program("_reviews")
    for number in (1, 8, 13):
        right = torch.rand(number, generator=torch.Generator().manual_seed(number)) < 0.5
        assert torch.equal(reviews.unpack(reviews.pack(right), number), right)
    text, task = torch.tensor([5, 6, 6]), torch.tensor([0, 0, 1])
    tested = reviews.Reviews(text, task, {"all": torch.ones(3, dtype=torch.bool)})
    sides = {"model": "star"}, {"model": "shared"}
    rows = [
        {"dataset": "x", "setting": "y", **side, "seed": "0", "texts": tested.name, "right": right}
        for side, right in zip(sides, ("e0", "80"), strict=True)  # bits 111 and 100
    ]
    mean, low, high = reviews.review_interval(rows, sides, ["0"], "all", lambda seed: tested)
    assert mean == 0.75 and low <= mean <= high  # a half of task 0, and all of task 1
    assert reviews.review_interval(rows[:1], sides, ["0"], "all", lambda seed: tested) is None
    others = tested._replace(text=text.flip(0))
    with pytest.raises(SystemExit, match="x, y, star, 0: expected a run on 3-"):
        reviews.review_interval(rows, sides, ["0"], "all", lambda seed: others)


def test_real_reviews(program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "tests" / "datasets"))
    tiny = program("tiny_fdu_mtl")
    source = tiny.write_folder(tmp_path / "source", tiny.CONTENT)
    program("_examples")
    monkeypatch.setattr(program("text_classification"), "FDUMTL", tiny.TinyFDUMTL)
    monkeypatch.setattr(program("_vectors"), "FDUMTL", tiny.TinyFDUMTL)
    places = ["--root", str(tmp_path / "root"), "--source", str(source), "--data", "fdu-mtl"]
    start(program, tmp_path, *places, "--models", "shared", "complete", "--seeds", "0", "1")
    rows = rows_of(tmp_path)
    assert {row["reviews"] for row in rows} == {"all", "unleaked"}
    [kept] = [
        row
        for row in rows
        if (row["model"], row["seed"], row["task"], row["reviews"])
        == ("shared", "0", "books", "unleaked")
    ]
    assert float(kept["test"]) in (0.0, 1.0)  # one of the three test texts of books is not leaked
    assert len(list((tmp_path / "out").glob("vectors-fdu-mtl-4-*.pt"))) == 1


def test_budget_scales_given_seconds(program: Program, study: Any, tmp_path: Path) -> None:
    choices = program("_tuning").Choices(tmp_path / "none.json")
    cost = program("_budget").EpochCost(study, {"star": 100.0}, [], choices)
    assert cost(run_of(program, "headline", "star")) == 100
    assert cost(run_of(program, "tenth", "star")) == 10
    assert cost(run_of(program, "headline", "shared")) < 50  # measured: tiny
    study.options["epochs"] = 36
    jobs = [(run_of(program, "headline", "star", seed), "run") for seed in range(5)]
    printed = program("_budget").budget(jobs, study, cost)
    assert printed.splitlines()[-1].split()[-1] == "5.00"


def test_a_second_process_takes_no_run_that_is_done(
    program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start(program, tmp_path, "tune", "--models", "shared")
    study = program("_study").Study
    train = study.train

    def slow(self: Any, run: Any, *rest: Any, **kwargs: Any) -> Any:
        monkeypatch.setattr(study, "train", train)  # meanwhile another process does it all
        start(program, tmp_path, "run", "--models", "shared", "--seeds", "1")
        return train(self, run, *rest, **kwargs)

    monkeypatch.setattr(study, "train", slow)
    start(program, tmp_path, "run", "--models", "shared", "--seeds", "0", "1")
    assert Counter(row["seed"] for row in rows_of(tmp_path)) == {"0": 9, "1": 9}


def test_unknown_stage(
    program: Program, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["accuracy.py", "brew"])
    with pytest.raises(SystemExit):
        program("accuracy").main()
    said = capsys.readouterr().err
    assert f"expected stages of {program('accuracy').STAGES}, got ['brew']" in said
