"""A transformer of random weights in the place of an embedding."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

ROOT = Path(__file__).parents[2]
TEXTS = ["the plot is dark", "the cast seemed dry but the sound was unheard of", "wild"]

pytest.importorskip("transformers")


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    return importlib.import_module("contextual_vectors")


def test_vectors_depend_on_the_context_and_not_on_padding(program: ModuleType) -> None:
    torch.manual_seed(0)
    parts = program.tiny_encoder(TEXTS[:2])
    model = program.ContextualClassifier(*parts, ["a", "b"], hidden_size=3)
    x, lengths = model.vectors(TEXTS)
    assert lengths.tolist() == [4, 10, 1] and x.shape == (3, 10, 64)
    alone, _ = model.vectors(TEXTS[:1])
    torch.testing.assert_close(x[0, :4], alone[0])
    assert not torch.allclose(x[0, 0], x[1, 0], atol=1e-2)  # "the", before other words
    model.eval()
    logits = model(TEXTS, torch.tensor([0, 1, 1]))
    torch.testing.assert_close(logits[:1], model(TEXTS[:1], torch.tensor([0])))
    logits.sum().backward()
    assert all(p.grad is None for p in model.transformer.parameters())
    assert all(p.grad is not None for p in model.encoder.parameters())


def test_it_learns(
    program: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["contextual_vectors.py", "--epochs", "2"])
    program.main()
    printed = capsys.readouterr().out
    first, second = (float(loss) for loss in re.findall(r"loss (\d\.\d+)", printed))
    assert second < first
    assert len(re.findall(r"^[ab][12]: \d+\.\d%$", printed, re.MULTILINE)) == 4
