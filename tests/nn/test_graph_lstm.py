"""The recurrences against plain loops over words and tasks, written here from the formulas."""

import pytest
import torch
from torch import Tensor, nn

from mtgnn import TaskGraph
from mtgnn.nn import CompleteGraphLSTM, GraphLSTM, StarGraphLSTM

B, T, E, H = 4, 5, 3, 4
LENGTHS = torch.tensor([5, 2, 4, 1])
TASK = torch.tensor([0, 2, 1, 0])


def randomise(module: nn.Module) -> nn.Module:
    generator = torch.Generator().manual_seed(7)
    for parameter in module.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator).double() * 0.6
    return module.double()


def words() -> Tensor:
    return torch.randn(B, T, E, generator=torch.Generator().manual_seed(3)).double()


def step(
    node: nn.Module, x: Tensor, h: Tensor, c: Tensor, r: Tensor | None
) -> tuple[Tensor, Tensor]:
    z = node.weight_ih_l0 @ x + node.bias_ih_l0 + node.weight_hh_l0 @ h + node.bias_hh_l0
    if r is not None:
        z = z + node.weight_rh_l0 @ r
    i, f, g, o = z[:H], z[H : 2 * H], z[2 * H : 3 * H], z[3 * H :]
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c


def message(layer: GraphLSTM, h: Tensor, x: Tensor, sent: list[Tensor]) -> Tensor:
    conv = layer.convs["l0"]["shared"]
    query = conv.lin_query.weight @ h + conv.lin_context.weight @ x + conv.bias
    scores = torch.stack([conv.att[0] @ (query + conv.lin_sender.weight @ m).tanh() for m in sent])
    return sum(a * m for a, m in zip(scores.softmax(0), sent, strict=True))


def run_silent(node: nn.Module, x: Tensor) -> list[Tensor]:
    h = c = x.new_zeros(H)
    states = []
    for word in x:
        h, c = step(node, word, h, c, None)
        states.append(h)
    return states


def loop(layer: GraphLSTM, x: Tensor, task: int) -> Tensor:
    """One sentence ``[T, E]``, word by word, node by node."""
    graph = layer.graph
    nodes = [layer.nodes[name] for name in graph.nodes]
    into = [[i for i, k in graph.edge_index.t().tolist() if k == n] for n in range(len(nodes))]
    zero = x.new_zeros(H)
    if isinstance(layer, StarGraphLSTM):
        box = run_silent(nodes[-1], x)
        h, c, out = zero, zero, []
        for t, word in enumerate(x):
            readable = {"all": box, "past": box[: t + 1], "current": [box[t]]}[layer.memory]
            h, c = step(nodes[task], word, h, c, message(layer, h, word, readable))
            out.append(h)
        return torch.stack(out)
    if layer.exchange == "read":
        sent = {i: run_silent(nodes[i], x) for i in into[task]}
        h, c, out = zero, zero, []
        for t, word in enumerate(x):
            r = message(layer, h, word, [sent[i][t] for i in into[task]]) if into[task] else None
            h, c = step(nodes[task], word, h, c, r)
            out.append(h)
        return torch.stack(out)
    hs, cs, out = [zero] * len(nodes), [zero] * len(nodes), []
    order = range(len(nodes))
    if layer.exchange == "cascade":
        order = [n for generation in graph.generations() for n in generation]
    for word in x:
        new = list(hs)
        for n in order:
            source = new if layer.exchange == "cascade" else hs
            r = message(layer, hs[n], word, [source[i] for i in into[n]]) if into[n] else None
            new[n], cs[n] = step(nodes[n], word, hs[n], cs[n], r)
        hs = new
        out.append(hs[task])
    return torch.stack(out)


LAYERS = {
    "complete-read": lambda: CompleteGraphLSTM(E, H, 3),
    "complete-mutual": lambda: CompleteGraphLSTM(E, H, 3, "mutual"),
    "star-mutual": lambda: GraphLSTM(E, H, TaskGraph.star(3)),
    "cascade": lambda: GraphLSTM(
        E, H, TaskGraph.hierarchy({"c": ["a", "b"], "b": ["a"]}), "cascade"
    ),
    "hierarchy-mutual": lambda: GraphLSTM(E, H, TaskGraph.hierarchy({"c": ["b"], "b": ["a"]})),
    "box-all": lambda: StarGraphLSTM(E, H, 3),
    "box-past": lambda: StarGraphLSTM(E, H, 3, "past"),
    "box-current": lambda: StarGraphLSTM(E, H, 3, "current"),
}


@pytest.fixture(params=LAYERS)
def layer(request) -> GraphLSTM:
    return randomise(LAYERS[request.param]())


def test_equals_the_plain_loop_in_values_and_gradients(layer: GraphLSTM) -> None:
    x = words().requires_grad_()
    out, _ = layer(x, LENGTHS, TASK)
    plain = [loop(layer, x[b, : LENGTHS[b]], int(TASK[b])) for b in range(B)]
    for b in range(B):
        torch.testing.assert_close(out[b, : LENGTHS[b]], plain[b], rtol=1e-10, atol=1e-12)
        assert (out[b, LENGTHS[b] :] == 0).all()
    leaves = [x, *layer.parameters()]
    ours = torch.autograd.grad(out.sin().sum(), leaves, allow_unused=True)
    theirs = torch.autograd.grad(sum(p.sin().sum() for p in plain), leaves, allow_unused=True)
    for mine, other in zip(ours, theirs, strict=True):
        assert (mine is None or not mine.any()) == (other is None or not other.any())
        if other is not None and mine is not None:
            torch.testing.assert_close(mine, other, rtol=1e-8, atol=1e-10)


def test_a_sender_is_heard(layer: GraphLSTM) -> None:
    graph = layer.graph
    receiver = next(k for k in range(graph.num_tasks) if graph.incoming(k))
    _, sender = graph.incoming(receiver)[0]
    task = torch.full((B,), receiver)
    before, _ = layer(words(), LENGTHS, task)
    layer.nodes[graph.nodes[sender]].bias_ih_l0.data += 1
    after, _ = layer(words(), LENGTHS, task)
    assert not torch.isclose(before[0, 1:], after[0, 1:]).any()


def test_all_tasks_at_once_equals_one_by_one(layer: GraphLSTM) -> None:
    every, _ = layer(words(), LENGTHS)
    one, _ = layer(words(), LENGTHS, TASK)
    torch.testing.assert_close(every[torch.arange(B), :, TASK], one)


def test_padding_and_companions_change_nothing(layer: GraphLSTM) -> None:
    x = words()
    out, _ = layer(x, LENGTHS, TASK)
    dirty = x.clone()
    dirty[torch.arange(T) >= LENGTHS[:, None]] = torch.nan
    torch.testing.assert_close(layer(dirty, LENGTHS, TASK)[0], out, rtol=0, atol=0)
    for b in range(B):
        alone, _ = layer(x[b : b + 1, : LENGTHS[b]], None, TASK[b : b + 1])
        torch.testing.assert_close(alone[0], out[b, : LENGTHS[b]])


def test_attention_sums_to_one(layer: GraphLSTM) -> None:
    plain, _ = layer(words(), LENGTHS, TASK)
    out, _, attention = layer(words(), LENGTHS, TASK, return_attention_weights=True)
    assert torch.equal(out, plain)
    (edge_index, alpha) = attention[0]
    for b in range(B):
        sums = alpha[b, : LENGTHS[b]].double()
        if isinstance(layer, StarGraphLSTM) and layer.memory != "current":
            assert torch.allclose(sums.sum(1), torch.ones(1).double())
            assert (alpha[b, :, LENGTHS[b] :] == 0).all()
            continue
        into = edge_index[1] == TASK[b]
        expected = float(bool(into.any()))
        assert torch.allclose(sums[:, into].sum(1), torch.tensor(expected).double())
        assert (alpha[b, LENGTHS[b] :] == 0).all()


def test_streaming_two_halves_equal_the_whole(layer: GraphLSTM) -> None:
    x = words()
    if isinstance(layer, StarGraphLSTM) and layer.memory == "all":
        _, state = layer(x[:, :2], None, TASK)
        with pytest.raises(ValueError, match="takes no state"):
            layer(x[:, 2:], None, TASK, state)
        return
    whole, end = layer(x, None, TASK)
    first, state = layer(x[:, :2], None, TASK)
    second, state = layer(x[:, 2:], None, TASK, state)
    torch.testing.assert_close(torch.cat([first, second], 1), whole)
    torch.testing.assert_close(state.h, end.h)
    torch.testing.assert_close(state.c, end.c)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_without_messages_it_is_nn_lstm(bidirectional: bool) -> None:
    layer = GraphLSTM(E, H, TaskGraph.isolated(["only"]), num_layers=2, bidirectional=bidirectional)
    randomise(layer)
    reference = nn.LSTM(E, H, 2, batch_first=True, bidirectional=bidirectional).double()
    reference.load_state_dict(layer.nodes["only"].state_dict())
    packed = nn.utils.rnn.pack_padded_sequence(words(), LENGTHS, True, enforce_sorted=False)
    expected, (h, c) = reference(packed)
    out, state = layer(packed, task=torch.zeros(B, dtype=torch.long))
    torch.testing.assert_close(out.data, expected.data)
    torch.testing.assert_close(state.h[:, :, 0], h)
    torch.testing.assert_close(state.c[:, :, 0], c)


def test_current_memory_equals_the_flat_graph() -> None:
    star = randomise(StarGraphLSTM(E, H, 3, "current"))
    flat = GraphLSTM(E, H, TaskGraph.flat(3), "read").double()
    flat.load_state_dict(star.state_dict())
    assert torch.equal(star(words(), LENGTHS, TASK)[0], flat(words(), LENGTHS, TASK)[0])


def test_a_task_that_takes_no_part_has_no_gradient() -> None:
    layer = randomise(GraphLSTM(E, H, TaskGraph.flat(["a", "b"]), "read"))
    layer(words(), LENGTHS, torch.zeros(B, dtype=torch.long))[0].sum().backward()
    assert all(p.grad is None for p in layer.nodes["b"].parameters())
    assert all(p.grad is not None for p in layer.nodes["a"].parameters())


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"lengths": torch.tensor([0, 1, 1, 1])}, "lengths in 1"),
        ({"lengths": torch.tensor([6, 1, 1, 1])}, "lengths in 1"),
        ({"lengths": torch.tensor([1, 1])}, "lengths of shape"),
        ({"task": torch.tensor([0, 1, 2, 3])}, "tasks in 0…2"),
        ({"x": torch.zeros(B, T, E + 1)}, "expected x of shape"),
        ({"x": torch.zeros(B, T, 2, E)}, "one input for each"),
    ],
)
def test_bad_input_is_named(change: dict, error: str) -> None:
    arguments = {"x": torch.zeros(B, T, E), "lengths": LENGTHS, "task": TASK} | change
    with pytest.raises(ValueError, match=error):
        CompleteGraphLSTM(E, H, 3)(**arguments)
