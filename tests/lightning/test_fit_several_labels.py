"""Texts with labels in several tasks are trained on and scored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from sklearn.metrics import roc_auc_score
from tiny import CLASSES, VOCABULARY, encoded, items, model, train
from torch_geometric.data import Data

from mtgnn.data import EncodedTexts, task_weights
from mtgnn.explain import average_attention
from mtgnn.lightning import MultiTaskDataModule, evaluate
from mtgnn.nn import MultiTaskModel


def data(**options: Any) -> MultiTaskDataModule:
    return MultiTaskDataModule(encoded(60, 1), encoded(21, 2), encoded(22, 3), batch_size=8)


def test_all_tasks_are_learned(tmp_path: Path) -> None:
    net, parts = model(), data()
    done = train(net, tmp_path, data=parts, max_epochs=8)
    scores = evaluate(net, parts, "test", accelerator="cpu")
    assert done.dev_accuracy > 0.85 and list(scores) == list(CLASSES)
    alone = MultiTaskDataModule(None, None, encoded(22, 3, by_task=True))
    assert evaluate(net, alone, "test", accelerator="cpu") == pytest.approx(scores)


def test_tasks_are_scored_by_whatever_is_asked_for(tmp_path: Path) -> None:
    seen: dict[str, int] = {}

    def count(task: str) -> Any:
        def score(predicted: list[str], true: list[str]) -> float:
            assert set(true) <= set(CLASSES[task]) and len(predicted) == len(true)
            seen[task] = len(true)
            return 0.5

        return score

    net = model()
    scores = {task: count(task) for task in ("dvd", "toys")}
    found = evaluate(net, data(), "test", scores=scores, accelerator="cpu")
    assert seen == {"dvd": 22, "toys": 14} and found["dvd"] == found["toys"] == 0.5


def test_a_score_may_be_of_probabilities(tmp_path: Path) -> None:
    def auc(predicted: list[str], true: list[str], probability: list[list[float]]) -> float:
        return roc_auc_score(true, [row[1] for row in probability])

    net, parts = model(), data()
    done = train(net, tmp_path, data=parts, scores={"toys": auc})
    test = evaluate(net, parts, "dev", scores={"toys": auc}, accelerator="cpu")
    assert test == pytest.approx(done.dev_score_by_task)
    own = [item for item in items(21, 2) if "toys" in item.labels]
    shares = net.predict_proba([item.text for item in own], "toys")[:, 1]
    expected = roc_auc_score([item.labels["toys"] for item in own], shares)
    assert test["toys"] == pytest.approx(expected)


def test_small_tasks_come_more_often() -> None:
    part = encoded(60, 1)
    weights = task_weights(part.task)  # 40 of 60 texts have a label of the last task, too
    parts = MultiTaskDataModule(part, None, batch_size=8, train_weights=weights)
    seen = torch.cat([batch.task for batch in parts.loader("train", shuffle=True)])
    assert seen.shape == (60, 3) and seen[:, 2].sum() > 40


def test_vectors_of_a_tasks_own_are_read_with_one_task_a_text(tmp_path: Path) -> None:
    net = MultiTaskModel(VOCABULARY, CLASSES, "single", embedding="task", hidden_size=5)
    with pytest.raises(ValueError, match=r"vectors of their own.* for 'train'.*by_task=True"):
        train(net, tmp_path, data=data())
    train(net, tmp_path, data=MultiTaskDataModule(encoded(30, 1, by_task=True), None))


def test_texts_of_other_tasks_are_refused(tmp_path: Path) -> None:
    fewer = {task: CLASSES[task] for task in ("books", "dvd")}
    part = EncodedTexts([Data(text="good", labels={"dvd": "good"})], VOCABULARY, classes=fewer)
    with pytest.raises(ValueError, match="'train' of the model's tasks"):
        train(model(), tmp_path, data=MultiTaskDataModule(part, None))
    part.tasks = part.classes = None
    with pytest.raises(ValueError, match="'train' with labels of 3 tasks, got 2"):
        train(model(), tmp_path, data=MultiTaskDataModule(part, None))


def test_attention_is_read_task_by_task() -> None:
    net = model()
    each = MultiTaskDataModule(None, None, encoded(9, 3, by_task=True))
    graph = average_attention(net, each.loader("test"))
    assert graph.num_tasks == 3
    every = MultiTaskDataModule(None, None, encoded(9, 3))
    with pytest.raises(ValueError, match=r"one task each, as of EncodedTexts\(…, by"):
        average_attention(net, every.loader("test"))
