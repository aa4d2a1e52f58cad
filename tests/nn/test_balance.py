"""Balanced gradients against the aggregator on the stacked gradients, and plain backward."""

import sys

import pytest
import torch
from torch import Tensor
from torchjd.aggregation import MGDA, UPGrad

from mtgnn import TaskGraph
from mtgnn.data import Vocabulary
from mtgnn.nn import MultiTaskLoss, MultiTaskModel, balanced_backward, split_parameters

TOKENS = torch.tensor([[3, 4, 5], [5, 4, 0], [4, 4, 3], [3, 5, 6]])
LENGTHS = torch.tensor([3, 2, 3, 3])
TASK = torch.tensor([0, 2, 0, 2])
Y = torch.tensor([0, 1, 0, 0])


def model(
    encoder: str = "complete", embedding: str = "shared", **options: object
) -> MultiTaskModel:
    torch.manual_seed(0)
    classes = {name: ["no", "yes"] for name in ("a", "b", "c")}
    return MultiTaskModel(
        Vocabulary(["i", "like", "it", "!"]),
        classes,
        encoder,
        embedding_size=3,
        hidden_size=4,
        embedding=embedding,
        encoder_options=options,
    ).double()


def losses(net: MultiTaskModel, tasks: list[int]) -> Tensor:
    per_sample = torch.nn.functional.cross_entropy(net(TOKENS, LENGTHS, TASK), Y, reduction="none")
    return MultiTaskLoss(3).per_task(per_sample, TASK)[tasks]


def gradients(net: MultiTaskModel) -> dict[str, Tensor | None]:
    return {name: parameter.grad for name, parameter in net.named_parameters()}


def test_one_loss_is_plain_backward() -> None:
    plain, balanced = model(), model()
    losses(plain, [0]).sum().backward()
    balanced_backward(losses(balanced, [0]), *split_parameters(balanced))
    expected = gradients(plain)
    assert expected["embedding.weight"].any()
    torch.testing.assert_close(
        {n: g for n, g in gradients(balanced).items() if g is not None},
        {n: g for n, g in expected.items() if g is not None},
    )
    assert gradients(balanced)["heads.heads.b.weight"] is None


def test_conflicting_gradients_are_joined_by_the_aggregator() -> None:
    weight = torch.tensor([1.0, 2.0], requires_grad=True)
    own = torch.tensor([1.0, 1.0], requires_grad=True)
    slopes = torch.tensor([[4.0, 0.0], [-2.0, 1.0]])
    assert slopes[0] @ slopes[1] < 0
    balanced_backward(slopes @ weight + own, [weight], [own], UPGrad())
    torch.testing.assert_close(weight.grad, UPGrad()(slopes))
    assert not torch.allclose(weight.grad, slopes.mean(0))
    assert (slopes @ weight.grad >= -1e-5).all()  # neither loss grows
    torch.testing.assert_close(own.grad, torch.ones(2))


@pytest.mark.parametrize("encoder", ["complete", "star", "shared"])
@pytest.mark.parametrize("make", [UPGrad, MGDA, None])
def test_a_model_s_gradients_are_those_of_the_stacked_rows(encoder: str, make) -> None:
    net = model(encoder)
    shared, own = split_parameters(net)
    rows = []
    for k in (0, 2):
        net.zero_grad()
        losses(net, [k]).sum().backward()
        parts = [torch.zeros_like(p) if p.grad is None else p.grad for p in shared]
        rows.append(torch.cat([part.flatten() for part in parts]))
    net.zero_grad()
    losses(net, [0, 2]).sum().backward()
    plain = [None if p.grad is None else p.grad.clone() for p in own]
    net.zero_grad()
    aggregator = None if make is None else make()
    balanced_backward(losses(net, [0, 2]), shared, own, aggregator)
    expected = (aggregator or UPGrad(pref_vector=torch.ones(2).double()))(torch.stack(rows))
    assert expected.any()
    for p, part in zip(shared, expected.split([p.numel() for p in shared]), strict=True):
        if p.grad is None:
            assert not part.any()
        else:
            torch.testing.assert_close(p.grad.flatten(), part)
    for p, gradient in zip(own, plain, strict=True):
        assert (p.grad is None) == (gradient is None)
        if gradient is not None:
            torch.testing.assert_close(p.grad, gradient)


def test_without_conflict_the_default_gives_the_sum_and_gradients_accumulate() -> None:
    weight = torch.zeros(2, requires_grad=True)
    slopes = torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    for times in (1, 2):
        balanced_backward(slopes @ weight, [weight])
        torch.testing.assert_close(weight.grad, times * slopes.sum(0))


def names(net: MultiTaskModel, parameters: list[torch.nn.Parameter]) -> set[str]:
    wanted = {id(p) for p in parameters}
    return {name for name, p in net.named_parameters() if id(p) in wanted}


@pytest.mark.parametrize(
    ("net", "own_nodes", "own_embedding"),
    [
        (model("complete"), set(), False),
        (model("complete", detach=True), {"a", "b", "c"}, False),
        (model("star"), {"a", "b", "c"}, False),
        (model("single", "task"), {"a", "b", "c"}, True),
        (model("graph", graph=TaskGraph.hierarchy({"b": ["a"], "c": ["b"]})), {"c"}, False),
        (model("shared"), set(), False),
        (model("shared_private"), {"a", "b", "c"}, False),
        (model("cross_stitch"), set(), False),
        (model("mixture"), {"a", "b", "c"}, False),
    ],
)
def test_split(net: MultiTaskModel, own_nodes: set[str], own_embedding: bool) -> None:
    shared, own = split_parameters(net)
    assert len(shared) + len(own) == len(list(net.parameters()))
    places = ("nodes", "private.nodes", "gates")
    expected = {f"encoder.{place}.{name}." for place in places for name in own_nodes} | {"heads."}
    expected |= {"embedding."} if own_embedding else set()
    found = names(net, own)
    assert found == {name for name, _ in net.named_parameters() if name.startswith(tuple(expected))}
    assert not found & names(net, shared)


@pytest.mark.parametrize("encoder", ["star", "complete"])
def test_scores_of_one_task_are_its_own(encoder: str) -> None:
    """Where that task sends to nobody: nobody else's loss reaches them."""
    # Fresh nodes with a common part are alike: their weights would not matter.
    options = {"detach": encoder == "complete", "score_owner": "receiver", "common": False}
    net = model(encoder, **options)
    shared, own = split_parameters(net)
    reached: dict[int, set[int]] = {}
    for k in range(3):
        net.zero_grad()
        losses(net, [k]).sum().backward()
        for p in net.parameters():
            if p.grad is not None and p.grad.any():
                reached.setdefault(id(p), set()).add(k)
    scores = [p for name, p in net.named_parameters() if "convs." in name]
    assert {k for p in scores for k in reached.get(id(p), ())} == {0, 2}  # b has no text
    assert {id(p) for p in scores} <= {id(p) for p in own}
    assert all(len(reached.get(id(p), ())) <= 1 for p in own)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda w: balanced_backward(w.sum(), [w]), r"\[L\]"),
        (lambda w: balanced_backward(w[:0], [w]), "at least one"),
        (lambda w: balanced_backward(w * 2, []), "shared parameter"),
        (lambda w: balanced_backward(w * 2, [w], [w]), "as both"),
    ],
)
def test_errors(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(torch.ones(2, requires_grad=True))


def test_without_torchjd_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchjd.aggregation", None)
    weight = torch.ones(2, requires_grad=True)
    with pytest.raises(ImportError, match=r"mtgnn\[balance\]"):
        balanced_backward(weight * 2, [weight])
    balanced_backward(weight * 2, [weight], aggregator=lambda rows: rows.sum(0))
    torch.testing.assert_close(weight.grad, torch.full((2,), 2.0))
