"""The page of results: from records and a text, by one command, and always up to date."""

from __future__ import annotations

import itertools
import json
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType

import pytest

Program = Callable[[str], ModuleType]
ROOT = Path(__file__).parents[2]
TASKS = ("books", "dvd", "music", "toys", "MR")
# Test accuracy of each model on each task; every further seed lies 0.02 higher.
SCORES = {
    "single": (0.70, 0.71, 0.72, 0.73, 0.74),
    "shared": (0.80, 0.81, 0.82, 0.83, 0.84),
    "star": (0.81, 0.83, 0.85, 0.87, 0.89),
}


def accuracy_rows(
    setting: str, models: Sequence[str], lift: float = 0.0, seeds: Sequence[int] = (0, 1, 2)
) -> list[dict[str, str]]:
    return [
        {
            "dataset": "fdu-mtl",
            "setting": setting,
            "model": model,
            "seed": str(seed),
            "task": task,
            "reviews": reviews,
            "dev": "0.9000",
            "test": f"{SCORES[model][k] + lift + 0.02 * seed - 0.1 * (reviews != 'all'):.4f}",
            "epochs": "4",
            "seconds": "100.0",
            "parameters": "1234567",
        }
        for model in models
        for seed in seeds
        for reviews in ("all", "unleaked")
        for k, task in enumerate(TASKS)
    ]


def write(program: Program, path: Path, rows: list[dict[str, str]]) -> None:
    program("_record").append(path, list(rows[0]), rows)


@pytest.fixture
def results(program: Program, tmp_path: Path) -> Path:
    """Every record, small, and the committed text."""
    folder = tmp_path / "results"
    shutil.copytree(ROOT / "benchmarks" / "results" / "pages", folder / "pages")
    rows = accuracy_rows("headline", ["single", "shared", "star"])
    rows += accuracy_rows("quarter", ["shared", "star"], lift=-0.05)
    rows += accuracy_rows("score-dot", ["star"], lift=-0.06)
    write(program, folder / "accuracy.csv", rows)
    choices = program("_tuning").Choices(folder / "accuracy_choices.json")
    place = ("fdu-mtl", "headline", "star")
    for rate, dev in ((0.001, 0.8), (0.002, 0.9), (0.004, 0.7)):
        choices.add(*place, {"learning_rate": rate, "seed": 100, "dev": dev})
    choices.choose(*place, (0.001, 0.002), (100,))
    interval = {"dataset": "fdu-mtl", "setting": "headline", "model": "star", "against": "shared"}
    interval |= {"reviews": "all", "seeds": "0 1 2"}
    interval |= {"difference": "+3.00", "low": "+1.23", "high": "+4.56"}
    write(program, folder / "accuracy_bootstrap.csv", [interval])
    planted = [
        {
            "model": model,
            "seed": str(seed),
            "task": "mean",
            "dev": "0.8",
            "test": test,
            "epochs": "3",
            "best_epoch": "2",
            "seconds": "9",
            "parameters": "99",
        }
        for seed in (0, 1)
        for model, test in zip(
            ("single", "shared", "star", "oracle"), ("0.7", "0.8", "0.9", "1.0"), strict=True
        )
    ]
    write(program, folder / "planted.csv", planted)
    keys = ("task", "method", "labels", "seed", "reviews", "test")
    every = itertools.product(TASKS[:2], ("scratch", "star"), ("all", "20"), "01", ("all",))
    transfer = [dict(zip(keys, (*row, "0.625"), strict=True)) for row in every]
    write(program, folder / "transfer.csv", transfer[:-1])  # one run is still to come
    planted_transfer = [
        dict(zip(keys, (task, method, "20", seed, "all", str(0.5 + lift)), strict=True))
        for task, ahead in zip(TASKS, (0.01, 0.02, 0.03, 0.04, -0.05), strict=True)
        for seed, more in (("0", 0.01), ("1", 0.02), ("2", 0.03))
        for method, lift in (("shared", 0), ("scratch", 0), ("star", ahead + more))
    ]
    write(program, folder / "transfer_planted.csv", planted_transfer)
    recovery = [
        {
            "shape": "groups",
            "tasks": "9",
            "groups": "3",
            "strength": strength,
            "method": method,
            "seed": str(seed),
            "auroc": str(auroc + 0.05 * (2 * seed - 1)),
            "average_precision": "0.5",
            "accuracy": "0.9",
        }
        for strength in ("0.5", "1.0")
        for method, auroc in (("ablation", 0.55), ("profile (static)", 0.95))
        for seed in (0, 1)
    ]
    write(program, folder / "recovery.csv", recovery)
    graph = {"dataset": "fdu-mtl", "setting": "score-additive", "dev": "0.81"}
    graphs = [
        {**graph, "seed": seed, "readout": how, "sender": i, "receiver": k, "weight": weight}
        for seed, weights in (("0", "123"), ("1", "214"))
        for how in ("attention", "ablation")
        for k in ("books", "dvd", "music", "toys")
        for i, weight in zip([x for x in TASKS[:4] if x != k], weights, strict=True)
    ]
    write(program, folder / "graphs.csv", graphs)
    word = {"dataset": "fdu-mtl", "setting": "score-additive", "seed": "0", "receiver": "dvd"}
    words = [
        {**word, "sender": "toys", "word": said, "weight": weight}
        for said, weight in (("plot", "0.50"), ("dull", "0.40"))
    ]
    write(program, folder / "graphs_words.csv", words)
    tagging = {"corpus": "conll2000", "task": "chunk", "model": "star", "head": "crf", "seed": "0"}
    tagging |= {"dev": "0.93", "test": "0.9321", "unknown_words": "", "sentences_per_s": "321"}
    shared = {**tagging, "model": "shared", "test": "0.9300"}
    write(program, folder / "tagging.csv", [shared, tagging])
    size = {"scope": "conll2000", "tasks": "pos chunk", "model": "star", "head": "crf"}
    sizes = [{**size, "encoder": "12345", "parameters": "98765"}]
    write(program, folder / "tagging_sizes.csv", sizes)
    single = {**tagging, "model": "single", "test": "0.9200"}
    write(program, folder / "tagging_few.csv", [single, tagging, shared])
    write(program, folder / "tagging_few_own.csv", [{**tagging, "test": "0.9331"}])
    write(program, folder / "tagging_characters.csv", [{**tagging, "test": "0.9421"}])
    wide = {**tagging, "model": "shared", "test": "0.9301"}
    write(program, folder / "tagging_wide.csv", [wide])
    write(program, folder / "tagging_wide_sizes.csv", [{**sizes[0], "model": "shared"}])
    size = json.dumps({"conll2000": {"hidden_size": 258}})
    (folder / "tagging_wide_settings.json").write_text(size)
    tries = [{"learning_rate": 0.01, "seed": 100, "dev": 0.9}]
    rates = {"conll2000": {"crf": {"star": {"tried": tries, "chosen": 0.01}}}}
    (folder / "tagging_few_choices.json").write_text(json.dumps(rates))
    speed = {"corpus": "conll2000", "model": "star", "head": "crf"}
    rates = (("train", "123.4", "0.5"), ("tag", "2345.6", "1.25"))
    keys = ("phase", "sentences_per_s", "ratio_to_lstm")
    speeds = [{**speed, **dict(zip(keys, rate, strict=True))} for rate in rates]
    write(program, folder / "tagging_speed.csv", speeds)
    crf = {"work": "decode", "sentences": "16", "words": "25", "tags": "13", "ms": "1.50"}
    crf |= {"ms_plain": "", "ms_pytorch_crf": "6.00", "times_faster": "4.00"}
    write(program, folder / "crf.csv", [crf])
    edge = {"scope": "joint", "model": "complete", "head": "crf", "receiver": "chunk"}
    attention = {"0": ("0.25", "0.50", "0.25"), "1": ("0.75", "0.15", "0.10")}
    change = {"0": ("3", "6", "1"), "1": ("5", "6", "1")}
    edges = [
        {**edge, "receiver": receiver, "seed": seed, "sender": sender}
        | {"attention": attention[seed][n], "change": change[seed][n], "error": "1"}
        for seed in ("0", "1")
        for receiver in ("chunk", "ner", "pos", "upos")
        for n, sender in enumerate(k for k in ("pos", "upos", "ner", "chunk") if k != receiver)
    ]
    write(program, folder / "tagging_graphs.csv", edges)
    said = (("0", "of", "0.9"), ("0", "in", "0.8"), ("1", "in", "0.7"))
    words = [
        {**edge, "seed": seed, "sender": "pos", "word": word, "weight": weight, "occurrences": "20"}
        for seed, word, weight in said
    ]
    write(program, folder / "tagging_words.csv", words)
    return folder


def test_every_record_has_its_tables_and_pictures(
    program: Program, results: Path, tmp_path: Path
) -> None:
    docs = tmp_path / "docs"
    pages = program("report").Report(results, docs).pages()
    assert docs / "results.md" in pages and len(pages) > 1
    text = "\n".join(pages.values())
    for line in (
        "| star | 90.0 ± 0.0 | 0.50 ± 0.00 | 80.0 ± 0.0 | 2 | 99 |",  # planted
        "| star | 87.0 ± 2.0 | 77.0 ± 2.0 | 90.0 ± 0.0 | 3 | 1,234,567 | 100 ± 0 | 4.0 ± 0.0 |",
        # Five differences of one sign: p = 2/2⁵; two baselines: twice as much.
        "| star | single | 3 | +13.0 (+13.0 to +13.0) | 5 of 5 | 0.1250 | – | +13.0 (",
        "| star | shared | 3 | +3.0 (+3.0 to +3.0) | 5 of 5 | 0.1250 | +1.23 to +4.56 | +3.0 (",
        # Against the quarter.
        "| star | score: dot | without the change | 3 | -1.0 (-1.0 to -1.0) | 0 of 5 | 0.0625 |",
        "p below 0.05 in 0 of 9 pairs (all reviews) and 0 of 9 pairs (unleaked reviews).",
        "| star | score: dot | 81.0 ± 2.0 | 71.0 ± 2.0 | 90.0 ± 0.0 | 3 |",
        "| fdu-mtl, all training texts | star | shared: the best published one of 2 | 3 | +3.0 (",
        # Mean over seeds 0 to 2, each 2 points above the one before.
        "| MR | 76.0 | 86.0 | 91.0 |\n| mean | 74.0 | 84.0 | 87.0 |",
        "| model | headline |\n| --- | ---: |\n| star | 0.002 |",
        "| scratch | 62.5 ± 0.0 | 62.5 ± 0.0 |",
        "| star | 62.5 ± 0.0 | unfinished |",
        # One seed has no p; of one that was cut off nothing is said.
        "| 20 | all | scratch | 1 | +0.0 | 0 of 2 | – |",
        # Mean +1, +2, +3 by seed: t = 4.303. Four tasks up by 3 to 6, one down by 3: exact p.
        "| 20 | all | shared | 3 | +3.0 ± 2.5 | 4 of 5 | 0.3750 |",
        "| conll2000 | chunk | star | crf | 93.21 | single is missing | – | 93.00 | 1 | 12,345 |",
        "| conll2000 | chunk | star | crf | +0.21 (counts are missing); 1 seed |",  # minus shared
        "| conll2000 | chunk | star | crf | 93.21 | +1.21 (counts are missing); 1 seed |",  # few
        "| star | crf | 93.00 | 93.00 | 94.21 | 93.21 | +1.00 (counts are missing); 1 seed |",
        "| star | crf | 93.00 | 93.00 | 93.31 | 93.21 | +0.10 (counts are missing); 1 seed |",
        "| conll2000 | chunk | star | crf | 93.31 | +1.31 (counts are missing); 1 seed |",  # slower
        "| conll2000 | chunk | star | crf | +0.31 (counts are missing); 1 seed |",  # minus shared
        "| conll2000 | chunk | shared, H = 258 | crf | 93.01 | single is missing | – | 93.00 | 1 |",
        "head | minus shared, H = 258 |\n",
        "| star | crf | +0.20 (counts are missing); 1 seed |",
        "dev chose, conll2000:\n\n| model | crf |\n| --- | ---: |\n| star | 0.01 |",
        "| decode | 16 | 25 | 13 | 1.50 | – | 6.00 | 4.0 |",
        "| conll2000 | star | crf | 123 | 0.50 | 2,346 | 1.25 |",
        "| joint | complete | crf | chunk | pos | 0.50 ± 0.35 | 4.00 ± 1.41 | `in` 0.75 |",
        # Ranks 1, 2, 3 and 2, 1, 3; both readouts of a seed are the same. Profiles: by numpy.
        "| 2 | 81.0 ± 0.0 | 0.50 | 0.50 | -0.25 | 1.00, 1.00 |",
        "| dvd | toys 3.500, books 1.500, music 1.500 | toys 3.500, books 1.500, music 1.500 |",
        "| dvd | toys | 0 | plot 0.50, dull 0.40 |",
        # t = 12.706 of two
        "| profile (static) | 0.950 ± 0.635 | 0.950 | 0.500 ± 0.000 | 90.0 | – |",
        "| ablation | 0.550 ± 0.635 | 0.550 | 0.500 ± 0.000 | 90.0 | 0.400 ± 0.000 |",  # by seed
    ):
        assert line in text
    assert "*Not run yet:* `python benchmarks/speed.py" in text
    assert "{{" not in text
    images = {path.name for path in (docs / "images").iterdir()}
    recovered = {f"recovery-groups-{strength}.png" for strength in ("0.5", "1.0")}
    accuracy = {f"fdu-mtl-{name}.png" for name in ("headline-models", "headline-tasks", "shares")}
    graphs = {"graphs-fdu-mtl-score-additive.png", "tagging-graphs.png"}
    assert (
        images
        == {"planted.png", "transfer.png", "transfer_planted.png"} | recovered | accuracy | graphs
    )
    for name in images:
        assert f"](images/{name})" in text
        assert (docs / "images" / name).read_bytes().startswith(b"\x89PNG")


def test_models_without_a_common_seed_are_not_compared(program: Program) -> None:
    rows = [
        row
        for row in accuracy_rows("headline", ["single", "shared", "star"], seeds=(0, 1))
        if (row["model"], row["seed"]) not in {("single", "0"), ("star", "1")}
    ]
    tables, ablations = program("_comparison").comparisons(rows, "fdu-mtl", [])
    [line] = tables["headline"][1]
    # One seed alone: nobody knows by how much seeds differ.
    assert line == ["star", "shared", "1", *["+3.0", "5 of 5", "–", "–"] * 2]
    assert ablations[1] == []


def test_rivals_and_changes_of_changes_are_compared(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SCORES, "complete", (0.82,) * 5)
    rows = [
        *accuracy_rows("quarter", ["shared", "star", "complete"]),
        *accuracy_rows("wide", ["shared"], lift=0.01),
        *accuracy_rows("quarter-matched", ["shared"], lift=0.02),
        *accuracy_rows("exchange-read", ["complete"], lift=-0.02),
        *accuracy_rows("score-additive", ["complete"], lift=-0.05),
    ]
    tables, ablations = program("_comparison").comparisons(rows, "fdu-mtl", [])
    told = {tuple(line[:2]): line[3].split(" (")[0] for line in tables["quarter"][1]}
    settings = program("_settings").SETTINGS
    assert told == {
        ("complete", "shared"): "+0.0",
        ("star", "shared"): "+3.0",
        ("complete", "shared, states of 200"): "-1.0",
        ("star", "shared, states of 200"): "+2.0",
        ("complete", f"shared, {settings['quarter-matched'].about}"): "-2.0",
        ("star", f"shared, {settings['quarter-matched'].about}"): "+1.0",
    }
    changed = {tuple(line[:3]): line[4].split(" (")[0] for line in ablations[1]}
    word_by_word = settings["exchange-read"].about
    assert changed == {
        ("shared", "states of 200", "without the change"): "+1.0",
        ("complete", word_by_word, "without the change"): "-2.0",
        ("complete", settings["score-additive"].about, word_by_word): "-3.0",
    }


def test_an_interval_of_other_seeds_is_not_shown(program: Program) -> None:
    rows = accuracy_rows("headline", ["shared", "star"])
    named = {"dataset": "fdu-mtl", "setting": "headline", "model": "star", "against": "shared"}
    interval = {**named, "reviews": "all", "low": "+1.23", "high": "+4.56"}
    known_interval = "+1.23 to +4.56"
    # Of other seeds, or of other runs of these.
    for seeds, mean, shown in (
        ("0 1 2", "+3.0", known_interval),
        ("0 1", "+3.0", "–"),
        ("0 1 2", "+2.9", "–"),
    ):
        known = [{**interval, "seeds": seeds, "difference": mean}]
        tables, _ = program("_comparison").comparisons(rows, "fdu-mtl", known)
        assert tables["headline"][1][0][6] == shown


def test_text_is_kept(program: Program, tmp_path: Path) -> None:
    report = program("report").Report(tmp_path, tmp_path)
    command = "python benchmarks/recovery.py --csv benchmarks/results/recovery.csv"
    template = "# Mine\n\nWhat I think.\n\n{{recovery}}\n\nEnd.\n"
    expected = f"# Mine\n\nWhat I think.\n\n*Not run yet:* `{command}`\n\nEnd.\n"
    assert report.text(template) == expected
    with pytest.raises(ValueError, match="expected a record among .*'weather'"):
        report.text("{{weather}}\n")


def test_every_record_stands_on_one_page(program: Program) -> None:
    report = program("report")
    texts = [path.read_text("utf-8") for path in (report.RESULTS / "pages").glob("*.md")]
    named = [name for text in texts for name in re.findall(r"^\{\{(.*)\}\}$", text, re.MULTILINE)]
    assert sorted(named) == sorted(report.COMMANDS)


def test_committed_pages_are_up_to_date(program: Program) -> None:
    report = program("report")
    for page, text in report.Report(report.RESULTS, report.DOCS, draw=False).pages().items():
        assert page.read_text(encoding="utf-8") == text, "run: python benchmarks/report.py"
    readme = report.README.read_text(encoding="utf-8")
    made = report.Report(report.RESULTS, report.DOCS, draw=False).readme(readme)
    assert readme == made and "| all test reviews | " in made and "| scratch | " in made


def test_what_rounding_leaves_is_no_difference(program: Program) -> None:
    """Two and one of three, rounded, over three seeds: the same number of right reviews."""
    rows = [
        [{"task": "a", "seed": str(n), "test": test} for n, test in enumerate(tests)]
        for tests in (("0.3333", "0.3333", "0.6667"), ("0.6667", "0.6667", "0.0000"))
    ]
    assert program("_comparison").task_differences(*rows) == {"a": 0.0}


def test_share_of_the_gap(program: Program, results: Path) -> None:
    gaps = program("_tables").planted_gaps(program("_record").read(results / "planted.csv"))
    assert gaps["single"] == pytest.approx([-0.5, -0.5])
    assert gaps["shared"] == pytest.approx([0, 0])
    assert gaps["oracle"] == pytest.approx([1, 1])
