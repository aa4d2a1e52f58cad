"""Random parameters and inputs."""

from __future__ import annotations

from typing import NamedTuple, TypeVar

import torch
from torch import Tensor, nn

Module = TypeVar("Module", bound=nn.Module)


class RandomBatch(NamedTuple):
    """Inputs ``x [B, T, E]`` (or ``[B, T, N, E]``), ``lengths [B]`` and ``task [B]``."""

    x: Tensor
    lengths: Tensor
    task: Tensor


def randomise(
    module: Module, scale: float = 0.6, seed: int = 0, dtype: torch.dtype = torch.float64
) -> Module:
    """Draw every parameter, biases too, from a normal distribution; returns the same module.

    The values depend on nothing but the arguments and the order of the parameters, so that two
    equally built modules become equal, and the global random state is left alone.

    Args:
        module: Any module; its floating-point buffers take the new dtype too.
        scale: Standard deviation.
        seed: Seed of the generator.
        dtype: Type of the parameters afterwards.

    Raises:
        ValueError: If a parameter has no shape yet (a lazy module that never ran).

    Example:
        >>> layer = randomise(nn.Linear(2, 1))
        >>> layer.bias.dtype, bool(layer.bias.any())
        (torch.float64, True)
    """
    for name, parameter in module.named_parameters():
        if nn.parameter.is_lazy(parameter):
            raise ValueError(f"expected initialised parameters, but {name!r} is lazy: run it once")
    module.to(dtype)
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        values = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
        parameter.data.copy_(values * scale)
    return module


def random_batch(
    input_size: int,
    num_tasks: int,
    *,
    batch_size: int = 4,
    steps: int = 5,
    num_nodes: int | None = None,
    seed: int = 0,
    dtype: torch.dtype = torch.float64,
) -> RandomBatch:
    """A batch of mixed tasks and lengths: the first is full, the second one step shorter, …

    Args:
        input_size: E.
        num_tasks: K; sequence b belongs to task ``b % K``.
        batch_size: B.
        steps: T, at least 2, so that there is padding.
        num_nodes: N; gives every node an input of its own.
        seed: Seed of the generator.
        dtype: Type of the inputs.

    Raises:
        ValueError: If there are fewer than two sequences or two steps.

    Example:
        >>> random_batch(3, num_tasks=2, batch_size=3, steps=2).lengths
        tensor([2, 1, 2])
    """
    if batch_size < 2 or steps < 2:
        raise ValueError(
            f"expected at least 2 sequences of 2 steps, got {batch_size} sequences of {steps}"
        )
    generator = torch.Generator().manual_seed(seed)
    shape = [batch_size, steps, *([] if num_nodes is None else [num_nodes]), input_size]
    x = torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)
    number = torch.arange(batch_size)
    return RandomBatch(x, steps - number % steps, number % num_tasks)
