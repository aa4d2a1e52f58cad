"""Ablation and gradient of edges, against loops that cut one edge of one sentence at a time."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from plain_loop import ACYCLIC, CYCLIC, TASKS, Loop
from reader import Elsewhere, Reader, make_batches, reader
from torch import Tensor
from torch_geometric.nn import SAGEConv

from mtgnn import TaskGraph
from mtgnn.data import SequenceBatch
from mtgnn.explain import EdgeEffects, edge_ablation, edge_gradient, edge_insertion
from mtgnn.explain.edges.cut import without_edges
from mtgnn.nn import CompleteGraphLSTM, GraphLSTM
from mtgnn.nn.graph_lstm.run import Run
from mtgnn.testing import randomise

GRAPHS = {
    "read": TaskGraph.complete(TASKS),
    "mutual": CYCLIC,
    "cascade": ACYCLIC,
}
TILT = torch.linspace(-1, 1, 16).double()


def loss(answer: Any, batch: SequenceBatch) -> Tensor:
    """A loss that sees every state, and the label."""
    states = answer[0] if isinstance(answer, tuple) else answer
    return (states.sin() @ TILT[: states.size(-1)]).sum(1) * (batch.y + 1)


def unlabel(batches: list[SequenceBatch]) -> list[SequenceBatch]:
    for batch in batches:
        batch.y[1] = -100
    return batches


def by_conv() -> dict[str, Any]:
    return {"conv": SAGEConv(3, 3)}


def by_heads(memory: str = "current") -> dict[str, Any]:
    return {"heads": 2, "memory": memory}


@pytest.mark.parametrize(
    ("exchange", "graph", "options"),
    [
        *((exchange, GRAPHS[exchange], by_heads()) for exchange in GRAPHS),
        *((exchange, GRAPHS[exchange], by_conv()) for exchange in GRAPHS),
        *(("read", GRAPHS["read"], by_heads(memory)) for memory in ("all", "past")),
        # A mailbox of one sender.
        *(("read", TaskGraph.flat(TASKS), by_heads(memory)) for memory in ("all", "past")),
    ],
)
def test_ablation_is_the_mean_rise_of_the_loss(
    exchange: str, graph: TaskGraph, options: dict[str, Any]
) -> None:
    model = reader(GraphLSTM(4, 3, graph, exchange, **options))
    effects = edge_ablation(model, unlabel(make_batches(3, (7, 6))), loss)
    rises: dict[tuple[int, int], list[Tensor]] = {}
    base: dict[int, list[Tensor]] = {0: [], 1: [], 2: []}
    for batch in unlabel(make_batches(3, (7, 6))):
        for b in (b for b in range(len(batch)) if b != 1):
            parts = (batch.tokens, batch.lengths, batch.task, batch.y)
            one = SequenceBatch(*(part[b : b + 1] for part in parts))
            inputs = (one.tokens, one.lengths, one.task)
            whole = loss(model(*inputs), one)[0].detach()
            base[int(one.task)].append(whole)
            for edge in range(graph.num_edges):
                cut = loss(without_edges(model, [edge])(*inputs), one)[0].detach()
                rises.setdefault((edge, int(one.task)), []).append(cut - whole)
    for k in range(3):
        torch.testing.assert_close(effects.loss[k], torch.stack(base[k]).mean())
        assert int(effects.count[k]) == len(base[k])
    for (edge, k), own in rises.items():
        values = torch.stack(own)
        torch.testing.assert_close(effects.change[edge, k], values.mean())
        torch.testing.assert_close(effects.error[edge, k], values.std() / len(own) ** 0.5)
    assert effects.graph.edge_weight is not None
    for edge, (_, receiver) in enumerate(graph.edge_index.t().tolist()):
        change = effects.change[edge]
        expected = change[receiver] if receiver < 3 else change.mean()
        torch.testing.assert_close(effects.graph.edge_weight[edge], expected.float())
    assert effects.change.std() > 0.01
    if exchange == "read":
        others = torch.ones_like(effects.change, dtype=torch.bool)
        others[torch.arange(graph.num_edges), graph.edge_index[1]] = False
        assert not effects.change[others].any()


def test_the_read_exchange_needs_a_run_a_sender_and_reads_the_batches_once() -> None:
    model = reader(CompleteGraphLSTM(4, 3, 5))
    runs = []
    model.embedding.register_forward_hook(lambda *_: runs.append(1))
    effects = edge_ablation(model, iter(make_batches(5, (6, 7))), loss)
    assert len(runs) == 2 * (1 + 4)  # not 2 * (1 + 20)
    assert (effects.error[effects.change != 0] >= 0).all()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"score": "static", "heads": 2, "concat_messages": True, "common": True, "own_rank": 1},
        {"common": True, "own_rank": 0},
        {"score": "dot", "score_owner": "receiver", "fusion": "gated"},
        {"num_layers": 2, "bidirectional": True, "kernel": "reference"},
        {"num_layers": 2, "bidirectional": True},
    ],
    ids=lambda o: "-".join(o) or "plain",
)
def test_senders_that_run_once_change_nothing(options: dict[str, Any]) -> None:
    # Receivers of three edges, of one, which leaves them none, and of none.
    graph = TaskGraph.from_edges([*CYCLIC.edges, ("c", "b")], (*TASKS, "d"), ("shared",))
    layer = GraphLSTM(4, 3, graph, "read", **options)
    model = reader(layer)
    batches = unlabel(make_batches(4, (7, 6)))
    effects = edge_ablation(model, batches, loss)
    for edge, (_, receiver) in enumerate(graph.edge_index.t().tolist()):
        fewer = without_edges(model, [edge])
        rises = []
        for batch in batches:
            inputs = (batch.tokens, batch.lengths, batch.task)
            own = (batch.task == receiver) & (batch.y >= 0)
            with torch.no_grad():
                rises.append((loss(fewer(*inputs), batch) - loss(model(*inputs), batch))[own])
        if receiver < 4:
            torch.testing.assert_close(effects.change[edge, receiver], torch.cat(rises).mean())
    assert effects.change.std() > 0.01


def test_senders_run_once_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    ran = []
    recur = Run._recur

    def counting(self: Any, stage: Any, words: Any) -> Any:
        ran.append(stage.hears)
        return recur(self, stage, words)

    monkeypatch.setattr(Run, "_recur", counting)
    edge_ablation(reader(CompleteGraphLSTM(4, 3, 5)), make_batches(5, (6, 7)), loss)
    assert ran.count(False) == 2 and ran.count(True) == 2 * (1 + 4)


class Twice(Reader):
    """Calls its encoder twice: on the words, and on other words."""

    def forward(self, tokens: Tensor, lengths: Tensor, task: Tensor, **options: bool) -> Tensor:
        x = self.embedding(tokens)
        return self.encoder(x, lengths, task)[0] + self.encoder(2 * x, lengths, task)[0]


class Halves(Reader):
    """Reads a batch in two parts."""

    def forward(self, tokens: Tensor, lengths: Tensor, task: Tensor, **options: bool) -> Tensor:
        read = super().forward
        parts = zip(*(value.split(4) for value in (tokens, lengths, task)), strict=True)
        return torch.cat([read(*part)[0] for part in parts])


@pytest.mark.parametrize("kind", [Twice, Halves])
def test_an_encoder_may_be_called_more_than_once(kind: type[Reader]) -> None:
    model = randomise(kind(CompleteGraphLSTM(4, 3, TASKS)), scale=1.5)
    (batch,) = make_batches(3, (8,))
    effects = edge_ablation(model, [batch], loss)
    inputs = (batch.tokens, batch.lengths, batch.task)
    for edge, (_, receiver) in enumerate(model.encoder.graph.edge_index.t().tolist()):
        fewer = without_edges(model, [edge])
        rise = loss(fewer(*inputs), batch) - loss(model(*inputs), batch)
        expected = rise.detach()[batch.task == receiver].mean()
        torch.testing.assert_close(effects.change[edge, receiver], expected)
    assert effects.change.std() > 0.01


@pytest.mark.parametrize("drop", ["message_dropout", "attention_dropout", "dropout"])
@pytest.mark.parametrize("exchange", ["read", "mutual"])
@pytest.mark.parametrize("effect", [edge_ablation, edge_insertion])
def test_nothing_is_dropped_of_a_model_in_training(effect: Any, exchange: str, drop: str) -> None:
    layer = CompleteGraphLSTM(4, 3, TASKS, exchange, num_layers=2, **{drop: 0.5})
    model = reader(layer).eval()
    expected = effect(model, make_batches(3), loss)
    found = effect(model.train(), make_batches(3), loss)
    torch.testing.assert_close(found.change, expected.change)
    torch.testing.assert_close(found.loss, expected.loss)
    assert model.training and layer.training


@pytest.mark.parametrize("options", [by_heads, by_conv])
@pytest.mark.parametrize("exchange", ["read", "mutual", "cascade"])
def test_insertion_is_the_fall_of_the_loss_in_a_graph_of_one_edge(
    exchange: str, options: Callable[[], dict[str, Any]]
) -> None:
    graph = GRAPHS[exchange]
    model = reader(GraphLSTM(4, 3, graph, exchange, **options()))
    batches = unlabel(make_batches(3, (7, 6)))
    effects = edge_insertion(model, batches, loss)

    def losses(edges: list[int]) -> Tensor:
        """Mean loss of each task in a graph of these edges alone, with the same parameters."""
        names = [graph.edges[edge] for edge in edges]
        few = TaskGraph.from_edges(names, graph.tasks, graph.virtual)
        fewer = reader(GraphLSTM(4, 3, few, exchange, **options()))
        own = fewer.state_dict()
        given = {k: v for k, v in model.state_dict().items() if k in own}
        # A node that hears nobody has no weights for messages here.
        assert all("convs" in name for name in own.keys() - given.keys())
        fewer.load_state_dict({**own, **given})
        total, count = torch.zeros(2, 3).double()
        for batch in batches:
            rows = [b for b in range(len(batch)) if b != 1]
            value = loss(fewer(batch.tokens, batch.lengths, batch.task), batch).detach()[rows]
            total.index_add_(0, batch.task[rows], value)
            count.index_add_(0, batch.task[rows], torch.ones(len(rows)).double())
        return total / count

    nothing = losses([])
    torch.testing.assert_close(effects.loss, nothing)
    for edge in range(graph.num_edges):
        torch.testing.assert_close(effects.change[edge], nothing - losses([edge]))
    assert effects.change.std() > 0.01


def test_one_of_two_that_know_the_same_is_missed_little_but_worth_much() -> None:
    """The receiver hears two senders with the same parameters."""
    layer = randomise(CompleteGraphLSTM(4, 3, TASKS, score="uniform"))
    layer.nodes["c"].load_state_dict(layer.nodes["b"].state_dict())
    model = randomise(Reader(layer))
    layer.nodes["c"].load_state_dict(layer.nodes["b"].state_dict())
    into = [layer.graph.edges.index((sender, "a")) for sender in "bc"]
    cut, alone = (
        effect(model, make_batches(3), loss).change[into, 0]
        for effect in (edge_ablation, edge_insertion)
    )
    torch.testing.assert_close(cut, torch.zeros(2).double(), atol=1e-9, rtol=0)
    assert alone.abs().min() > 0.01
    torch.testing.assert_close(alone[0], alone[1])


class Gated(Loop):
    """The plain loop, with a gate of 1 before every message of every step and head."""

    def __init__(self, layer: GraphLSTM, options: dict[str, Any]) -> None:
        super().__init__(layer, options)
        self.gates: dict[tuple[int, int, int, int], Tensor] = {}
        self.seen: dict[tuple[int, int, int, int], float] = {}

    def message(
        self, key: str, node: int, t: int, h: Tensor, word: Tensor, sent: list[tuple[int, Tensor]]
    ) -> Tensor:
        super().message(key, node, t, h, word, sent)
        parts = []
        for p in range(self.heads):
            total = torch.zeros(3).double()
            for e, m in sent:
                place = (len(self.alpha), t, e, p)
                self.gates[place] = torch.ones((), dtype=torch.float64, requires_grad=True)
                alpha = self.alpha[-1][t, e][p]
                self.seen[place] = float(alpha.detach())
                total = total + self.gates[place] * alpha * m
            parts.append(total)
        return torch.cat(parts)


@pytest.mark.parametrize("score", ["additive", "static"])
@pytest.mark.parametrize("exchange", ["read", "mutual", "cascade"])
def test_gradient_is_that_of_gates_on_the_messages(exchange: str, score: str) -> None:
    graph, options = GRAPHS[exchange], {"score": score, "heads": 2}
    layer = randomise(GraphLSTM(4, 3, graph, exchange, num_layers=2, bidirectional=True, **options))
    model = randomise(Reader(layer))
    batches = unlabel(make_batches(3, (5,)))
    effects = edge_gradient(model, batches, loss)
    expected = torch.zeros(graph.num_edges, 3).double()
    count = torch.zeros(3)
    for b in (0, 2, 3, 4):
        task, steps = int(batches[0].task[b]), int(batches[0].lengths[b])
        loop = Gated(layer, options)
        states = loop(model.embedding(batches[0].tokens[b, :steps]).detach(), task)
        value = (states.sin() @ TILT[:6]).sum() * (batches[0].y[b] + 1)
        pulls = torch.autograd.grad(value, list(loop.gates.values()), materialize_grads=True)
        pull = {place: float(g) for place, g in zip(loop.gates, pulls, strict=True)}
        count[task] += 1
        for (run, t, e, p), alpha in loop.seen.items():
            change = -pull[run, t, e, p]
            others = [f for f, _ in graph.incoming(int(graph.edge_index[1, e])) if f != e]
            # Without e, the weights of the others grow until they sum to one.
            total = sum(loop.seen[run, t, f, p] for f in others)
            for f in others:
                mine = loop.seen[run, t, f, p]
                change += pull[run, t, f, p] / mine * (mine / total - mine)
            assert 0 < alpha <= 1
            expected[e, task] += change
    torch.testing.assert_close(effects.change, expected / count)
    assert expected.abs().max() > 0.01


def test_the_gradient_foretells_the_ablation_of_weak_messages() -> None:
    """Exact where the loss is linear in the messages: the weaker they are, the truer."""
    errors = []
    for strength in (1e-1, 1e-3):
        model = reader(CompleteGraphLSTM(4, 3, 4))
        for node in model.encoder.nodes.values():
            node.weight_rh_l0.data *= strength
        truth = edge_ablation(model, make_batches(4, (8,)), loss).change
        guess = edge_gradient(model, make_batches(4, (8,)), loss).change
        errors.append(float((guess - truth).abs().max() / truth.abs().max()))
    assert errors[1] < 0.02 and errors[1] < errors[0]


def test_the_model_is_left_alone() -> None:
    model = reader(CompleteGraphLSTM(4, 3, 3, num_layers=2, dropout=0.5)).train()
    before = [dict(vars(part)) for part in model.modules()]
    first, second = (edge_gradient(model, make_batches(3), loss) for _ in range(2))
    assert torch.equal(first.change, second.change)
    assert model.training and all(p.grad is None for p in model.parameters())
    for part, was in zip(model.modules(), before, strict=True):
        now = vars(part)
        assert now.keys() == was.keys() and all(now[name] is was[name] for name in was)
    for parameter in model.parameters():
        parameter.requires_grad_(False)  # frozen models can be explained, too
    third = edge_gradient(model, make_batches(3), loss)
    torch.testing.assert_close(first.change, third.change)


def test_edges_come_with_what_they_do_to_their_receiver() -> None:
    graph = TaskGraph.star(TASKS, "hub")  # from the virtual node, and into it
    size = (graph.num_edges, 3)
    change = torch.randn(size, generator=torch.Generator().manual_seed(0))
    effects = EdgeEffects(graph, torch.ones(3), change, change**2, torch.ones(3))
    found = effects.top()
    assert [(e.sender, e.receiver) for e in sorted(found)] == [("hub", task) for task in TASKS]
    assert found == sorted(found, key=lambda effect: -effect.change) and effects.top(2) == found[:2]
    for sender, receiver, rise, error in found:
        edge, k = graph.edges.index((sender, receiver)), TASKS.index(receiver)
        assert (rise, error) == (float(change[edge, k]), float(change[edge, k] ** 2))


def test_what_has_no_effect_to_measure_is_refused() -> None:
    complete = reader(CompleteGraphLSTM(4, 3, 4))
    for measure in (edge_ablation, edge_gradient):
        with pytest.raises(ValueError, match="task3"):
            measure(complete, make_batches(3), loss)
        with pytest.raises(ValueError, match="Reader has no loss_per_sample"):
            measure(complete, make_batches(4))
        with pytest.raises(ValueError, match="expected a GraphLSTM"):
            measure(torch.nn.Linear(2, 2), make_batches(4), loss)
        with pytest.raises(ValueError, match="no edges"):
            measure(reader(GraphLSTM(4, 3, TaskGraph.isolated(3))), make_batches(3), loss)
    with pytest.raises(ValueError, match=r"a loss of each sequence \[5\], got \[\]"):
        edge_ablation(complete, make_batches(4), lambda *given: loss(*given).mean())
    with pytest.raises(ValueError, match="has a gradient, got uniform"):
        edge_gradient(reader(CompleteGraphLSTM(4, 3, 3, score="uniform")), make_batches(3), loss)


@pytest.mark.parametrize("effect", [edge_ablation, edge_insertion, edge_gradient])
def test_a_single_sequence_has_no_standard_error(effect: Any) -> None:
    batches = make_batches(3, (7,))
    batches[0].y[batches[0].task == 0] = -100
    batches[0].y[0] = 1
    effects = effect(reader(CompleteGraphLSTM(4, 3, TASKS)), batches, loss)
    assert effects.count.tolist() == [1, 2, 2]
    assert torch.equal(effects.error.isnan(), torch.tensor([True, False, False]).expand(6, 3))
    assert effects.change.isfinite().all()
    unknown = {e.receiver for e in effects.top() if math.isnan(e.error)}
    assert unknown == {"a"}


@pytest.mark.parametrize("exchange", ["read", "mutual"])
@pytest.mark.parametrize("effect", [edge_ablation, edge_insertion, edge_gradient])
def test_batches_come_to_the_models_device(effect: Any, exchange: str) -> None:
    model = reader(CompleteGraphLSTM(4, 3, TASKS, exchange))
    found = effect(model, map(Elsewhere, make_batches(3)), loss)
    assert torch.equal(found.change, effect(model, make_batches(3), loss).change)


@pytest.mark.parametrize("exchange", GRAPHS)
@pytest.mark.parametrize("effect", [edge_ablation, edge_insertion, edge_gradient])
def test_one_task_is_asked_with_its_own_sequences_alone(effect: Any, exchange: str) -> None:
    graph = GRAPHS[exchange]
    model = reader(GraphLSTM(4, 3, graph, exchange))
    batches = make_batches(3, (7, 6))
    whole = effect(model, batches, loss)
    parts = [(batch.tokens, batch.lengths, batch.task, batch.y) for batch in batches]
    own = [SequenceBatch(*(part[one[2] == 0] for part in one)) for one in parts]
    runs = []
    model.embedding.register_forward_hook(lambda *_: runs.append(1))
    alone = effect(model, own, loss, tasks=["a"])
    into = graph.edge_index[1] == 0
    assert len(runs) <= 2 * (1 + int(into.sum()))
    assert alone.graph.edges == [edge for edge in graph.edges if edge[1] == "a"]
    torch.testing.assert_close(alone.change[:, 0], whole.change[into, 0])
    torch.testing.assert_close(alone.error[:, 0], whole.error[into, 0])
    torch.testing.assert_close(alone.graph.edge_weight, whole.graph.edge_weight[into])
    assert alone.top() == [e for e in alone.top() if e.receiver == "a"] != []
    assert alone.count.tolist() == [int(whole.count[0]), 0, 0]
    with pytest.raises(ValueError, match=r"belongs to \['b', 'c'\]"):
        effect(model, own, loss)
    with pytest.raises(ValueError, match="who listen, got"):
        effect(model, own, loss, tasks=["x"])
