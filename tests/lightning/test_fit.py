"""What ``fit`` does from the outside: scores, files, stopping, going on, silence."""

from __future__ import annotations

import csv
import math
import warnings
from pathlib import Path
from typing import Any

import lightning.pytorch as L
import numpy as np
import pytest
import torch
from lightning.pytorch.loggers import CSVLogger
from sklearn.metrics import f1_score
from tiny import CLASSES, VOCABULARY, data, model, texts, train
from torch_geometric.data import Data

from mtgnn.data import EncodedSentences, SentenceEncoder
from mtgnn.lightning import (
    FitResult,
    MultiTaskDataModule,
    MultiTaskModule,
    evaluate,
    load_model,
    read_checkpoint,
)
from mtgnn.nn import MultiTaskLoss, MultiTaskModel, Output, Samples


def weights(net: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in net.state_dict().items()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def accuracy(net: MultiTaskModel, items: list[Data]) -> dict[str, float]:
    """Accuracy of each task, text by text."""
    right: dict[str, list[bool]] = {task: [] for task in net.tasks}
    for item in items:
        task = net.tasks[item.task]
        [prediction] = net.predict([item.text], task)
        right[task].append(prediction.label == net.classes[task][item.y])
    return {task: sum(hits) / len(hits) for task, hits in right.items() if hits}


def test_learns_and_gives_the_best_weights_back(tmp_path: Path) -> None:
    net = model()
    before = accuracy(net, texts(21, 2))
    result = train(net, tmp_path, max_epochs=6)
    after = accuracy(net, texts(21, 2))
    assert result.dev_accuracy_by_task == pytest.approx(after)
    assert result.dev_accuracy == pytest.approx(sum(after.values()) / 3)
    assert sum(before.values()) / 3 < 0.6 and result.dev_accuracy > 0.8
    assert result.epochs == 6 and 1 <= result.best_epoch <= 6
    assert result.seconds > 0 and result.tokens_per_second > 0
    assert same(weights(net), weights(load_model(result.checkpoint)))
    assert read_checkpoint(result.last_checkpoint)["mtgnn"]["epoch"] == 6


def test_without_dev_texts_the_last_epoch_is_kept(tmp_path: Path) -> None:
    chosen, last, resumed = model(dropout=0.3), model(dropout=0.3), model(dropout=0.3)
    done = train(chosen, tmp_path / "dev", max_epochs=4)
    every = MultiTaskDataModule(texts(40, 1), None, None, VOCABULARY, 8)
    (tmp_path / "all").mkdir()
    (tmp_path / "all/best.ckpt").touch()  # another training's
    result = train(last, tmp_path / "all", max_epochs=4, data=every, progress=True)
    assert result.checkpoint == result.last_checkpoint
    assert [path.name for path in (tmp_path / "all").glob("*.ckpt")] == ["last.ckpt"]
    # Dev texts have no say in what is trained.
    assert same(weights(last), weights(load_model(done.last_checkpoint)))
    assert same(weights(last), weights(load_model(result.checkpoint)))
    assert (result.best_epoch, result.epochs, result.dev_score_by_task) == (4, 4, {})
    assert math.isnan(result.dev_accuracy) and math.isnan(result.dev_score)
    half = train(resumed, tmp_path / "half", max_epochs=2, data=every)
    train(resumed, tmp_path / "rest", max_epochs=4, data=every, resume=half.checkpoint)
    assert same(weights(last), weights(resumed))


def test_what_a_callback_makes_of_the_last_weights_stays_without_dev_texts(
    tmp_path: Path,
) -> None:
    class Zero(L.Callback):
        def on_train_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
            for parameter in module.parameters():
                parameter.data.zero_()

    every = MultiTaskDataModule(texts(40, 1), None, None, VOCABULARY, 8)
    last, best = model(), model()
    train(last, tmp_path / "last", data=every, callbacks=[Zero()])
    train(best, tmp_path / "best", callbacks=[Zero()])
    assert not any(p.any() for p in last.parameters()) and any(p.any() for p in best.parameters())


def test_the_best_epoch_can_go_on_without_dev_texts_where_it_is(tmp_path: Path) -> None:
    every = MultiTaskDataModule(texts(40, 1), None, None, VOCABULARY, 8)
    best = train(model(), tmp_path, max_epochs=2).checkpoint
    result = train(model(), tmp_path, max_epochs=3, data=every, resume=best)
    assert best.exists() and result.checkpoint == result.last_checkpoint != best


@pytest.mark.parametrize(
    "options", [{"patience": 1}, {"scores": {"books": lambda predicted, true: 1.0}}]
)
def test_what_chooses_an_epoch_needs_dev_texts(tmp_path: Path, options: dict[str, Any]) -> None:
    every = MultiTaskDataModule(texts(40, 1), None, None, VOCABULARY, 8)
    with pytest.raises(ValueError, match=f"expected texts for 'dev', for {next(iter(options))}"):
        train(model(), tmp_path, data=every, **options)
    assert not list(tmp_path.iterdir())


def test_a_logger_of_ones_own_hears_what_the_others_hear(tmp_path: Path) -> None:
    own = CSVLogger(tmp_path / "own")
    train(model(), tmp_path / "run", loggers=[own])
    heard, usual = (
        list(csv.DictReader(next(folder.rglob("metrics.csv")).read_text().splitlines()))
        for folder in (tmp_path / "own", tmp_path / "run")
    )
    assert heard == usual and any(row["dev/accuracy"] for row in heard)


@pytest.mark.parametrize("encoder", ["complete", "star", "adversarial"])
def test_learns_in_mixed_precision(tmp_path: Path, encoder: str) -> None:
    net = model(encoder)
    seen: list[torch.dtype] = []
    net.encoder.register_forward_hook(
        lambda module, given, out: (
            seen.append(torch.get_autocast_dtype("cpu"))
            if torch.is_autocast_enabled("cpu")
            else None
        )
    )
    result = train(net, tmp_path, max_epochs=8, precision="bf16-mixed", clip=1.0)
    assert set(seen) == {torch.bfloat16}
    assert result.dev_accuracy > 0.8
    assert all(value.dtype != torch.bfloat16 for value in weights(net).values())


def test_clipping_is_that_of_all_gradients_together(tmp_path: Path) -> None:
    norms: list[float] = []

    class Watch(L.Callback):
        def on_before_zero_grad(self, trainer: Any, module: Any, optimizer: Any) -> None:
            gradients = [p.grad for p in module.parameters() if p.grad is not None]
            if gradients:  # those that the last step was made with
                norms.append(float(torch.stack([g.norm() for g in gradients]).norm()))

    train(model(), tmp_path / "free", callbacks=[Watch()])
    free, clip = list(norms), min(norms) * 1.01
    assert max(free) > 2 * clip
    norms.clear()
    train(model(), tmp_path / "clipped", callbacks=[Watch()], clip=clip)
    assert max(norms) <= clip * 1.001 and max(norms) == pytest.approx(clip, rel=1e-3)


def test_one_task_is_enough(tmp_path: Path) -> None:
    net = MultiTaskModel(VOCABULARY, {"books": ["bad", "good"]}, "single", embedding_size=6)
    items = MultiTaskDataModule(texts(40, 1, tasks=1), texts(21, 2, tasks=1), None, VOCABULARY)
    result = train(net, tmp_path, data=items)
    assert result.dev_accuracy_by_task == pytest.approx(accuracy(net, texts(21, 2, tasks=1)))
    assert result.dev_accuracy == result.dev_accuracy_by_task["books"]


class Scripted(MultiTaskModel):
    """In evaluation it is right, and surely so, as a script of its epochs says.

    Args:
        script: For each epoch, how many of eight dev texts are right, and the loss of each.
        epoch: The first epoch.
    """

    def __init__(self, script: list[tuple[int, float]], epoch: int = 0) -> None:
        torch.manual_seed(0)
        super().__init__(VOCABULARY, {"books": ["bad", "good"]}, "shared", embedding_size=4)
        self.script, self.epoch = script, epoch

    def losses(self, output: Output, batch: Any) -> Samples:
        losses = super().losses(output, batch)
        if self.training:
            return losses
        return losses._replace(value=torch.full_like(losses.value, self.script[self.epoch][1]))

    def predicted(self, output: Output, batch: Any = None) -> torch.Tensor:
        if self.training:
            return super().predicted(output, batch)
        right = torch.arange(8) < self.script[self.epoch][0]
        self.epoch += 1  # all dev texts are one batch
        return torch.where(right, batch.y, 1 - batch.y)


def train_scripted(net: Scripted, folder: Path, epochs: int, **options: Any) -> FitResult:
    items = MultiTaskDataModule(texts(8, 1, tasks=1), texts(8, 2, tasks=1), None, VOCABULARY)
    return train(net, folder, data=items, max_epochs=epochs, **options)


SCRIPTS = [
    ([(4, 1.0), (6, 0.9), (6, 0.7), (6, 0.8), (5, 0.1)], 3),
    ([(6, 0.5), (6, 0.9), (6, 0.6)], 1),
    ([(2, 0.1), (7, 5.0), (6, 0.1)], 2),
    ([(8, 0.4), (8, 0.3), (8, 0.2)], 3),
]


@pytest.mark.parametrize(("script", "best"), SCRIPTS)
def test_best_epoch_is_of_equal_ones_that_of_the_least_loss(
    tmp_path: Path, script: list[tuple[int, float]], best: int
) -> None:
    result = train_scripted(Scripted(script), tmp_path, len(script))
    assert (result.best_epoch, result.epochs) == (best, len(script))
    assert result.dev_accuracy == max(right for right, _ in script) / 8
    rows = list(csv.DictReader(next(tmp_path.glob("csv/*/metrics.csv")).read_text().splitlines()))
    losses = [float(row["dev/loss"]) for row in rows if row["dev/loss"]]
    assert losses == pytest.approx([loss for _, loss in script])
    assert "dev/accuracy/books" in rows[0]
    assert len(list(tmp_path.glob("tensorboard/*/events*"))) == 1


@pytest.mark.parametrize(("script", "best"), SCRIPTS)
@pytest.mark.parametrize("halfway", [1, 2])
def test_equal_epochs_are_told_apart_after_a_resume(
    tmp_path: Path, script: list[tuple[int, float]], best: int, halfway: int
) -> None:
    part = train_scripted(Scripted(script), tmp_path, halfway)
    went_on = Scripted(script, halfway)
    result = train_scripted(went_on, tmp_path, len(script), resume=part.last_checkpoint)
    assert result.best_epoch == best


def test_seeds_of_fit_and_of_its_data_decide(tmp_path: Path) -> None:
    found = []
    for number, (seed, order) in enumerate([(0, 0), (0, 0), (1, 0), (0, 1)]):
        net = model(dropout=0.3)
        torch.manual_seed(number)  # of no consequence
        train(net, tmp_path / str(number), max_epochs=1, seed=seed, data=data(order))
        found.append(weights(net))
    assert [same(found[0], other) for other in found[1:]] == [True, False, False]


@pytest.mark.parametrize("encoder", ["complete", "star"])
def test_resume_is_exact(tmp_path: Path, encoder: str) -> None:
    def net() -> MultiTaskModel:
        return model(encoder, dropout=0.4)

    loss = MultiTaskLoss(3, weights="uncertainty")
    whole = train(net(), tmp_path / "whole", max_epochs=4, loss=loss, clip=1.0)
    expected = read_checkpoint(whole.last_checkpoint)

    part = tmp_path / "part"
    loss = MultiTaskLoss(3, weights="uncertainty")
    halfway = train(net(), part, max_epochs=2, loss=loss, clip=1.0)
    assert not same(read_checkpoint(halfway.last_checkpoint)["state_dict"], expected["state_dict"])
    torch.manual_seed(77)
    other, loss = net(), MultiTaskLoss(3, weights="uncertainty")
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.fill_(0.5)  # what is there is replaced
    result = train(other, part, max_epochs=4, loss=loss, clip=1.0, resume=halfway.last_checkpoint)
    resumed = read_checkpoint(result.last_checkpoint)
    assert same(resumed["state_dict"], expected["state_dict"])
    assert (result.best_epoch, result.dev_accuracy) == (whole.best_epoch, whole.dev_accuracy)
    assert same(weights(other), weights(load_model(whole.checkpoint)))
    assert result.epochs == 4 and result.seconds > halfway.seconds


STILL = 1e-12
"""A learning rate that changes no answer: no epoch is better than the first."""


def test_patience(tmp_path: Path) -> None:
    result = train(model(), tmp_path, max_epochs=9, patience=2, learning_rate=STILL)
    assert (result.epochs, result.best_epoch) == (3, 1)


def test_a_score_that_is_nan_is_no_better_than_another(tmp_path: Path) -> None:
    found = iter([math.nan, math.nan, 0.5, 0.25, 0.25])
    scores = {task: lambda predicted, true: 0.0 for task in ("dvd", "toys")}
    scores["books"] = lambda predicted, true: next(found)
    result = train(model(), tmp_path, max_epochs=9, patience=2, scores=scores)
    assert (result.epochs, result.best_epoch) == (2, 1)
    result = train(model(), tmp_path / "more", max_epochs=9, patience=2, scores=scores)
    assert (result.epochs, result.best_epoch) == (3, 1)


def test_fixed_weights_of_a_resume_are_those_given_now(tmp_path: Path) -> None:
    first = train(model(), tmp_path, max_epochs=1, loss=MultiTaskLoss(3))
    loss = MultiTaskLoss(3, [0, 0, 5])
    train(model(), tmp_path, max_epochs=2, resume=first.last_checkpoint, loss=loss)
    assert loss.weight.tolist() == [0, 0, 5]
    with pytest.raises(ValueError, match="those of a loss that learns included"):
        again = {"resume": first.last_checkpoint, "loss": MultiTaskLoss(3, "uncertainty")}
        train(model(), tmp_path, max_epochs=3, **again)


def test_a_task_of_one_class_is_warned_of(tmp_path: Path) -> None:
    classes = {**CLASSES, "toys": ["good"]}
    net = MultiTaskModel(VOCABULARY, classes, "shared", embedding_size=4, hidden_size=3)
    for item in (items := texts(30, 1)):
        item.y = 0 if item.task == 2 else item.y
    loader = MultiTaskDataModule(items, items, None, VOCABULARY)
    with pytest.warns(UserWarning, match=r"\['toys'\] have one class"):
        train(net, tmp_path, data=loader)
    train(net, tmp_path, data=loader, scores={"toys": lambda predicted, true: 0.0})


def test_patience_goes_on_after_a_resume(tmp_path: Path) -> None:
    options = {"patience": 3, "learning_rate": STILL}
    first = train(model(), tmp_path, max_epochs=2, **options)
    assert first.epochs == 2
    second = train(model(), tmp_path, max_epochs=9, resume=first.last_checkpoint, **options)
    assert (second.epochs, second.best_epoch) == (4, 1)
    # Patience has run out: nothing is left to do, unless there is more of it.
    third = train(model(), tmp_path, max_epochs=9, resume=second.last_checkpoint, **options)
    assert (third.epochs, third.best_epoch) == (4, 1)
    options["patience"] = 5
    fourth = train(model(), tmp_path, max_epochs=9, resume=third.last_checkpoint, **options)
    assert (fourth.epochs, fourth.best_epoch) == (6, 1)


@pytest.mark.parametrize("move", [True, False])
def test_resume_from_another_folder_keeps_the_best(tmp_path: Path, move: bool) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    first = train(model(), old, max_epochs=2, learning_rate=STILL)
    last = first.last_checkpoint
    if move:
        old.rename(new)
        last = new / last.name
    result = train(model(), new, max_epochs=3, learning_rate=STILL, resume=last)
    assert result.best_epoch == 1 and result.checkpoint == new / "best.ckpt"
    assert read_checkpoint(result.checkpoint)["mtgnn"]["epoch"] == 1
    assert read_checkpoint(result.last_checkpoint)["mtgnn"]["epoch"] == 3


def test_resume_from_the_best(tmp_path: Path) -> None:
    first = train(model(), tmp_path, max_epochs=3, learning_rate=STILL)
    result = train(model(), tmp_path, max_epochs=2, learning_rate=STILL, resume=first.checkpoint)
    assert (result.epochs, result.best_epoch) == (2, 1)


def test_notes_are_kept(tmp_path: Path) -> None:
    result = train(model(), tmp_path, max_epochs=1, notes={"max_length": 256})
    assert read_checkpoint(result.checkpoint)["mtgnn"]["notes"] == {"max_length": 256}


def test_numbers_of_numpy_are_kept_as_plain_ones(tmp_path: Path) -> None:
    result = train(
        model("complete"),
        tmp_path,
        max_epochs=1,
        learning_rate=np.float64(0.02),
        weight_decay=np.float32(0.5),
        learning_rates={"scores": np.float64(0.1)},
        notes={"rates": [np.float64(0.5)], "about": {"size": np.int64(3), "name": np.str_("a")}},
    )
    kept = read_checkpoint(result.checkpoint)["mtgnn"]
    assert kept["learning_rates"] == {"scores": 0.1}
    assert kept["notes"] == {"rates": [0.5], "about": {"size": 3, "name": "a"}}


def test_notes_that_no_checkpoint_can_hold_are_refused_first(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"expected plain values, got .*Path"):
        train(model(), tmp_path, notes={"folder": tmp_path})


def test_silent_without_progress(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    train(model(), tmp_path)
    assert capfd.readouterr() == ("", "")


def test_one_bar_for_the_run(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    train(model(), tmp_path, progress="reading")
    out, err = capfd.readouterr()
    assert out == ""
    assert "reading" in err and "10/10" in err and "epoch 2/2" in err


def test_nan_is_an_error(tmp_path: Path) -> None:
    net = model()
    torch.nn.init.constant_(net.heads.heads["dvd"].weight, float("nan"))
    with pytest.raises(FloatingPointError, match="loss of epoch 1 is not finite"):
        train(net, tmp_path)


def test_a_step_that_ends_in_nan_is_no_best_epoch(tmp_path: Path) -> None:
    """The loss was finite; what the optimiser made of it is not."""
    net = model()
    with pytest.raises(FloatingPointError, match="dev loss of epoch 1 is not finite"):
        train(net, tmp_path, data=data(batch_size=64), learning_rate=1e38)
    assert not list(tmp_path.glob("*.ckpt"))


class Own(torch.nn.Module):
    """No more than what any model needs that is to be trained."""

    def __init__(self, net: MultiTaskModel) -> None:
        super().__init__()
        self.net, self.tasks, self.classes = net, net.tasks, net.classes
        self.read, self.losses, self.predicted = net.read, net.losses, net.predicted
        self.save = net.save


def test_any_model_can_be_trained(tmp_path: Path) -> None:
    assert train(Own(model()), tmp_path, max_epochs=4).dev_accuracy > 0.6


def test_sentences_are_no_texts(tmp_path: Path) -> None:
    sentences = SentenceEncoder.build([["a", "dog"]], {"books": ["DT", "NN"]})
    encoded = EncodedSentences([Data(words=["a"], tags={"books": ["DT"]})], sentences)
    loader = MultiTaskDataModule(encoded, encoded, None)
    with pytest.raises(ValueError, match="MultiTaskModel reads EncodedTexts, got EncodedSentences"):
        train(model(), tmp_path, data=loader)
    with pytest.raises(ValueError, match="expected a MultiTaskDataModule, got a list"):
        train(model(), tmp_path, data=texts(3, 1))


@pytest.mark.parametrize("part", ["train", "dev"])
def test_tasks_without_labels_are_named(tmp_path: Path, part: str) -> None:
    net, loader = model(), data(**{part: [item for item in texts(20, 1) if item.task != 1]})
    with pytest.warns(UserWarning, match=rf"no labels for '{part}' of \['dvd'\]"):
        train(net, tmp_path, data=loader, max_epochs=1)
    net.heads.heads["dvd"].requires_grad_(False)  # who trains another task says no more of it
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        train(net, tmp_path, data=loader, max_epochs=1)


@pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")  # Lightning's own call
@pytest.mark.filterwarnings("ignore:.*does not have many workers")
def test_batches_are_converted_in_any_precision(tmp_path: Path) -> None:
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False}
    trainer = L.Trainer(
        accelerator="cpu",
        precision="bf16-true",
        max_epochs=1,
        enable_checkpointing=False,
        use_distributed_sampler=False,
        default_root_dir=tmp_path,
        **quiet,
    )
    net = model()
    trainer.fit(MultiTaskModule(net), datamodule=data())
    assert net.embedding.weight.dtype == torch.bfloat16


def test_random_numbers_of_the_process_go_on(tmp_path: Path) -> None:
    """Else every model that is made after a training would start alike."""
    torch.manual_seed(5)
    net = model()
    expected = torch.get_rng_state()
    train(net, tmp_path, max_epochs=1)
    assert torch.equal(torch.get_rng_state(), expected)


def test_clipping_by_value() -> None:
    module = MultiTaskModule(model())
    for parameter in module.parameters():
        parameter.grad = torch.linspace(-1, 1, parameter.numel()).view_as(parameter)
    optimizer = module.configure_optimizers()
    module.configure_gradient_clipping(optimizer, 0.25, "value")
    for parameter in module.parameters():
        expected = torch.linspace(-1, 1, parameter.numel()).clamp(-0.25, 0.25)
        assert parameter.grad is not None and torch.equal(parameter.grad.flatten(), expected)


def macro_f1(predicted: list[str], true: list[str]) -> float:
    return float(f1_score(true, predicted, average="macro"))


def test_texts_are_scored_by_whatever_is_asked_for(tmp_path: Path) -> None:
    net = model()
    scores = {"books": macro_f1, "toys": lambda predicted, true: -1.0}
    result = train(net, tmp_path, max_epochs=3, learning_rate=0.01, scores=scores)
    rows = csv.DictReader(next(tmp_path.glob("csv/*/metrics.csv")).read_text().splitlines())
    logged = [float(row["dev/score"]) for row in rows if row["dev/score"]]
    assert result.dev_score == pytest.approx(max(logged)) and len(set(logged)) > 1
    items = {
        task: [item for item in texts(22, 3) if item.task == k] for k, task in enumerate(CLASSES)
    }
    true = [CLASSES["books"][item.y] for item in items["books"]]
    found = [p.label for p in net.predict([item.text for item in items["books"]], "books")]
    expected = {"books": macro_f1(found, true), "toys": -1.0}
    assert 0 < expected["books"] != accuracy(net, items["books"])["books"]
    got = evaluate(net, data(), scores=scores, accelerator="cpu")
    assert got == pytest.approx(expected | accuracy(net, items["dvd"]))


def test_scores_of_unknown_tasks(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"expected scores of tasks .*'dvd'.*\['chunk'\]"):
        train(model(), tmp_path, scores={"chunk": macro_f1})


def test_batches_are_drawn_anew_once_a_training_is_over(tmp_path: Path) -> None:
    loader = data()
    train(model(), tmp_path, data=loader)
    batches = loader.loader("train", shuffle=True)
    first, second = (torch.cat([batch.lengths for batch in batches]) for _ in range(2))
    assert not torch.equal(first, second)
    evaluate(model(), loader, accelerator="cpu")
    assert loader.trainer is None


def test_flags_of_the_process_are_given_back(tmp_path: Path) -> None:
    seen = []

    class Look(L.Callback):
        def on_train_start(self, *_: Any) -> None:
            seen.append(torch.are_deterministic_algorithms_enabled())
            seen.append(torch.utils.deterministic.fill_uninitialized_memory)

    train(model(), tmp_path, max_epochs=1, callbacks=[Look()])
    assert seen == [True, False]
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.utils.deterministic.fill_uninitialized_memory


@pytest.mark.filterwarnings("ignore:no labels for 'train'")
def test_parameters_of_absent_tasks_stay(tmp_path: Path) -> None:
    net = model("single")
    before = weights(net)
    loader = data(train=texts(20, 1, tasks=2))  # nothing of the third
    train(net, tmp_path, max_epochs=1, data=loader, weight_decay=0.1)
    changed = {name for name, value in net.state_dict().items() if (value != before[name]).any()}
    assert any("dvd" in name for name in changed)
    assert not any("toys" in name for name in changed)


def test_groups_with_learning_rates_of_their_own() -> None:
    net = model("complete", common=False)  # else fresh nodes are alike, and scores of no effect
    rates = {"nodes": 0.3, "nodes.dvd": 0.1, "scores": 0.2}
    module = MultiTaskModule(net, 0.01, learning_rates=rates)
    before = weights(net)
    batch = next(iter(data().train_dataloader()))
    optimizer = module.configure_optimizers()
    net.losses(net.read(batch), batch)[0].sum().backward()
    optimizer.step()
    for name, value in net.named_parameters():
        own = {"encoder.nodes.dvd": 0.1, "encoder.nodes": 0.3, "encoder.convs": 0.2}
        rate = next((own[part] for part in own if name.startswith(part)), 0.01)
        moved = (value.detach() - before[name]).abs()  # Adam's first step is the rate itself
        assert moved.max() == pytest.approx(rate, rel=1e-2), name


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precision": "bf16"}, "expected precision to be one of"),
        ({"max_epochs": 0}, "max_epochs to be an integer of at least 1, got 0"),
        ({"patience": 0}, "patience to be an integer of at least 1, got 0"),
        ({"learning_rate": 0.0}, "positive learning rate, got 0.0"),
        ({"weight_decay": -1.0}, "weight_decay of at least 0, got -1.0"),
        ({"loss": MultiTaskLoss(2)}, "loss for 3 tasks, got one for 2"),
        ({"loss": torch.nn.CrossEntropyLoss()}, "MultiTaskLoss, .* got a CrossEntropyLoss"),
        ({"optimizers": {}}, "optimizers as a function of groups"),
        ({"scores": max}, "scores as a dict, functions by task"),
        ({"clip": 0.0}, "positive clip, got 0.0"),
        ({"learning_rates": {"heads": 0.0}}, "positive learning rate, got 0.0"),
        ({"learning_rates": {"tails": 0.1}}, "expected groups among .*, got .'tails'."),
    ],
)
def test_bad_options(tmp_path: Path, options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        train(model(), tmp_path, **options)


@pytest.mark.parametrize("part", ["train", "dev"])
def test_no_texts_or_no_labels(tmp_path: Path, part: str) -> None:
    loader = data(**{part: None})
    with pytest.raises(ValueError, match=f"expected texts for '{part}'"):
        train(model(), tmp_path, data=loader, patience=2)
    loader = data(**{part: [Data(text="good plot", task=0)]})
    with pytest.raises(ValueError, match=f"labels among the texts for '{part}', got none"):
        train(model(), tmp_path, data=loader)


def test_bad_checkpoints(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        train(model(), tmp_path, resume=tmp_path / "none.ckpt")
    rubbish = tmp_path / "rubbish.ckpt"
    rubbish.write_bytes(b"rubbish")
    with pytest.raises(ValueError, match="expected a checkpoint of .*, cannot read .*rubbish.ckpt"):
        train(model(), tmp_path, resume=rubbish)
    torch.save({"state_dict": {}}, rubbish)
    with pytest.raises(ValueError, match="expected a checkpoint of mtgnn.lightning.fit"):
        load_model(rubbish)
    result = train(model(), tmp_path, max_epochs=1)
    with pytest.raises(ValueError, match="has trained 1 epochs"):
        train(model(), tmp_path, max_epochs=1, resume=result.last_checkpoint)


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"encoder": "complete"}, "the same graph"),
        ({"pooling": "mean"}, "the same options"),  # whose weights would fit
        ({"hidden_size": 6}, "the same options"),
        ({"classes": dict(reversed(CLASSES.items()))}, "the same classes"),
    ],
)
def test_another_model_than_in_the_checkpoint(tmp_path: Path, other: dict, said: str) -> None:
    def make(**changed: Any) -> MultiTaskModel:
        given = {"classes": CLASSES, "encoder": "star", "embedding_size": 6, "hidden_size": 5}
        return MultiTaskModel(VOCABULARY, **{**given, **changed})

    result = train(make(), tmp_path, max_epochs=1)
    with pytest.raises(ValueError, match=f"of another model: expected {said}"):
        train(make(**other), tmp_path, resume=result.last_checkpoint)
    assert train(make(dropout=0.5), tmp_path, resume=result.last_checkpoint).epochs == 2


@pytest.mark.parametrize(
    ("then", "now"),
    [
        ({"memory": "past", "common": True}, {"memory": "past"}),
        ({"common": True, "memory": "past"}, {"memory": "past", "concat_messages": True}),
        ({"common": False}, {"concat_messages": True, "common": False}),
    ],
)
def test_options_may_be_given_or_left_out(tmp_path: Path, then: dict, now: dict) -> None:
    result = train(model("star", **then), tmp_path, max_epochs=1)
    assert train(model("star", **now), tmp_path, resume=result.last_checkpoint).epochs == 2
    with pytest.raises(ValueError, match="another model: expected the same encoder"):
        other = {**now, "concat_messages": False}
        train(model("star", **other), tmp_path, max_epochs=3, resume=result.last_checkpoint)


def test_going_on_at_other_rates(tmp_path: Path) -> None:
    """Those that are given now hold, not those of then."""
    rates = {"learning_rates": {"scores": 0.2}}
    last = train(model("star"), tmp_path / "first", max_epochs=1, **rates).last_checkpoint
    before = read_checkpoint(last)["state_dict"]
    still = {"learning_rate": STILL, "learning_rates": {"scores": STILL}, "max_epochs": 2}
    result = train(model("star"), tmp_path / "second", resume=last, **still)
    after = read_checkpoint(result.last_checkpoint)
    assert all(torch.allclose(v, before[name]) for name, v in after["state_dict"].items())
    groups = after["optimizer_states"][0]["param_groups"]
    assert [group["lr"] for group in groups] == [STILL, STILL]
    decay = {"weight_decay": 0.25, "max_epochs": 2, **rates}
    result = train(model("star"), tmp_path / "third", resume=last, **decay)
    groups = read_checkpoint(result.last_checkpoint)["optimizer_states"][0]["param_groups"]
    assert {group["weight_decay"] for group in groups} == {0.25}
    assert sorted(group["lr"] for group in groups) == [0.02, 0.2]


@pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")  # Lightning's own call
@pytest.mark.filterwarnings("ignore:.*does not have many workers")
def test_module_alone_in_a_trainer_of_ones_own(tmp_path: Path) -> None:
    """What the docstring of the module says suffices does."""
    net = model()
    trainer = L.Trainer(
        accelerator="cpu",
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        default_root_dir=tmp_path,
    )
    loader = data()
    trainer.fit(MultiTaskModule(net), datamodule=loader)
    [scores] = trainer.test(MultiTaskModule(net), datamodule=loader, verbose=False)
    expected = accuracy(net, texts(22, 3))
    for task in CLASSES:
        assert scores[f"test/accuracy/{task}"] == pytest.approx(expected[task])
    assert scores["test/accuracy"] == pytest.approx(sum(expected.values()) / 3)


def test_callbacks_may_set_rates(tmp_path: Path) -> None:
    class Warm(L.Callback):
        def on_train_start(self, trainer: L.Trainer, module: Any) -> None:
            for group in trainer.optimizers[0].param_groups:
                group["lr"] = STILL

    net = model()
    before = weights(net)
    last = train(net, tmp_path, max_epochs=1, callbacks=[Warm()]).last_checkpoint
    train(net, tmp_path, max_epochs=2, callbacks=[Warm()], resume=last)
    assert all(torch.allclose(value, before[name]) for name, value in weights(net).items())


def test_an_optimiser_of_one_s_own_goes_on_at_its_own_rates(tmp_path: Path) -> None:
    given: dict = {"optimizers": torch.optim.SGD, "learning_rates": {"scores": 0.2}}
    last = train(model("star"), tmp_path, max_epochs=1, **given).last_checkpoint
    given["learning_rates"] = {"scores": 0.02}
    with pytest.raises(ValueError, match="expected the same, beside an optimiser of one's own"):
        train(model("star"), tmp_path, max_epochs=2, resume=last, **given)


def test_groups_at_one_rate_stay_groups(tmp_path: Path) -> None:
    rates = {"nodes": 0.02, "scores": 0.02}  # that of the rest, too
    last = train(model("star"), tmp_path, max_epochs=1, learning_rates=rates).last_checkpoint
    other = {"scores": 0.01, "nodes": 0.03}
    result = train(model("star"), tmp_path / "on", max_epochs=2, learning_rates=other, resume=last)
    groups = read_checkpoint(result.last_checkpoint)["optimizer_states"][0]["param_groups"]
    assert sorted(group["lr"] for group in groups) == [0.01, 0.02, 0.03]
    content = read_checkpoint(last)  # as one that was sorted otherwise
    groups, older = content["optimizer_states"][0]["param_groups"], tmp_path / "older.ckpt"
    groups[0]["params"] += groups.pop()["params"]
    torch.save(content, older)
    with pytest.raises(ValueError, match="expected rates of the same groups"):
        train(model("star"), tmp_path, max_epochs=2, learning_rates=rates, resume=older)


def test_going_on_needs_the_same_learning_rates(tmp_path: Path) -> None:
    first = train(model("star"), tmp_path, max_epochs=1, learning_rates={"scores": 0.2})
    for other in ({"nodes.dvd": 0.2}, None):
        with pytest.raises(ValueError, match="trained with learning_rates .'scores': 0.2."):
            train(
                model("star"),
                tmp_path,
                max_epochs=2,
                learning_rates=other,
                resume=first.last_checkpoint,
            )
    options = {"learning_rates": {"scores": 0.2}, "max_epochs": 2}
    assert train(model("star"), tmp_path, resume=first.last_checkpoint, **options).epochs == 2


def test_checkpoints_that_are_there_are_replaced(tmp_path: Path) -> None:
    first = train(model(), tmp_path, max_epochs=4)
    assert first.best_epoch > 1 and first.dev_accuracy > 0.6
    other = model("star")
    second = train(other, tmp_path, max_epochs=1, learning_rate=STILL)  # learns nothing
    assert (second.checkpoint, second.last_checkpoint) == (first.checkpoint, first.last_checkpoint)
    assert second.best_epoch == 1 and second.dev_accuracy < first.dev_accuracy
    assert sorted(path.name for path in tmp_path.glob("*.ckpt")) == ["best.ckpt", "last.ckpt"]
    for path in (second.checkpoint, second.last_checkpoint):
        assert read_checkpoint(path)["mtgnn"]["epoch"] == 1
        assert same(weights(load_model(path)), weights(other))


def falling(groups: list[dict[str, Any]]) -> dict[str, Any]:
    optimizer = torch.optim.SGD(groups, momentum=0.9)
    return {
        "optimizer": optimizer,
        "lr_scheduler": torch.optim.lr_scheduler.StepLR(optimizer, 2, 0.1),
    }


@pytest.mark.parametrize(
    ("encoder", "options"),
    [
        ("complete", {"learning_rates": {"scores": 0.1}}),
        ("complete", {"optimizers": falling, "learning_rate": 0.5}),
        ("complete", {"precision": "bf16-mixed"}),
        ("adversarial", {}),
    ],
    ids=["rates", "schedule", "bf16", "adversarial"],
)
def test_resume_is_exact_whatever_trains(
    tmp_path: Path, encoder: str, options: dict[str, Any]
) -> None:
    def ends(folder: Path, *epochs: int) -> list[dict[str, torch.Tensor]]:
        """The weights after each of some trainings, each of which goes on from the one before."""
        last, found = None, []
        for number in epochs:
            net = model(encoder, dropout=0.4)
            last = train(net, folder, max_epochs=number, resume=last, **options).last_checkpoint
            found.append(read_checkpoint(last)["state_dict"])
        return found

    [expected], (first, resumed) = ends(tmp_path / "whole", 3), ends(tmp_path / "parts", 1, 3)
    assert same(resumed, expected) and not same(first, expected)
