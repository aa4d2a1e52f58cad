"""Transfer: what is trained on the new task, and on which texts."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch_geometric.data import Data

Program = Callable[[str], ModuleType]


RATES = dict.fromkeys(
    ("complete", "star", "shared", "shared_private", "adversarial", "shared_mailbox"), 0.01
)


@pytest.fixture
def run(program: Program, tmp_path: Path) -> Any:
    options: dict[str, Any] = {
        "data": "planted",
        "quick": True,
        "leave_out": 1,
        "share": 1.0,
        "out": tmp_path,
        "vectors": None,
        "max_length": 9,
        "min_count": 1,
        "hidden_size": 4,
        "embedding_size": 4,
        "dropout": 0.2,
        "epochs": 1,
        "patience": None,
        "batch_size": 32,
        "learning_rate": 0.01,
        "adapt_epochs": 1,
        "adapt_patience": None,
        "adapt_learning_rate": [0.01, 0.02],
        "methods": ["star", "shared"],
        "tuning_seed": 101,
        "updates": 3,
        "weight_decay": 1e-3,
        "clip": 1.0,
        "accelerator": "cpu",
    }
    return program("_transfer").Run(argparse.Namespace(**options), 100, RATES)


def adapted(program: Program, run: Any, name: str) -> tuple[Any, dict[str, torch.Tensor]]:
    """A model that was adapted to b1, and its parameters before."""
    fit, before = run.fit, {}

    def spy(model: Any, train: Any, dev: Any, how: Any) -> Any:
        if "b1" in model.tasks:
            before.clear()
            before.update({n: value.clone() for n, value in model.state_dict().items()})
            run.last = model
        return fit(model, train, dev, how)

    run.fit = spy
    run.adapt(name, "b1", "8", 0.01)
    return run.last, before


@pytest.mark.parametrize(
    "name", ["complete", "complete-mailbox", "complete-own", "star", "star-head", "shared_private"]
)
def test_what_others_know_stays(program: Program, run: Any, name: str) -> None:
    model, before = adapted(program, run, name)
    changed = {n for n, value in model.state_dict().items() if not value.equal(before[n])}
    assert any("heads" in one for one in changed) and any("b1" in one for one in changed)
    assert any("nodes.b1" in one for one in changed) == (name != "star-head")
    others = {one for one in changed if "b1" not in one}
    assert bool(others) == (name in ("complete", "complete-mailbox"))
    assert all("logit" in one for one in others)
    senders = len(run.tasks) - 1
    for one in others:  # edges into the new task come last
        assert model.state_dict()[one][:-senders].equal(before[one][:-senders])


@pytest.mark.parametrize(
    "name", ["star-tuned", "shared-tuned", "shared_private-tuned", "star-scratch", "scratch"]
)
def test_where_nothing_is_frozen_all_learns(program: Program, run: Any, name: str) -> None:
    model, before = adapted(program, run, name)
    unchanged = {n for n, value in model.state_dict().items() if value.equal(before[n])}
    b1 = [n for n in unchanged if "b1" in n or "virtual" in n or ".lstm" in n]
    assert b1 == [] and "embedding.weight" not in unchanged
    assert len(model.tasks) == (1 if name.endswith("scratch") else len(run.tasks))


@pytest.mark.parametrize("encoder", ["shared_private", "adversarial"])
def test_a_head_of_what_is_shared_hears_nothing_else(
    program: Program, run: Any, encoder: str
) -> None:
    model, before = adapted(program, run, f"{encoder}-head")
    changed = {n for n, value in model.state_dict().items() if not value.equal(before[n])}
    assert changed and all(n.startswith("heads.heads.b1.") for n in changed)
    tokens, task = torch.tensor([[3, 4, 5]]), torch.tensor([model.tasks.index("b1")])
    out, _ = model.encoder(model.embedding(tokens), torch.tensor([3]), task)
    shared, own = model.encoder.split(out)
    assert shared.all() and not own.any()


def test_a_control_of_one_node_has_a_head_more(program: Program, run: Any) -> None:
    model, before = adapted(program, run, "shared_mailbox")
    changed = {n for n, value in model.state_dict().items() if not value.equal(before[n])}
    assert changed and all(n.startswith("heads.heads.b1.") for n in changed)
    others = run.pretrained(program("_transfer_methods").METHODS["shared_mailbox"], "b1").eval()
    batch = torch.tensor([[3, 4, 5], [4, 3, 0]]), torch.tensor([3, 2]), torch.tensor([0, 4])
    assert others.tasks == model.tasks[:-1]
    torch.testing.assert_close(others(*batch), model.eval()(*batch))


def test_few_texts_are_read_several_times_an_epoch(program: Program, run: Any) -> None:
    passes = program("_passes")
    assert [passes.passes_for(30, texts, 4) for texts in (20, 21, 120, 500)] == [6, 5, 1, 1]
    seen: list[tuple[int, Any]] = []
    run.fit = lambda model, train, dev, how: seen.append((len(train), how))
    texts = run.texts.of("train", "b1", 0)
    run.texts.of = lambda *_: 3 * texts
    for labels in ("8", "20", "all"):
        run.adapt("scratch", "b1", labels, 0.02)
    assert [number for number, _ in seen] == [8, 20, 72]
    assert [how["batch_size"] for _, how in seen] == [4, 4, 12]
    assert {(h["learning_rate"], h["updates"], h["weight_decay"]) for _, h in seen} == {
        (0.02, 3, 0)
    }


def test_passes_have_batches_of_their_own(program: Program, run: Any) -> None:
    train, dev = (run.texts.of(part, "b1", 0)[:10] for part in ("train", "dev"))
    data = program("_passes").SeveralPasses(
        3, train, dev, None, run.vocabulary, batch_size=4, max_length=9, seed=0
    )
    epoch = argparse.Namespace(current=argparse.Namespace(processed=0))
    data.trainer = argparse.Namespace(fit_loop=argparse.Namespace(epoch_progress=epoch))
    batches = data.train_dataloader().batch_sampler
    first = list(batches)
    assert len(first) == len(batches) == 9
    for start in (0, 3, 6):  # no text twice in a pass
        assert sorted(i for batch in first[start : start + 3] for i in batch) == list(range(10))
    assert first[:3] != first[3:6] and list(batches) == first
    epoch.current.processed = 1
    assert list(batches) != first


def test_trained_models_are_kept_apart(program: Program, run: Any) -> None:
    methods = program("_transfer_methods").METHODS
    for name in ("complete", "complete-own", "star"):
        run.start(methods[name], "a1")
    files = sorted(run.options.out.rglob("*.pt"))
    assert len(files) == 3
    written = [path.stat().st_mtime_ns for path in files]
    run.start(methods["star-tuned"], "a1")  # starts from what "star" starts from
    run.options.adapt_epochs = 7  # says nothing of that
    again = program("_transfer").Run(run.options, 100, RATES)
    again.start(methods["star-head"], "a1")
    assert [path.stat().st_mtime_ns for path in sorted(run.options.out.rglob("*.pt"))] == written
    program("_transfer").Run(run.options, 100, {"star": 0.02}).start(methods["star"], "a1")
    assert len(list(run.options.out.rglob("*.pt"))) == 4


def test_rates_are_those_that_accuracy_chose(
    program: Program, run: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    transfer = program("_transfer")
    assert transfer.rates(run.options) == {"star": 0.01, "shared": 0.01}  # as was said
    run.options.learning_rate, run.options.data = None, "fdu-mtl"
    choices = program("_tuning").Choices(tmp_path / "choices.json")
    monkeypatch.setattr(transfer, "CHOICES", choices.path)
    grid = program("_settings").PROTOCOLS["fdu-mtl"].grid
    for encoder in ("star", "shared"):
        with pytest.raises(SystemExit, match=encoder):
            transfer.rates(run.options)
        for rate in grid:
            tried = {"learning_rate": rate, "seed": 100, "dev": 0.5 + (rate == grid[1])}
            choices.add("fdu-mtl", "quarter", encoder, tried)
    assert transfer.rates(run.options) == {"star": grid[1], "shared": grid[1]}
    tried = {"learning_rate": grid[0], "seed": 100, "dev": 2.0}  # unfinished: it stands at an end
    choices.content["fdu-mtl"]["quarter"]["star"]["tried"][0] = tried
    choices._write()
    with pytest.raises(SystemExit, match="not yet tried"):
        transfer.rates(run.options)


def test_a_record_has_results_of_one_kind(program: Program, tmp_path: Path) -> None:
    keep, record = program("_settings_file").keep_settings, tmp_path / "deep" / "record.csv"
    keep(record, {"epochs": 3, "rates": (0.1, 0.2)})
    keep(record, {"epochs": 4, "rates": (0.1, 0.2)})  # there are no results yet
    program("_record").append(record, ("test",), [{"test": "1"}])
    keep(record, {"epochs": 4, "rates": (0.1, 0.2)})
    with pytest.raises(SystemExit, match=r"results with epochs 4 .now 5.: choose another --csv"):
        keep(record, {"epochs": 5, "rates": (0.1, 0.2)})
    (tmp_path / "deep" / "record_settings.json").unlink()
    with pytest.raises(SystemExit, match="does not say of what settings"):
        keep(record, {"epochs": 4, "rates": (0.1, 0.2)})


@pytest.fixture
def transfer(program: Program) -> Iterator[ModuleType]:
    """The program; an example has the same name."""
    sys.modules.pop("transfer", None)
    yield program("transfer")
    del sys.modules["transfer"]


def test_the_program_goes_on_where_it_was(
    program: Program,
    transfer: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    record = tmp_path / "record.csv"
    some = [
        "--quick",
        "--csv",
        str(record),
        "--out",
        str(tmp_path),
        "--seeds",
        "0",
        "--tasks",
        "a1",
    ]
    some += ["--hidden-size", "4", "--embedding-size", "4", "--epochs", "1", "--adapt-epochs", "1"]
    some += ["--updates", "2", "--labels", "8", "--accelerator", "cpu"]
    some += ["--adapt-learning-rate", "0.01", "0.02", "--methods"]
    for methods in (["scratch"], ["scratch", "star"]):
        monkeypatch.setattr("sys.argv", ["transfer.py", *some, *methods])
        transfer.main()
    record_of = program("_record").read
    rows = record_of(record)
    assert [(row["task"], row["method"], row["labels"]) for row in rows] == [
        ("a1", "scratch", "8"),
        ("a1", "star", "8"),
    ]
    said = capsys.readouterr().out
    assert said.count("a1 scratch 8 0 ") == 1 and said.count("tune scratch 8 0.01 ") == 1
    scratch, star = record_of(tmp_path / "record_runs.csv")
    assert (scratch["pretrained_at"], star["pretrained_at"]) == ("", "0.005")
    tried = program("_tuning").Choices(tmp_path / "record_choices.json")
    for row in (scratch, star):
        own = tried.content["planted"]["8"][row["method"]]
        assert float(row["learning_rate"]) == own["chosen"]
        assert {one["seed"] for one in own["tried"]} == {100} and len(own["tried"]) >= 2
        bits = program("_reviews").unpack(row["right"], 10)
        [test] = [r["test"] for r in rows if r["method"] == row["method"]]
        assert float(test) == pytest.approx(float(bits.double().mean()), abs=1e-4)
    other = ["transfer.py", *some, "star", "--learning-rate", "0.1"]
    monkeypatch.setattr("sys.argv", other)
    with pytest.raises(SystemExit, match="learning_rate 0.005 .now 0.1"):
        transfer.main()
    kept = argparse.Namespace(csv=record, methods=["star"])
    with pytest.raises(SystemExit, match="star from models trained at 0.005, now it would be 0.1"):
        transfer.check_rates(kept, {"star": 0.1})
    monkeypatch.setattr("sys.argv", ["transfer.py", *some, "star", "--seeds", "100"])
    with pytest.raises(SystemExit, match="without 100, which tunes"):
        transfer.main()
    for wrong, said in (
        (["--labels", "some"], "a number of labels or all, got 'some'"),
        (["--leave-out", "0"], "--leave-out of at least 1"),
    ):
        with pytest.raises(SystemExit):
            transfer.read_options(wrong)
        assert said in capsys.readouterr().err
    monkeypatch.setattr("sys.argv", ["transfer.py", *some, "scratch", "--tasks", "x"])
    with pytest.raises(SystemExit, match="expected tasks among"):
        transfer.main()


def test_draws_are_balanced_and_nested(program: Program) -> None:
    draw = program("_by_task").draw
    items = [Data(text=str(i), y=i % 2) for i in range(20)]
    five, ten = (draw(items, labels, seed=1) for labels in ("5", "10"))
    assert sorted(int(item.y) for item in ten) == [0] * 5 + [1] * 5
    assert {item.text for item in five} < {item.text for item in ten}
    assert draw(items, "all", seed=1) == items
    with pytest.raises(SystemExit, match="expected 30 balanced texts"):
        draw(items, "30", seed=1)
    torch.manual_seed(5)  # the global generator decides nothing
    assert [item.text for item in draw(items, "5", seed=1)] == [item.text for item in five]


def test_tasks_left_out_together_share_a_model(program: Program, run: Any) -> None:
    run.options.leave_out, run.options.share = 2, 0.5
    first, *_, last = run.tasks
    both = [first, run.tasks[5]]  # nine tasks in five folds: no neighbours, and one by itself
    assert run.others(first) == run.others(both[1]) == [t for t in run.tasks if t not in both]
    alone = run.tasks[4]
    assert run.others(alone) == [task for task in run.tasks if task != alone]
    every, known = run.texts.of("train", last, 3), run.known("train", last, 3)
    assert len(known) == round(len(every) / 2) and {int(item.task) for item in known} == {3}
    assert len(run.known("dev", last, 0)) == len(run.texts.of("dev", last, 0))
    for task in both:
        star = program("_transfer_methods").METHODS["star"]
        assert run.start(star, task).tasks == (*run.others(task), task)
    assert len(list(run.options.out.rglob("*.pt"))) == 1
    model, _ = run.adapt("star", first, "8", 0.01)
    scores, right = run.test("star", first, model)
    bits = program("_reviews").unpack(right, len(run.texts.of("test", first, 0)))
    assert scores["all"] == pytest.approx(float(bits.double().mean()))
