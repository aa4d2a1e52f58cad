"""What the slots of a layout read at each step."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .layout import Chunk, Layout


@dataclass(frozen=True)
class Words:
    """Inputs of all tokens.

    Attributes:
        source: ``[*, E]``.
        index: ``[L]``, the row of ``source`` that each token reads. Or ``None``, where every block
            reads the same at the same place: ``source`` then holds that of one block, step after
            step, ``[Σ width, E]``.
    """

    source: Tensor
    index: Tensor | None

    def to(self, dtype: torch.dtype) -> Words:
        """The same words in another type."""
        return Words(self.source.to(dtype), self.index)

    def at(self, layout: Layout, t: int) -> Tensor:
        """Words of step t, ``[blocks, width, E]``."""
        blocks, width, start, stop = layout.steps[t]
        if self.index is not None:
            return self.source.index_select(0, self.index[start:stop]).view(blocks, width, -1)
        first = start // blocks  # without an index all steps have all blocks
        return self.source[first : first + width].expand(blocks, -1, -1)

    def of(self, layout: Layout, chunk: Chunk) -> Tensor:
        """Words of a chunk, ``[G, columns, E]``."""
        if self.index is not None:
            return self.source[self.index[chunk.token]]
        start = layout.steps[chunk.first].start // layout.num_blocks
        return self.source[start : start + chunk.columns[-1]].expand(layout.num_blocks, -1, -1)

    def add_gradient(self, grad: Tensor, layout: Layout, chunk: Chunk, d_words: Tensor) -> None:
        """Add the gradient ``[G, columns, E]`` of a chunk to that of ``source``."""
        if self.index is not None:
            grad.index_add_(0, self.index[chunk.token].flatten(), d_words.flatten(0, 1))
            return
        start = layout.steps[chunk.first].start // layout.num_blocks
        torch.sum(d_words, 0, out=grad[start : start + chunk.columns[-1]])
