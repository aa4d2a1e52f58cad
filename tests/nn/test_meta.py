"""Layers are built on the device ``meta``, without memory, and drawn where they are to live."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch_geometric.nn import GATv2Conv, SAGEConv

from mtgnn import TaskGraph
from mtgnn.data import SentenceEncoder, Vocabulary
from mtgnn.nn import GraphLSTM, MultiTaskModel, TaggingModel, build_encoder
from mtgnn.testing import random_batch

E, H, TASKS = 3, 4, ("a", "b", "c")
GRAPH = TaskGraph.hierarchy({"c": ["a", "b"]})
OPTIONS: dict[str, dict[str, Any]] = {
    "single": {},
    "shared": {"num_layers": 2},
    "shared_private": {},
    "adversarial": {},
    "hierarchical": {"graph": GRAPH},
    "cross_stitch": {"num_layers": 2},
    "mixture": {},
    "complete": {"score": "static", "common": True, "own_rank": 2},
    "star": {"memory": "past", "fusion": "gated"},
    "graph": {"graph": GRAPH, "score_owner": "receiver"},
}
CONVS: dict[str, Callable[[], Any]] = {
    "mutual": lambda: SAGEConv(H, H),
    "read": lambda: GATv2Conv(H, H, add_self_loops=False),
}


def drawn_from_meta(make: Callable[[], Any]) -> Any:
    """A layer that was built on ``meta``, with new parameters on the CPU."""
    with torch.device("meta"):
        layer = make()
    assert all(parameter.is_meta for parameter in layer.parameters())
    layer = layer.to_empty(device="cpu").eval()
    for parameter in layer.parameters():  # else zeros may stand there by chance
        nn.init.constant_(parameter, torch.nan)
    torch.manual_seed(0)
    layer.reset_parameters()
    return layer


def drawn(make: Callable[[], Any]) -> Any:
    layer = make().eval()
    torch.manual_seed(0)
    layer.reset_parameters()
    return layer


@pytest.mark.parametrize("name", OPTIONS)
def test_an_encoder_is_the_one_that_was_built_on_the_cpu(name: str) -> None:
    def make() -> nn.Module:
        return build_encoder(name, E, H, TASKS, **OPTIONS[name])

    batch = random_batch(E, 3, dtype=torch.float32)
    torch.testing.assert_close(drawn_from_meta(make)(*batch)[0], drawn(make)(*batch)[0])


@pytest.mark.parametrize("exchange", CONVS)
def test_so_is_a_layer_with_a_conv(exchange: str) -> None:
    def make() -> nn.Module:
        return GraphLSTM(E, H, GRAPH, exchange, conv=CONVS[exchange]())

    batch = random_batch(E, 3, dtype=torch.float32)
    torch.testing.assert_close(drawn_from_meta(make)(*batch)[0], drawn(make)(*batch)[0])
    with torch.device("meta"), pytest.raises(ValueError, match="states of size 4"):
        GraphLSTM(E, H, GRAPH, conv=SAGEConv(H + 1, H))  # shapes are tried there, too


@pytest.mark.parametrize("name", OPTIONS)
def test_so_is_a_model(name: str) -> None:
    classes = {task: ["no", "yes"] for task in TASKS}
    options = {"embedding_size": E, "hidden_size": H, "encoder_options": OPTIONS[name]}

    def make() -> nn.Module:
        return MultiTaskModel(Vocabulary(["good", "bad"]), classes, name, **options)

    batch = torch.tensor([[3, 4, 3]] * 3), torch.tensor([3, 2, 1]), torch.arange(3)
    torch.testing.assert_close(drawn_from_meta(make)(*batch), drawn(make)(*batch))


@pytest.mark.parametrize("options", [{}, {"crf": True, "characters": "cnn"}], ids=str)
def test_so_is_a_model_that_tags(options: dict[str, Any]) -> None:
    tags = {"pos": ["D", "N", "V"], "chunk": ["O", "B-NP", "I-NP"]}
    sentences = SentenceEncoder.build([["A", "dog", "barks"]], tags)

    def make() -> nn.Module:
        return TaggingModel(sentences, "star", hidden_size=H, **options)

    assert drawn_from_meta(make).predict([["A", "dog"]]) == drawn(make).predict([["A", "dog"]])
