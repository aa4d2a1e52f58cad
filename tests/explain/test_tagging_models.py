"""What edges do in models that tag, against one sentence and one edge at a time."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch_geometric.data import Data

from mtgnn.data import EncodedSentences, SentenceEncoder, TokenBatch, WordForm
from mtgnn.explain import (
    SentenceSample,
    collect_attention,
    edge_ablation,
    edge_gradient,
    edge_insertion,
    without_edges,
)
from mtgnn.nn import TaggingModel
from mtgnn.testing import randomise

CLASSES = {"pos": ["D", "N", "V"], "chunk": ["O", "B-X", "I-X"], "ner": ["O", "B-Z"]}
WORDS = [["An", "Old", "dog"], ["barks"], ["A", "cat", "sees", "An", "Old", "dog"], ["dog", "2"]]
ENCODER = SentenceEncoder.build(WORDS[:3], CLASSES, WordForm(lower=True, digits=True))


def tagger(crf: bool = True, **options: Any) -> TaggingModel:
    sizes = {"embedding_size": 4, "character_size": 4, "hidden_size": 5}
    encoder_options = {"score": "dot", **options}
    model = TaggingModel(ENCODER, "complete", crf=crf, encoder_options=encoder_options, **sizes)
    randomise(model.encoder.double(), scale=1.2)
    return model.double()


def batches() -> list[TokenBatch]:
    """Sentences by task in two batches; one has no labels, another lacks one."""
    torch.manual_seed(0)
    data = []
    for words in WORDS:
        tags = {
            k: [c[int(i)] for i in torch.randint(len(c), (len(words),))] for k, c in CLASSES.items()
        }
        data.append(Data(words=words, tags=tags))
    data[0].tags["pos"] = [None] * 3
    data[2].tags["chunk"] = [*data[2].tags["chunk"][:5], None]
    encoded = EncodedSentences(data, ENCODER, by_task=True)
    items = list(encoded)
    return [encoded.collate(items[:5]), encoded.collate(items[5:])]


def loss_of(model: TaggingModel, batch: TokenBatch, b: int) -> Tensor:
    """The loss of one sentence by itself."""
    length = batch.lengths[b : b + 1]
    cut = slice(int(length))
    task = batch.task[b : b + 1]
    with torch.no_grad():
        logits = model(batch.tokens[b : b + 1, cut], batch.characters[b : b + 1, cut], length, task)
        return model.heads.loss(logits, batch.y[b : b + 1, cut], length, task)[0]


@pytest.mark.parametrize("crf", [False, True])
@pytest.mark.parametrize(
    "options", [{}, {"exchange": "mutual"}, {"score": "additive", "memory": "all"}]
)
@pytest.mark.parametrize("alone", [False, True])
def test_effects_of_edges_are_mean_changes_of_the_loss(
    options: dict[str, Any], crf: bool, alone: bool
) -> None:
    model = tagger(crf, **options).eval()
    effects = (edge_insertion if alone else edge_ablation)(model, batches())
    every = range(model.graph.num_edges)
    base = without_edges(model, every) if alone else model
    changes: dict[tuple[int, int], list[Tensor]] = {}
    count = [0, 0, 0]
    for batch in batches():
        for b, task in enumerate(batch.task.tolist()):
            if not (batch.y[b] >= 0).any():
                continue
            count[task] += 1
            before = loss_of(base, batch, b)
            for edge in every:
                cut = set(every) - {edge} if alone else {edge}
                change = loss_of(without_edges(model, cut), batch, b) - before
                changes.setdefault((edge, task), []).append(-change if alone else change)
    assert count == effects.count.tolist() == [3, 4, 4]
    for (edge, task), own in changes.items():
        torch.testing.assert_close(effects.change[edge, task], torch.stack(own).mean())
    assert effects.change.abs().max() > 0.01


@pytest.mark.parametrize(
    "options", [{}, {"score": "static"}, {"score": "uniform", "memory": "all"}]
)
def test_gradients_of_edges_are_those_of_a_weak_message(options: dict[str, Any]) -> None:
    """Where messages count for little, cutting them does what the gradient says."""
    model = tagger(**options, concat_messages=False).eval()
    for name, parameter in model.encoder.named_parameters():
        if "weight_r" in name:
            parameter.data *= 1e-4
    found, expected = edge_gradient(model, batches()), edge_ablation(model, batches())
    torch.testing.assert_close(found.loss, expected.loss)
    scale = expected.change.abs().max()
    assert scale > 1e-9
    torch.testing.assert_close(found.change / scale, expected.change / scale, atol=2e-3, rtol=0)


def test_sentences_are_shown_as_they_are_spelt() -> None:
    model = tagger()
    sample = SentenceSample(model.graph, ENCODER.words, per_task=4, characters=ENCODER.characters)
    [sentences] = collect_attention(model, batches(), [sample])
    assert [s.task for s in sentences] == [task for task in CLASSES for _ in range(4)]
    for task in CLASSES:
        own = [s for s in sentences if s.task == task]
        # "2" is no character of the encoder's.
        assert sorted(map(tuple, (s.words for s in own))) == sorted(
            tuple(word.replace("2", "\ufffd") for word in words) for words in WORDS
        )
    assert [s.label for s in sentences if s.task == "pos" and len(s.words) == 3] == [[None] * 3]
    [long] = [s.label for s in sentences if s.task == "chunk" and len(s.words) == 6]
    assert isinstance(long, list) and long[5] is None and all(y in (0, 1, 2) for y in long[:5])
    forms = collect_attention(model, batches(), [SentenceSample(model.graph, ENCODER.words, 4)])[0]
    assert ["an", "old", "dog"] in [s.words for s in forms]


def test_sentences_of_several_tasks_at_once_are_refused() -> None:
    data = [
        Data(words=words, tags={k: [c[0]] * len(words) for k, c in CLASSES.items()})
        for words in WORDS
    ]
    for items in (data, [*data, Data(words=["A"], tags={"pos": ["D"]})]):
        encoded = EncodedSentences(items, ENCODER)
        batch = encoded.collate(list(encoded))
        for read in (edge_ablation, edge_insertion, edge_gradient):
            with pytest.raises(ValueError, match="expected sequences of one task each"):
                read(tagger(), [batch])
