"""The tagging benchmark runs on tiny files, goes on where it was, and counts as the scorers do."""

from __future__ import annotations

import argparse
import csv
import json
import random
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from mtgnn.metrics import score_spans
from mtgnn.nn import TaggingModel

COLUMNS = "corpus,task,model,head,seed,dev,test,unknown_words,sentences_per_s"
TAGS = ["O", "B-A", "I-A", "B-B", "I-B"]

Program = Callable[[str], ModuleType]


def options(program: Program, tmp_path: Path, *more: str) -> argparse.Namespace:
    """A command line on tiny files and models, with one epoch and seed."""
    given = ["--quick", "--root", str(tmp_path / "data"), "--epochs", "1", "--seeds", "0"]
    given += ["--csv", str(tmp_path / "record.csv"), "--out", str(tmp_path / "out"), *more]
    found: argparse.Namespace = program("tagging").read_options(given)
    return found


def start(
    program: Program, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *more: str
) -> list[dict[str, str]]:
    """Run the program; the rows of its record."""
    line = ["--quick", "--root", str(tmp_path / "data"), "--epochs", "1", "--seeds", "0"]
    line += ["--csv", str(tmp_path / "record.csv"), "--out", str(tmp_path / "out"), *more]
    monkeypatch.setattr(sys, "argv", ["tagging.py", *line])
    threads = torch.get_num_threads()
    program("tagging").main()
    torch.set_num_threads(threads)
    with (tmp_path / "record.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def draw(seed: int, sentences: int = 9) -> tuple[list[list[int]], list[list[int]]]:
    """Predicted and true tags of sentences."""
    random_ = random.Random(seed)
    true = [random_.choices(range(len(TAGS)), k=random_.randrange(1, 9)) for _ in range(sentences)]
    return [[t if random_.random() < 0.6 else 1 for t in row] for row in true], true


def names(rows: list[list[int]]) -> list[list[str]]:
    return [[TAGS[number] for number in row] for row in rows]


def test_counts_add_up_to_the_scorers_f1(program: Program) -> None:
    scores = program("_tagging_scores")
    predicted, true = draw(1)
    counts = scores.count(predicted, true, TAGS)
    expected = score_spans(names(predicted), names(true)).overall
    assert counts.sum(0).tolist() == [expected.correct, expected.predicted, expected.true]
    assert scores.score(counts.sum(0)) == pytest.approx(expected.f1) and 0 < expected.f1 < 1
    assert scores.score(np.zeros(3)) == 0


def test_words_without_a_label_do_not_count(program: Program) -> None:
    scores = program("_tagging_scores")
    counts = scores.count([[1, 2, 3], [1]], [[1, -100, 4], [-100]], None)
    assert counts.tolist() == [[1, 2, 2], [0, 0, 0]]
    with pytest.raises(ValueError, match="label for every word"):
        scores.count([[1, 2]], [[1, -100]], TAGS)


def test_the_interval_is_that_of_scores_of_drawn_sentences(program: Program) -> None:
    scores = program("_tagging_scores")
    seeds = [draw(seed, 30) for seed in (1, 2)]
    true = seeds[0][1]
    better = [[[t if i % 4 else 1 for i, t in enumerate(row)] for row in true] for _ in seeds]
    worse = [[[t if i % 2 else 1 for i, t in enumerate(row)] for row in true] for _ in seeds]
    sides = [
        np.stack([scores.count(predicted, true, TAGS) for predicted in side])
        for side in (better, worse)
    ]
    low, high = scores.sentence_interval(*sides)
    # By hand: sentences are drawn, written out, and scored by the scorer.
    random_ = random.Random(0)
    found = []
    for _ in range(400):
        chosen = random_.choices(range(len(true)), k=len(true))
        f1 = [
            score_spans(
                names([side[0][i] for i in chosen]), names([true[i] for i in chosen])
            ).overall.f1
            for side in (better, worse)
        ]
        found.append(f1[0] - f1[1])
    assert low == pytest.approx(np.percentile(found, 2.5), abs=0.03)
    assert high == pytest.approx(np.percentile(found, 97.5), abs=0.03)
    assert scores.sentence_interval(sides[0], sides[0]) == (0, 0)
    with pytest.raises(ValueError, match="same sentences"):
        scores.sentence_interval(sides[0], sides[1][:, :-1])


def test_models_and_tasks(program: Program) -> None:
    plan = program("_tagging_plan")
    scopes = ["conll2000", "ud-ewt", "wnut17", "joint"]
    found = list(plan.runs(scopes, plan.MODELS, plan.HEADS, [0, 1]))
    assert len(found) == len(set(found)) == 2 * 2 * (7 + 6 + 1 + 5)
    assert [run.seed for run in found] == sorted(run.seed for run in found)
    models = {scope: {run.model for run in found if run.scope == scope} for scope in scopes}
    assert models["conll2000"] == set(plan.MODELS) and models["wnut17"] == {"single"}
    assert models["ud-ewt"] == set(plan.MODELS) - {"hierarchical"}
    assert models["joint"] == set(plan.MODELS) - {"single"}
    assert all(len(run.tasks) == 1 for run in found if run.model == "single")
    keys = [tuple(k.values()) for run in found for k in run.keys]
    assert len(keys) == len(set(keys))
    assert ("joint:wnut17", "ner", "star", "crf", "1") in keys
    graph = plan.levels(("pos", "chunk", "upos", "ner"))
    assert [[graph.tasks[k] for k in level] for level in graph.generations()] == [
        ["pos", "upos"],
        ["chunk"],
        ["ner"],
    ]


def test_models_differ_in_the_encoder_alone(program: Program, tmp_path: Path) -> None:
    plan, train = program("_tagging_plan"), program("_tagging_train")
    bench = train.Bench(options(program, tmp_path))
    sizes = set()
    for run in plan.runs(["conll2000"], plan.MODELS[1:], ["crf"], [3]):
        model = bench.build(run, 0.5)
        assert model.encoder.bidirectional and model.encoder.hidden_size == 6
        sizes.add((model.words.embedding.weight.shape, model.words.output_size))
        assert model.heads.crfs is not None
    assert len(sizes) == 1
    star = bench.build(plan.Run("conll2000", ("pos", "chunk"), "star", "softmax", 0), 0.0)
    assert star.encoder.concat_messages and star.encoder.common is not None


def test_answers_are_those_of_the_model(program: Program, tmp_path: Path) -> None:
    plan, train = program("_tagging_plan"), program("_tagging_train")
    bench = train.Bench(options(program, tmp_path))
    run = plan.Run("joint", ("pos", "chunk", "upos", "xpos", "ner"), "complete", "crf", 0)
    model: TaggingModel = bench.build(run, 0.0)
    answers = bench.answers(run, model)
    assert [key[1] for key in answers] == list(run.tasks)
    for (name, task), answer in answers.items():
        test = bench.corpus(name).parts["test"]
        tagged = model.predict([item.words for item in test], task)
        predicted = [[answer.tags[i] for i in row] for row in answer.predicted]
        assert predicted == [tags[task] for tags in tagged]
        true = [item.tags[task] for item in test]
        words = [w for item in test for w in item.words]
        new = [w not in bench.corpus(name).words() for w in words]
        right = [p == t for p, t in zip(sum(predicted, []), sum(true, []), strict=True)]
        unknown = [r for r, n in zip(right, new, strict=True) if n]
        assert answer.unknown_words == pytest.approx(sum(unknown) / len(unknown))
        spans = task in ("chunk", "ner")
        expected = score_spans(predicted, true).overall.f1 if spans else sum(right) / len(right)
        assert answer.test == pytest.approx(expected)


def test_few_labels(program: Program, tmp_path: Path) -> None:
    train, plan = program("_tagging_train"), program("_tagging_plan")
    whole = train.Bench(options(program, tmp_path)).corpus("conll2000")
    few, more = whole.draw(5, 1), whole.draw(9, 1)
    texts = [[item.words for item in corpus.parts["train"]] for corpus in (few, more)]
    assert len(texts[0]) == 5 and len(texts[1]) == 9 and texts[1][:5] == texts[0]
    assert texts[0] != [item.words for item in whole.draw(5, 2).parts["train"]]
    assert few.parts["test"] is whole.parts["test"]
    with pytest.raises(ValueError, match="expected 1 to 60 sentences, got 61"):
        whole.draw(61, 0)
    bench = train.Bench(options(program, tmp_path, "--labels", "5"))
    run = plan.Run("joint", ("pos", "chunk", "upos", "xpos", "ner"), "star", "crf", 0)
    assert len(bench.prepare(run).train) == 3 * 5  # of each corpus, each read once for its tasks
    assert len(bench.prepare(run).dev) == 3 * 20


def test_learning_rates_fall_to_zero(program: Program) -> None:
    decay = program("_tagging_train").LinearDecay()
    parameter = torch.nn.Parameter(torch.zeros(1))
    groups = [{"params": [parameter], "lr": 0.8}, {"params": [torch.nn.Parameter()], "lr": 8.0}]
    optimiser = torch.optim.SGD(groups)
    trainer = argparse.Namespace(estimated_stepping_batches=4, optimizers=[optimiser])
    rates = []
    for trainer.global_step in range(4):
        decay.on_train_batch_start(trainer)
        rates.append([group["lr"] for group in optimiser.param_groups])
    assert rates == [pytest.approx(pair) for pair in ([0.8, 8], [0.6, 6], [0.4, 4], [0.2, 2])]


def test_goes_on_where_it_was(
    program: Program,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    some = ["--scopes", "conll2000", "--models", "single", "complete", "--heads", "crf"]
    rows = start(program, monkeypatch, tmp_path, *some)
    record = tmp_path / "record.csv"
    assert record.read_text().splitlines()[0] == COLUMNS
    assert [(r["task"], r["model"]) for r in rows] == [
        ("pos", "single"),
        ("chunk", "single"),
        ("pos", "complete"),
        ("chunk", "complete"),
    ]
    said = capsys.readouterr().out
    assert "estimate:" in said and "3 of 3 runs" in said
    scores = program("_tagging_scores")
    known = program("_record").read(tmp_path / "record_counts.csv")
    assert len(known) == len(rows)
    for row in rows:
        path = scores.prediction_file(tmp_path / "out", row)
        [each] = [scores.unpack(r) for r in known if scores.key(r) == scores.key(row)]
        with np.load(path) as kept:
            assert kept["lengths"].sum() == len(kept["predicted"]) == len(kept["true"])
            counts = scores.count([kept["predicted"]], [kept["true"]], None)[0]
            assert len(each) == len(kept["lengths"]) == 25
        total = scores.score(each.sum(0))
        assert float(row["test"]) == pytest.approx(total, abs=1e-5)
        if row["task"] == "pos":
            assert float(row["test"]) == pytest.approx(counts[0] / counts[1], abs=1e-5)

    sizes = program("_record").read(tmp_path / "record_sizes.csv")
    assert [(r["tasks"], r["model"]) for r in sizes] == [
        ("pos", "single"),
        ("chunk", "single"),
        ("pos chunk", "complete"),
    ]
    # Two directions of an LSTM with inputs of 8 + 4 and states of 6; by hand.
    size = 2 * 4 * 6 * (12 + 6 + 2)
    assert [int(r["encoder"]) for r in sizes[:2]] == [size, size]
    assert int(sizes[2]["encoder"]) > 2 * size
    assert all(int(r["parameters"]) > int(r["encoder"]) for r in sizes)

    # A run that was cut off is made again, and comes out the same; what is there stays.
    lines = record.read_text().splitlines(keepends=True)
    record.write_text("".join(lines[:-1]))
    again = start(program, monkeypatch, tmp_path, *some)
    assert "1 of 1 runs" in capsys.readouterr().out
    assert [{**r, "sentences_per_s": ""} for r in again] == [
        {**r, "sentences_per_s": ""} for r in rows
    ]
    before = record.read_text()
    start(program, monkeypatch, tmp_path, *some, "--summary")
    said = capsys.readouterr().out
    assert record.read_text() == before and "conll2000, chunk" in said
    [line] = [t for t in said.split("conll2000, chunk")[1].splitlines() if "complete" in t]
    assert f"{100 * float(rows[3]['test']):.2f}" in line and line.endswith("]; 1 seed")
    other = [*some[2:], "--hidden-size", "7"]
    with pytest.raises(SystemExit, match="of conll2000 with hidden_size 6 .now 7."):
        start(program, monkeypatch, tmp_path, "--scopes", "conll2000", "wnut17", *other)
    # Of a scope without results, settings may be others.
    start(program, monkeypatch, tmp_path, "--scopes", "wnut17", *other)
    assert len(program("_record").read(record)) == 5
    (tmp_path / "record_settings.json").unlink()
    with pytest.raises(SystemExit, match="of what settings"):
        start(program, monkeypatch, tmp_path, *some)


def test_edges_and_words_of_graphs_stand_beside_the_record(
    program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graphs = program("_tagging_graphs")
    monkeypatch.setattr(graphs, "MIN_COUNT", 2)
    some = ["--scopes", "joint", "--models", "shared", "complete", "star", "--heads", "softmax"]
    start(program, monkeypatch, tmp_path, *some, "--score", "dot", "--seeds", "0", "1")
    read = program("_record").read
    edges, words = (read(tmp_path / f"record_{name}.csv") for name in ("graphs", "words"))
    tasks = ("pos", "chunk", "upos", "xpos", "ner")
    pairs = {(a, b) for a in tasks for b in tasks if a != b}
    for seed in ("0", "1"):
        own = [row for row in edges if row["model"] == "complete" and row["seed"] == seed]
        assert {(row["sender"], row["receiver"]) for row in own} == pairs and len(own) == len(pairs)
        for task in tasks:
            weights = [float(row["attention"]) for row in own if row["receiver"] == task]
            assert sum(weights) == pytest.approx(1, abs=1e-3)
        star = [row for row in edges if row["model"] == "star" and row["seed"] == seed]
        assert [(row["sender"], row["receiver"]) for row in star] == [("shared", t) for t in tasks]
        assert {row["attention"] for row in star} == {"1.0000"}
        assert all(float(row["error"]) > 0 for row in (*own, *star))
        assert any(float(row["change"]) > 0.001 for row in own)
    assert {row["model"] for row in edges} == {"complete", "star"}
    assert {row["model"] for row in words} == {"complete"} and words
    complete = [row for row in edges if row["model"] == "complete"]
    by_seed = graphs.seed_graphs(complete)
    assert list(by_seed) == ["seed 0", "seed 1"]
    for seed, graph in by_seed.items():
        [row] = [
            row
            for row in complete
            if (row["sender"], row["receiver"], f"seed {row['seed']}") == ("pos", "ner", seed)
        ]
        place = graph.edges.index(("pos", "ner"))
        assert float(graph.edge_weight[place]) == pytest.approx(float(row["attention"]), abs=1e-6)
    told = graphs.agreement(complete)
    assert re.search(r"receivers: -?\d\.\d\d, -?\d\.\d\d; of any two seeds, attention: -?\d", told)
    header, table = graphs.graph_table(edges, words)
    assert len(table) == len(pairs) + len(tasks) and {len(row) for row in table} == {len(header)}
    again = len(edges), len(words)
    record = tmp_path / "record.csv"
    lines = record.read_text().splitlines(keepends=True)
    record.write_text("".join(line for line in lines if ",complete," not in line))
    start(program, monkeypatch, tmp_path, *some, "--score", "dot", "--seeds", "0", "1")
    found = [len(read(tmp_path / f"record_{name}.csv")) for name in ("graphs", "words")]
    assert tuple(found) == again


def test_a_mailbox_of_one_sender_has_effects_and_no_attention(
    program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    some = ["--scopes", "conll2000", "--models", "star", "--heads", "softmax", "--memory", "all"]
    start(program, monkeypatch, tmp_path, *some)
    edges = program("_record").read(tmp_path / "record_graphs.csv")
    assert [(row["receiver"], row["attention"]) for row in edges] == [("pos", ""), ("chunk", "")]
    assert all(float(row["change"]) for row in edges)
    assert not (tmp_path / "record_words.csv").exists()


def test_what_nodes_have_beside_a_common_part_may_learn_slower(
    program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, plan = program("_tagging_train"), program("_tagging_plan")
    given: list[dict[str, float]] = []
    fit = train.fit

    def spy(*parts: Any, **named: Any) -> Any:
        given.append(named["learning_rates"])
        return fit(*parts, **named)

    monkeypatch.setattr(train, "fit", spy)
    bench = train.Bench(options(program, tmp_path, "--own-rate", "0.1"))
    for model in ("star", "shared_private"):
        [run] = plan.runs(["conll2000"], [model], ["softmax"], [0])
        bench.train(run, 0.02)
    star, other = given
    own = ("nodes.pos", "nodes.chunk", "virtual.shared")
    assert {name: star[name] for name in own} == pytest.approx(dict.fromkeys(own, 0.002))
    assert not {*star} - {*own} and not other


@pytest.mark.parametrize("model", ["star", "complete"])
def test_what_nodes_have_beside_a_common_part_may_be_narrow(
    program: Program, tmp_path: Path, model: str
) -> None:
    train, plan = program("_tagging_train"), program("_tagging_plan")
    [run] = plan.runs(["conll2000"], [model], ["softmax"], [0])
    bench = train.Bench(options(program, tmp_path, "--own-rank", "0"))
    node = bench.build(run, 0.0).encoder.nodes["pos"]
    assert node.rank == 0
    assert all(parameter.dim() == 1 for parameter in node.parameters())


def test_a_difference_says_how_seeds_differ(program: Program) -> None:
    scores = program("_tagging_scores")
    same = {"corpus": "conll2000", "task": "pos", "head": "crf"}
    rows = [
        {**same, "model": model, "seed": str(seed), "test": str(test)}
        for model, tests in (("single", (0.5, 0.5, 0.5)), ("star", (0.51, 0.52, 0.53, 0.9)))
        for seed, test in enumerate(tests)
    ]
    own = rows[3:]
    # Of the seeds that both have: 1, 2 and 3 points; t = 4.303 of three, deviation 1.
    expected = "+2.00 (counts are missing); 3 seeds ± 2.48"
    assert scores.difference(own, rows, []) == expected
    assert scores.difference(own[:2], rows, []) == "+1.50 (counts are missing); 2 seeds"
    assert scores.difference(own[:1], rows, []) == "+1.00 (counts are missing); 1 seed"


def test_an_option_beside_its_absence(program: Program) -> None:
    """On the seeds that both records have."""
    same = {"corpus": "conll2000", "task": "pos", "head": "crf"}

    def record(*tests: float, model: str = "single") -> list[dict[str, str]]:
        return [
            {**same, "model": model, "seed": str(n), "dev": str(t - 0.1), "test": str(t)}
            for n, t in enumerate(tests)
        ]

    without = [*record(0.5, 0.6, 0.9), *record(0.1, model="star")]
    table = program("_tagging_tables").tagging_option_table
    header, lines = table(record(0.52, 0.64), [], without, [], ("with", "without"))
    assert header[4:] == [
        *("dev, with", "dev, without", "test, with", "test, without"),
        "with minus without",
    ]
    means = ["48.00 ± 8.49", "45.00 ± 7.07", "58.00 ± 8.49", "55.00 ± 7.07"]
    ahead = "+3.00 (counts are missing); 2 seeds"
    assert lines == [["conll2000", "pos", "single", "crf", *means, ahead]]
    assert not table(record(0.5, model="shared"), [], without, [], ("with", "without"))[1]


def test_a_table_does_not_tell_when_its_rows_were_made(program: Program) -> None:
    made = [
        {"corpus": corpus, "task": task, "model": model, "head": head, "seed": str(seed)}
        for corpus, tasks in (("conll2000", ("pos", "chunk")), ("joint:wnut17", ("ner",)))
        for head in ("crf", "softmax")
        for model in ("single", "shared_private", "star")
        for task in tasks
        for seed in (0, 1)
    ]
    figures = {"test": "0.5", "unknown_words": "0.4", "dev": "0.6"}
    rows = [{**row, **figures} for row in made]
    tables = program("_tagging_tables")
    mixed = random.Random(1).sample(rows, len(rows))
    for table in (tables.tagging_table, tables.tagging_against_table):
        rest = ([], []) if table is tables.tagging_table else ([],)
        assert table(mixed, *rest) == table(rows, *rest)
    lines = tables.tagging_table(mixed, [], [])[1]
    assert [tuple(line[:4]) for line in lines] == list(
        dict.fromkeys((r["corpus"], r["task"], r["model"], r["head"]) for r in made)
    )


def test_counts_come_back_from_the_record(program: Program) -> None:
    scores = program("_tagging_scores")
    counts = np.random.default_rng(0).integers(0, 400, (50, 3))
    assert (scores.unpack(scores.pack(counts)) == counts).all()


def test_words_in_common(program: Program) -> None:
    graphs = program("_tagging_graphs")
    seeds = {"0": {"the": 0.9, "of": 0.5, "a": 0.4}, "1": {"a": 0.8, "of": 0.3, "in": 0.9}}
    rows = [
        {"seed": seed, "word": word, "weight": str(weight)}
        for seed, own in seeds.items()
        for word, weight in own.items()
    ]
    assert graphs.common_words(rows) == "`a` 0.60, `of` 0.40"
    assert graphs.common_words(rows[:3]) == "`the` 0.90, `of` 0.50, `a` 0.40"
    assert graphs.common_words([]) == "–"


def test_dev_chooses_the_learning_rate(
    program: Program, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tagging, plan = program("tagging"), program("_tagging_plan")
    given = options(program, tmp_path, "--learning-rate", "0.01", "0.02")
    run = plan.Run("conll2000", ("pos", "chunk"), "shared", "crf", 4)

    class Fake:
        options = given
        trained: list[Any] = []

        def train(self, run: Any, rate: float) -> tuple[None, argparse.Namespace]:
            self.trained.append((run.seed, rate))
            score = -abs(rate - 0.05)
            return None, argparse.Namespace(dev_score=score, best_epoch=3, seconds=1.0)

    bench = Fake()
    # 0.02 and then 0.04 are the best and at the end: beyond it are 0.04 and 0.08.
    assert tagging.choose(bench, run) == 0.04
    assert bench.trained == [(100, 0.01), (100, 0.02), (100, 0.04), (100, 0.08)]
    assert tagging.choose(bench, run._replace(seed=5)) == 0.04
    assert len(bench.trained) == 4  # dev scores are kept, beside the record
    kept = json.loads(given.csv.with_name(f"{given.csv.stem}_choices.json").read_text())
    assert kept["conll2000"]["crf"]["shared"]["chosen"] == 0.04
    # Models of one task each have a rate each.
    alone = [plan.Run("conll2000", (task,), "single", "crf", 4) for task in ("pos", "chunk")]
    assert len({tagging.tuned_as(run) for run in alone}) == 2
    with pytest.raises(SystemExit):
        options(program, tmp_path, "--tune-seed", "0")
    assert "--tune-seed is among --seeds" in capsys.readouterr().err
