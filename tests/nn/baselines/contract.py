"""What every baseline encoder promises, and an LSTM written from its formula."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from mtgnn.nn import build_encoder
from mtgnn.testing import (
    RandomBatch,
    assert_all_tasks_equal_single,
    assert_batch_invariant,
    assert_gradients_accumulate,
    assert_padding_invariant,
    assert_some_tasks_equal_all,
    assert_streams,
    assert_task_permutation_equivariant,
    random_batch,
    randomise,
)

E, H, TASKS = 3, 4, ("a", "b.c", "keys")
Make = Callable[[Sequence[str]], nn.Module]
# Tasks of each of six sequences.
SOME = torch.tensor([[1, 0, 0], [0, 1, 1], [1, 1, 1], [0, 0, 1], [1, 0, 1], [0, 1, 0]]).bool()


def inputs(layer: nn.Module, per_node: bool = False) -> RandomBatch:
    """Six sequences of five steps at most, of all tasks."""
    nodes = layer.graph.num_nodes
    return random_batch(E, 3, batch_size=6, num_nodes=nodes if per_node else None)


def check_encoder(make: Make, *, streams: bool, permutes: bool = True) -> None:
    """The interface: task or none, an input for each node, lengths, packing, state, reset."""
    layer = randomise(make(TASKS))
    for per_node in (False, True):
        x, lengths, task = inputs(layer, per_node)
        assert_padding_invariant(layer, x, lengths, task)
        assert_padding_invariant(layer, x, lengths)
        assert_batch_invariant(layer, x, lengths, task)
        assert_batch_invariant(layer, x, lengths)
        assert_gradients_accumulate(layer, x, lengths, task)
        assert_gradients_accumulate(layer, x, lengths)
        assert_all_tasks_equal_single(layer, x, lengths)
        assert_some_tasks_equal_all(layer, x, lengths)
        assert_padding_invariant(layer, x, lengths, SOME)
        assert_batch_invariant(layer, x, lengths, SOME)
        assert_gradients_accumulate(layer, x, lengths, SOME)
        if streams:
            assert_streams(layer, x, task)
            assert_streams(layer, x)
            assert_streams(layer, x, SOME)
        if permutes:
            assert_task_permutation_equivariant(
                make, TASKS, x, lengths, task, permutation=[1, 2, 0]
            )
    x, lengths, task = inputs(layer)
    out, _ = layer(x, lengths, task)
    assert out.shape == (6, 5, layer.output_size) and layer.input_size == E
    other, _ = layer(x.float(), lengths, task)  # read in the parameters' type
    assert other.dtype == out.dtype
    torch.testing.assert_close(other, out, rtol=1e-5, atol=1e-5)
    packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    for wanted in (task, SOME, None):
        again, sizes = pad_packed_sequence(layer(packed, task=wanted)[0], batch_first=True)
        assert torch.equal(sizes, lengths)
        torch.testing.assert_close(again, layer(x, lengths, wanted)[0])
    check_packed_order(layer, x.repeat(4, 1, 1), lengths.repeat(4), task.repeat(4))
    assert repr(layer).startswith(f"{type(layer).__name__}({E}, {H}, TaskGraph(")
    assert "\n" not in repr(layer)
    before = {name: value.clone() for name, value in layer.named_parameters()}
    layer.reset_parameters()
    assert all(not torch.equal(value, before[name]) for name, value in layer.named_parameters())


def check_packed_order(layer: nn.Module, x: Tensor, lengths: Tensor, task: Tensor) -> None:
    """Packed rows come out in the order of the input's, also among equal lengths."""
    packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    out = layer(packed, task=task)[0]
    order = packed.sorted_indices
    expected = layer(x, lengths, task)[0][order]
    rows = pack_padded_sequence(expected, lengths[order], batch_first=True)
    torch.testing.assert_close(out.data, rows.data)
    assert torch.equal(out.batch_sizes, packed.batch_sizes)
    assert torch.equal(out.sorted_indices, order)
    assert torch.equal(out.unsorted_indices, packed.unsorted_indices)
    ordered = pack_padded_sequence(x[order], lengths[order], batch_first=True)
    out = layer(ordered, task=task[order])[0]
    torch.testing.assert_close(out.data, rows.data)
    assert out.sorted_indices is None and out.unsorted_indices is None


def lstm(x: Tensor, node: nn.Module, layers: int = 1, both: bool = False) -> Tensor:
    """States ``[T, D·H]`` of one sequence ``[T, E]``, step by step; parameters as in nn.LSTM."""
    parameters = dict(node.named_parameters())
    for layer in range(layers):
        outs = []
        for suffix in ("", "_reverse")[: 1 + both]:
            w, u, b, d = (
                parameters[f"{name}_l{layer}{suffix}"]
                for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            )
            h = c = x.new_zeros(u.size(1))
            states = []
            for word in x.flip(0) if suffix else x:
                i, f, g, o = (w @ word + u @ h + b + d).chunk(4)
                c = f.sigmoid() * c + i.sigmoid() * g.tanh()
                h = o.sigmoid() * c.tanh()
                states.append(h)
            every = torch.stack(states)
            outs.append(every.flip(0) if suffix else every)
        x = torch.cat(outs, -1)
    return x


def check_against(
    layer: nn.Module, reference: Callable[[Tensor, int], Tensor], batch: RandomBatch
) -> None:
    """Values and gradients, missing ones too, are those of ``reference(x [T, E], task)``."""
    x, lengths, task = batch
    x = x.clone().requires_grad_()
    weights = torch.randn(*x.shape[:2], layer.output_size, dtype=x.dtype)
    out, _ = layer(x, lengths, task)
    got = _gradients((out * weights).sum(), layer, x)
    total = x.new_zeros(())
    for b, length in enumerate(lengths.tolist()):
        states = reference(x[b, :length], int(task[b]))
        torch.testing.assert_close(out[b, :length], states)
        total = total + (states * weights[b, :length]).sum()
    expected = _gradients(total, layer, x)
    for name, gradient in expected.items():
        if gradient is None:
            assert got[name] is None, name
        else:
            torch.testing.assert_close(got[name], gradient, msg=lambda m, n=name: f"{n}: {m}")
    assert any(gradient is not None for gradient in expected.values())


def _gradients(loss: Tensor, layer: nn.Module, x: Tensor) -> dict[str, Any]:
    named = {"x": x, **dict(layer.named_parameters())}
    found = torch.autograd.grad(loss, list(named.values()), allow_unused=True)
    return dict(zip(named, found, strict=True))


def by_name(name: str, **options: Any) -> Make:
    """A maker of an encoder by its name."""
    return lambda tasks: build_encoder(name, E, H, tasks, **options)


def check_absent_tasks(layer: nn.Module, absent: Sequence[str]) -> None:
    """What only ``absent`` tasks train has no gradient, however the others are named: as one task
    of each sequence, or as booleans, also with an input for each node."""
    wanted = torch.tensor([name not in absent for name in TASKS]).nonzero().flatten()
    for per_node in (False, True):
        x, lengths, _ = inputs(layer, per_node)
        task = wanted[torch.arange(len(x)) % len(wanted)]
        found = []
        for said in (task, nn.functional.one_hot(task, len(TASKS)).bool()):
            layer.zero_grad()
            layer(x, lengths, said)[0].sum().backward()
            found.append({n for n, p in layer.named_parameters() if p.grad is None})
        assert found[0] == found[1] and found[0]
