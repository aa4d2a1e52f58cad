"""What layers do with their arguments before they read, and with what they made of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from .check import check_input, task_graph, whole_numbers
from .tasks import has_one_task


class Padded(NamedTuple):
    """Checked sequences.

    Attributes:
        x: ``[B, T, E]`` or ``[B, T, N, E]``.
        lengths: ``[B]``, on the CPU.
        packed: What they came packed as; else ``None``.
        task: ``[B]``, where each sequence has one task; else ``None``.
        wanted: ``[B, K]``, the tasks of each sequence, where these are said; else ``None``.
    """

    x: Tensor
    lengths: Tensor
    packed: PackedSequence | None
    task: Tensor | None
    wanted: Tensor | None

    @property
    def padding(self) -> Tensor:
        """Which steps are none ``[B, T]``, on the device of ``x``."""
        steps = torch.arange(self.x.size(1))
        return (steps >= self.lengths.unsqueeze(1)).to(self.x.device, non_blocking=True)

    def only_wanted(self, out: Tensor) -> Tensor:
        """Outputs of all tasks ``[B, T, K, F]`` with zeros for those that are not wanted."""
        if self.wanted is None:
            return out
        other = ~self.wanted.to(out.device, non_blocking=True)
        return out.masked_fill(other[:, None, :, None], 0)

    def as_they_came(self, out: Tensor) -> Tensor | PackedSequence:
        """Outputs ``[B, T, …]``, packed if the sequences were."""
        if self.packed is None:
            return out
        # In the very order of the input: to sort anew may order equal lengths otherwise.
        _, _, order, back = self.packed
        lengths = self.lengths
        if order is not None:
            out, lengths = out.index_select(0, order), lengths[order.cpu()]
        data, sizes, *_ = pack_padded_sequence(out, lengths, batch_first=True)
        return PackedSequence(data, sizes, order, back)


def pad_input(
    layer: nn.Module, x: Tensor | PackedSequence, lengths: Tensor | None, task: Tensor | None
) -> Padded:
    """Unpack and check what a layer, with ``graph`` and ``input_size``, is called with; in the
    type of its parameters.

    Raises:
        ValueError: For wrong sizes, a length of 0 or beyond T, or a task out of range.
        RuntimeError: Under ``torch.jit.trace``.
    """
    if torch.jit.is_tracing():
        raise RuntimeError(
            "layers over task graphs cannot be traced: what runs depends on tasks and lengths. "
            "A saved model, which is loaded by Python, serves"
        )
    packed = x if isinstance(x, PackedSequence) else None
    if isinstance(x, PackedSequence):
        if lengths is not None:
            raise ValueError("a packed sequence has its own lengths; expected no others")
        x, lengths = pad_packed_sequence(x, batch_first=True)
    size: Any = layer.input_size
    sizes = torch.tensor(check_input(x, lengths, task, task_graph(layer), size))
    task = None if task is None else whole_numbers(task)
    each = has_one_task(task)
    x = x.to(next(layer.parameters()).dtype)
    return Padded(x, sizes, packed, task if each else None, None if each else task)


def check_shapes(state: Sequence[Tensor], expected: tuple[int, ...], bidirectional: bool) -> None:
    """Raise where a state cannot start a layer of these sizes."""
    if bidirectional:
        raise ValueError("a bidirectional layer reads the end first: it takes no state")
    for value in state:
        if tuple(value.shape) != expected:
            raise ValueError(f"expected a state of shape {list(expected)}, got {list(value.shape)}")
