from itertools import chain

import pytest
import torch
from torch import Tensor

from mtgnn.data import BucketBatchSampler, task_weights


def domains() -> tuple[Tensor, Tensor]:
    """Lengths and tasks of 1,600 examples of 16 tasks whose mean lengths differ 13-fold."""
    generator = torch.Generator().manual_seed(0)
    mean = torch.linspace(21, 271, 16).repeat_interleave(100)
    lengths = mean * (0.3 + 1.4 * torch.rand(1600, generator=generator))
    return lengths.long(), torch.arange(16).repeat_interleave(100)


def padding(lengths: Tensor, batches: list[list[int]]) -> float:
    """Fraction of the cells of all batches that are padding."""
    real = sum(int(lengths[batch].sum()) for batch in batches)
    return 1 - real / sum(len(batch) * int(lengths[batch].max()) for batch in batches)


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("n", [1, 7, 32, 33, 100])
def test_every_example_exactly_once(n: int, shuffle: bool) -> None:
    sampler = BucketBatchSampler(torch.arange(n) % 9 + 1, 8, shuffle=shuffle)
    batches = list(sampler)
    assert sorted(chain(*batches)) == list(range(n))
    assert len(batches) == len(sampler)
    assert max(map(len, batches)) <= 8


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("replicas", [2, 3, 5])
@pytest.mark.parametrize("n", [5, 6, 16, 41, 42, 43, 44, 45, 46, 47, 48])
def test_ranks_share_each_global_batch(n: int, replicas: int, shuffle: bool) -> None:
    lengths = torch.arange(n) % 9 + 1
    samplers = [
        BucketBatchSampler(lengths, 8, shuffle, 3, num_replicas=replicas, rank=rank)
        for rank in range(replicas)
    ]
    for sampler in samplers:
        sampler.set_epoch(2)
    shares = [list(sampler) for sampler in samplers]
    assert {len(share) for share in shares} == {len(samplers[0])}
    assert all(batch for share in shares for batch in share)
    joined = [sorted(chain(*parts)) for parts in zip(*shares, strict=True)]
    assert sorted(chain(*joined)) == list(range(n))
    assert joined == [sorted(batch) for batch in samplers[0].global_batches()]


@pytest.mark.parametrize("replicas", [2, 4])
def test_all_ranks_together_see_what_one_process_sees(replicas: int) -> None:
    lengths, _ = domains()
    one = list(BucketBatchSampler(lengths, 64, seed=5))
    shares = [
        list(BucketBatchSampler(lengths, 64, seed=5, num_replicas=replicas, rank=rank))
        for rank in range(replicas)
    ]
    for batch, *parts in zip(one, *shares, strict=True):
        assert [batch[rank::replicas] for rank in range(replicas)] == parts


def test_a_rest_smaller_than_the_ranks_joins_the_batch_before_it() -> None:
    ranks = [
        list(BucketBatchSampler([1] * 10, 4, shuffle=False, num_replicas=3, rank=rank))
        for rank in range(3)
    ]
    assert ranks == [[[0, 3], [4, 7]], [[1], [5, 8]], [[2], [6, 9]]]


def test_deterministic_in_seed_and_epoch() -> None:
    lengths, _ = domains()

    def batches(seed: int, epoch: int) -> list[list[int]]:
        sampler = BucketBatchSampler(lengths, 64, seed=seed)
        sampler.set_epoch(epoch)
        return list(sampler)

    assert batches(1, 2) == batches(1, 2)
    drawn = [batches(seed, epoch) for seed in range(3) for epoch in range(3)]
    assert all(drawn[i] != drawn[j] for i in range(9) for j in range(i))


def test_every_iteration_is_an_epoch_until_one_is_set() -> None:
    lengths, _ = domains()
    counting, told = (BucketBatchSampler(lengths, 64, seed=1) for _ in range(2))
    epochs = []
    for epoch in range(3):
        told.set_epoch(epoch)
        epochs.append(list(told))
        assert list(told) == epochs[-1] == list(counting)
    next(iter(counting))  # one that is broken off counts, too
    told.set_epoch(4)
    assert list(counting) == list(told)
    counting.set_epoch(1)
    assert list(counting) == list(counting) == epochs[1]


def test_the_global_random_state_is_left_alone() -> None:
    state = torch.random.get_rng_state()
    list(BucketBatchSampler([1, 2, 3, 4], 2))
    assert torch.equal(state, torch.random.get_rng_state())


def kept_companions(lengths: Tensor, noise: float) -> float:
    """Fraction of an example's companions in one epoch that it has in the next one too."""
    sampler = BucketBatchSampler(lengths, 32, noise=noise)
    first = {i: set(batch) for batch in sampler for i in batch}
    sampler.set_epoch(1)
    second = {i: set(batch) for batch in sampler for i in batch}
    kept = sum(len(first[i] & second[i]) - 1 for i in first)
    return kept / sum(len(first[i]) - 1 for i in first)


def test_another_epoch_brings_other_companions() -> None:
    lengths, _ = domains()
    few, some, many = (kept_companions(lengths, noise) for noise in (0.2, 0.1, 0.0))
    assert few < some < 0.4 < 0.8 < many


def test_batches_come_in_no_order_of_length() -> None:
    lengths, _ = domains()
    means = [float(lengths[batch].float().mean()) for batch in BucketBatchSampler(lengths, 64)]
    rises = sum(a < b for a, b in zip(means, means[1:], strict=False))
    assert 0.2 * len(means) < rises < 0.8 * len(means)


def test_little_padding_though_domains_differ() -> None:
    lengths, task = domains()
    shuffled = torch.randperm(1600, generator=torch.Generator().manual_seed(1))
    random = padding(lengths, [piece.tolist() for piece in shuffled.split(64)])
    within = torch.stack([i[torch.argsort(lengths[i])] for i in torch.arange(1600).view(16, 100)])
    within_tasks = padding(lengths, [piece.flatten().tolist() for piece in within.split(4, dim=1)])
    across = padding(lengths, list(BucketBatchSampler(lengths, 64)))
    assert across < 0.1 < 0.3 < min(random, within_tasks)


def test_batches_mix_tasks() -> None:
    lengths, task = domains()
    batches = list(BucketBatchSampler(lengths, 64))
    assert sum(len(set(task[batch].tolist())) for batch in batches) / len(batches) > 6


def test_without_shuffling_longest_first_in_every_epoch() -> None:
    lengths, _ = domains()
    sampler = BucketBatchSampler(lengths, 64, shuffle=False)
    order = lengths[torch.tensor(list(chain(*sampler)))]
    assert torch.equal(order, lengths.sort(descending=True).values)
    first = list(sampler)
    sampler.set_epoch(1)
    assert list(sampler) == first


def small_and_large() -> tuple[Tensor, Tensor]:
    """Lengths and tasks of 900, 90 and 10 examples."""
    task = torch.arange(3).repeat_interleave(torch.tensor([900, 90, 10]))
    return torch.randint(1, 50, (1000,), generator=torch.Generator().manual_seed(0)), task


@pytest.mark.parametrize("temperature", [1.0, 2.0, 5.0, float("inf")])
def test_tasks_come_as_their_weights_say(temperature: float) -> None:
    lengths, task = small_and_large()
    weights = task_weights(task, temperature)
    share = torch.tensor([900.0, 90.0, 10.0]) ** (1 / temperature)
    expected = 1000 * share / share.sum()
    sampler = BucketBatchSampler(lengths, 64, weights=weights)
    for _ in range(3):
        batches = list(sampler)
        assert [len(batch) for batch in batches].count(64) == 15 and len(batches) == len(sampler)
        drawn = torch.tensor(list(chain(*batches)))
        torch.testing.assert_close(task[drawn].bincount().float(), expected, rtol=0, atol=2)
        each = drawn.bincount(minlength=1000)
        assert ((each - (expected / torch.tensor([900, 90, 10]))[task]).abs() < 1).all()


def test_tasks_of_one_size_come_as_often_on_average() -> None:
    task = torch.arange(3).repeat_interleave(torch.tensor([300, 300, 10]))
    sampler = BucketBatchSampler([5] * 610, 64, weights=task_weights(task))
    counts = torch.stack([task[torch.tensor(list(chain(*sampler)))].bincount() for _ in range(40)])
    torch.testing.assert_close(
        counts.double().mean(0), torch.full((3,), 610 / 3).double(), rtol=0, atol=4
    )


def test_weighted_examples_come_as_often_as_they_weigh() -> None:
    """In the mean over many epochs, of weights that are all different."""
    weights = torch.tensor([0.0, 0.1, 0.5, 1.0, 1.3, 2.0, 3.1])
    sampler = BucketBatchSampler([5] * 7, 3, weights=weights)
    drawn = torch.tensor([list(chain(*sampler)) for _ in range(2000)])
    mean = drawn.flatten().bincount(minlength=7) / 2000
    torch.testing.assert_close(mean, 7 * weights / weights.sum(), rtol=0, atol=0.04)
    assert mean[0] == 0


def test_equal_weights_change_no_example() -> None:
    lengths, _ = domains()
    batches = list(BucketBatchSampler(lengths, 64, weights=[0.3] * 1600))
    assert sorted(chain(*batches)) == list(range(1600))
    assert padding(lengths, batches) < 0.15


def test_what_comes_several_times_comes_in_several_batches() -> None:
    lengths = torch.cat([torch.tensor([25]), torch.arange(1000) % 49 + 1])
    weights = torch.cat([torch.tensor([100.0]), torch.ones(1000)])
    holding = [batch.count(0) for batch in BucketBatchSampler(lengths, 16, weights=weights)]
    assert 90 <= sum(holding) <= 91 and max(holding) < 16 and sum(map(bool, holding)) > 10


def test_tasks_mix_though_all_lengths_are_equal() -> None:
    task = torch.tensor([0] * 990 + [1] * 10)
    sampler = BucketBatchSampler([7] * 1000, 50, weights=task_weights(task), noise=0.0)
    shares = [float(task[batch].double().mean()) for batch in sampler]
    assert 0.25 < min(shares) < max(shares) < 0.75


def test_large_weights_are_weights() -> None:
    weights = torch.tensor([1e308, 1e308, 1e308, 0.0], dtype=torch.double)
    drawn = torch.tensor(list(chain(*BucketBatchSampler([5] * 4, 2, weights=weights))))
    assert drawn.bincount(minlength=4).tolist() in ([2, 1, 1, 0], [1, 2, 1, 0], [1, 1, 2, 0])


def test_ranks_share_weighted_batches() -> None:
    lengths, task = small_and_large()
    options = {"seed": 5, "weights": task_weights(task)}
    one = list(BucketBatchSampler(lengths, 64, **options))
    shares = [
        list(BucketBatchSampler(lengths, 64, num_replicas=2, rank=rank, **options))
        for rank in range(2)
    ]
    for batch, *parts in zip(one, *shares, strict=True):
        assert [batch[rank::2] for rank in range(2)] == parts


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_replicas": 2, "rank": 2}, "0 <= rank < num_replicas, got 2 and 2"),
        ({"num_replicas": 2, "rank": -1}, "0 <= rank"),
        ({"num_replicas": 0}, "0 <= rank"),
        ({"num_replicas": 4}, "got 3 examples"),
        ({"num_replicas": 3, "batch_size": 2}, "got batch_size 2"),
        ({"batch_size": 0}, "got batch_size 0"),
        ({"noise": 1.0}, "noise"),
        ({"lengths": []}, "got 0 examples"),
        ({"weights": [1.0, 2.0]}, r"weights of shape \[3\], got \[2\]"),
        ({"weights": [1.0, -1.0, 2.0]}, "at least 0"),
        ({"weights": [1.0, float("nan"), 2.0]}, "finite"),
        ({"weights": [0, 0, 0]}, "not all 0"),
        ({"weights": [1, 1, 2], "shuffle": False}, "shuffle=False"),
        ({"lengths": [[1, 2]]}, r"\[n\], got \[1, 2\]"),
    ],
)
def test_bad_arguments(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BucketBatchSampler(**{"lengths": [3, 1, 2], "batch_size": 4, **options})


def test_repr() -> None:
    sampler = BucketBatchSampler([3, 1, 2], 2)
    assert repr(sampler) == "BucketBatchSampler(3, batch_size=2, rank=0 of 1)"
