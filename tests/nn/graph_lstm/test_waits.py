"""A layer on a GPU does not wait for it. Tested without one, on tensors that have no data at all:
there nothing can be read, and so nothing waited for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from mtgnn import TaskGraph
from mtgnn.data import SequenceBatch, Vocabulary
from mtgnn.nn import (
    ClassificationHeads,
    CompleteGraphLSTM,
    GraphLSTM,
    HierarchicalLSTM,
    MixtureOfExpertsLSTM,
    MultiTaskLoss,
    MultiTaskModel,
    SharedLSTM,
    StarGraphLSTM,
    TaggingHeads,
)
from mtgnn.nn.models.whole import head_logits
from mtgnn.testing import random_batch

E, H, TASKS = 3, 5, tuple("abcdefgh")
RING = TaskGraph.from_edges(list(zip(TASKS, TASKS[1:] + TASKS[:1], strict=True)), TASKS)
CHAIN = TaskGraph.from_edges(list(zip(TASKS[:-1], TASKS[1:], strict=True)), TASKS)
DROPOUT = {"dropout": 0.1, "message_dropout": 0.1, "attention_dropout": 0.1}

LAYERS: dict[str, Callable[..., nn.Module]] = {
    "mutual": lambda: CompleteGraphLSTM(E, H, TASKS, "mutual"),
    "mutual, everything on": lambda: CompleteGraphLSTM(
        E, H, TASKS, "mutual", detach=True, heads=2, bidirectional=True, num_layers=2, **DROPOUT
    ),
    "mutual, dot": lambda: CompleteGraphLSTM(E, H, TASKS, "mutual", score="dot"),
    "mutual, static": lambda: CompleteGraphLSTM(E, H, TASKS, "mutual", score="static"),
    "ring": lambda: GraphLSTM(E, H, RING),
    "chain": lambda: GraphLSTM(E, H, CHAIN),
    "chain, uniform": lambda: GraphLSTM(E, H, CHAIN, score="uniform"),
    "read": lambda: CompleteGraphLSTM(E, H, TASKS, bidirectional=True),
    "read, alike": lambda: CompleteGraphLSTM(E, H, TASKS, common=True, own_rank=0),
    "read, owned": lambda: CompleteGraphLSTM(E, H, TASKS, score_owner="receiver"),
    "star, owned": lambda: StarGraphLSTM(E, H, TASKS, score_owner="receiver"),
    "read, static": lambda: CompleteGraphLSTM(E, H, TASKS, score="static"),
    "cascade": lambda: GraphLSTM(E, H, CHAIN, "cascade", heads=2),
    "star": lambda: StarGraphLSTM(E, H, TASKS, bidirectional=True),
    "star, dot": lambda: StarGraphLSTM(E, H, TASKS, score="dot"),
    "star, past": lambda: StarGraphLSTM(E, H, TASKS, "past"),
    "several": lambda: CompleteGraphLSTM(E, H, TASKS, memory="all", bidirectional=True),
    "star, current": lambda: StarGraphLSTM(E, H, TASKS, "current"),
    "shared": lambda: SharedLSTM(E, H, TASKS),
    "hierarchical": lambda: HierarchicalLSTM(E, H, CHAIN),
    "mixture": lambda: MixtureOfExpertsLSTM(E, H, TASKS),
}


class Copies(TorchDispatchMode):
    """Collects the copies from one device to another that wait."""

    def __init__(self) -> None:
        super().__init__()
        self.seen, self.wait = 0, []

    def __torch_dispatch__(
        self, operator: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        out = operator(*args, **kwargs)
        name = operator.overloadpacket.__name__
        if name in ("_to_copy", "copy_") and isinstance(out, Tensor):
            source = args[1] if name == "copy_" else args[0]
            asynchronous = kwargs.get("non_blocking") or (name == "copy_" and args[2:] == (True,))
            if source.device != out.device:
                self.seen += 1
                if not asynchronous:
                    self.wait.append(f"{operator} of {list(source.shape)}")
        return out


@pytest.mark.parametrize("which", ["one", "some", "all"])
@pytest.mark.parametrize("name", LAYERS)
def test_nothing_waits(name: str, which: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # torch-scatter knows no such device: torch's own sums take its place.
    monkeypatch.setattr("mtgnn.ops.sparse.WITH_TORCH_SCATTER", False)
    layer = LAYERS[name]().to("meta")
    x, lengths, task = random_batch(E, len(TASKS), batch_size=10, dtype=torch.float32)
    x = x.to("meta").requires_grad_()
    some = task.unsqueeze(1) >= torch.arange(len(TASKS))
    with Copies() as copies:
        out, _ = layer(x, lengths, {"one": task, "some": some, "all": None}[which])
        out.sum().backward()
    assert x.grad is not None and x.grad.shape == x.shape
    assert copies.seen > 0 and not copies.wait


@pytest.mark.parametrize("steps", [(), (5,)])
def test_heads_of_several_tasks_wait_for_nothing(steps: tuple[int, ...]) -> None:
    """Of texts, whose states are pooled, and of words."""
    kind = TaggingHeads if steps else ClassificationHeads
    heads = kind(4, [2, 3, 2]).to("meta")
    out = torch.zeros(3, *steps, 3, 4, device="meta", requires_grad=True)
    some = torch.tensor([[1, 0, 1], [0, 1, 0], [1, 1, 1]]).bool()
    with Copies() as copies:
        logits = head_logits(heads, torch.nn.Dropout(0.5), out, some)
        logits.sum().backward()
    assert logits.shape == (3, *steps, 3, 3)
    assert out.grad is not None and copies.seen > 0 and not copies.wait


@pytest.mark.parametrize("embedding", ["shared", "task"])
@pytest.mark.parametrize("encoder", ["star", "adversarial", "cross_stitch", "shared_private"])
def test_a_whole_model_and_its_loss_wait_for_nothing(encoder: str, embedding: str) -> None:
    model = MultiTaskModel(
        Vocabulary(["p", "q"]),
        {task: ["no", "yes"] for task in "abc"},
        encoder,
        embedding=embedding,
        embedding_size=4,
        hidden_size=4,
    ).to("meta")
    ones = torch.ones(3, 4, dtype=torch.long)
    batch = SequenceBatch(ones, torch.tensor([4, 2, 3]), torch.tensor([0, 2, 1]), ones[:, 0])
    on_device = batch.to("meta", non_blocking=True)
    join = MultiTaskLoss(3).to("meta")
    with Copies() as copies:
        output = model.read(on_device)
        value, task, there = model.losses(output, on_device)
        loss = join(value, task, labelled=there)
        (loss if output.auxiliary is None else loss + output.auxiliary.mean()).backward()
    assert copies.seen > 0 and not copies.wait


def test_what_waits_is_found() -> None:
    with Copies() as copies:
        torch.zeros(2).to("meta")
        torch.zeros(2).to("meta", non_blocking=True)
        torch.zeros(3, device="meta").copy_(torch.zeros(3))
    assert copies.seen == 3 and len(copies.wait) == 2
    # On a device without values, whatever reads one fails: torch raises now the one, now the other.
    for read in (Tensor.item, Tensor.tolist, Tensor.cpu, Tensor.nonzero, bool):
        with pytest.raises((RuntimeError, NotImplementedError)):
            read(torch.zeros(1, device="meta"))
