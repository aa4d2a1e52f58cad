"""Scores of labels: exactly of all texts or sentences, whatever the batches."""

from pathlib import Path
from typing import Any

import pytest
import torch
from sklearn.metrics import accuracy_score, f1_score, roc_auc_score

from mtgnn.lightning import TaskScores
from mtgnn.metrics import span_f1

CLASSES = {"pos": ["N", "V"], "chunk": ["O", "B-X", "I-X"]}


def sentences() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    y = torch.randint(3, (30, 8), generator=generator)
    predicted = torch.where(torch.rand(30, 8, generator=generator) < 0.7, y, 2 - y)
    for row, length in zip(y, torch.randint(1, 9, (30,), generator=generator), strict=True):
        row[length:] = -100
    return predicted, y


@pytest.mark.parametrize("size", [1, 7, 30])
def test_f1_is_that_of_all_sentences(size: int) -> None:
    predicted, y = sentences()
    names = CLASSES["chunk"]
    sides = [
        [
            [names[i] for i, t in zip(a, b, strict=True) if t >= 0]
            for a, b in zip(side, y, strict=True)
        ]
        for side in (predicted, y)
    ]
    expected = span_f1(*sides)
    assert 0.2 < expected < 0.9
    for every in (None, torch.tensor([False, True]), False):
        scores = TaskScores(CLASSES, {"chunk": span_f1})
        for own, true in zip(predicted.split(size), y.split(size), strict=True):
            if every is False:
                scores.update(own, true, torch.ones(len(true), dtype=torch.long))
                continue
            other = (true % 2 if every is None else torch.full_like(true, -100), true)
            own, true = torch.stack([own % 2, own], 2), torch.stack(other, 2)
            scores.update(own, true, None if every is None else every.expand(len(true), 2))
        assert scores.compute() == {"chunk": pytest.approx(expected)}
        scores.reset()
        assert scores.compute() == {}


@pytest.mark.parametrize("size", [1, 3, 40])
def test_of_texts_it_is_that_of_all_texts(size: int) -> None:
    generator = torch.Generator().manual_seed(0)
    y, predicted = torch.randint(3, (2, 40), generator=generator)
    task = torch.randint(2, (40,), generator=generator)
    y[::7] = -100

    def f1_of_chunks(predicted: list[str], true: list[str]) -> float:
        return float(f1_score(true, predicted, average="macro"))

    scores = TaskScores(CLASSES, {"chunk": f1_of_chunks})
    for part in zip(predicted.split(size), y.split(size), task.split(size), strict=True):
        scores.update(*part)
    mine = (task == 1) & (y >= 0)
    expected = f1_score(y[mine].numpy(), predicted[mine].numpy(), average="macro")
    assert scores.compute() == {"chunk": pytest.approx(expected)}


def test_a_missing_label_ends_a_sequence() -> None:
    seen = []

    def score(predicted: list[list[str]], true: list[list[str]]) -> float:
        seen.append((predicted, true))
        return 1.0

    scores = TaskScores(CLASSES, {"chunk": score})
    y = torch.tensor([[1, 2, -100, 2, 0], [-100] * 5])
    scores.update(torch.zeros_like(y), y, torch.tensor([1, 1]))
    scores.update(torch.ones_like(y), y, torch.tensor([0, 0]))
    assert scores.compute() == {"chunk": 1.0}
    assert seen == [([["O", "O"], ["O", "O"]], [["B-X", "I-X"], ["I-X", "O"]])]


def test_of_several_processes_it_is_the_score_of_all_sentences(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    predicted, y = sentences()
    task = torch.ones(len(y), dtype=torch.long)
    whole, *ranks = (TaskScores(CLASSES, {"chunk": span_f1}) for _ in range(3))
    whole.update(predicted, y, task)
    expected = whole.compute()
    # The processes have 11 sentences and 19, and take turns.
    for rank, part in zip(ranks, (slice(0, 11), slice(11, None)), strict=True):
        rank.update(predicted[part], y[part], task[part])
    assert all(rank.compute() != expected for rank in ranks)

    def gather(every: list[Any], own: Any) -> None:
        assert any(own is rank._kept["chunk"] for rank in ranks) and len(every) == 2
        every[:] = [list(rank._kept["chunk"]) for rank in ranks]

    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    monkeypatch.setattr(torch.distributed, "all_gather_object", gather)
    assert [rank.compute() for rank in ranks] == [expected, expected]


def test_processes_are_asked(tmp_path: Path) -> None:
    """One process, but through the collective call."""
    predicted, y = sentences()
    scores = TaskScores(CLASSES, {"chunk": span_f1})
    scores.update(predicted, y, torch.ones(len(y), dtype=torch.long))
    expected = scores.compute()
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path}/ranks", rank=0, world_size=1
    )
    try:
        assert scores.compute() == expected
    finally:
        torch.distributed.destroy_process_group()


def test_errors() -> None:
    with pytest.raises(ValueError, match=r"tasks \['pos', 'chunk'\], got \['ner'\]"):
        TaskScores(CLASSES, {"ner": span_f1})
    scores = TaskScores(CLASSES, {"chunk": span_f1})
    one, several = torch.ones(3, dtype=torch.long), torch.ones(3, 2, dtype=torch.bool)
    for y, task in ((torch.ones(3, 4, 2), one), (torch.ones(3), None), (torch.ones(3, 4), several)):
        with pytest.raises(ValueError, match="labels .* of texts or .* of words"):
            scores.update(y, y, task)


def test_a_score_that_takes_the_sides_in_another_order_is_noticed() -> None:
    """scikit-learn's take the true labels first, under other names."""
    with pytest.raises(ValueError, match=r"score of 'pos' to be a function f\(predicted, true\)"):
        TaskScores(CLASSES, {"pos": accuracy_score})


def test_scores_of_probabilities() -> None:
    """An AUC of all texts, in batches of a task each and of several tasks, as scikit-learn's."""
    torch.manual_seed(1)
    classes = {"mood": ["bad", "good"], "topic": ["a", "b", "c"]}
    y, logits = torch.randint(2, (40, 2)), torch.randn(40, 2, 3)
    logits[:, 0, 2] = -torch.inf  # no class of the first task
    logits[:, 0, 1] += y[:, 0]
    y[::5, 0] = -100
    real, shares = y[:, 0] >= 0, logits.softmax(-1)

    def auc(predicted: list[str], true: list[str], probability: list[list[float]]) -> float:
        assert len(predicted) == len(true) and all(len(row) == 2 for row in probability)
        return roc_auc_score(true, [row[1] for row in probability])

    expected = roc_auc_score(y[real, 0], shares[real, 0, 1])
    assert 0.5 < expected < 1
    several, alone = (TaskScores(classes, {"mood": auc, "topic": count}) for _ in range(2))
    assert several.wants_probability and not TaskScores(classes, {"topic": count}).wants_probability
    for rows in torch.arange(40).split(7):
        best, own = logits[rows].argmax(-1), shares[rows]
        several.update(best, y[rows], torch.ones(len(rows), 2, dtype=torch.bool), own)
        for k in (0, 1):
            alone.update(best[:, k], y[rows, k], torch.full((len(rows),), k), own[:, k])
    for scores in (several, alone):
        assert scores.compute() == {"mood": pytest.approx(expected), "topic": 40}


def count(predicted: list[str], true: list[str]) -> float:
    return len(true)


def test_probabilities_are_of_texts() -> None:
    def auc(predicted: Any, true: Any, probability: Any) -> float:
        return 0.0

    scores, one = TaskScores(CLASSES, {"pos": auc}), torch.zeros(2, dtype=torch.long)
    for y, shares in ((one, None), (torch.zeros(2, 3, dtype=torch.long), torch.ones(2, 3))):
        with pytest.raises(ValueError, match=r"scores of \['pos'\] take probabilities"):
            scores.update(y, y, one, shares)
