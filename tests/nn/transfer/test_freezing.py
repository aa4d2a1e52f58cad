"""Groups of parameters, and that frozen ones stay as they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch_geometric.nn import SAGEConv
from torch_geometric.nn.module_dict import ModuleDict

from mtgnn import TaskGraph
from mtgnn.data import SentenceEncoder, SequenceBatch, Vocabulary
from mtgnn.nn import (
    AdversarialLSTM,
    CompleteGraphLSTM,
    CrossStitchLSTM,
    GraphLSTM,
    HierarchicalLSTM,
    MixtureOfExpertsLSTM,
    MultiTaskModel,
    SharedLSTM,
    SharedPrivateLSTM,
    StarGraphLSTM,
    TaggingModel,
    TaskAttentionConv,
    add_task,
    edge_logit_group,
    freeze,
    freeze_except_task,
    parameter_groups,
    unfreeze,
)
from mtgnn.testing import randomise

# A task is called like a layer, another like a part of a module.
CLASSES = {"l0": ["bad", "good"], "v1.0": ["one", "two", "three"], "heads": ["bad", "good"]}
TASKS = tuple(CLASSES)
VOCABULARY = Vocabulary(["i", "like", "it", "not", "!"])
TOKENS = torch.tensor([[3, 4, 5, 7], [5, 4, 0, 0], [6, 0, 0, 0], [3, 1, 2, 0]])
LENGTHS = torch.tensor([4, 2, 1, 3])
STAR = TaskGraph.star(TASKS)


class Private(nn.Module):
    """An encoder of another kind: what belongs to a task stands under its name."""

    def __init__(self) -> None:
        super().__init__()
        self.graph, self.output_size = TaskGraph.isolated(TASKS), 3
        self.shared = nn.LSTM(4, 3, batch_first=True)
        self.private = ModuleDict({task: nn.Linear(3, 3) for task in TASKS})


ENCODERS: dict[str, Callable[[], nn.Module]] = {
    "single": lambda: GraphLSTM(4, 3, TaskGraph.isolated(TASKS)),
    "shared": lambda: SharedLSTM(4, 3, TASKS),
    "complete": lambda: CompleteGraphLSTM(4, 3, TASKS, num_layers=2),
    "owned": lambda: GraphLSTM(4, 3, STAR, score_owner="receiver", bidirectional=True),
    "static": lambda: CompleteGraphLSTM(4, 3, TASKS, score="static"),
    "several": lambda: CompleteGraphLSTM(4, 3, TASKS, memory="all"),
    "conv": lambda: GraphLSTM(4, 3, STAR, conv=SAGEConv(3, 5)),
    "star": lambda: StarGraphLSTM(4, 3, TASKS, virtual="convs"),
    "cross_stitch": lambda: CrossStitchLSTM(4, 3, TASKS),
    "shared_private": lambda: SharedPrivateLSTM(4, 3, TASKS),
    "adversarial": lambda: AdversarialLSTM(4, 3, TASKS),
    "hierarchical": lambda: HierarchicalLSTM(
        4, 3, TaskGraph.hierarchy({"v1.0": ["l0"], "heads": ["l0"]})
    ),
    "mixture": lambda: MixtureOfExpertsLSTM(4, 3, TASKS, num_experts=2),
    "private": Private,
}
NOTHING_OF_ITS_OWN = ("shared", "hierarchical")
KINDS = {
    "single": [],
    "shared": ["encoder"],
    "complete": ["scores"],
    "owned": ["scores.l0", "scores.v1.0", "scores.heads", "scores.shared", "virtual.shared"],
    "static": ["scores"],
    "several": ["scores", "edges"],
    "conv": ["scores", "virtual.shared"],
    "star": ["scores", "virtual.convs"],
    "cross_stitch": ["stitches"],
    "shared_private": ["encoder"],
    "adversarial": ["encoder"],
    "hierarchical": ["encoder"],
    "mixture": ["virtual.expert0", "virtual.expert1"],
    "private": ["encoder"],
}


def model(name: str, **options: Any) -> MultiTaskModel:
    sizes = {"embedding_size": 4, "hidden_size": 3, "pooling": "attention", **options}
    encoder = ENCODERS[name]() if name in ENCODERS else name
    return randomise(MultiTaskModel(VOCABULARY, CLASSES, encoder, **sizes))


@pytest.mark.parametrize("name", ENCODERS)
def test_groups_are_a_partition(name: str) -> None:
    net = model(name)
    groups = parameter_groups(net)
    names = [key for group in groups.values() for key in group]
    assert sorted(names) == sorted(key for key, _ in net.named_parameters())
    assert all(p is net.get_parameter(key) for group in groups.values() for key, p in group.items())
    nodes = [f"nodes.{task}" for task in TASKS] if name not in NOTHING_OF_ITS_OWN else []
    heads = [f"heads.{task}" for task in TASKS]
    assert sorted(groups) == sorted(["embedding", "pooling", *nodes, *heads, *KINDS[name]])
    inner = parameter_groups(net.encoder)
    assert {key: [f"encoder.{n}" for n in group] for key, group in inner.items()} == {
        key: list(groups[key]) for key in inner
    }
    assert set(inner) == {*nodes, *KINDS[name]}


@pytest.mark.parametrize("name", [name for name in ENCODERS if name != "private"])
def test_groups_hold_what_their_names_say(name: str) -> None:
    net = model(name)
    groups = parameter_groups(net)
    for k, task in enumerate(TASKS):
        net.zero_grad()
        task_of = torch.full((4,), k)
        states = net.encoder(net.embedding(TOKENS), LENGTHS, task_of)[0]
        logits = net.heads(net.pooling(states, LENGTHS), task_of)
        logits[logits.isfinite()].sum().backward()
        reached = {
            key for key, group in groups.items() if any(p.grad is not None for p in group.values())
        }
        own = {f"heads.{task}", *([] if name in NOTHING_OF_ITS_OWN else [f"nodes.{task}"])}
        assert own <= reached
        assert not reached & {f"heads.{other}" for other in TASKS if other != task}
        if name in ("single", "star", "shared_private", "adversarial", "mixture"):
            assert not reached & {f"nodes.{other}" for other in TASKS if other != task}
        assert reached >= {"embedding", "pooling"}


@pytest.mark.parametrize("crf", [True, False])
def test_groups_of_a_model_that_tags(crf: bool) -> None:
    classes = {"pos": ["N", "V"], "v1.0": ["O", "B-X", "I-X"]}
    sentences = SentenceEncoder.build([["a", "b"]], classes)
    sizes = {"embedding_size": 4, "character_size": 4, "hidden_size": 3}
    net = TaggingModel(sentences, "star", crf=crf, **sizes)
    groups = parameter_groups(net)
    kinds = ["words", "scores", "virtual.shared", "encoder"]  # the last is in common
    own = [f"{kind}.{task}" for kind in ("nodes", "heads") for task in classes]
    assert sorted(groups) == sorted([*kinds, *own])
    names = [key for group in groups.values() for key in group]
    assert sorted(names) == sorted(key for key, _ in net.named_parameters())
    for task in classes:
        name = task.replace(".", "#")  # as torch wants it
        assert all(key.startswith(f"encoder.nodes.{name}.") for key in groups[f"nodes.{task}"])
        assert all(f".{name}." in key for key in groups[f"heads.{task}"])
        assert any("crfs" in key for key in groups[f"heads.{task}"]) == crf


def step(net: MultiTaskModel, task: int, optimiser: torch.optim.Optimizer) -> None:
    where = torch.full((4,), task)
    batch = SequenceBatch(TOKENS, LENGTHS, where, torch.tensor([0, 1, 0, 1]))
    optimiser.zero_grad()
    net.loss_per_sample(net(TOKENS, LENGTHS, where), batch).sum().backward()
    optimiser.step()


@pytest.mark.parametrize("name", ["complete", "owned", "conv", "star", "shared", "single"])
def test_frozen_parameters_stay_exactly(name: str) -> None:
    senders = TASKS if name in ("owned", "conv") else None  # of one sender, no score matters
    net = add_task(model(name, dropout=0.1), "new", ["x", "y"], senders)
    optimiser = torch.optim.Adam(net.parameters(), 0.1, weight_decay=0.1)
    for task in range(4):
        step(net, task, optimiser)  # momentum, and gradients that are still there
    trained = freeze_except_task(net, "new")
    before = {key: value.clone() for key, value in net.state_dict().items()}
    own = {key for group in trained for key in parameter_groups(net)[group]}
    assert own == {key for key, p in net.named_parameters() if p.requires_grad}
    expected = {"heads.new"} | ({"nodes.new"} if name != "shared" else set())
    assert set(trained) == expected | ({"scores.new"} if name == "owned" else set())
    for _ in range(3):
        step(net, 3, optimiser)
    for key, value in net.state_dict().items():
        assert torch.equal(value, before[key]) == (key not in own), key


def test_adapting_to_a_task_does_not_change_the_others() -> None:
    old = model("star").eval()
    net = add_task(old, "new", ["x", "y"])
    freeze_except_task(net, "new")
    for _ in range(3):
        step(net, 3, torch.optim.Adam(net.parameters(), 0.1, weight_decay=0.1))
    task = torch.tensor([2, 1, 1, 0])
    assert torch.equal(net(TOKENS, LENGTHS, task), old(TOKENS, LENGTHS, task))


def test_freezing_and_unfreezing() -> None:
    net = model("owned")

    def frozen() -> set[str]:
        return {
            name
            for name, group in parameter_groups(net).items()
            if not all(p.requires_grad for p in group.values())
        }

    assert freeze(net, ["scores", "embedding", "heads.v1.0"]) == [
        *("embedding", "scores.l0", "scores.v1.0", "scores.heads", "scores.shared", "heads.v1.0")
    ]
    assert len(frozen()) == 6
    assert unfreeze(net, ["scores.l0"]) == ["scores.l0"] and len(frozen()) == 5
    assert set(freeze(net)) == frozen() == set(parameter_groups(net))
    unfreeze(net)
    assert not frozen()


def test_a_compiled_model_has_the_groups_of_the_model() -> None:
    net = model("several")
    compiled = torch.compile(net, backend="eager")
    assert parameter_groups(compiled) == parameter_groups(net)
    assert edge_logit_group(compiled) == edge_logit_group(net) == "edges"
    assert freeze(compiled, ["nodes"]) == freeze(net, ["nodes"])
    assert not any(p.requires_grad for p in net.encoder.nodes.parameters())


class Elsewhere(nn.Module):
    """Its layer is not called encoder."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = CompleteGraphLSTM(4, 3, 3, memory="all")
        self.graph = self.rnn.graph


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: parameter_groups(nn.Linear(2, 2)), "TaskGraph"),
        (lambda: freeze(model("star"), ["nodes.v1"]), r"\['nodes.v1'\]"),
        (lambda: freeze(model("star"), ["nodes", "node"]), r"\['node'\]"),
        (lambda: freeze(model("star"), "nodes"), "several names"),
        (lambda: unfreeze(model("star"), ["scores.l0"]), r"\['scores.l0'\]"),
        (lambda: freeze_except_task(model("star"), "convs"), "among.*'convs'"),
        (lambda: freeze_except_task(model("static"), "l0"), "static scores are one.*and 'scores'"),
        (
            lambda: freeze_except_task(model("several"), "l0"),
            "shares in mailboxes are one.*and 'edges'",
        ),
        (lambda: freeze_except_task(model("single", embedding="task"), "l0"), "all tables"),
        (lambda: freeze_except_task(SharedLSTM(4, 3, TASKS), "l0"), "of its own"),
        (lambda: freeze_except_task(nn.Linear(2, 2), "l0"), "TaskGraph"),
        (lambda: parameter_groups(Elsewhere()), "holds one as rnn"),
        (lambda: edge_logit_group(Elsewhere()), "holds one as rnn"),
        (
            lambda: edge_logit_group(TaskAttentionConv(4, score="static", num_edges=2)),
            "with a TaskGraph as its graph, got None",
        ),
    ],
)
def test_errors(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
