"""What users bring to a training: optimisers, schedules, models, machines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import CLASSES, VOCABULARY, data, model, texts, train
from torch import Tensor, nn
from torch_geometric.nn import SAGEConv

from mtgnn.data import SequenceBatch
from mtgnn.explain import without_edges
from mtgnn.lightning import MultiTaskModule, evaluate, load_model, read_checkpoint
from mtgnn.lightning.accelerator import pick_accelerator
from mtgnn.lightning.quiet import device_kept
from mtgnn.nn import CompleteGraphLSTM, MultiTaskModel, Output, Samples
from mtgnn.nn.models.trainable import hits


def test_an_optimiser_and_a_schedule_of_ones_own(tmp_path: Path) -> None:
    made: list[Any] = []

    def optimizers(groups: list[dict[str, Any]]) -> Any:
        optimizer = torch.optim.SGD(groups, momentum=0.9)
        scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.1)
        made.extend([optimizer, scheduler])
        return {"optimizer": optimizer, "lr_scheduler": scheduler}

    rates = {"nodes": 0.5}
    train(model(), tmp_path, max_epochs=2, optimizers=optimizers, learning_rates=rates)
    optimizer, _ = made
    assert isinstance(optimizer, torch.optim.SGD)
    found = {round(group["lr"], 8) for group in optimizer.param_groups}
    assert found == {0.005, 0.0002}  # after two steps of the schedule
    with pytest.raises(ValueError, match=r"weight_decay is Adam's: .* got 0.1"):
        MultiTaskModule(model(), weight_decay=0.1, optimizers=optimizers)


class Guess(nn.Module):
    """The same for all texts of a task: as small as a ``Trainable`` can be."""

    def __init__(self) -> None:
        super().__init__()
        self.tasks, self.classes = tuple(CLASSES), CLASSES
        self.logits = nn.Parameter(torch.zeros(len(CLASSES), 3))

    def read(self, batch: SequenceBatch) -> Output:
        return Output(self.logits[batch.task])

    def losses(self, output: Output, batch: SequenceBatch) -> Samples:
        value = nn.functional.cross_entropy(output.logits, batch.y, reduction="none")
        return Samples(value, batch.task, torch.ones_like(batch.y, dtype=torch.bool))

    def predicted(self, output: Output, batch: Any) -> Tensor:
        return output.logits.argmax(-1)

    def save(self, path: Any) -> None:
        torch.save({"format": "guess", "state_dict": self.state_dict()}, path)


def test_accuracy_is_of_integer_labels() -> None:
    batch = SequenceBatch(*torch.ones(3, 2, dtype=torch.long), torch.rand(2))
    with pytest.raises(ValueError, match=r"labels y as integers, .* got torch.float32: regression"):
        hits(torch.rand(2), batch.y, batch.task)


class Unsaved(Guess):
    def save(self, path: Any) -> None:
        torch.save(self.state_dict(), path)


def test_another_model_trains_goes_on_and_is_evaluated(tmp_path: Path) -> None:
    guess: Any = Guess()
    result = train(guess, tmp_path / "first", max_epochs=2)
    again: Any = Guess()
    train(again, tmp_path / "second", max_epochs=3, resume=result.last_checkpoint)
    assert guess.logits.any() and set(evaluate(guess, data(), accelerator="cpu")) == set(CLASSES)
    weights = read_checkpoint(result.checkpoint)["state_dict"]
    assert weights["model.logits"].equal(guess.logits)
    with pytest.raises(ValueError, match="expected a checkpoint of .*, got one of guess"):
        load_model(result.checkpoint)


def test_an_encoder_that_was_given_as_a_module_is_given_again(tmp_path: Path) -> None:
    def own() -> MultiTaskModel:
        encoder = CompleteGraphLSTM(6, 5, list(CLASSES), "mutual", conv=SAGEConv(5, 5))
        return MultiTaskModel(VOCABULARY, CLASSES, encoder, embedding_size=6)

    net = own()
    result = train(net, tmp_path, max_epochs=1)
    with pytest.raises(ValueError, match="encoder"):
        load_model(result.checkpoint)
    loaded = load_model(result.checkpoint, encoder=own().encoder)
    for name, value in net.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value)
    told = [item.text for item in texts(10, 4)]
    assert loaded.predict(told, "dvd") == net.eval().predict(told, "dvd")


def test_cut_edges_stay_cut_through_training(tmp_path: Path) -> None:
    net = without_edges(model(), [("toys", "books"), ("books", "dvd")])
    cut = net.encoder.graph.cut
    first = train(net, tmp_path, max_epochs=1)
    second = train(net, tmp_path, max_epochs=2, resume=first.last_checkpoint)
    loaded = load_model(second.checkpoint)
    assert loaded.graph == net.graph and loaded.graph.cut == cut and len(cut) == 2
    assert evaluate(loaded, data(), accelerator="cpu") == evaluate(net, data(), accelerator="cpu")


def test_a_model_that_no_checkpoint_can_hold_is_refused_early(tmp_path: Path) -> None:
    unsaved: Any = Unsaved()
    with pytest.raises(ValueError, match=r"Unsaved.save to write .* 'format' .* got .'logits'."):
        train(unsaved, tmp_path)
    assert not unsaved.logits.any()


def test_an_apple_gpu_is_left_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert [pick_accelerator(name) for name in ("auto", "cpu")] == ["auto", "cpu"]
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert [pick_accelerator(name) for name in ("auto", "cpu")] == ["cpu", "cpu"]
    for name in ("mps", "gpu"):
        with pytest.raises(ValueError, match=f"cpu.* here, got '{name}': an Apple GPU"):
            train(model(), tmp_path, accelerator=name)
        with pytest.raises(ValueError, match=f"cpu.* here, got '{name}': an Apple GPU"):
            evaluate(model(), data(), accelerator=name)


def test_a_gpu_is_taken_only_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert [pick_accelerator(name) for name in ("gpu", "cuda")] == ["gpu", "cuda"]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for name in ("gpu", "cuda", "mps"):
        with pytest.raises(ValueError, match=f"cpu.* here, got '{name}': PyTorch finds no such"):
            pick_accelerator(name)


def test_a_model_is_on_its_own_device_again() -> None:
    net = nn.Linear(2, 2).to("meta")  # a device that is there everywhere
    with pytest.raises(RuntimeError, match="stop"), device_kept(net):
        net.to_empty(device="cpu")
        assert net.weight.device.type == "cpu"
        raise RuntimeError("stop")
    assert net.weight.device.type == "meta"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_model_is_on_its_gpu_again(tmp_path: Path) -> None:
    net = model().cuda()
    evaluate(net, data())
    train(net, tmp_path, accelerator="auto")
    assert {p.device.type for p in net.parameters()} == {"cuda"}
