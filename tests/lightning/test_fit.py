import csv
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import lightning.pytorch as L
import pytest
import torch
from lightning.pytorch.callbacks import Callback
from tiny_texts import VOCABULARY, make_model, make_texts

from mtgnn.data import BucketBatchSampler, SequenceBatch
from mtgnn.lightning import FitResult, MultiTaskDataModule, fit, load_model, read_checkpoint
from mtgnn.nn import MultiTaskLoss, MultiTaskModel

TRAIN, DEV = make_texts(48), make_texts(30, seed=1)


class Seen(Callback):
    """The tokens of every training batch, by epoch."""

    def __init__(self) -> None:
        self.batches: dict[int, list[torch.Tensor]] = {}

    def on_train_batch_start(
        self, trainer: L.Trainer, module: L.LightningModule, batch: SequenceBatch, index: int
    ) -> None:
        self.batches.setdefault(trainer.current_epoch, []).append(batch.tokens)


def run(
    folder: Path, max_epochs: int, dropout: float = 0.3, **options: Any
) -> tuple[MultiTaskModel, FitResult]:
    model = make_model("complete", dropout)
    data = MultiTaskDataModule(TRAIN, DEV, None, VOCABULARY, batch_size=16, seed=5)
    options = {"accelerator": "cpu", "progress": False, "learning_rate": 0.02, **options}
    return model, fit(model, data, max_epochs=max_epochs, log_dir=folder, **options)


def weights(path: Path) -> dict[str, torch.Tensor]:
    return read_checkpoint(path)["state_dict"]


def test_resuming_gives_the_weights_of_an_uninterrupted_run(tmp_path: Path) -> None:
    whole, resumed = Seen(), Seen()
    _, expected = run(tmp_path / "whole", 4, patience=9, callbacks=[whole])
    _, first = run(tmp_path / "parts", 2, patience=9)
    # A run that goes on elsewhere: the folder moves, and other random numbers were drawn.
    (tmp_path / "parts").rename(tmp_path / "moved")
    torch.rand(7)
    last = tmp_path / "moved" / "last.ckpt"
    _, result = run(tmp_path / "moved", 4, patience=9, resume=last, callbacks=[resumed])
    one, other = weights(expected.last_checkpoint), weights(result.last_checkpoint)
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert (result.best_epoch, result.dev_accuracy) == (expected.best_epoch, expected.dev_accuracy)
    assert result.checkpoint.parent.name == "moved"
    assert resumed.batches.keys() == {2, 3}
    for epoch, batches in resumed.batches.items():
        pairs = zip(batches, whole.batches[epoch], strict=True)
        assert all(torch.equal(a, b) for a, b in pairs)
    assert first.epochs == 2 and result.epochs == 4 and result.seconds > first.seconds


def test_dropout_is_drawn_from_the_seed(tmp_path: Path) -> None:
    # So that the test above says something: another seed gives other weights.
    runs = [run(tmp_path / str(i), 1, seed=seed)[1] for i, seed in enumerate([0, 0, 1])]
    same, again, other = (weights(r.last_checkpoint)["model.embedding.weight"] for r in runs)
    assert torch.equal(same, again)
    assert not torch.equal(same, other)


def test_the_model_ends_with_the_best_epochs_weights(tmp_path: Path) -> None:
    model, result = run(tmp_path, 5, learning_rate=0.1)
    with (tmp_path / "csv" / "version_0" / "metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["dev/accuracy"]]
    scores = [float(row["dev/accuracy"]) for row in rows]
    assert len(scores) == result.epochs == 5
    assert result.dev_accuracy == pytest.approx(max(scores))
    assert result.best_epoch == 1 + scores.index(max(scores))
    by_task = result.dev_accuracy_by_task
    assert by_task.keys() == {"books", "dvd", "music"}
    for name, score in by_task.items():
        assert float(rows[result.best_epoch - 1][f"dev/accuracy/{name}"]) == pytest.approx(score)
        texts = [item for item in DEV if model.tasks[item.task] == name]
        said = [p.label for p in model.predict([item.text for item in texts], name)]
        right = [model.classes[name][item.y] == s for item, s in zip(texts, said, strict=True)]
        assert sum(right) / len(right) == pytest.approx(score)
    assert list((tmp_path / "tensorboard" / "version_0").glob("events.*"))


def test_a_checkpoint_holds_the_whole_model(tmp_path: Path) -> None:
    model, result = run(tmp_path, 1, notes={"exchange": "read", "sizes": [1, 2]})
    loaded = load_model(result.checkpoint)
    texts = [item.text for item in DEV]
    assert loaded.predict(texts, "dvd") == model.predict(texts, "dvd")
    assert read_checkpoint(result.checkpoint)["mtgnn"]["notes"]["sizes"] == [1, 2]


def test_training_stops_early(tmp_path: Path) -> None:
    # At this rate nothing changes, so the first epoch stays the best.
    _, result = run(tmp_path, 9, learning_rate=1e-12, patience=2)
    assert (result.best_epoch, result.epochs) == (1, 3)


def test_tokens_are_counted_without_padding(tmp_path: Path) -> None:
    _, result = run(tmp_path, 2)
    tokens = sum(len(item.text.split()) for item in TRAIN)
    state = read_checkpoint(result.last_checkpoint)["callbacks"]["Throughput"]
    assert state["tokens"] == 2 * tokens
    assert result.tokens_per_second == pytest.approx(2 * tokens / state["train_seconds"])


def test_every_text_once_an_epoch(tmp_path: Path) -> None:
    seen = Seen()
    run(tmp_path, 2, callbacks=[seen])
    sampler = BucketBatchSampler([len(item.text.split()) for item in TRAIN], 16, seed=5)
    sets = []
    for epoch, batches in seen.batches.items():
        sampler.set_epoch(epoch)
        assert [len(batch) for batch in batches] == [len(b) for b in sampler]
        rows = [tuple(row[row > 0].tolist()) for batch in batches for row in batch]
        expected = [tuple(VOCABULARY.encode(item.text)) for item in TRAIN]
        assert sorted(rows) == sorted(expected)
        sets.append(rows)
    assert sets[0] != sets[1]


def test_nothing_but_the_bar_is_on_the_screen(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(tmp_path / "quiet", 1)
        assert capfd.readouterr() == ("", "")
        run(tmp_path / "bar", 2, progress="complete")
    out, err = capfd.readouterr()
    assert out == ""
    lines = [line for line in err.replace("\r", "\n").splitlines() if line.strip()]
    assert all(line.startswith("complete: ") for line in lines)
    assert "6/6" in lines[-1] and "epoch 2/2, dev" in lines[-1]


def test_the_flags_of_pytorch_are_given_back(tmp_path: Path) -> None:
    run(tmp_path, 1)
    assert not torch.are_deterministic_algorithms_enabled()


def test_uncertainty_weights_are_learned(tmp_path: Path) -> None:
    loss = MultiTaskLoss(3, weights="uncertainty", reduction="task")
    _, result = run(tmp_path, 1, loss=loss)
    assert (loss.log_variance != 0).all()
    assert "loss.log_variance" in weights(result.checkpoint)


def test_bad_input(tmp_path: Path) -> None:
    _, result = run(tmp_path / "run", 1)
    (tmp_path / "text.ckpt").write_text("no checkpoint")
    torch.save({"state_dict": {}}, tmp_path / "other.ckpt")
    for name, message in (("text", "no readable checkpoint"), ("other", "expected a checkpoint")):
        with pytest.raises(ValueError, match=message):
            load_model(tmp_path / f"{name}.ckpt")
    with pytest.raises(FileNotFoundError):
        run(tmp_path, 1, resume=tmp_path / "none.ckpt")
    with pytest.raises(ValueError, match="has trained 1 epochs: expected max_epochs beyond"):
        run(tmp_path / "run", 1, resume=result.last_checkpoint)
    with pytest.raises(ValueError, match="in the checkpoint's folder"):
        run(tmp_path / "new", 2, resume=result.last_checkpoint)
    with pytest.raises(ValueError, match="max_epochs of at least 1, got 0"):
        run(tmp_path, 0)
    with pytest.raises(ValueError, match="patience of at least 1, got 0"):
        run(tmp_path, 1, patience=0)
    with pytest.raises(ValueError, match="positive learning_rate, got 0"):
        run(tmp_path, 1, learning_rate=0)
    data = MultiTaskDataModule(TRAIN, None, None, VOCABULARY)
    with pytest.raises(ValueError, match="expected texts for 'dev', got texts for \\['train'\\]"):
        fit(make_model(), data, max_epochs=1, log_dir=tmp_path)


def test_without_lightning_the_error_says_what_to_install() -> None:
    code = "import sys; sys.modules['lightning'] = None; import mtgnn.lightning"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert "ImportError: mtgnn.lightning needs" in done.stderr
    assert 'pip install "mtgnn[train]"' in done.stderr
