"""Batches of similar length, over all tasks at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.utils.data import Sampler


class BucketBatchSampler(Sampler[list[int]]):
    """Batches of examples of similar length, whatever their task; each example once an epoch.

    Domains differ far in length, so buckets within each task alone leave much of a batch to
    padding. Here the whole data is put in order of length and cut into batches. With ``shuffle``
    every length is first multiplied by a random factor, so that who shares a batch with whom
    changes from epoch to epoch, and then the batches are shuffled. Tasks mix as their lengths do;
    a small task is neither repeated nor dropped, unless ``weights`` say so.

    Every iteration draws the batches of the next epoch, or, once :meth:`set_epoch` was called,
    those of the epoch that it said.

    With several processes every rank takes the slice ``rank::num_replicas`` of each *global*
    batch, so that all ranks make the same number of steps, and together see the batches that one
    process would see. No rank's share is empty: where the last examples are fewer than the ranks,
    they join the batch before them.

    Args:
        lengths: Length of each example ``[n]``.
        batch_size: Examples in a global batch, over all ranks together.
        shuffle: Change the batches with the seed and the epoch (default). Otherwise they are the
            same in every epoch, longest first.
        seed: Seed of the shuffling.
        num_replicas: Number of processes.
        rank: Number of this process.
        noise: Lengths are multiplied by a factor drawn from ``[1 − noise, 1 + noise]``. More noise
            mixes more and pads more: on FDU-MTL, in batches of 64 cut at 256 words, 0.1 leaves 7 %
            of the batches to padding and 0.05 leaves 3 %, against 58 % in random batches
            (``benchmarks/padding.py``).
        weights: Of each example ``[n]``, how often it comes beside the others, such as
            :func:`task_weights`. An epoch keeps its n places, of which example i has
            :math:`n w_i / \\sum_j w_j`, rounded up or down at random. By default each has one.

    Raises:
        ValueError: If there are fewer examples, or places in a batch, than ranks, ``rank`` is out
            of range, ``noise`` is not in ``[0, 1)``, or ``weights`` are of another number,
            negative, not finite or all zero, or given without ``shuffle``.
    """

    def __init__(
        self,
        lengths: Sequence[int] | Tensor,
        batch_size: int,
        shuffle: bool = True,
        seed: int = 0,
        num_replicas: int = 1,
        rank: int = 0,
        noise: float = 0.1,
        weights: Sequence[float] | Tensor | None = None,
    ) -> None:
        self.lengths = torch.as_tensor(lengths).to("cpu", torch.long)
        if self.lengths.dim() != 1:
            raise ValueError(f"expected lengths of shape [n], got {list(self.lengths.shape)}")
        if num_replicas < 1 or not 0 <= rank < num_replicas:
            raise ValueError(f"expected 0 <= rank < num_replicas, got {rank} and {num_replicas}")
        if batch_size < num_replicas:
            raise ValueError(
                f"a global batch needs an example for each of {num_replicas} ranks, "
                f"got batch_size {batch_size}"
            )
        if self.lengths.numel() < num_replicas:
            raise ValueError(
                f"expected at least one example for each of {num_replicas} ranks, "
                f"got {self.lengths.numel()} examples"
            )
        if not 0 <= noise < 1:
            raise ValueError(f"expected noise in [0, 1), got {noise}")
        self.weights = None if weights is None else check_weights(weights, len(self.lengths))
        if weights is not None and not shuffle:
            raise ValueError("weights are for shuffled batches, got shuffle=False")
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.seed = seed
        self.num_replicas = num_replicas
        self.rank = rank
        self.noise = noise
        self.epoch = 0
        self._counts = True

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch that all iterations from now on draw their batches for.

        Until this is called, every iteration is an epoch of its own.
        """
        self.epoch, self._counts = epoch, False

    def global_batches(self) -> list[list[int]]:
        """The batches of this epoch as all ranks together see them."""
        if not self.shuffle:
            return self._cut(torch.argsort(self.lengths, descending=True, stable=True))
        generator = torch.Generator().manual_seed(self._epoch_seed())
        n = len(self.lengths)
        factor = 1 - self.noise + 2 * self.noise * torch.rand(n, generator=generator)
        # Ties come in random order, also where there is no noise.
        order = torch.randperm(n, generator=generator)
        if self.weights is None:
            factor = factor[order]
        else:  # in random order again, each time with a factor of its own: in several batches
            order = _draw(self.weights, order, generator)
            order = order[torch.randperm(n, generator=generator)]
        batches = self._cut(order[torch.argsort(self.lengths[order] * factor, stable=True)])
        return [batches[i] for i in torch.randperm(len(batches), generator=generator).tolist()]

    def _epoch_seed(self) -> int:
        # A stride that is prime and large keeps (seed, epoch) and (seed + 1, epoch - 1) apart.
        return (self.seed * 1_000_003 + self.epoch) % 2**63

    def _cut(self, order: Tensor) -> list[list[int]]:
        """``order`` in pieces of ``batch_size``; a rest too small for the ranks is not alone."""
        batches = [piece.tolist() for piece in order.split(self.batch_size)]
        if len(batches[-1]) < self.num_replicas:
            rest = batches.pop()
            batches[-1] += rest
        return batches

    def __iter__(self) -> Iterator[list[int]]:
        batches = self.global_batches()
        self.epoch += self._counts
        for batch in batches:
            yield batch[self.rank :: self.num_replicas]

    def __len__(self) -> int:
        whole, rest = divmod(self.lengths.numel(), self.batch_size)
        return whole + (rest >= self.num_replicas)

    def __repr__(self) -> str:
        return (
            f"BucketBatchSampler({self.lengths.numel()}, batch_size={self.batch_size}, "
            f"rank={self.rank} of {self.num_replicas})"
        )


def check_weights(weights: Sequence[float] | Tensor, n: int) -> Tensor:
    """Weights as shares ``[n]`` of a whole.

    Raises:
        ValueError: If they are of another number, negative, not finite, or all zero.
    """
    found = torch.as_tensor(weights).to("cpu", torch.float64)
    if found.shape != (n,):
        raise ValueError(f"expected weights of shape [{n}], got {list(found.shape)}")
    if not bool((found.isfinite() & (found >= 0)).all()) or not bool(found.any()):
        raise ValueError("expected weights that are finite, of at least 0, and not all 0")
    found = found / found.max()  # the sum of large ones may be infinite
    return found / found.sum()


def _draw(weights: Tensor, order: Tensor, generator: torch.Generator) -> Tensor:
    """As many examples as there are, each ⌊n·w⌋ or ⌈n·w⌉ times.

    Systematic sampling: examples are stretches of a line of length n, of which every whole step
    from a random start hits one. Those of equal weight, such as a task's, lie side by side, so that
    together, too, they come as often as they should.
    """
    n = len(order)
    order = order[torch.argsort(weights[order], stable=True)]
    end = (n * weights[order]).cumsum(0).clamp(max=n)
    end[-1] = n  # exactly, so that n steps hit
    start = torch.rand((), generator=generator, dtype=torch.float64)
    hits = (end + start).floor().diff(prepend=start.new_zeros(1))
    return order.repeat_interleave(hits.long())
