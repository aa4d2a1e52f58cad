"""Integers of any type say the same."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from mtgnn.data import SequenceBatch, Vocabulary
from mtgnn.nn import (
    AdversarialLSTM,
    ClassificationHeads,
    CrossStitchLSTM,
    LinearChainCRF,
    MixtureOfExpertsLSTM,
    MultiTaskLoss,
    MultiTaskModel,
    SharedLSTM,
    SharedPrivateLSTM,
    StarGraphLSTM,
    TaggingHeads,
)

B, T, E, H, K = 5, 4, 3, 2, 3
KINDS = [torch.uint8, torch.int8, torch.int16, torch.int32]
TASK, LENGTHS, Y = (torch.tensor(v) for v in ([0, 1, 2, 1, 0], [4, 2, 3, 4, 1], [0, 1, 1, 0, 1]))
ENCODERS = [
    *(
        SharedLSTM,
        SharedPrivateLSTM,
        AdversarialLSTM,
        StarGraphLSTM,
        CrossStitchLSTM,
        MixtureOfExpertsLSTM,
    )
]
Convert = Callable[[Tensor], Tensor]


def same(compute: Callable[[Convert], object], kind: torch.dtype) -> None:
    torch.manual_seed(0)
    expected = compute(lambda x: x)
    torch.manual_seed(0)
    torch.testing.assert_close(compute(lambda x: x.to(kind)), expected, rtol=0, atol=0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("every", [False, True])
def test_encoders(encoder: type, kind: torch.dtype, every: bool) -> None:
    torch.manual_seed(1)
    layer = encoder(E, H, K).eval()
    x = torch.randn(B, T, layer.graph.num_nodes, E) if every else torch.randn(B, T, E)

    def compute(to: Convert) -> list[Tensor]:
        out = layer(x, to(LENGTHS), to(TASK))[0]
        if not hasattr(layer, "auxiliary_losses"):
            return [out]
        return [out, layer.auxiliary_losses(out, to(LENGTHS), to(TASK))]

    same(compute, kind)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("embedding", ["shared", "task"])
def test_models(embedding: str, kind: torch.dtype) -> None:
    vocabulary = Vocabulary([f"w{i}" for i in range(150)])  # more than eight bits, in two tables
    classes = {name: ["no", "yes"] for name in "abc"}
    torch.manual_seed(1)
    model = MultiTaskModel(
        vocabulary, classes, "star", embedding=embedding, embedding_size=E, hidden_size=H
    ).eval()
    tokens = torch.randint(100, 150, (B, T))

    def compute(to: Convert) -> list[Tensor]:
        batch = SequenceBatch(tokens, to(LENGTHS), to(TASK), to(Y))
        output = model.read(batch)
        losses, task, _ = model.losses(output, batch)
        return [output.logits, losses, MultiTaskLoss(K, [1, 2, 3], "task")(losses, task)]

    same(compute, kind)
    wrong = SequenceBatch(tokens, LENGTHS.to(kind), TASK.to(kind), torch.full((B,), 2).to(kind))
    with pytest.raises(ValueError, match="labels of task 'a' in 0…1, or -100 for none, got 2"):
        model.losses(model.read(wrong), wrong)


@pytest.mark.parametrize("kind", KINDS)
def test_losses_and_heads(kind: torch.dtype) -> None:
    losses, h = torch.arange(1.0, B + 1), torch.randn(B, E)
    same(lambda to: MultiTaskLoss(K, [1, 3, 5])(losses, to(TASK)), kind)
    same(lambda to: MultiTaskLoss(K, "uncertainty").per_task(losses, to(TASK)), kind)
    same(lambda to: ClassificationHeads(E, [2, 3, 2])(h, to(TASK)), kind)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("crf", [False, True])
def test_tags(crf: bool, kind: torch.dtype) -> None:
    h, y = torch.randn(B, T, E), torch.randint(2, (B, T))

    def compute(to: Convert) -> list[Tensor]:
        heads = TaggingHeads(E, [2, 3, 2], crf=crf)
        logits = heads(h, to(TASK))
        asked = to(LENGTHS), to(TASK)
        loss, best = heads.loss(logits, to(y), *asked), heads.decode(logits, *asked)
        return [loss, best, heads.marginals(logits, *asked)]

    same(compute, kind)
    emissions = torch.randn(B, T, 2)
    same(lambda to: LinearChainCRF(2)(emissions, to(y), to(LENGTHS)), kind)
    same(lambda to: LinearChainCRF(2).decode(emissions, to(LENGTHS)), kind)


def test_tasks_out_of_range_are_refused_early() -> None:
    vocabulary, classes = Vocabulary(["a"]), {name: ["no", "yes"] for name in "ab"}
    model = MultiTaskModel(
        vocabulary, classes, "shared", embedding="task", embedding_size=E, hidden_size=H
    )
    for wrong in (2, -1):
        with pytest.raises(ValueError, match=rf"expected tasks in 0…1, got \[{wrong}\]"):
            model(torch.tensor([[3]]), torch.tensor([1]), torch.tensor([wrong]))


def test_no_sequence_at_all() -> None:
    heads, none = ClassificationHeads(E, [2, 3]), torch.zeros(0, dtype=torch.long)
    assert heads(torch.zeros(0, E), none).shape == (0, 3)
    assert heads(torch.zeros(0, T, E), none).shape == (0, T, 3)
    tags = TaggingHeads(E, [2, 3])
    with pytest.raises(ValueError, match="at least one sequence"):
        tags.loss(torch.zeros(0, T, 3), torch.zeros(0, T, dtype=torch.long), none, none)
