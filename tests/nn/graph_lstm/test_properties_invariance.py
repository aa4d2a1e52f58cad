"""What every layer promises, whatever its graph, exchange and options."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from torch_geometric.nn import GATv2Conv, SAGEConv

from mtgnn import TaskGraph
from mtgnn.nn import CompleteGraphLSTM, GraphLSTM, StarGraphLSTM
from mtgnn.testing import (
    RandomBatch,
    assert_all_tasks_equal_single,
    assert_attention_sums_to_one,
    assert_batch_invariant,
    assert_gradients_accumulate,
    assert_heard,
    assert_padding_invariant,
    assert_some_tasks_equal_all,
    assert_streams,
    assert_task_permutation_equivariant,
    random_batch,
    randomise,
)

E, H, TASKS = 3, 4, ("a", "b", "c")
Make = Callable[[Sequence[str]], GraphLSTM]
# Tasks of each of six sequences.
SOME = torch.tensor([[1, 0, 0], [0, 1, 1], [1, 1, 1], [0, 0, 1], [1, 0, 1], [0, 1, 0]]).bool()


def hubs(tasks: Sequence[str]) -> TaskGraph:
    """Every task hears the same two virtual nodes."""
    edges = [(hub, task) for task in tasks for hub in ("u", "v")]
    return TaskGraph.from_edges(edges, tasks, ("u", "v"))


def mixed(tasks: Sequence[str]) -> TaskGraph:
    """Cyclic; "a" hears the virtual node alone, "b" everyone, "c" tasks alone."""
    edges = [("shared", "a"), ("a", "b"), ("c", "b"), ("shared", "b"), ("b", "c"), ("c", "shared")]
    return TaskGraph.from_edges(edges, tasks, ("shared",))


def chain(tasks: Sequence[str]) -> TaskGraph:
    """Acyclic; "a" hears nobody."""
    return TaskGraph.from_edges([("a", "b"), ("a", "c"), ("b", "c")], tasks)


def gat() -> GATv2Conv:
    return GATv2Conv(H, 2, heads=2, add_self_loops=False)


MAKERS: dict[str, Make] = {
    "complete-read": lambda k: CompleteGraphLSTM(E, H, k),
    "messages": lambda k: CompleteGraphLSTM(E, H, k, common=True, concat_messages=True),
    "complete-alike": lambda k: CompleteGraphLSTM(E, H, k, common=True, own_rank=0),
    "complete-mutual": lambda k: CompleteGraphLSTM(E, H, k, "mutual"),
    "star": lambda k: GraphLSTM(E, H, TaskGraph.star(k), heads=2, fusion="gated"),
    "mixed-mutual": lambda k: GraphLSTM(E, H, mixed(k), score="dot", score_owner="receiver"),
    "mixed-read": lambda k: GraphLSTM(E, H, mixed(k), "read", heads=2, score_owner="receiver"),
    "mixed-read-static": lambda k: GraphLSTM(E, H, mixed(k), "read", score="static", heads=2),
    "mixed-mutual-static": lambda k: GraphLSTM(E, H, mixed(k), score="static", detach=True),
    "chain-cascade": lambda k: GraphLSTM(E, H, chain(k), "cascade", detach=True),
    "chain-uniform": lambda k: GraphLSTM(E, H, chain(k), "cascade", score="uniform", heads=2),
    "mixed-alike": lambda k: GraphLSTM(E, H, mixed(k), "read", common=True, own_rank=0),
    "layers": lambda k: GraphLSTM(E, H, mixed(k), "read", num_layers=2, score="dot"),
    "both-ways": lambda k: GraphLSTM(E, H, mixed(k), num_layers=2, bidirectional=True),
    "box-all": lambda k: StarGraphLSTM(E, H, k, heads=2),
    "box-all-gated": lambda k: StarGraphLSTM(E, H, k, fusion="gated", score_owner="receiver"),
    "box-all-both-ways": lambda k: StarGraphLSTM(E, H, k, num_layers=2, bidirectional=True),
    "box-past": lambda k: StarGraphLSTM(E, H, k, "past", num_layers=2),
    "box-past-plain": lambda k: StarGraphLSTM(E, H, k, "past", score="dot", kernel="reference"),
    "box-past-messages": lambda k: StarGraphLSTM(
        E, H, k, "past", common=True, concat_messages=True
    ),
    "box-past-alike": lambda k: StarGraphLSTM(E, H, k, "past", common=True, own_rank=0),
    "box-past-both-ways": lambda k: StarGraphLSTM(E, H, k, "past", bidirectional=True),
    "boxes-all": lambda k: GraphLSTM(E, H, mixed(k), "read", memory="all", heads=2),
    "boxes-all-both-ways": lambda k: GraphLSTM(
        E, H, chain(k), "read", memory="all", detach=True, num_layers=2, bidirectional=True
    ),
    "boxes-past": lambda k: GraphLSTM(E, H, mixed(k), "read", memory="past", score="dot"),
    "boxes-past-two-virtual": lambda k: GraphLSTM(E, H, hubs(k), "read", memory="past"),
    "boxes-star": lambda k: GraphLSTM(E, H, TaskGraph.star(k), "read", memory="past"),
    "box-current": lambda k: StarGraphLSTM(E, H, k, "current", score="uniform"),
}
FOREIGN: dict[str, Make] = {
    "sage-mutual": lambda k: GraphLSTM(E, H, mixed(k), conv=SAGEConv(H, 5)),
    "sage-read": lambda k: GraphLSTM(E, H, mixed(k), "read", conv=SAGEConv(H, 5)),
    "sage-alike": lambda k: GraphLSTM(
        E, H, mixed(k), "read", conv=SAGEConv(H, 5), common=True, own_rank=0
    ),
    "sage-cascade": lambda k: GraphLSTM(E, H, chain(k), "cascade", conv=SAGEConv(H, 5)),
    "gat-mutual": lambda k: GraphLSTM(E, H, mixed(k), conv=gat(), fusion="gated"),
    "gat-read": lambda k: GraphLSTM(
        E, H, chain(k), "read", conv=lambda layer, direction: gat(), num_layers=2, detach=True
    ),
    "gat-cascade": lambda k: GraphLSTM(
        E, H, chain(k), "cascade", conv=lambda layer, direction: gat(), bidirectional=True
    ),
}
ALL = MAKERS | FOREIGN


def batch(layer: GraphLSTM, per_node: bool = False) -> RandomBatch:
    return random_batch(E, 3, batch_size=6, num_nodes=layer.graph.num_nodes if per_node else None)


@pytest.mark.parametrize("name", ALL)
def test_senders_are_heard_but_companions_and_padding_are_not(name: str) -> None:
    layer = randomise(ALL[name](TASKS))
    inputs = batch(layer)
    assert_heard(layer, *inputs)
    assert_padding_invariant(layer, *inputs)
    assert_padding_invariant(layer, *inputs[:2])
    assert_batch_invariant(layer, *inputs)
    assert_all_tasks_equal_single(layer, *inputs[:2])
    assert_some_tasks_equal_all(layer, *inputs[:2])
    assert_padding_invariant(layer, *inputs[:2], SOME)
    assert_batch_invariant(layer, *inputs[:2], SOME)


@pytest.mark.parametrize("name", ["complete-mutual", "mixed-read", "chain-cascade", "box-past"])
def test_so_it_is_where_each_node_reads_an_input_of_its_own(name: str) -> None:
    layer = randomise(ALL[name](TASKS))
    inputs = batch(layer, per_node=True)
    assert_heard(layer, *inputs)
    assert_padding_invariant(layer, *inputs)
    assert_batch_invariant(layer, *inputs)
    assert_all_tasks_equal_single(layer, *inputs[:2])
    assert_some_tasks_equal_all(layer, *inputs[:2])
    assert_streams(layer, inputs.x, inputs.task)
    assert_attention_sums_to_one(layer, *inputs)
    assert_task_permutation_equivariant(ALL[name], TASKS, *inputs, permutation=[1, 2, 0])


@pytest.mark.parametrize("name", ALL)
def test_the_order_of_the_tasks_does_not_matter(name: str) -> None:
    layer = randomise(ALL[name](TASKS))
    inputs = batch(layer)
    assert_heard(layer, *inputs)
    assert_task_permutation_equivariant(ALL[name], TASKS, *inputs)
    assert_task_permutation_equivariant(ALL[name], TASKS, *inputs, permutation=[1, 0, 2])


@pytest.mark.parametrize("name", ALL)
def test_gradients_accumulate(name: str) -> None:
    layer = randomise(ALL[name](TASKS))
    inputs = batch(layer)
    assert_gradients_accumulate(layer, *inputs)
    assert_gradients_accumulate(layer, *inputs[:2])


@pytest.mark.parametrize("kernel", ["reference", "fused"])
@pytest.mark.parametrize("tasks", [TASKS, TASKS[:1]])
def test_gradients_accumulate_in_what_nodes_have_in_common(
    kernel: str, tasks: Sequence[str]
) -> None:
    layer = randomise(StarGraphLSTM(E, H, tasks, "current", common=True, kernel=kernel))
    assert_gradients_accumulate(layer, *random_batch(E, len(tasks)))


@pytest.mark.parametrize("name", MAKERS)
def test_attention_sums_to_one(name: str) -> None:
    layer = randomise(MAKERS[name](TASKS))
    inputs = batch(layer)
    assert_heard(layer, *inputs)
    assert_attention_sums_to_one(layer, *inputs)
    assert_attention_sums_to_one(layer, *inputs[:2])
    assert_attention_sums_to_one(layer, *inputs[:2], SOME)


@pytest.mark.parametrize("name", ALL)
def test_streaming_or_a_clear_refusal(name: str) -> None:
    layer = randomise(ALL[name](TASKS))
    inputs = batch(layer)
    assert_heard(layer, *inputs)
    whole_only = layer.bidirectional or layer.memory == "all" or name.startswith("boxes-past")
    if whole_only:
        _, state = layer(inputs.x[:, :2], None, inputs.task)
        with pytest.raises(ValueError, match="takes no state"):
            layer(inputs.x[:, 2:], None, inputs.task, state)
        return
    assert_streams(layer, inputs.x, inputs.task)
    assert_streams(layer, inputs.x, split=2)
    assert_streams(layer, inputs.x, SOME, split=2)
    lengths = torch.tensor([5, 3, 4, 3, 5, 4])
    assert_streams(layer, inputs.x, inputs.task, lengths=lengths, split=2)


@pytest.mark.parametrize("name", ["box-past", "mixed-mutual", "layers"])
def test_streaming_carries_gradients_and_sequences_of_other_lengths(name: str) -> None:
    layer = randomise(MAKERS[name](TASKS))
    inputs = batch(layer)
    assert_heard(layer, *inputs)
    gradients = []
    for cuts in ([5], [2, 4, 5]):
        state, start, outs = None, 0, []
        for end in cuts:
            out, state = layer(inputs.x[:, start:end], None, inputs.task, state)
            outs.append(out)
            start = end
        loss = torch.cat(outs, 1).sin().sum()
        leaves = list(layer.parameters())
        gradients.append(torch.autograd.grad(loss, leaves, materialize_grads=True))
    torch.testing.assert_close(*gradients)
    # A first part with padding: what follows continues from each sequence's last real step.
    first = torch.tensor([3, 1, 2, 3, 1, 2])
    _, state = layer(inputs.x[:, :3], first, inputs.task)
    later, _ = layer(inputs.x[:, 3:], None, inputs.task, state)
    for b, steps in enumerate(first.tolist()):
        joined = torch.cat([inputs.x[b, :steps], inputs.x[b, 3:]])[None]
        whole, _ = layer(joined, None, inputs.task[b : b + 1])
        torch.testing.assert_close(later[b], whole[0, steps:])


@pytest.mark.parametrize("name", ["complete-read", "both-ways", "box-all", "gat-cascade"])
def test_packed_sequences_equal_padded_ones(name: str) -> None:
    layer = randomise(ALL[name](TASKS))
    inputs = batch(layer)
    assert_heard(layer, *inputs)
    expected, end = layer(*inputs)
    packed = pack_padded_sequence(inputs.x, inputs.lengths, True, enforce_sorted=False)
    out, state = layer(packed, task=inputs.task)
    assert torch.equal(out.sorted_indices, packed.sorted_indices)
    back, lengths = pad_packed_sequence(out, batch_first=True)
    assert torch.equal(back, expected)
    assert torch.equal(lengths, inputs.lengths)
    assert torch.equal(state.h, end.h)
    every, _ = layer(packed)
    expected, _ = layer(*inputs[:2])
    assert torch.equal(pad_packed_sequence(every, batch_first=True)[0], expected)


# Nobody to talk to ------------------------------------------------------------------------------

ALONE: dict[str, Callable[[], GraphLSTM]] = {
    "complete-read": lambda: CompleteGraphLSTM(E, H, 1),
    "complete-mutual": lambda: CompleteGraphLSTM(E, H, ["only"], "mutual", heads=2),
    "isolated-cascade": lambda: GraphLSTM(E, H, TaskGraph.isolated(3), "cascade"),
    "isolated-owned": lambda: GraphLSTM(E, H, TaskGraph.isolated(3), score_owner="receiver"),
    "isolated-static": lambda: GraphLSTM(E, H, TaskGraph.isolated(3), "read", score="static"),
    "isolated-gated": lambda: GraphLSTM(E, H, TaskGraph.isolated(3), fusion="gated"),
    "sage-mutual": lambda: CompleteGraphLSTM(E, H, 1, "mutual", conv=SAGEConv(H, H)),
    "sage-read": lambda: GraphLSTM(E, H, TaskGraph.isolated(2), "read", conv=SAGEConv(H, H)),
    "gat-mutual": lambda: GraphLSTM(E, H, TaskGraph.isolated(2), conv=gat()),
    "gat-cascade": lambda: GraphLSTM(E, H, TaskGraph.isolated(2), "cascade", conv=gat()),
}


def lstm(layer: GraphLSTM, node: str, x: Tensor) -> Tensor:
    reference = torch.nn.LSTM(E, H, batch_first=True).double()
    own = layer.nodes[node].state_dict()
    reference.load_state_dict({name: own[name] for name in reference.state_dict()})
    return reference(x)[0]


@pytest.mark.parametrize("name", ALONE)
def test_alone_a_task_is_an_lstm(name: str) -> None:
    layer = randomise(ALONE[name]())
    tasks = layer.graph.num_tasks
    x, lengths, task = random_batch(E, tasks)
    out, _ = layer(x, lengths, task)
    for b in range(x.size(0)):
        name = layer.graph.tasks[int(task[b])]
        torch.testing.assert_close(
            out[b, : lengths[b]], lstm(layer, name, x[b : b + 1, : lengths[b]])[0]
        )
    assert_padding_invariant(layer, x, lengths, task)
    assert_all_tasks_equal_single(layer, x, lengths)
    assert_streams(layer, x, task)
    if not layer.foreign:
        *_, attention = layer(x, lengths, task, return_attention_weights=True)
        assert [alpha.shape for _, alpha in attention] == [(4, 5, 0, layer.heads)]


@pytest.mark.parametrize("exchange", ["mutual", "read", "cascade"])
@pytest.mark.parametrize("conv", [None, SAGEConv, GATv2Conv])
def test_a_node_without_senders_is_an_lstm_beside_nodes_that_hear(
    exchange: str, conv: type | None
) -> None:
    make = {None: lambda: None, SAGEConv: lambda: SAGEConv(H, H), GATv2Conv: gat}[conv]
    graph = TaskGraph.from_edges([("a", "b")], ("a", "b", "c"))
    layer = randomise(GraphLSTM(E, H, graph, exchange, conv=make()))
    x, lengths, task = random_batch(E, 3, batch_size=6)
    assert_heard(layer, x, lengths, task)
    out, _ = layer(x, lengths, task)
    for b in (0, 2, 3, 5):  # tasks a and c
        name = graph.tasks[int(task[b])]
        alone = lstm(layer, name, x[b : b + 1, : lengths[b]])[0]
        torch.testing.assert_close(out[b, : lengths[b]], alone)
    own = lstm(layer_without(layer, "b"), "b", x[1:2, : lengths[1]])[0]
    assert not torch.allclose(out[1, : lengths[1]], own)


def layer_without(layer: GraphLSTM, node: str) -> GraphLSTM:
    """A layer of one isolated node with the parameters it has in ``layer``."""
    alone = GraphLSTM(E, H, TaskGraph.isolated([node])).double()
    own = layer.nodes[node].state_dict()
    alone.nodes[node].load_state_dict({k: own[k] for k in alone.nodes[node].state_dict()})
    return alone


@pytest.mark.parametrize("name", [*MAKERS, *FOREIGN])
def test_a_nan_stays_in_its_sequence(name: str) -> None:
    layer = randomise((MAKERS | FOREIGN)[name](TASKS)).eval()
    x, lengths, task = random_batch(E, len(TASKS), batch_size=6)
    before, _ = layer(x, lengths, task)
    for b in range(6):
        spoilt = x.clone()
        spoilt[b, 0] = torch.nan
        after, _ = layer(spoilt, lengths, task)
        rest = torch.arange(6) != b
        torch.testing.assert_close(after[rest], before[rest])
        assert after[b].isnan().any()
