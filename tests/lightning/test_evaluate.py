"""Evaluation is the share of texts, or of words, that a model is right about, or a score."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny_tagging
from tiny import VOCABULARY, data, model, texts, train

from mtgnn.lightning import MultiTaskDataModule, evaluate
from mtgnn.metrics import span_f1


@pytest.mark.parametrize("part", ["dev", "test"])
def test_evaluation_is_accuracy_text_by_text(tmp_path: Path, part: str) -> None:
    net = model()
    result = train(net, tmp_path, max_epochs=3)
    net.train()
    net.dropout.eval()  # a part that somebody wants so
    found = evaluate(net, data(), part, accelerator="cpu")
    assert net.training and net.encoder.training and not net.dropout.training
    items = texts(21, 2) if part == "dev" else texts(22, 3)
    for k, task in enumerate(net.tasks):
        own = [item for item in items if item.task == k]
        told = net.predict([item.text for item in own], task)
        right = [net.classes[task][i.y] == p.label for i, p in zip(own, told, strict=True)]
        assert found[task] == pytest.approx(sum(right) / len(right))
    if part == "dev":
        assert found == pytest.approx(result.dev_accuracy_by_task)


def test_tasks_without_texts_have_no_accuracy() -> None:
    few = MultiTaskDataModule(None, None, texts(5, 3, tasks=1), VOCABULARY)
    assert list(evaluate(model(), few, accelerator="cpu")) == ["books"]  # others have no text
    with pytest.raises(ValueError, match="expected part to be one of"):
        evaluate(model(), few, "train", accelerator="cpu")
    with pytest.raises(ValueError, match="expected a MultiTaskDataModule, got a list"):
        evaluate(model(), texts(5, 3), accelerator="cpu")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="expected texts for 'dev'"):
        evaluate(model(), few, "dev", accelerator="cpu")


@pytest.mark.parametrize("by_task", [False, True])
@pytest.mark.parametrize("part", ["dev", "test"])
def test_of_tags_it_is_accuracy_word_by_word_or_the_scores(part: str, by_task: bool) -> None:
    net, loader = tiny_tagging.model(crf=True), tiny_tagging.data(by_task)
    number = 21 if part == "dev" else 22
    items = tiny_tagging.sentences(number, number)
    expected = tiny_tagging.accuracy(net, items)
    found = evaluate(net, loader, part, accelerator="cpu")
    assert found == pytest.approx(expected) and 0 < min(found.values())
    told = [tags["chunk"] for tags in net.predict([item.words for item in items])]
    seen: list[int] = []

    def score(predicted: list[list[str]], true: list[list[str]]) -> float:
        seen.append(len(true))
        return span_f1(predicted, true)

    expected["chunk"] = span_f1(told, [item.tags["chunk"] for item in items])
    found = evaluate(net, loader, part, accelerator="cpu", scores={"chunk": score})
    assert found == pytest.approx(expected) and seen == [number]
