"""One task more: the others notice nothing, and the new one hears whom it should."""

from __future__ import annotations

import inspect
import io
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch_geometric.nn import SAGEConv

from mtgnn import TaskGraph
from mtgnn.data import Vocabulary
from mtgnn.nn import (
    ClassificationHeads,
    CompleteGraphLSTM,
    GraphLSTM,
    MultiTaskModel,
    RegressionHeads,
    SharedLSTM,
    StarGraphLSTM,
    TaggingHeads,
    add_task,
    freeze_except_task,
)
from mtgnn.nn.models.encoders import _BUILDERS
from mtgnn.testing import (
    assert_all_tasks_equal_single,
    assert_attention_sums_to_one,
    assert_batch_invariant,
    assert_heard,
    assert_padding_invariant,
    random_batch,
    randomise,
)

E, H, TASKS = 3, 4, ("a", "v1.0", "c")
LOOPS = [("a", "v1.0"), ("shared", "a"), ("v1.0", "c"), ("a", "c"), ("c", "shared")]
CYCLIC = TaskGraph.from_edges(LOOPS, TASKS, ("shared",))
CHAIN = TaskGraph.from_edges([("a", "v1.0"), ("a", "c"), ("v1.0", "c")], TASKS)


def sage(layer: int, direction: int) -> SAGEConv:
    return SAGEConv(H, 5)


LAYERS: dict[str, Callable[[], nn.Module]] = {
    "complete": lambda: CompleteGraphLSTM(E, H, TASKS),
    "complete-plain": lambda: CompleteGraphLSTM(E, H, TASKS, kernel="reference"),
    "complete-mutual": lambda: CompleteGraphLSTM(E, H, TASKS, "mutual", score_owner="receiver"),
    "complete-static": lambda: CompleteGraphLSTM(E, H, TASKS, score="static", heads=2),
    "complete-both-ways": lambda: CompleteGraphLSTM(E, H, TASKS, num_layers=2, bidirectional=True),
    "mutual": lambda: GraphLSTM(E, H, CYCLIC, fusion="gated", heads=2),
    "mutual-static": lambda: GraphLSTM(E, H, CYCLIC, score="static"),
    "star-mutual": lambda: GraphLSTM(E, H, TaskGraph.star(TASKS), score="dot"),
    "read": lambda: GraphLSTM(E, H, CYCLIC, "read", score_owner="receiver", score_channels=3),
    "cascade": lambda: GraphLSTM(E, H, CHAIN, "cascade", num_layers=2),
    "cascade-static": lambda: GraphLSTM(E, H, CHAIN, "cascade", score="static", bidirectional=True),
    "uniform": lambda: GraphLSTM(E, H, CHAIN, "read", score="uniform", heads=2),
    "conv-mutual": lambda: GraphLSTM(E, H, CYCLIC, conv=SAGEConv(H, 5)),
    "conv-read": lambda: GraphLSTM(E, H, CHAIN, "read", conv=sage, bidirectional=True),
    "conv-cascade": lambda: GraphLSTM(E, H, CHAIN, "cascade", conv=sage, num_layers=2),
    "all": lambda: StarGraphLSTM(E, H, TASKS),
    "all-gated": lambda: StarGraphLSTM(
        E, H, TASKS, fusion="gated", score_owner="receiver", virtual="hub"
    ),
    "all-both-ways": lambda: StarGraphLSTM(E, H, TASKS, num_layers=2, bidirectional=True),
    "past": lambda: StarGraphLSTM(E, H, TASKS, "past", score="dot", heads=2),
    "current": lambda: StarGraphLSTM(E, H, TASKS, "current", kernel="reference"),
    "several": lambda: CompleteGraphLSTM(E, H, TASKS, memory="all", heads=2),
    "several, past": lambda: GraphLSTM(E, H, CYCLIC, "read", memory="past"),
    "single": lambda: GraphLSTM(E, H, TaskGraph.isolated(TASKS)),
    "shared": lambda: SharedLSTM(E, H, TASKS, num_layers=2, bidirectional=True),
}
TALKING = [name for name in LAYERS if name not in ("single", "shared")]
BATCH = random_batch(E, len(TASKS))
MIXED = random_batch(E, len(TASKS) + 1, batch_size=8)


def layer(name: str) -> nn.Module:
    return randomise(LAYERS[name]()).eval()


def extended(name: str) -> tuple[nn.Module, nn.Module]:
    """A layer, and the same one with a new task whose parameters are random too."""
    old = layer(name)
    new = add_task(old, "new")
    values = {key: value.clone() for key, value in new.state_dict().items()}
    randomise(new, seed=1)
    kept = old.state_dict()
    for key, value in new.state_dict().items():
        if key in kept:
            value[: len(kept[key])] = values[key][: len(kept[key])]
    return old, new


@pytest.mark.parametrize("dtype", [torch.float, torch.double])
@pytest.mark.parametrize("name", LAYERS)
def test_old_tasks_notice_nothing(name: str, dtype: torch.dtype) -> None:
    old, new = (net.to(dtype) for net in extended(name))
    x = BATCH.x.to(dtype)
    (before, state), (after, end) = (net(x, *BATCH[1:]) for net in (old, new))
    assert before.any() and torch.equal(after, before)
    if name == "shared":
        assert all(torch.equal(*pair) for pair in zip(end, state, strict=True))
        return
    nodes = [new.graph.index(node) for node in old.graph.nodes]
    assert torch.equal(end.h[:, :, nodes], state.h) and torch.equal(end.c[:, :, nodes], state.c)
    assert not end.ran[..., new.graph.index("new")].any()


@pytest.mark.parametrize("name", [name for name in LAYERS if not name.startswith("conv")])
def test_old_attention_stays(name: str) -> None:
    old, new = extended(name)
    before, after = (net(*BATCH, return_attention_weights=True)[2] for net in (old, new))
    assert len(before) == len(after) > 0
    for (edges, alpha), (new_edges, new_alpha) in zip(before, after, strict=True):
        if getattr(new, "memory", None) not in ("all", "past"):
            assert not new_alpha[:, :, alpha.size(2) :].any()
            new_alpha = new_alpha[:, :, : alpha.size(2)]
            count = edges.size(1)
            assert new.graph.edges[:count] == old.graph.edges and new_edges.size(1) >= count
        assert torch.equal(new_alpha, alpha)


@pytest.mark.parametrize("name", LAYERS)
def test_old_tasks_do_not_hear_the_new_one(name: str) -> None:
    _, new = extended(name)
    out, every = new(*MIXED)[0], new(*MIXED[:2])[0]
    with torch.no_grad():
        for key, parameter in new.named_parameters():
            if key.startswith("nodes.new."):
                parameter.add_(1)
    mine = MIXED.task == 3
    assert torch.equal(new(*MIXED)[0][~mine], out[~mine])
    assert torch.equal(new(*MIXED[:2])[0][:, :, :3], every[:, :, :3])
    if name != "shared":
        assert not torch.equal(new(*MIXED)[0][mine], out[mine])


@pytest.mark.parametrize("name", TALKING)
def test_the_new_task_is_a_task_like_others(name: str) -> None:
    old, new = extended(name)
    assert new.graph.tasks == (*TASKS, "new") and new.graph.virtual == old.graph.virtual
    senders = old.graph.virtual or TASKS
    assert new.graph.edges == [*old.graph.edges, *((sender, "new") for sender in senders)]
    assert_heard(new, *MIXED, edges=[(sender, "new") for sender in senders])
    assert_padding_invariant(new, *MIXED)
    assert_batch_invariant(new, *MIXED)
    assert_all_tasks_equal_single(new, *MIXED[:2])
    if not name.startswith("conv"):
        assert_attention_sums_to_one(new, *MIXED)


@pytest.mark.parametrize("name", LAYERS)
def test_is_the_layer_one_would_have_built(name: str) -> None:
    old = layer(name)
    new = add_task(old, "new")
    same = isinstance(old, StarGraphLSTM | SharedLSTM)
    assert type(new) is (type(old) if same else GraphLSTM)
    kept, values = old.state_dict(), new.state_dict()
    assert list(kept) == [key for key in values if key in kept]
    for key, value in kept.items():
        assert torch.equal(values[key][: len(value)], value)
        assert values[key].data_ptr() != value.data_ptr()
    if name.endswith("static"):
        count = old.graph.num_edges
        logits = [value for key, value in values.items() if key.endswith("logit")]
        assert logits and all(len(x) > count and not x[count:].any() for x in logits)
    fresh = [key for key in values if key not in kept]
    assert all(".new." in key for key in fresh)
    assert bool(fresh) == (name != "shared")
    assert any(key.startswith("convs.") for key in fresh) == getattr(old, "owned", False)


def test_a_given_list_of_senders() -> None:
    new = randomise(add_task(GraphLSTM(E, H, CYCLIC), "new", senders=["c", "shared"]))
    assert new.graph.edges == [*LOOPS, ("c", "new"), ("shared", "new")]
    assert_heard(new, *MIXED, edges=[("c", "new"), ("shared", "new"), ("v1.0", "new")])
    alone = add_task(CompleteGraphLSTM(E, H, TASKS), "new", senders=[])
    assert alone.graph.edges == TaskGraph.complete(TASKS).edges
    first = randomise(add_task(GraphLSTM(E, H, TaskGraph.isolated(TASKS)), "new", senders=["a"]))
    assert_heard(first, *MIXED, edges=[("a", "new")])
    star = StarGraphLSTM(E, H, TASKS)
    assert add_task(star, "new", senders=["shared"]).graph == add_task(star, "new").graph


@pytest.mark.parametrize("name", ["complete-static", "cascade", "all", "shared"])
def test_several_tasks_one_after_the_other(name: str) -> None:
    old = layer(name)
    new = add_task(add_task(old, "new"), "newer")
    assert new.graph.tasks == (*TASKS, "new", "newer")
    assert torch.equal(new(*BATCH)[0], old(*BATCH)[0])


def test_every_option_is_kept() -> None:
    options: dict[str, Any] = {
        "exchange": "cascade",
        "num_layers": 2,
        "bidirectional": True,
        "dropout": 0.1,
        "message_dropout": 0.2,
        "attention_dropout": 0.3,
        "fusion": "gated",
        "score": "dot",
        "heads": 2,
        "score_channels": 5,
        "score_owner": "receiver",
        "concat_messages": True,
        "common": True,
        "own_rank": 2,
        "detach": True,
        "kernel": "reference",
    }
    known = {"self", "input_size", "hidden_size", "graph", "conv", "memory", "num_neighbors"}
    known |= {*options}
    # A new option must be kept too: add it to mtgnn/nn/transfer/new_task.py, and here.
    assert set(inspect.signature(GraphLSTM.__init__).parameters) == known
    new = add_task(GraphLSTM(E, H, CHAIN, **options), "new")
    same = GraphLSTM(E, H, new.graph, **options)
    assert _settings(new) == _settings(same)
    read = {**options, "exchange": "read", "memory": "past", "num_neighbors": 2}
    new = add_task(GraphLSTM(E, H, CHAIN, **read), "new")
    assert _settings(new) == _settings(GraphLSTM(E, H, new.graph, **read))
    star_options = {key: value for key, value in options.items() if key != "exchange"}
    star = StarGraphLSTM(E, H, TASKS, "past", virtual="hub", **star_options)
    same = StarGraphLSTM(E, H, (*TASKS, "new"), "past", virtual="hub", **star_options)
    assert _settings(add_task(star, "new")) == _settings(same)


def test_types_of_parts_are_kept() -> None:
    net = model("star").float()
    net.encoder.bfloat16()
    new = add_task(net, "new", ["x", "y"])
    for name, parameter in new.named_parameters():
        expected = torch.bfloat16 if name.startswith("encoder.") else torch.float32
        assert parameter.dtype == expected, name


def test_a_graph_without_edges_keeps_the_width_of_scores() -> None:
    layer = GraphLSTM(E, H, TaskGraph.isolated(["a", "b"]), score_channels=7)
    new = add_task(layer, "new", senders=["a"])
    assert new.score_channels == 7 and new.convs["l0"]["shared"].att.shape == (1, 7)


def _settings(net: nn.Module) -> dict[str, Any]:
    """Everything a layer holds but parameters and parts; shapes and options of the parts too."""
    settings = {
        key: repr(value)
        for part, module in net.named_modules()
        for key, value in ((f"{part}.{k}", v) for k, v in vars(module).items())
        if not key.rpartition(".")[2].startswith("_")
    }
    return settings | {name: str(list(p.shape)) for name, p in net.named_parameters()}


def test_modes_and_frozen_parameters_stay() -> None:
    old = CompleteGraphLSTM(E, H, TASKS).train()
    old.nodes["a"].eval().requires_grad_(False)
    new = add_task(old, "new")
    assert new.training and new.nodes["new"].training and not new.nodes["a"].training
    frozen = {name for name, p in new.named_parameters() if not p.requires_grad}
    assert frozen == {name for name in new.state_dict() if name.startswith("nodes.a.")}


# Models -------------------------------------------------------------------------------------------

CLASSES = {"a": ["bad", "good"], "v1.0": ["one", "two", "three"], "c": ["bad", "good"]}
VOCABULARY = Vocabulary(["i", "like", "it", "not", "!"])
TOKENS = torch.tensor([[3, 4, 5, 7], [5, 4, 0, 0], [6, 0, 0, 0], [3, 1, 2, 0]])
LENGTHS, TASK = torch.tensor([4, 2, 1, 3]), torch.tensor([2, 1, 1, 0])
TEXTS = ["i like it !", "", "not it", "i do not like it at all"]
ENCODERS: dict[str, dict[str, Any]] = {
    "single": {"embedding": "task"},
    "shared": {"pooling": "attention"},
    "complete": {"encoder_options": {"exchange": "mutual", "score": "static"}},
    "star": {"encoder_options": {"memory": "past", "bidirectional": True}},
    "graph": {"encoder_options": {"graph": CHAIN, "exchange": "cascade", "num_layers": 2}},
    "shared_private": {"encoder_options": {"num_layers": 2}},
    "adversarial": {"encoder_options": {"bidirectional": True}},
    "mixture": {"encoder_options": {"num_experts": 2}},
}


def model(encoder: str | nn.Module, **options: Any) -> MultiTaskModel:
    sizes = {"embedding_size": E, "hidden_size": H, **options}
    return randomise(MultiTaskModel(VOCABULARY, CLASSES, encoder, **sizes)).eval()


@pytest.mark.parametrize("encoder", ENCODERS)
def test_a_model_predicts_the_same(encoder: str) -> None:
    old = model(encoder, **ENCODERS[encoder])
    new = add_task(old, "new", ["x", "y", "z", "w"])
    assert new.tasks == (*CLASSES, "new") and new.classes["new"] == ["x", "y", "z", "w"]
    before, after = (net(TOKENS, LENGTHS, TASK) for net in (old, new))
    assert torch.equal(after[:, :3], before) and (after[:, 3:] == -torch.inf).all()
    for task in CLASSES:
        assert new.predict(TEXTS, task) == old.predict(TEXTS, task)
    assert not new.training and new.embedding.weight.dtype == torch.double


@pytest.mark.parametrize("encoder", ENCODERS)
def test_a_model_with_a_new_task_is_saved(encoder: str) -> None:
    new = add_task(model(encoder, **ENCODERS[encoder]), "new", ["x", "y"])
    file = io.BytesIO()
    new.save(file)
    file.seek(0)
    loaded = MultiTaskModel.load(file)
    assert loaded.graph == new.graph and type(loaded.encoder) is type(new.encoder)
    for task in new.tasks:
        assert loaded.predict(TEXTS, task) == new.predict(TEXTS, task)


@pytest.mark.parametrize("name", ["conv-read", "shared", "complete", "all"])
def test_a_model_whose_encoder_was_given_as_a_module(name: str) -> None:
    old = model(layer(name))
    new = add_task(old, "new", ["x", "y"])
    assert torch.equal(new(TOKENS, LENGTHS, TASK), old(TOKENS, LENGTHS, TASK))
    file = io.BytesIO()
    new.save(file)
    file.seek(0)
    loaded = MultiTaskModel.load(file, encoder=add_task(layer(name), "new"))
    assert loaded.predict(TEXTS, "new") == new.predict(TEXTS, "new")


def test_senders_of_a_model() -> None:
    new = add_task(model("complete"), "new", ["x", "y"], senders=["a"])
    assert new.graph.edges[-1] == ("a", "new") and new.graph.num_edges == 7
    assert add_task(model("single"), "new", ["x", "y"], senders=["a"]).graph.num_edges == 1


class Private(nn.Module):
    """An encoder of another kind, which is rebuilt from its name: one part for all, one a task."""

    def __init__(self, input_size: int, hidden_size: int, tasks: Any, square: bool = False) -> None:
        super().__init__()
        self.graph, self.output_size = TaskGraph.isolated(tasks), 2 * hidden_size
        self.shared = SharedLSTM(input_size, hidden_size, tasks)
        self.private = GraphLSTM(input_size, hidden_size, self.graph)
        if square:
            self.mix = nn.Parameter(torch.ones(len(self.graph.tasks), len(self.graph.tasks)))

    def forward(self, *arguments: Any) -> tuple[torch.Tensor, None]:
        return torch.cat([self.shared(*arguments)[0], self.private(*arguments)[0]], -1), None


def test_encoders_of_other_kinds_are_built_anew_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(_BUILDERS, "private", Private)
    old = model("private")
    new = add_task(old, "new", ["x", "y"])
    assert type(new.encoder) is Private and new.graph.tasks == (*CLASSES, "new")
    assert torch.equal(new(TOKENS, LENGTHS, TASK), old(TOKENS, LENGTHS, TASK))
    assert freeze_except_task(new, "new") == ["nodes.new", "heads.new"]
    with pytest.raises(ValueError, match=r"hears \[\], got \['a'\]"):
        add_task(old, "new", ["x", "y"], senders=["a"])
    with pytest.raises(ValueError, match=r"'encoder.mix' is \[3, 3\], with the new task \[4, 4\]"):
        add_task(model("private", encoder_options={"square": True}), "new", ["x", "y"])


# Heads --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [(), (5,)])
def test_heads_with_a_new_task(steps: tuple[int, ...]) -> None:
    old = heads().double().eval()
    old.heads["v1.0"].requires_grad_(False)
    new = add_task(old, "new", ["w", "x", "y", "z"])
    assert new.tasks == (*TASKS, "new") and new.num_classes == (2, 3, 2, 4) and not new.training
    assert [p.requires_grad for p in new.parameters()] == [*[True, True, False, False], *[True] * 4]
    h, task = torch.randn(6, *steps, H).double(), torch.arange(6) % 3
    torch.testing.assert_close(new(h, task)[..., :3], old(h, task), rtol=0, atol=0)
    logits = new(h, torch.full((6,), 3))
    assert (
        logits.dtype == torch.double and logits.shape == (6, *steps, 4) and logits.isfinite().all()
    )
    assert old.tasks == TASKS and len(old.heads) == 3


@pytest.mark.parametrize("channels", [None, 2])
def test_regression_heads_with_a_new_task(channels: int | None) -> None:
    old = RegressionHeads(H, TASKS, channels)
    new = add_task(old, "new")
    h, task = torch.randn(6, H), torch.arange(6) % 3
    torch.testing.assert_close(new(h, task), old(h, task), rtol=0, atol=0)
    assert new(h, torch.full((6,), 3)).shape == ((6,) if channels is None else (6, channels))


def test_a_model_of_one_s_own_is_extended_part_by_part() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = layer("all")
            self.heads = heads()

    net = Net()
    net.encoder, net.heads = add_task(net.encoder, "new"), add_task(net.heads, "new", ["x", "y"])
    assert freeze_except_task(net, "new") == ["nodes.new", "heads.new"]


# Bad input ----------------------------------------------------------------------------------------


class Own(GraphLSTM):
    pass


class OwnHeads(ClassificationHeads):
    pass


def heads() -> ClassificationHeads:
    return ClassificationHeads(H, [2, 3, 2], TASKS)


class Cosine(nn.Linear):
    pass


def replaced(head: nn.Module) -> ClassificationHeads:
    layer = heads()
    layer.heads["a"] = head
    return layer


def watched(module: nn.Module) -> nn.Module:
    for part in module.modules():
        if isinstance(part, nn.Linear):
            part.register_forward_hook(lambda *given: None)
    return module


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: add_task(layer("complete"), "a"), "expected a new name, got 'a'"),
        (lambda: add_task(layer("all"), "shared"), "expected a new name, got 'shared'"),
        (lambda: add_task(layer("complete"), "new", senders=["x"]), r"unknown nodes \['x'\]"),
        (lambda: add_task(layer("complete"), "new", senders=["new"]), "self-loop"),
        (lambda: add_task(layer("complete"), "new", senders=["a", "a"]), "duplicate"),
        (lambda: add_task(layer("complete"), "new", senders="a"), "sequence of names"),
        (lambda: add_task(layer("complete"), ""), "non-empty"),
        (lambda: add_task(layer("all"), "new", senders=["a"]), r"hears \['shared'\], got \['a'\]"),
        (lambda: add_task(layer("shared"), "new", senders=["a"]), r"SharedLSTM hears \[\]"),
        (
            lambda: add_task(layer("complete"), "new", ["x"]),
            "classes are for a model or ClassificationHeads, got a CompleteGraphLSTM",
        ),
        (lambda: add_task(nn.LSTM(E, H), "new"), "got a LSTM"),
        (lambda: add_task(model("cross_stitch"), "new", ["x"]), "CrossStitchLSTM cannot be given"),
        (lambda: add_task(Own(E, H, CHAIN), "new"), "got a Own"),
        (lambda: add_task(model("star"), "new"), "expected classes"),
        (lambda: add_task(model("star"), "a", ["x", "y"]), "a new task, got 'a'"),
        (lambda: add_task(model("star"), "new", ["x", "x"]), "unique"),
        (lambda: add_task(model("star"), "new", ["x"], senders=["a"]), r"\['shared'\]"),
        (lambda: add_task(heads(), "a", ["x"]), "a new task, got 'a'"),
        (lambda: add_task(heads(), "", ["x"]), "non-empty"),
        (lambda: add_task(heads(), "new"), "label names of 'new': expected classes"),
        (lambda: add_task(heads(), "new", 2), "label names of task 'new', got 2"),
        (lambda: add_task(heads(), "new", "xy"), "label names of task 'new', got 'xy'"),
        (lambda: add_task(heads(), "new", []), "unique label names"),
        (lambda: add_task(heads(), "new", ["x", "x"]), "unique label names"),
        (lambda: add_task(heads(), "new", ["x"], senders=["a"]), "hear nobody"),
        (lambda: add_task(heads(), "new", ["x"], scheme="IOB2"), "for a TaggingModel"),
        (lambda: add_task(RegressionHeads(H, TASKS), "new", ["x"]), "have no classes"),
        (lambda: add_task(OwnHeads(H, [2]), "new", ["x"]), "heads, got a OwnHeads"),
        *(
            (lambda head=head: add_task(replaced(head), "new", ["x"]), r"with hooks, of \['a'\]")
            for head in (
                nn.Sequential(nn.Linear(H, 2)),
                Cosine(H, 2),
                nn.Linear(H, 2, bias=False),
                watched(nn.Linear(H, 2)),
            )
        ),
        (lambda: add_task(watched(model("star")), "new", ["x"]), "of .'a', 'v1.0'"),
        (lambda: add_task(TaggingHeads(H, [2]), "new"), "ClassificationHeads or RegressionHeads"),
        (lambda: add_task(TaggingHeads(H, [2]), "new", ["x"]), "for a model or Class"),
    ],
)
def test_errors(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
