"""The kernels in Triton give what formulas and layers in plain torch give.

On a GPU as they are compiled there, else in Triton's interpreter (see ``conftest.py``).
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from mtgnn import TaskGraph
from mtgnn.nn import CompleteGraphLSTM, GraphLSTM, StarGraphLSTM
from mtgnn.ops import fused, gpu, kernels_ran, pointwise, score, use_triton
from mtgnn.ops.room import Room
from mtgnn.testing import assert_heard, random_batch, randomise

pytest.importorskip("triton", reason="Triton is not installed (extra triton)")
pytestmark = pytest.mark.usefixtures("triton_kernels")

E, H, TASKS = 3, 5, ("a", "b", "c")
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
SMALL = TaskGraph.from_edges([("a", "b"), ("b", "a"), ("a", "c"), ("b", "c")], TASKS)
CHAIN = TaskGraph.from_edges([("a", "c"), ("b", "c")], TASKS)
KERNELS = ("cell_forward", "cell_backward", "additive_weights", "additive_backward")


@pytest.fixture
def calls(record_launches: Callable[..., list[str]]) -> list[str]:
    """The kernels that ran."""
    return record_launches(*KERNELS)


@pytest.fixture
def step_by_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Layers go step by step, as those with large states do; see test_triton_many_steps.py."""
    monkeypatch.setattr(fused, "LARGEST", 0)


def drawn(*shape: int, dtype: torch.dtype = torch.float64, scale: float = 2) -> Tensor:
    return scale * torch.randn(shape, dtype=dtype).to(DEVICE)


def lstm_cell(z: Tensor, c_before: Tensor) -> tuple[Tensor, Tensor]:
    """States and cells of torch's own cell, whose gates before their functions are z."""
    size = c_before.size(-1)
    cell = nn.LSTMCell(4 * size, size, bias=False).to(z.device, z.dtype)
    cell.weight_ih.data, cell.weight_hh.data = (
        torch.eye(4 * size).to(z),
        torch.zeros(4 * size, size).to(z),
    )
    flat = c_before.reshape(-1, size)
    h, c = cell(z.reshape(-1, 4 * size), (torch.zeros_like(flat), flat))
    return h.view(c_before.shape), c.view(c_before.shape)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [1, 7, 64])
def test_cell(dtype: torch.dtype, size: int, calls: list[str]) -> None:
    torch.manual_seed(0)
    z = drawn(4, 3, 4 * size, dtype=dtype).requires_grad_()
    before = drawn(6, 5, size, dtype=dtype)[:4, :3].requires_grad_()
    dh, dc = drawn(5, 8, size, dtype=dtype)[1:, 2:5], drawn(4, 6, size, dtype=dtype)[:, :3]
    with torch.no_grad():
        z[0, 0, :3] = torch.tensor([-1e4, 0.0, 1e4], dtype=dtype)
    expected_h, expected_c = lstm_cell(z, before)
    expected = torch.autograd.grad([expected_h, expected_c], [z, before], [dh, dc])
    with torch.no_grad():
        gates = drawn(4, 7, 4 * size, dtype=dtype)[:, 2:5].copy_(z)
        c, h = drawn(4, 3, size, dtype=dtype), drawn(4, 9, size, dtype=dtype)[:, 4:7]
        around = drawn(4, 9, 4 * size, dtype=dtype)
        untouched, dz = around.clone(), around[:, 2:5]
        pointwise.cell_forward(gates, before, c, h)
        pointwise.cell_backward(gates, before, c, dh, dc, dz)
    for found, value in zip((h, c, dz, dc), (expected_h, expected_c, *expected), strict=True):
        torch.testing.assert_close(found, value)
    torch.testing.assert_close(around[:, :2], untouched[:, :2], rtol=0, atol=0)
    torch.testing.assert_close(around[:, 5:], untouched[:, 5:], rtol=0, atol=0)
    assert calls == ["cell_forward", "cell_backward"]


def test_cell_in_bfloat16_rounds_at_the_end_alone() -> None:
    torch.manual_seed(0)
    z, before = drawn(2, 3, 200).bfloat16(), drawn(2, 3, 50).bfloat16()
    expected_h, expected_c = lstm_cell(z.double(), before.double())
    c, h = torch.empty_like(before), torch.empty_like(before)
    pointwise.cell_forward(z, before, c, h)
    for found, expected in ((c, expected_c), (h, expected_h)):  # the interpreter rounds towards 0
        torch.testing.assert_close(found.double(), expected, rtol=2**-7, atol=1e-6)


CASES = {
    "a mask for each receiver": (2, 4, 5, 6, (2, 4, 5)),
    "the same mask everywhere": (3, 4, 4, 6, (1, 4, 4)),
    "the same senders for all": (2, 4, 5, 6, (2, 1, 5)),
    "everybody is heard": (2, 4, 5, 6, None),
    "one sender": (2, 3, 1, 6, (2, 3, 1)),
    "one receiver and channel": (7, 1, 3, 1, (7, 1, 3)),
    "more senders than fit beside all channels": (2, 1, 130, 21, (2, 1, 130)),
    "more than a block of n": (70, 1, 2, 18, (70, 1, 2)),
}


@pytest.mark.parametrize("add", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_additive_weights(name: str, add: bool, calls: list[str]) -> None:
    n, receivers, senders, size, masks = CASES[name]
    torch.manual_seed(0)
    query = drawn(n, receivers, 2 * size)[..., size // 2 : size // 2 + size].requires_grad_()
    keys = drawn(senders, n, size).transpose(0, 1).requires_grad_()
    att = drawn(size).requires_grad_()
    mask = None
    if masks is not None:
        mask = (torch.rand(masks) < 0.6).to(DEVICE)
        mask[0, 0] = False  # hears nobody
        assert mask.any()
    bent = torch.sigmoid(query.unsqueeze(2) + keys.unsqueeze(1))
    heard = torch.ones((), device=DEVICE).bool() if mask is None else mask
    expected = torch.where(heard, (bent @ att).exp(), 0.0)
    expected = expected / expected.sum(-1, keepdim=True).clamp(min=1e-300)
    d_alpha = drawn(n, receivers, senders, 3)[..., 1]
    expected.backward(d_alpha)

    room = Room(query)
    out = drawn(n, receivers, senders, 2)[..., 1]
    with torch.no_grad():
        alpha = score.additive_weights(query, keys, att, mask, room, out)
        assert alpha is out
        torch.testing.assert_close(alpha, expected)
        if mask is not None:
            assert not alpha[~mask.expand_as(alpha)].any()
        torch.testing.assert_close(score.additive_weights(query, keys, att, mask, room), alpha)
        d_query, d_att = drawn(n, receivers, 2 * size)[..., :size], drawn(size)
        d_keys = drawn(senders, n, size).transpose(0, 1)
        before = d_keys.clone(), d_att.clone()
        back = alpha, d_alpha, d_query, d_keys, d_att, room, add
        score.additive_weights_backward(query, keys, att, *back)
    assert query.grad is not None and keys.grad is not None and att.grad is not None
    torch.testing.assert_close(d_query, query.grad)
    torch.testing.assert_close((d_keys - before[0]) * att if add else d_keys, keys.grad)
    torch.testing.assert_close(d_att - before[1], att.grad)
    assert calls == ["additive_weights", "additive_weights", "additive_backward"]
    assert room.take(0).untyped_storage().nbytes() == 0  # the inside was never stored


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_additive_weights_in_other_types(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    query, keys, att = (drawn(*s).to(dtype) for s in ((3, 4, 9), (3, 5, 9), (9,)))
    d_alpha, mask = drawn(3, 4, 5).to(dtype), (torch.rand(3, 4, 5) < 0.7).to(DEVICE)
    found, expected = [], []
    for into, kind, on in ((found, dtype, True), (expected, torch.float64, False)):
        parts = [part.to(kind) for part in (query, keys, att)]
        room, grads = Room(parts[0]), [torch.ones_like(part) for part in parts]
        with use_triton(on):
            alpha = score.additive_weights(*parts, mask, room)
            # Both go back from the same weights, so that their rounding is not counted again.
            alpha = alpha if on else found[0].to(kind)
            back = alpha, d_alpha.to(kind), *grads, room, True
            score.additive_weights_backward(*parts, *back)
        into += [alpha if on else score.additive_weights(*parts, mask, room), *grads]
    near = (
        {"rtol": 1e-4, "atol": 1e-5} if dtype == torch.float32 else {"rtol": 2**-6, "atol": 2**-7}
    )
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one.double(), other, **near)


def test_scores_far_apart_do_not_overflow() -> None:
    query, keys = drawn(1, 1, 2, dtype=torch.float32), drawn(1, 3, 2, dtype=torch.float32)
    keys[0, :, 0] = torch.tensor([-1e4, 0.0, 1e4])
    alpha = score.additive_weights(
        query, keys, torch.tensor([1e4, 0.0], device=DEVICE), None, Room(query)
    )
    torch.testing.assert_close(alpha, torch.tensor([[[0.0, 0.0, 1.0]]], device=DEVICE))


LAYERS: dict[str, Callable[..., GraphLSTM]] = {
    "mutual": lambda **o: CompleteGraphLSTM(E, H, TASKS, "mutual", **o),
    "mutual heads": lambda **o: GraphLSTM(E, H, SMALL, heads=2, score_channels=3, **o),
    "read": lambda **o: CompleteGraphLSTM(E, H, TASKS, **o),
    "cascade": lambda **o: GraphLSTM(E, H, CHAIN, "cascade", heads=2, fusion="gated", **o),
    "star": lambda **o: StarGraphLSTM(E, H, TASKS, **o),
    "star past": lambda **o: StarGraphLSTM(E, H, TASKS, "past", heads=2, **o),
    "star dot": lambda **o: StarGraphLSTM(E, H, TASKS, score="dot", **o),
}


def run(layer: nn.Module) -> list[Tensor]:
    """Outputs, attention, and gradients through both."""
    x, lengths, task = random_batch(E, 3, steps=4)
    x = x.to(DEVICE).requires_grad_()
    layer.zero_grad()
    out, _, attention = layer(x, lengths, task, return_attention_weights=True)
    values = [out, *(alpha for _, alpha in attention)]
    ramps = [torch.linspace(-1, 1, v.numel()).to(v).view_as(v) for v in values]
    sum((v * ramp).sum() for v, ramp in zip(values, ramps, strict=True)).backward()
    return [*values, x.grad, *(p.grad for p in layer.parameters() if p.grad is not None)]


@pytest.mark.usefixtures("step_by_step")
@pytest.mark.parametrize("name", LAYERS)
def test_layers_equal_the_plain_path(name: str, calls: list[str]) -> None:
    plain = randomise(LAYERS[name](kernel="reference"))
    fast = LAYERS[name](kernel="fused").double()
    fast.load_state_dict(plain.state_dict())
    assert_heard(plain, *random_batch(E, 3))
    expected = run(plain.to(DEVICE))
    assert not calls
    torch.testing.assert_close(run(fast.to(DEVICE)), expected)
    wanted = set(KERNELS[:2] if "dot" in name else KERNELS)
    assert set(calls) == wanted


@pytest.mark.usefixtures("step_by_step")
@pytest.mark.skipif(DEVICE.type != "cpu", reason="the loops in C++ are for CPUs")
def test_they_go_before_the_loops_in_cpp(
    use_native: Callable[[bool], None], calls: list[str]
) -> None:
    use_native(True)
    layer = randomise(LAYERS["star"]())
    for on in (True, False):
        calls.clear()
        with use_triton(on), kernels_ran() as ran:
            run(layer)
        assert set(calls) == (set(KERNELS) if on else set())
        assert ran[-1] == ("fused mailbox" if on else "native mailbox")


@pytest.mark.usefixtures("step_by_step")
@pytest.mark.parametrize("name", ["mutual", "star"])
def test_nan_stays_nan(name: str) -> None:
    layer = randomise(LAYERS[name]()).to(DEVICE)
    x, lengths, task = random_batch(E, 3, steps=3)
    x[0, 1, 0] = torch.nan
    found = layer(x.to(DEVICE), lengths, task)[0].detach()
    with use_triton(False):
        expected = layer(x.to(DEVICE), lengths, task)[0].detach()
    assert expected.isnan().any() and not expected.isnan().all()
    torch.testing.assert_close(found, expected, equal_nan=True)


def test_wrong_sizes_are_refused() -> None:
    c, room = drawn(2, 3, 4), Room(drawn(1))
    with pytest.raises(ValueError, match=r"h: expected sizes \(2, 3, 4\)"):
        pointwise.cell_forward(drawn(2, 3, 16), c, c.clone(), drawn(2, 1, 4))
    with pytest.raises(ValueError, match=r"dz: expected sizes \(2, 3, 16\)"):
        pointwise.cell_backward(drawn(2, 3, 16), c, c, c, c, drawn(2, 3, 4))
    query, keys = drawn(2, 1, 4), drawn(2, 3, 4)
    with pytest.raises(ValueError, match=r"att: expected sizes \(4,\) with the last .* contig"):
        score.additive_weights(drawn(2, 1, 4), keys, drawn(8)[::2], None, room)
    alpha, like = drawn(2, 1, 3), (query.clone(), keys.clone(), drawn(4))
    with pytest.raises(ValueError, match=r"d_alpha: expected \(2, 1, 3\)"):
        score.additive_weights_backward(query, keys, drawn(4), alpha, drawn(2, 1, 2), *like, room)


def test_they_serve_who_asks_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    assert gpu.serves(drawn(1)) and gpu.serves(drawn(1).bfloat16())
    assert not gpu.serves(drawn(1).half()) and not gpu.serves(drawn(1).long())
    with use_triton(False):
        assert not gpu.serves(drawn(1))
    assert gpu.serves(drawn(1))
    monkeypatch.setattr(gpu, "_wanted", None)
    monkeypatch.delenv("MTGNN_TRITON", raising=False)
    assert not gpu.serves(drawn(1))
    monkeypatch.setenv("MTGNN_TRITON", "1")  # for GPUs alone
    assert gpu.serves(drawn(1)) == (DEVICE.type == "cuda") and not gpu.serves(torch.zeros(1))


def test_wanting_them_where_they_cannot_run_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "find_spec", lambda name: None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    gpu._there.cache_clear()
    try:
        with pytest.raises(RuntimeError, match="expected Triton with a GPU"), use_triton(True):
            pass
    finally:
        gpu._there.cache_clear()


@pytest.mark.usefixtures("step_by_step")
@pytest.mark.skipif(DEVICE.type != "cuda", reason="needs a GPU")
@pytest.mark.parametrize("name", LAYERS)
def test_nothing_waits_for_the_gpu(name: str) -> None:
    layer = randomise(LAYERS[name]()).to(DEVICE)
    x, lengths, task = random_batch(E, 3, steps=4)
    x = x.to(DEVICE)
    layer(x, lengths, task)[0].sum().backward()  # compiles
    torch.cuda.set_sync_debug_mode("error")
    try:
        layer(x, lengths, task)[0].sum().backward()
    finally:
        torch.cuda.set_sync_debug_mode("default")
