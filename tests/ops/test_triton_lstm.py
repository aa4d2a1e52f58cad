"""Many steps a launch: LSTMs that hear nobody, beside :class:`torch.nn.LSTM`.

On a GPU as they are compiled there, else in Triton's interpreter (see ``conftest.py``).
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from mtgnn import TaskGraph
from mtgnn.nn import GraphLSTM, GraphState
from mtgnn.ops import gpu, layout
from mtgnn.ops.gpu.steps import LARGEST, TritonSteps
from mtgnn.testing import random_batch, randomise

pytest.importorskip("triton", reason="Triton is not installed (extra triton)")
pytestmark = pytest.mark.usefixtures("triton_kernels")

E, TASKS = 3, ("a", "b", "c")
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
LENGTHS, TASK = torch.tensor([5, 4, 4, 2, 1, 3, 1]), torch.tensor([0, 0, 2, 2, 2, 0, 1])
Start = tuple[Tensor, Tensor]
"""States and cells ``[1, B, K, H]`` before the first step."""


@pytest.fixture
def calls(record_launches: Callable[..., list[str]]) -> list[str]:
    """The launches."""
    return record_launches("lstm_forward", "lstm_backward", "cell_forward", "cell_backward")


def layer_of(size: int, dtype: torch.dtype = torch.float64) -> GraphLSTM:
    return randomise(GraphLSTM(E, size, TaskGraph.isolated(TASKS)), dtype=dtype).to(DEVICE)


def start_of(size: int, batch: int, dtype: torch.dtype = torch.float64) -> Start:
    torch.manual_seed(3)
    h, c = torch.randn(2, 1, batch, 3, size, dtype=dtype).to(DEVICE)
    return h.requires_grad_(), c.requires_grad_()


def by_torch(
    layer: GraphLSTM, x: Tensor, lengths: Tensor, task: Tensor, state: Start
) -> list[Tensor]:
    """States of all steps, and cells at the end, sequence by sequence."""
    found = []
    for b, (length, k) in enumerate(zip(lengths.tolist(), task.tolist(), strict=True)):
        lstm = nn.LSTM(E, layer.hidden_size, batch_first=True).to(x)
        own = dict(layer.nodes[TASKS[k]].named_parameters())
        first = [part[:, b : b + 1, k].contiguous() for part in state]
        call = {name: own[name] for name, _ in lstm.named_parameters()}, (x[b : b + 1, :length],)
        out, (_, c) = torch.func.functional_call(lstm, call[0], (*call[1], tuple(first)))
        found += [out[0], c[0, 0]]
    return found


def by_layer(
    layer: GraphLSTM, x: Tensor, lengths: Tensor, task: Tensor, state: Start
) -> list[Tensor]:
    zeros = torch.zeros_like(state[0])
    ran = torch.ones(len(task), 2, 3, dtype=torch.bool, device=DEVICE)
    out, last = layer(x, lengths, task, GraphState(*state, zeros, zeros, ran))
    found = []
    for b, length in enumerate(lengths.tolist()):
        found += [out[b, :length], last.c[0, b, task[b]]]
    return found


def differentiated(values: list[Tensor], layer: GraphLSTM, x: Tensor, state: Start) -> list[Tensor]:
    ramps = [torch.linspace(-1, 1, v.numel()).to(v).view_as(v) for v in values]
    total = sum((v * ramp).sum() for v, ramp in zip(values, ramps, strict=True))
    inputs = [x, *state, *layer.parameters()]
    grads = torch.autograd.grad(total, inputs, allow_unused=True, materialize_grads=True)
    return [*values, *grads]


@pytest.mark.parametrize("columns", [2, 256])
@pytest.mark.parametrize("size", [1, 7, 35])
def test_is_torch_lstm(
    size: int, columns: int, calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also in several chunks, of states larger than what a product takes at once."""
    monkeypatch.setattr(TritonSteps, "columns", columns)
    layer, state = layer_of(size), start_of(size, len(TASK))
    x = torch.randn(len(TASK), 5, E, dtype=torch.double).to(DEVICE).requires_grad_()
    expected, found = (
        differentiated(run(layer, x, LENGTHS, TASK, state), layer, x, state)
        for run in (by_torch, by_layer)
    )
    torch.testing.assert_close(found, expected)
    assert set(calls) == {"lstm_forward", "lstm_backward"}
    assert len(calls) > 2 if columns == 2 else len(calls) == 2


def test_more_sequences_than_a_program_has(calls: list[str]) -> None:
    layer, many = layer_of(2), 19
    lengths = torch.tensor([3] * 9 + [2] * 7 + [1] * 3)
    task, state = torch.zeros(many, dtype=torch.long), start_of(2, many)
    x = torch.randn(many, 3, E, dtype=torch.double).to(DEVICE).requires_grad_()
    expected, found = (
        differentiated(run(layer, x, lengths, task, state), layer, x, state)
        for run in (by_torch, by_layer)
    )
    torch.testing.assert_close(found, expected)
    assert calls == ["lstm_forward", "lstm_backward"]


@pytest.mark.parametrize("columns", [2, 256])
def test_without_gradients_cells_of_one_step_are_kept(
    columns: int, calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TritonSteps, "columns", columns)
    layer = layer_of(6)
    state, x = start_of(6, len(TASK)), torch.randn(len(TASK), 5, E).double().to(DEVICE)
    with torch.no_grad():
        found = by_layer(layer, x, LENGTHS, TASK, state)
        expected = by_torch(layer, x, LENGTHS, TASK, state)
    torch.testing.assert_close(found, expected)
    assert set(calls) == {"lstm_forward"}


@pytest.mark.parametrize("what", ["states", "cells"])
def test_gradients_of_states_or_cells_alone(what: str) -> None:
    layer = layer_of(4)
    state, x = start_of(4, len(TASK)), torch.randn(len(TASK), 5, E).double().to(DEVICE)
    x.requires_grad_()
    part = slice(what == "cells", None, 2)
    expected, found = (
        differentiated(run(layer, x, LENGTHS, TASK, state)[part], layer, x, state)
        for run in (by_torch, by_layer)
    )
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(("dtype", "near"), [(torch.float32, 1e-4), (torch.bfloat16, 0.05)])
def test_other_types(dtype: torch.dtype, near: float) -> None:
    layer, state = layer_of(20, dtype), start_of(20, len(TASK), dtype)
    x = torch.randn(len(TASK), 5, E).to(DEVICE, dtype).requires_grad_()
    found = differentiated(by_layer(layer, x, LENGTHS, TASK, state), layer, x, state)
    layer, x = layer.double(), x.detach().double().requires_grad_()
    h, c = (part.detach().double().requires_grad_() for part in state)
    state = h, c
    expected = differentiated(by_torch(layer, x, LENGTHS, TASK, state), layer, x, state)
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == dtype
        assert (one.double() - other).norm() <= near * other.norm() + 1e-3


def test_nan_stays_nan_in_its_own_sequence() -> None:
    layer = layer_of(3)
    x, lengths, task = random_batch(E, 3)
    x[0, 1, 0] = torch.nan
    out = layer(x.to(DEVICE), lengths, task)[0]
    assert out[0, 1:].isnan().all() and not out[0, 0].isnan().any() and not out[1:].isnan().any()


def test_large_states_go_step_by_step(calls: list[str]) -> None:
    layer = layer_of(LARGEST + 1, torch.float32)
    layer(torch.randn(1, 2, E).to(DEVICE), None, torch.zeros(1, dtype=torch.long))
    assert set(calls) == {"cell_forward"}


@pytest.mark.parametrize("wanted", ["ieee", "tf32"])
def test_precision_is_torch_s(wanted: str) -> None:
    from mtgnn.ops.gpu.launch import precision

    matmul, single = torch.backends.cuda.matmul, torch.zeros(1)
    before = matmul.allow_tf32
    try:
        matmul.allow_tf32 = wanted == "tf32"
        said = wanted if torch.version.hip is None else "ieee"
        assert precision(single) == said and precision(single.double()) == "ieee"
    finally:
        matmul.allow_tf32 = before


def test_wrong_sizes_are_refused() -> None:
    own = layout.Layout([0, 1], [[3, 2], [1, 1]])
    new = torch.zeros
    slots, tokens, gates = (new(own.num_slots, 5), new(own.num_tokens, 5), new(own.num_tokens, 20))
    words, weight, chunk = (
        new(2, own.chunks(256)[0].columns[-1], 20),
        new(2, 20, 5),
        own.chunks(256)[0],
    )
    for given, message in (
        ((words, weight[:, :19], slots, slots, tokens, tokens, gates), r"weight: .* \(2, 20, 5\)"),
        ((words, weight, slots, slots, tokens, slots, gates), r"cs: expected sizes \(7, 5\)"),
        ((words, weight, slots, slots, tokens, tokens, None), r"cs: expected sizes \(4, 5\)"),
        ((words[:, 1:], weight, slots, slots, tokens, tokens, gates), "projected: expected"),
        ((words, weight, slots, slots, new(9, 5)[:7], tokens, new(7, 40)[:, ::2]), "gates: "),
    ):
        with pytest.raises(ValueError, match=message):
            gpu.lstm_forward(own, chunk, *given)
    every = words, weight, slots, slots, tokens, tokens, gates
    apart = new(own.num_tokens, 10)[:, :5]
    for place, other in ((4, apart), (1, weight[:1].expand(2, -1, -1))):
        with pytest.raises(ValueError, match="expected contiguous tensors"):
            gpu.lstm_forward(own, chunk, *every[:place], other, *every[place + 1 :])
    back = weight, slots, tokens, gates, tokens, slots, slots.view(2, 2, 5), slots.view(2, 2, 5)
    with pytest.raises(ValueError, match="dz: expected"):
        gpu.lstm_backward(own, chunk, *back, words[:, 1:])
    with pytest.raises(ValueError, match=r"grad_end: expected sizes \(4, 5\)"):
        gpu.lstm_backward(own, chunk, *back[:5], tokens, *back[6:], words)
