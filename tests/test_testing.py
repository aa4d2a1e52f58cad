"""The public assertions hold of what is right and fail on what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mtgnn import TaskGraph
from mtgnn.nn import GraphLSTM, StarGraphLSTM
from mtgnn.testing import (
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

E, H, K, T = 3, 4, 3, 5
BATCH = random_batch(E, K, steps=T)


class Broken(nn.Module):
    """A sound layer whose results ``spoil(x, out, state, attention)`` spoils."""

    def __init__(self, spoil: Callable[..., tuple], sound: GraphLSTM | None = None) -> None:
        super().__init__()
        self.sound = randomise(sound or GraphLSTM(E, H, TaskGraph.complete(K), "read"))
        self.graph, self.nodes, self.spoil = self.sound.graph, self.sound.nodes, spoil
        self.memory, self.bidirectional = self.sound.memory, self.sound.bidirectional

    def forward(
        self,
        x: Tensor,
        lengths: Tensor | None = None,
        task: Tensor | None = None,
        state: Any = None,
        *,
        return_attention_weights: bool = False,
    ) -> tuple:
        result = self.sound(x, lengths, task, state, return_attention_weights=True)
        spoiled = self.spoil(x, *result)
        return spoiled if return_attention_weights else spoiled[:2]


def test_a_sound_layer_passes_all() -> None:
    layer = Broken(lambda x, *result: result)
    assert_heard(layer, *BATCH)
    assert_padding_invariant(layer, *BATCH)
    assert_batch_invariant(layer, *BATCH)
    assert_gradients_accumulate(layer, *BATCH)
    assert_all_tasks_equal_single(layer, *BATCH[:2])
    assert_some_tasks_equal_all(layer, *BATCH[:2])
    assert_streams(layer, BATCH.x, BATCH.task)
    assert_streams(layer, BATCH.x, lengths=torch.tensor([5, 3, 4, 3]), split=2)
    assert_attention_sums_to_one(layer, *BATCH)
    assert_attention_sums_to_one(layer, *BATCH[:2])
    assert_task_permutation_equivariant(lambda tasks: StarGraphLSTM(E, H, tasks), K, *BATCH)


def test_deaf_receivers_are_found() -> None:
    layer = randomise(GraphLSTM(E, H, TaskGraph.hierarchy({"b": ["a"], "c": ["b"]}), "read"))
    before = {name: p.clone() for name, p in layer.named_parameters()}
    assert_heard(layer, *BATCH)
    with pytest.raises(AssertionError, match="'c' does not hear 'a'"):
        assert_heard(layer, *BATCH, edges=[("b", "c"), ("a", "c")])
    assert all(torch.equal(p, before[name]) for name, p in layer.named_parameters())
    layer.nodes["b"].weight_rh_l0.data.zero_()
    with pytest.raises(AssertionError, match="'b' does not hear 'a'"):
        assert_heard(layer, *BATCH)
    with pytest.raises(AssertionError, match="'b' does not hear 'a'"):
        assert_heard(layer, *BATCH[:2])


def test_layers_that_cannot_be_looked_at_say_why() -> None:
    with pytest.raises(AssertionError, match=r"expected \(out, state, attention\), got 2 values"):
        assert_attention_sums_to_one(Plain(), *BATCH)
    with pytest.raises(AssertionError, match=r"parameters of each node in layer.nodes\[name\]"):
        assert_heard(Plain(), *BATCH)


class Plain(torch.nn.Module):
    """No attention, and nothing under the names of nodes."""

    graph = TaskGraph.complete(2)

    def forward(self, x: Tensor, *rest: Any, **options: bool) -> tuple[Tensor, None]:
        return x, None


def test_rounding_is_no_message() -> None:
    layer = randomise(GraphLSTM(E, H, TaskGraph.hierarchy({"b": ["a"]}), "read"))
    layer.nodes["b"].weight_rh_l0.data *= 3e-16
    before = layer(*BATCH[:2])[0]
    layer.nodes["a"].bias_ih_l0.data += 0.5
    assert not torch.equal(layer(*BATCH[:2])[0][:, :, 1], before[:, :, 1])
    with pytest.raises(AssertionError, match="'b' does not hear 'a'"):
        assert_heard(layer, *BATCH[:2])
    layer.nodes["b"].weight_rh_l0.data *= 1e3  # little, but more than that
    assert_heard(layer, *BATCH[:2])


def test_having_nothing_to_check_is_a_failure() -> None:
    layer = randomise(GraphLSTM(E, H, TaskGraph.hierarchy({"b": ["a"]})))
    only_a = torch.zeros(4, dtype=torch.long)
    with pytest.raises(AssertionError, match="nothing to check"):
        assert_heard(layer, BATCH.x, BATCH.lengths, only_a)
    with pytest.raises(AssertionError, match="no sequence of this batch belongs to 'b'"):
        assert_heard(layer, BATCH.x, BATCH.lengths, only_a, edges=[("a", "b")])
    with pytest.raises(ValueError, match="expected a sequence shorter than 5"):
        assert_padding_invariant(layer, BATCH.x, torch.full((4,), 5), only_a)
    for check in (assert_batch_invariant, assert_gradients_accumulate):
        with pytest.raises(ValueError, match="at least 2 sequences, got 1"):
            check(layer, BATCH.x[:1])
    with pytest.raises(ValueError, match="expected a split in 1…0"):
        assert_streams(layer, BATCH.x, only_a, lengths=torch.ones(4, dtype=torch.long))
    for order in ([0, 1], [1, 1]):
        with pytest.raises(ValueError, match="a new order of 2 tasks"):
            assert_task_permutation_equivariant(
                lambda tasks: StarGraphLSTM(E, H, tasks), 2, BATCH.x, permutation=order
            )


def smeared(x: Tensor, out: Tensor, *rest: Any) -> tuple:
    return out + x.nansum(), *rest


def mixed(x: Tensor, out: Tensor, *rest: Any) -> tuple:
    return out + out.mean(0), *rest


def restarted(x: Tensor, out: Tensor, state: Any, *rest: Any) -> tuple:
    return out, state._replace(c=state.c * 0), *rest


def by_length(x: Tensor, out: Tensor, *rest: Any) -> tuple:
    return out * x.size(1), *rest  # the number of steps, padding included


def ending(x: Tensor, out: Tensor, state: Any, *rest: Any) -> tuple:
    return out, state._replace(h=state.h * x.size(1)), *rest


def silenced(x: Tensor, out: Tensor, *rest: Any) -> tuple:
    return out + 0 * x.nan_to_num().sum() - out + out.detach(), *rest


def leaking(x: Tensor, out: Tensor, *rest: Any) -> tuple:
    """The values are right, the gradients are not."""
    clean = x.nan_to_num().sum()
    return torch.where(out != 0, out * (1 + clean - clean.detach()), out), *rest


def by_order(x: Tensor, out: Tensor, *rest: Any) -> tuple:
    last_comes_first = len(x) > 1 and torch.equal(x[0], BATCH.x[-1])
    return out * (1 + last_comes_first), *rest


def forgetful(x: Tensor, out: Tensor, state: Any, *rest: Any) -> tuple:
    """The last state of a whole is another than after its parts."""
    return out, state._replace(c=state.c * (x.size(1) < T)), *rest


def one_task(x: Tensor, out: Tensor, *rest: Any) -> tuple:
    return out[:, :, 0], *rest


def spoils(change: Callable[[Tensor], Tensor]) -> Callable[..., tuple]:
    """Spoils the attention."""

    def spoil(x: Tensor, out: Tensor, state: Any, attention: Any) -> tuple:
        return out, state, [(edges, change(alpha)) for edges, alpha in attention]

    return spoil


def at(place: Any) -> Callable[..., tuple]:
    """Puts a weight where none is."""

    def put(alpha: Tensor) -> Tensor:
        alpha = alpha.clone()
        alpha[place] += 0.5
        return alpha

    return spoils(put)


def evenly(alpha: Tensor) -> Tensor:
    """All real positions weigh the same, those that come later too."""
    share = (torch.arange(T) < BATCH.lengths[:, None]) / BATCH.lengths[:, None]
    share = share.view(len(share), *[1] * (alpha.dim() - 3), T, 1)
    return share * (alpha.sum(-2, keepdim=True) > 0)


def star() -> GraphLSTM:
    return StarGraphLSTM(E, H, K)


def past() -> GraphLSTM:
    return StarGraphLSTM(E, H, K, "past")


def past_both_ways() -> GraphLSTM:
    return StarGraphLSTM(E, H, K, "past", bidirectional=True)


@pytest.mark.parametrize(
    ("spoil", "check", "arguments", "error"),
    [
        (smeared, assert_padding_invariant, BATCH, "do not come out as zeros"),
        (by_length, assert_padding_invariant, BATCH, "the amount of padding matters"),
        (ending, assert_padding_invariant, BATCH, "padding changes the final state"),
        (silenced, assert_padding_invariant, BATCH, "real steps receive no gradient"),
        (leaking, assert_padding_invariant, BATCH, "padding receives a gradient"),
        (mixed, assert_batch_invariant, BATCH, "sequence 0 is another one alone"),
        (by_order, assert_batch_invariant, BATCH, "the order of the sequences matters"),
        (restarted, assert_streams, BATCH[::2], "parts split at 1"),
        (one_task, assert_all_tasks_equal_single, BATCH[:2], r"states \[B, T, 3, H\] of all tasks"),
        (forgetful, assert_streams, BATCH[::2], "what follows differs after a split at 1"),
    ],
)
def test_broken_layers_fail(spoil: Any, check: Any, arguments: Any, error: str) -> None:
    layer = Broken(spoil)
    with pytest.raises(AssertionError, match=error):
        check(layer, *arguments)


@pytest.mark.parametrize(
    ("spoil", "sound", "error"),
    [
        (spoils(lambda alpha: alpha * 0.9), None, "do not sum to 1"),
        (spoils(lambda alpha: alpha - 0.5), None, "negative"),
        (spoils(lambda alpha: alpha * torch.nan), None, "negative or NaN"),
        (spoils(lambda alpha: alpha[:, :, 1:]), None, r"expected weights \[4, 5, 6, 'P'\]"),
        (at((1, -1, 0)), None, "beyond the lengths"),
        (lambda x, *result: (*result[:2], []), None, "expected attention for each layer"),
        (at((0, 0, 4)), None, "weights into 'task2' do not sum to"),
        (spoils(lambda alpha: alpha * 0.9), star, "over the mailbox do not sum to one"),
        (at((1, -1, 0)), star, "over the mailbox do not sum to one"),
        (spoils(lambda alpha: alpha.flip(-2)), star, "on a position beyond the lengths"),
        (spoils(evenly), past, "on a position not yet read"),
        (spoils(evenly), past_both_ways, "on a position not yet read"),
    ],
)
def test_broken_attention_fails(spoil: Any, sound: Any, error: str) -> None:
    layer = Broken(spoil, sound and sound())
    for arguments in (BATCH, BATCH[:2]):
        with pytest.raises(AssertionError, match=error):
            assert_attention_sums_to_one(layer, *arguments)


@pytest.mark.parametrize("sound", [star, past, past_both_ways])
def test_mailboxes_of_sound_layers_pass(sound: Callable[[], GraphLSTM]) -> None:
    layer = Broken(lambda x, *result: result, sound())
    for arguments in (BATCH, BATCH[:2]):
        assert_attention_sums_to_one(layer, *arguments)


def test_a_layer_that_reads_its_padding_fails() -> None:
    class Reading(Broken):
        def forward(self, x: Tensor, lengths: Any = None, *rest: Any, **kwargs: Any) -> tuple:
            last = x[:, -1:].nan_to_num(7.0)  # a padded step for all but one sequence
            return super().forward(x + last, lengths, *rest, **kwargs)

    layer = Reading(lambda x, *result: result)
    with pytest.raises(AssertionError, match="what stands in the padding matters"):
        assert_padding_invariant(layer, *BATCH)


def test_assertions_take_some_tasks_of_each_sequence() -> None:
    some = torch.tensor([[1, 0, 1], [0, 1, 0], [1, 1, 0], [1, 1, 1]]).bool()
    layer = Broken(lambda x, *result: result)
    assert_heard(layer, *BATCH[:2], some)
    assert_attention_sums_to_one(layer, *BATCH[:2], some)
    assert_task_permutation_equivariant(
        lambda tasks: StarGraphLSTM(E, H, tasks), K, *BATCH[:2], some, permutation=[1, 2, 0]
    )
    deaf = Broken(lambda x, *result: result)
    deaf.nodes["task0"].weight_rh_l0.data.zero_()
    with pytest.raises(AssertionError, match="'task0' does not hear"):
        assert_heard(deaf, *BATCH[:2], some)
    with pytest.raises(AssertionError, match="nothing to check"):
        hierarchy = randomise(GraphLSTM(E, H, TaskGraph.hierarchy({"b": ["a"]}), "read"))
        assert_heard(hierarchy, *random_batch(E, 2)[:2], torch.tensor([[1, 0]] * 4).bool())


def test_a_layer_that_takes_some_tasks_for_others_fails() -> None:
    class Filling(Broken):
        def forward(self, x: Tensor, lengths: Any = None, task: Any = None, *rest: Any) -> tuple:
            return super().forward(x, lengths, None, *rest)

    with pytest.raises(AssertionError, match="not asked for has states"):
        assert_some_tasks_equal_all(Filling(lambda x, *result: result), *BATCH[:2])

    class Moving(Broken):
        def forward(self, x: Tensor, lengths: Any = None, task: Any = None, *rest: Any) -> tuple:
            moved = 0.0 if task is None else (x[:, :, 0] != 0)[:, :, None, None]
            out, *others = super().forward(x, lengths, task, *rest)
            return out * (1 + moved), *others

    with pytest.raises(AssertionError, match="differs where others are not asked for"):
        assert_some_tasks_equal_all(Moving(lambda x, *result: result), *BATCH[:2])
    with pytest.raises(ValueError, match="some tasks of each sequence"):
        every = torch.ones(4, K, dtype=torch.bool)
        assert_some_tasks_equal_all(Moving(lambda x, *result: result), *BATCH[:2], every)


def test_a_layer_that_confuses_tasks_fails() -> None:
    class First(Broken):
        def forward(self, x: Tensor, lengths: Any = None, task: Any = None, *rest: Any) -> tuple:
            return super().forward(x, lengths, None if task is None else task * 0, *rest)

    layer = First(lambda x, *result: result)
    with pytest.raises(AssertionError, match="task 'task1' differs among all tasks"):
        assert_all_tasks_equal_single(layer, *BATCH[:2])
    tilted = torch.tensor([1.0, 2.0, 3.0]).double()

    def make(tasks: Any) -> GraphLSTM:
        layer = GraphLSTM(E, H, TaskGraph.complete(tasks))
        layer.register_forward_hook(
            lambda _, inputs, result: (
                (result[0] * tilted[inputs[2], None, None], result[1])
                if inputs[2] is not None
                else result
            )
        )
        return layer

    with pytest.raises(AssertionError, match="the order of the tasks matters"):
        assert_task_permutation_equivariant(make, K, *BATCH)


def drawn(seed: int) -> nn.Module:
    return randomise(nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)), scale=2.0, seed=seed)


def test_gradients_that_share_memory_are_found() -> None:
    class Aliasing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = (nn.Parameter(torch.ones(2, E)) for _ in range(2))

        def forward(self, x: Tensor, lengths: Any = None, task: Any = None) -> tuple[Tensor, None]:
            weight = torch.stack(self.a.unbind()) + torch.stack([self.b[0], self.b[1]])
            return x * weight[0], None

    class Views(Aliasing):
        def forward(self, x: Tensor, lengths: Any = None, task: Any = None) -> tuple[Tensor, None]:
            return x * (torch.stack([self.a]) + torch.stack([self.b]))[0, 0], None

    assert_gradients_accumulate(Aliasing(), *BATCH[:2])
    with pytest.raises(AssertionError, match="the gradients of a and b share memory"):
        assert_gradients_accumulate(Views(), *BATCH[:2])


def test_gradients_that_change_from_call_to_call_fail() -> None:
    calls: list[Tensor] = []

    def tired(x: Tensor, out: Tensor, *rest: Any) -> tuple:
        calls.append(x)
        return out / len(calls), *rest

    with pytest.raises(AssertionError, match="gradients of .* do not add up"):
        assert_gradients_accumulate(Broken(tired), *BATCH)


def test_attention_that_changes_the_result_fails() -> None:
    class Asked(Broken):
        def forward(self, *arguments: Any, **options: Any) -> tuple:
            out, *rest = super().forward(*arguments, **options)
            return out * (1 + bool(options)), *rest

    with pytest.raises(AssertionError, match="asking for the attention changes the result"):
        assert_attention_sums_to_one(Asked(lambda x, *result: result), *BATCH)


def test_randomise_reaches_every_parameter() -> None:
    first, second, other = drawn(1), drawn(1), drawn(2)
    assert first[1].running_mean.dtype == torch.float64
    parameters = [module.parameters() for module in (first, second, other)]
    for mine, same, different in zip(*parameters, strict=True):
        assert mine.dtype == torch.float64
        assert mine.requires_grad
        assert torch.equal(mine, same)
        assert not torch.equal(mine, different)
        assert mine.abs().min() > 0
        assert (mine.float().double() != mine).any()  # not rounded on the way
    with pytest.raises(ValueError, match="'weight' is lazy"):
        randomise(nn.LazyLinear(2))


def test_randomise_leaves_the_global_generator_alone() -> None:
    module = nn.Linear(3, 2)
    before = torch.get_rng_state()
    randomise(module)
    assert torch.equal(torch.get_rng_state(), before)


def test_random_batches() -> None:
    batch = random_batch(2, 3, batch_size=5, steps=2, num_nodes=4, dtype=torch.float32)
    assert batch.x.shape == (5, 2, 4, 2)
    assert batch.x.dtype == torch.float32
    assert batch.lengths.tolist() == [2, 1, 2, 1, 2]
    assert batch.task.tolist() == [0, 1, 2, 0, 1]
    for size in ({"batch_size": 1}, {"steps": 1}):
        with pytest.raises(ValueError, match="at least 2 sequences of 2 steps"):
            random_batch(2, 3, **size)


def test_modes_are_put_back() -> None:
    layer = randomise(StarGraphLSTM(E, H, K, message_dropout=0.5))
    layer.nodes["task0"].eval()
    assert_padding_invariant(layer, *BATCH)
    assert layer.training
    assert not layer.nodes["task0"].training
    assert layer.nodes["task1"].training
