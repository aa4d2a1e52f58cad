"""The loops in C++ give what torch's operations give."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn

from mtgnn import TaskGraph
from mtgnn.nn import CompleteGraphLSTM, GraphLSTM, StarGraphLSTM
from mtgnn.ops import compile_native, native, pointwise
from mtgnn.testing import assert_heard, random_batch, randomise

E, H, TASKS = 3, 5, ("a", "b", "c")
CHAIN = TaskGraph.from_edges([("a", "b"), ("a", "c"), ("b", "c")], TASKS)

pytestmark = pytest.mark.skipif(
    shutil.which("c++") is None or shutil.which("ninja") is None,
    reason="needs a C++ compiler and ninja",
)


@pytest.fixture(scope="module")
def built() -> object:
    """The extension; it is not in use yet."""
    compile_native()
    loops, native._built = native._built, None
    return loops


@pytest.fixture
def use(built: object, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[bool], None]]:
    """Turns the loops on and off."""
    yield lambda on: monkeypatch.setattr(native, "_built", built if on else None)


def drawn(*shape: int, dtype: torch.dtype = torch.float64, scale: float = 3) -> Tensor:
    return scale * torch.randn(shape, dtype=dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [1, 7, 64])
def test_cell(use: Callable[[bool], None], dtype: torch.dtype, size: int) -> None:
    torch.manual_seed(0)
    z, before = drawn(4, 3, 4 * size, dtype=dtype), drawn(6, 5, size, dtype=dtype)[:4, :3]
    dh, dc = drawn(4, 3, size, dtype=dtype), drawn(6, 5, size, dtype=dtype)[:4, :3]
    z[0, 0, :3] = torch.tensor([-1e4, 0.0, 1e4], dtype=dtype)[: 4 * size]
    found = []
    for on in (False, True):
        use(on)
        gates, c, h, d_before = (
            z.clone(),
            dh.new_empty(dh.shape),
            dh.new_empty(dh.shape),
            dc.clone(),
        )
        dz = z.new_empty(4, 9, 4 * size)[:, 2:5]
        pointwise.cell_forward(gates, before, c, h)
        pointwise.cell_backward(gates, before, c, dh, d_before, dz)
        found.append((gates, c, h, d_before, dz))
    torch.testing.assert_close(found[1], found[0])
    assert all(part.isfinite().all() for part in found[1])


@pytest.mark.parametrize("masks", [(2, 4, 5), (1, 4, 5), (2, 1, 5)])
def test_additive_weights(use: Callable[[bool], None], masks: tuple[int, ...]) -> None:
    use(True)
    torch.manual_seed(0)
    query = drawn(2, 4, 12)[..., 3:9].requires_grad_()
    keys = drawn(5, 2, 6).transpose(0, 1).requires_grad_()
    att = drawn(6).requires_grad_()
    mask = torch.rand(masks) < 0.6
    mask[0, 0] = False  # hears nobody
    logits = (torch.sigmoid(query.unsqueeze(2) + keys.unsqueeze(1)) * att).sum(-1)
    expected = logits.masked_fill(~mask, -1e300).softmax(-1) * mask
    out = torch.full((2, 4, 5), torch.nan, dtype=torch.float64)
    native.additive_weights(query.detach(), keys.detach(), att.detach(), mask, out)
    torch.testing.assert_close(out, expected.detach())
    assert (out.sum(-1) > 0).any() and not out[~mask.expand_as(out)].any()
    given = drawn(2, 4, 5)
    expected.backward(given)
    assert query.grad is not None and keys.grad is not None and att.grad is not None
    d_query, d_keys, d_att = torch.full_like(query, 7.0), drawn(2, 5, 6), drawn(6)
    before = d_keys.clone(), d_att.clone()
    with torch.no_grad():
        native.additive_backward(query, keys, att, out, given, d_query, d_keys, d_att)
    torch.testing.assert_close(d_query, query.grad)
    torch.testing.assert_close(d_keys - before[0], keys.grad)
    torch.testing.assert_close(d_att - before[1], att.grad)


LAYERS: dict[str, Callable[..., GraphLSTM]] = {
    "mutual": lambda **o: CompleteGraphLSTM(E, H, TASKS, "mutual", **o),
    "mutual heads": lambda **o: GraphLSTM(E, H, CHAIN, heads=2, score_channels=7, **o),
    "read": lambda **o: CompleteGraphLSTM(E, H, TASKS, **o),
    "cascade": lambda **o: GraphLSTM(E, H, CHAIN, "cascade", heads=2, **o),
    "star": lambda **o: StarGraphLSTM(E, H, TASKS, **o),
    "star past": lambda **o: StarGraphLSTM(E, H, TASKS, "past", heads=2, **o),
    "star dot": lambda **o: StarGraphLSTM(E, H, TASKS, score="dot", **o),
}


def run(layer: nn.Module, every: bool) -> list[Tensor]:
    """Outputs, attention, and gradients through both."""
    x, lengths, task = random_batch(E, 3, batch_size=6)
    x.requires_grad_()
    layer.zero_grad()
    out, state, attention = layer(
        x, lengths, None if every else task, return_attention_weights=True
    )
    alphas = [alpha for _, alpha in attention]
    values = [out, *alphas]
    sum((v * torch.linspace(-1, 1, v.numel()).double().view_as(v)).sum() for v in values).backward()
    return [*values, x.grad, *(p.grad for p in layer.parameters() if p.grad is not None)]


@pytest.mark.parametrize("every", [False, True])
@pytest.mark.parametrize("name", LAYERS)
def test_layers_equal_the_plain_path(
    use: Callable[[bool], None], name: str, every: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = randomise(LAYERS[name](kernel="reference"))
    fast = LAYERS[name](kernel="fused").double()
    fast.load_state_dict(plain.state_dict())
    x, lengths, task = random_batch(E, 3, batch_size=6)
    assert_heard(plain, x, lengths, task)
    use(False)
    expected = run(plain, every)
    use(True)
    calls: list[str] = []
    for function in ("cell_forward", "cell_backward", "additive_weights", "additive_backward"):
        own = getattr(native, function)
        monkeypatch.setattr(
            native, function, lambda *a, f=function, g=own: (calls.append(f), g(*a))[1]
        )
    torch.testing.assert_close(run(fast, every), expected)
    wanted = {"cell_forward", "cell_backward"}
    if "dot" not in name:
        wanted |= {"additive_weights", "additive_backward"}
    assert set(calls) == wanted


@pytest.mark.parametrize("name", ["mutual", "read", "star"])
@pytest.mark.parametrize("where", ["words", "weights"])
def test_nan_stays_nan(use: Callable[[bool], None], name: str, where: str) -> None:
    layer = randomise(LAYERS[name]())
    x, lengths, task = random_batch(E, 3, batch_size=6)
    if where == "words":
        x[0, 1, 0] = torch.nan
    else:
        next(layer.nodes.parameters()).data[0] = torch.nan
    found = []
    for on in (False, True):
        use(on)
        found.append(layer(x, lengths, task)[0].detach())
    assert found[0].isnan().any()
    torch.testing.assert_close(found[1], found[0], equal_nan=True)


def test_wrong_sizes_are_refused(use: Callable[[bool], None]) -> None:
    use(True)
    c = drawn(2, 3, 4)
    with pytest.raises(RuntimeError, match=r"h: expected sizes \[2, 3, 4\]"):
        native.cell_forward(drawn(2, 3, 16), c, c.clone(), drawn(2, 1, 4))
    with pytest.raises(RuntimeError, match="att: expected a contiguous vector"):
        native.additive_weights(
            drawn(2, 1, 4),
            drawn(2, 3, 4),
            drawn(8)[::2],
            torch.ones(1, 1, 3).bool(),
            drawn(2, 1, 3),
        )


def test_other_tensors_go_the_usual_way(use: Callable[[bool], None]) -> None:
    use(True)
    assert native.serves(torch.zeros(1)) and not native.serves(torch.zeros(1).bfloat16())
    use(False)
    assert not native.serves(torch.zeros(1))
