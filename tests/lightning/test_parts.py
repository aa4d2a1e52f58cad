"""The module, the data module and the metric, each for itself."""

from __future__ import annotations

import subprocess
import sys

import lightning.pytorch as L
import pytest
import torch
from lightning_utilities.core.apply_func import apply_to_collection
from tiny import VOCABULARY, batch, data, model, texts
from torch.utils.data import DataLoader

from mtgnn.data import EncodedTexts, SequenceBatch, TokenBatch
from mtgnn.lightning import MultiTaskDataModule, MultiTaskModule, TaskMean
from mtgnn.lightning.callbacks import Throughput

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning"),  # Lightning's own call
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*have no `val_dataloader`"),
]

# Mean of a task -------------------------------------------------------------------------------


def test_task_mean() -> None:
    mean = TaskMean(3)
    mean.update(torch.tensor([1.0, 0.0]), torch.tensor([0, 0]))
    mean.update(
        torch.tensor([1.0, 5.0, float("nan")]),
        torch.tensor([0, 1, 0]),
        torch.tensor([True, False, False]),
    )
    assert mean.compute()[0].item() == pytest.approx(2 / 3) and mean.compute()[1:].isnan().all()
    assert mean.macro().item() == pytest.approx(2 / 3)
    mean.reset()
    mean.update(torch.tensor([1.0, 0.0]), torch.tensor([1, 2]))
    assert mean.compute()[1:].tolist() == [1.0, 0.0] and mean.macro() == 0.5


def test_task_mean_needs_a_task() -> None:
    with pytest.raises(ValueError, match="at least one task, got 0"):
        TaskMean(0)


# Data module ----------------------------------------------------------------------------------


def everything(batches: list[SequenceBatch]) -> list[tuple[int, ...]]:
    return sorted(
        (int(task), int(y), *tokens[:length].tolist())
        for each in batches
        for tokens, length, task, y in zip(
            each.tokens, each.lengths, each.task, each.y, strict=True
        )
    )


@pytest.mark.parametrize("part", ["train", "dev", "test"])
def test_loader_gives_each_text_once(part: str) -> None:
    loader = data().loader(part)
    encoded = loader.dataset
    assert isinstance(encoded, EncodedTexts)
    batches = list(loader)
    assert len(batches) == len(loader) and max(len(each) for each in batches) == 8
    alone = [encoded.collate([encoded[number]]) for number in range(len(encoded))]
    assert everything(batches) == everything(alone)
    lengths = [int(each.lengths.max()) for each in batches]
    assert lengths == sorted(lengths, reverse=True)  # alike in length, and not shuffled


def test_texts_that_are_encoded_stay_as_they_are() -> None:
    encoded = EncodedTexts(texts(5, 1), VOCABULARY)
    loader = MultiTaskDataModule(encoded, None, None, VOCABULARY)
    assert loader.encoded("train") is encoded
    with pytest.raises(ValueError, match=r"texts for 'dev', got texts for \['train'\]"):
        loader.val_dataloader()


def test_max_length_cannot_cut_what_is_encoded() -> None:
    done = EncodedTexts(texts(20, 1), VOCABULARY)
    with pytest.raises(ValueError, match=r"encoded ones for \['train'\]"):
        MultiTaskDataModule(done, texts(20, 1), None, VOCABULARY, max_length=3)


def test_max_length_cuts() -> None:
    loader = MultiTaskDataModule(texts(20, 1), None, None, VOCABULARY, max_length=3)
    assert loader.encoded("train").lengths.max() == 3 and loader.encoded("train").truncated > 0


class Batches(L.Callback):
    """The training batches of each epoch."""

    def __init__(self) -> None:
        self.epochs: list[list[SequenceBatch]] = []

    def on_train_epoch_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self.epochs.append([])

    def on_train_batch_start(
        self, trainer: L.Trainer, module: L.LightningModule, batch: SequenceBatch, index: int
    ) -> None:
        self.epochs[-1].append(batch)


def trainer(*callbacks: L.Callback, epochs: int = 1) -> L.Trainer:
    return L.Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        callbacks=list(callbacks),
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
    )


def test_epochs_differ_and_each_is_whole() -> None:
    seen, clock = Batches(), Throughput()
    trainer(seen, clock, epochs=3).fit(MultiTaskModule(model()), datamodule=data())
    first, second, third = seen.epochs
    assert everything(first) == everything(second) == everything(third)
    orders = {tuple(tuple(each.lengths.tolist()) for each in epoch) for epoch in seen.epochs}
    assert len(orders) == 3
    assert clock.tokens == 3 * sum(len(item.text.split()) for item in texts(40, 1))


# Module ---------------------------------------------------------------------------------------


def test_tasks_without_labels_are_left_out_of_the_mean() -> None:
    items = texts(20, 2, tasks=2)
    for item in items:
        if item.task == 1:
            del item.y
    loader = MultiTaskDataModule(None, None, items, VOCABULARY)
    [scores] = trainer().test(MultiTaskModule(model()), datamodule=loader, verbose=False)
    assert set(scores) == {"test/accuracy", "test/accuracy/books", "test/loss"}
    assert scores["test/accuracy"] == scores["test/accuracy/books"]
    assert 0 < scores["test/loss"] < 3


class One(L.LightningDataModule):
    """Trains on one given batch."""

    def __init__(self, batch: SequenceBatch) -> None:
        super().__init__()
        self.batch = batch

    def train_dataloader(self) -> DataLoader[SequenceBatch]:
        return DataLoader([self.batch], batch_size=None)  # type: ignore[arg-type]


@pytest.mark.parametrize("encoder", ["single", "adversarial"])
def test_step_is_the_mean_over_labels_of_one_batch(encoder: str) -> None:
    samples = batch((0, 1), (0, 0), (1, -100), (1, 2), (0, -100))
    net = model(encoder)
    logits, auxiliary = net(
        samples.tokens, samples.lengths, samples.task, return_auxiliary_losses=True
    )
    chosen = torch.tensor([0, 1, 3])
    expected = torch.nn.functional.cross_entropy(logits[chosen], samples.y[chosen])
    assert auxiliary.all() == (encoder == "adversarial")
    expected = expected + auxiliary.mean()  # over all five
    expected.backward()
    wanted = {
        name: None if parameter.grad is None else parameter.grad.clone()
        for name, parameter in net.named_parameters()
    }
    net.zero_grad()

    class Compare(L.Callback):
        grads: dict[str, torch.Tensor | None] = {}

        def on_before_optimizer_step(self, trainer, module, optimizer) -> None:  # type: ignore[no-untyped-def]
            self.grads |= {name: p.grad for name, p in module.model.named_parameters()}

    compare = Compare()
    running = trainer(compare)
    running.fit(MultiTaskModule(net), datamodule=One(samples))
    logged = running.callback_metrics
    torch.testing.assert_close(logged["train/loss"], expected.detach())
    assert ("train/auxiliary_loss" in logged) == (encoder == "adversarial")
    if encoder == "adversarial":
        torch.testing.assert_close(logged["train/auxiliary_loss"], auxiliary.mean().detach())
    assert compare.grads.keys() == wanted.keys()
    assert sum(grad is None for grad in wanted.values()) > 2  # what is the third task's
    for name, grad in wanted.items():
        if grad is None:
            assert compare.grads[name] is None
        else:
            torch.testing.assert_close(compare.grads[name], grad)


def test_a_batch_without_any_label_changes_nothing() -> None:
    net = model()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    running = trainer()
    running.fit(MultiTaskModule(net), datamodule=One(batch((0, -100), (1, -100))))
    assert running.callback_metrics["train/loss"] == 0
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_lightning_may_convert_batches() -> None:
    """As it does in some precisions; it refuses what is frozen."""
    sentences = TokenBatch(
        torch.ones(1, 2), torch.ones(1, 2, 3), torch.tensor([2]), None, torch.ones(1, 2, 1), None
    )
    for before in (batch((0, 1)), sentences):
        after = apply_to_collection(before, torch.Tensor, torch.Tensor.double)
        assert type(after) is type(before) and after.y.dtype == torch.float64


def test_label_outside_the_classes() -> None:
    with pytest.raises(ValueError, match="books"):
        trainer().fit(MultiTaskModule(model()), datamodule=One(batch((0, 2))))
    trainer().fit(MultiTaskModule(model()), datamodule=One(batch((1, 2))))  # a class of dvd


# Package --------------------------------------------------------------------------------------


def test_without_lightning_the_error_says_what_to_install() -> None:
    code = "import sys; sys.modules['lightning'] = None; import mtgnn.lightning"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert 'pip install "mtgnn[train]"' in done.stderr.splitlines()[-1]
