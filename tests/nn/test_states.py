"""States are carried on, with their history or without it."""

from __future__ import annotations

import io

import pytest
import torch
from torch import Tensor, nn

from mtgnn import TaskGraph
from mtgnn.nn import (
    CompleteGraphLSTM,
    CrossStitchLSTM,
    HierarchicalLSTM,
    MixtureOfExpertsLSTM,
    SharedLSTM,
    SharedPrivateLSTM,
    StarGraphLSTM,
)

E, H = 3, 4
LAYERS = {
    "complete": lambda: CompleteGraphLSTM(E, H, 2, "mutual"),
    "read": lambda: CompleteGraphLSTM(E, H, 2),
    "past": lambda: StarGraphLSTM(E, H, 2, memory="past"),
    "current": lambda: StarGraphLSTM(E, H, 2, memory="current"),
    "shared": lambda: SharedLSTM(E, H, 2),
    "shared_private": lambda: SharedPrivateLSTM(E, H, 2),
    "hierarchical": lambda: HierarchicalLSTM(E, H, TaskGraph.hierarchy({"b": ["a"]})),
    "mixture": lambda: MixtureOfExpertsLSTM(E, H, 2),
    "cross_stitch": lambda: CrossStitchLSTM(E, H, 2),
}


@pytest.mark.parametrize("name", LAYERS)
def test_detached_states_say_the_same_and_end_gradients(name: str) -> None:
    torch.manual_seed(0)
    layer: nn.Module = LAYERS[name]()
    x, lengths, task = torch.randn(2, 6, E), torch.tensor([3, 3]), torch.tensor([0, 1])
    first = x[:, :3].clone().requires_grad_()
    out, state = layer(first, lengths, task)
    plain, _ = layer(x[:, 3:], lengths, task, state)
    cut, _ = layer(x[:, 3:], lengths, task, state.detach())
    assert cut.equal(plain)
    cut.sum().backward(retain_graph=True)
    assert first.grad is None
    out.sum().backward()  # the first part's own history is still there, and was walked by nobody
    assert first.grad is not None
    assert type(state.detach()) is type(state)


@pytest.mark.parametrize("name", LAYERS)
def test_saved_states_are_gone_on_from(name: str) -> None:
    layer: nn.Module = LAYERS[name]().eval()
    x, lengths, task = torch.randn(2, 6, E), torch.tensor([3, 3]), torch.tensor([0, 1])
    _, state = layer(x[:, :3], lengths, task)
    file = io.BytesIO()
    torch.save(state.detach(), file)
    file.seek(0)
    read = torch.load(file, weights_only=True)
    assert type(read) is type(state)
    assert layer(x[:, 3:], lengths, task, read)[0].equal(layer(x[:, 3:], lengths, task, state)[0])


@pytest.mark.parametrize("name", LAYERS)
def test_states_move_to_a_device(name: str) -> None:
    _, state = LAYERS[name]()(torch.randn(2, 3, E), None, torch.tensor([0, 1]))
    moved = state.to("meta")
    assert type(moved) is type(state)
    for one, other in zip(tensors(moved), tensors(state), strict=True):
        assert one.shape == other.shape and one.dtype == other.dtype
    places = {value.device.type for value in tensors(moved)}
    assert places == ({"meta", "cpu"} if name == "hierarchical" else {"meta"})  # its levels
    pairs = zip(tensors(state.to("cpu")), tensors(state), strict=True)
    assert all(one is other for one, other in pairs)


def tensors(state: tuple) -> list[Tensor]:
    """All tensors in a state, in order."""
    parts = [tensors(part) if isinstance(part, tuple) else [part] for part in state]
    return [value for part in parts for value in part if value is not None]


OTHERS = {
    "LSTM's": lambda: (torch.zeros(1, 2, H), torch.zeros(1, 2, H)),
    "shared": lambda: SharedLSTM(E, H, 2)(torch.randn(2, 3, E))[1],
    "hierarchical": lambda: LAYERS["hierarchical"]()(torch.randn(2, 3, E))[1],
}


@pytest.mark.parametrize("name", [name for name in LAYERS if name != "shared"])
@pytest.mark.parametrize("other", OTHERS)
def test_the_state_of_another_kind_of_layer_is_refused(name: str, other: str) -> None:
    if name == other:
        return
    layer: nn.Module = LAYERS[name]()
    x, task = torch.randn(2, 3, E), torch.tensor([0, 1])
    kind, state = type(layer(x, None, task)[1]).__name__, OTHERS[other]()
    message = f"expected a {kind}, .* got a {type(state).__name__}"
    with pytest.raises(ValueError, match=message):
        layer(x, None, task, state)


def test_a_mailbox_that_does_not_fit_is_refused() -> None:
    layer, x = StarGraphLSTM(E, H, 2, memory="past"), torch.randn(2, 3, E)
    lengths, task = torch.tensor([3, 3]), torch.tensor([0, 1])
    _, state = layer(x, lengths, task)
    layer(x, lengths, task, state)
    box, mask = state.mailbox, state.mailbox_mask
    for values, real in (
        (box, mask[:, :2]),
        (box, mask[0]),
        (box[:, :1], mask[:1]),
        (box[..., :2], mask),
        (box[0], mask),
    ):
        with pytest.raises(ValueError, match=r"mailbox of shape \[1, 2, T, 4\] and its mask"):
            layer(x, lengths, task, state._replace(mailbox=values, mailbox_mask=real))
