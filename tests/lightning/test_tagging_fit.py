"""Training that tags: the same trainer, sentences in the place of texts."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny_tagging import CLASSES, ENCODER, accuracy, data, model, sentences, train
from torch_geometric.data import Data

from mtgnn.data import EncodedSentences, SentenceEncoder
from mtgnn.lightning import (
    MultiTaskDataModule,
    MultiTaskModule,
    fit,
    load_model,
    read_checkpoint,
)
from mtgnn.metrics import span_f1
from mtgnn.nn import MultiTaskModel, SharedLSTM, TaggingModel


@pytest.mark.parametrize("by_task", [False, True])
@pytest.mark.parametrize("crf", [False, True])
def test_learns_and_gives_the_best_weights_back(tmp_path: Path, crf: bool, by_task: bool) -> None:
    net = model(crf=crf, schemes={"chunk": "IOB2"})
    before = accuracy(net, sentences(21, 21))
    result = train(net, tmp_path, max_epochs=4, data=data(by_task))
    after = accuracy(net, sentences(21, 21))
    assert result.dev_accuracy_by_task == pytest.approx(after)
    assert result.dev_score_by_task == result.dev_accuracy_by_task
    assert sum(before.values()) / 2 < 0.7 and result.dev_accuracy > 0.9
    loaded = load_model(result.checkpoint)
    assert isinstance(loaded, TaggingModel)
    words = [item.words for item in sentences(21, 21)]
    assert loaded.predict(words) == net.predict(words)


def test_the_epoch_is_chosen_by_the_scores(tmp_path: Path) -> None:
    net = model(crf=True)
    result = train(net, tmp_path, max_epochs=3, scores={"chunk": span_f1}, data=data(by_task=True))
    items = sentences(21, 21)
    found = [tags["chunk"] for tags in net.predict([item.words for item in items])]
    expected = span_f1(found, [item.tags["chunk"] for item in items])
    assert result.dev_score_by_task["chunk"] == pytest.approx(expected)
    assert result.dev_score_by_task["pos"] == result.dev_accuracy_by_task["pos"]
    assert result.dev_score_by_task["chunk"] < result.dev_accuracy_by_task["chunk"] < 1
    assert result.dev_score == pytest.approx(sum(result.dev_score_by_task.values()) / 2)
    text = next(tmp_path.glob("csv/*/metrics.csv")).read_text()
    assert "dev/score/chunk" in text and "dev/score" in text
    [path] = tmp_path.glob("csv/*/metrics.csv")
    header, *rows = (line.split(",") for line in path.read_text().splitlines())
    scores = [float(row[header.index("dev/score")] or "nan") for row in rows]
    scores = [score for score in scores if score == score]
    assert len(scores) == 3 and result.best_epoch == 1 + scores.index(max(scores))


def test_resume_is_exact(tmp_path: Path) -> None:
    options: dict = {"crf": True, "dropout": 0.4}
    whole = train(model(**options), tmp_path / "whole", max_epochs=3)
    train(model(**options), tmp_path / "first", max_epochs=2)
    path = tmp_path / "first" / "last.ckpt"
    second = train(model(**options), tmp_path / "second", max_epochs=3, resume=path)
    ours, theirs = (read_checkpoint(r.last_checkpoint)["state_dict"] for r in (whole, second))
    assert (
        all(torch.equal(ours[name], theirs[name]) for name in ours) and ours.keys() == theirs.keys()
    )
    other = SentenceEncoder.build([["a"]], CLASSES)
    with pytest.raises(ValueError, match="same sentences"):
        others = MultiTaskDataModule(*[EncodedSentences(sentences(9, 1), other)] * 2)
        train(TaggingModel(other), tmp_path, max_epochs=4, resume=path, data=others)
    text = MultiTaskModel(ENCODER.words, CLASSES)
    with pytest.raises(ValueError, match="reads EncodedTexts"):
        train(text, tmp_path, max_epochs=4, resume=path)


def test_the_loss_is_the_mean_over_labelled_sentences_of_each_task(tmp_path: Path) -> None:
    net = model(encoder=SharedLSTM(10, 5, list(CLASSES)))
    module, items = MultiTaskModule(net), EncodedSentences(sentences(8, 3), ENCODER)
    batch = items.collate(list(items))
    losses = net.losses(net.read(batch), batch)
    assert int(losses.labelled.sum()) == 14  # two of eight lack one of two tasks
    joined = module.loss(losses.value, losses.task, labelled=losses.labelled)
    torch.testing.assert_close(joined, losses.value.sum() / 14)


def test_what_is_not_encoded_needs_a_vocabulary() -> None:
    with pytest.raises(ValueError, match="expected a vocabulary"):
        MultiTaskDataModule(sentences(3, 0), None, None).encoded("train")
    unlabelled = EncodedSentences([Data(words=["a"])], ENCODER)
    loader = MultiTaskDataModule(unlabelled, unlabelled, None)
    with pytest.raises(ValueError, match="labels among the texts"):
        fit(model(), loader, max_epochs=1)
