import math
import random

import pytest
import torch

from mtgnn.metrics import TokenAccuracy, TokenScore


def test_counts_over_batches_as_a_plain_loop_does() -> None:
    draw = random.Random(0)
    metric = TokenAccuracy()
    words: list[tuple[bool, bool]] = []  # right, unknown
    for batch in range(5):
        shape = (draw.randint(1, 4), draw.randint(1, 6))
        generator = torch.Generator().manual_seed(batch)
        predicted = torch.randint(0, 3, shape, generator=generator)
        true = torch.randint(-1, 3, shape, generator=generator)
        true[true < 0] = -100
        unknown = torch.rand(shape, generator=generator) < 0.4
        metric.update(predicted, true, unknown)
        for guess, truth, new in zip(
            predicted.flatten().tolist(),
            true.flatten().tolist(),
            unknown.flatten().tolist(),
            strict=True,
        ):
            if truth != -100:
                words.append((guess == truth, new))
    new_words = [right for right, new in words if new]
    assert metric.compute() == pytest.approx(
        TokenScore(
            sum(right for right, _ in words) / len(words),
            sum(new_words) / len(new_words),
            len(words),
            len(new_words),
        )
    )
    assert 0 < metric.compute().unknown_words < metric.compute().words
    assert repr(metric) == f"TokenAccuracy({len(words)} words)"


def test_no_word_is_nan() -> None:
    metric = TokenAccuracy()
    assert all(map(math.isnan, metric.compute()[:2]))
    metric.update(torch.tensor([[1, 0]]), torch.tensor([[1, -100]]))
    assert metric.compute()[0] == 1.0 and math.isnan(metric.compute().unknown_accuracy)
    metric.reset()
    assert math.isnan(metric.compute().accuracy) and metric.compute().words == 0


def test_bad_input() -> None:
    one = torch.zeros(1, 2, dtype=torch.long)
    with pytest.raises(ValueError, match=r"got \[1, 1\] and \[1, 2\]"):
        TokenAccuracy().update(one[:, :1], one)
    with pytest.raises(ValueError, match=r"unknown words \[1, 2\], got \[1, 1\]"):
        TokenAccuracy().update(one, one, one[:, :1] > 0)
    with pytest.raises(ValueError, match="integers, got floats"):
        TokenAccuracy().update(one.float(), one)
