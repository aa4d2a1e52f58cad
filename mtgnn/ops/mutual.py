"""What both kinds of mutual exchange share: queries and keys of the nodes' own states."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .layout import Layout
from .talk import Drop, Running, Talk


class MutualTalk(Talk):
    """Senders are the layout's own nodes, one step before.

    Blocks are nodes, all of which run on the same R sequences side by side.

    Args:
        heads: P.
        pair: ``[H, 2·P·A]``, query and key of a state side by side; ``None`` for fixed weights.
        word: ``[L, P·A]``, or ``[Σ width, P·A]`` where all nodes read the same: query of the word.
        att: ``[P, A]`` for additive scores, else ``None``.
        fixed: Weights that depend on the edge alone, head by head; else ``None``.
        learns: ``[R]``, 1 where a gradient flows into a sender, else 0; ``None``: everywhere.
        drop: Dropout.
    """

    def __init__(
        self,
        heads: int,
        pair: Tensor | None,
        word: Tensor | None,
        att: Tensor | None,
        fixed: Tensor | None,
        learns: Tensor | None,
        drop: Drop,
    ) -> None:
        self.tensors = (pair, word, att, fixed)
        self.heads, self.learns, self.drop = heads, learns, drop


class MutualRunning(Running):
    """Projections of the states, forwards and backwards."""

    def __init__(self, talk: MutualTalk, tensors: Sequence[Tensor | None], layout: Layout) -> None:
        super().__init__(layout, talk.drop, next(t for t in tensors if t is not None))
        self.pair, self.word, self.att, self.fixed = tensors
        self.heads, self.learns, self.rows = talk.heads, talk.learns, layout.num_blocks
        self.tensors = tensors
        self.grads: list[Tensor | None] = [None] * len(tensors)

    def resume(self, kept: Sequence[Tensor | None], grad_alpha: Tensor | None) -> None:
        super().resume(kept, grad_alpha)
        new = torch.contiguous_format
        self.grads = [
            None if tensor is None else torch.zeros_like(tensor, memory_format=new)
            for tensor in self.tensors
        ]

    def gradients(self) -> tuple[Tensor | None, ...]:
        """Those of :attr:`Talk.tensors`."""
        return tuple(self.grads)

    def project(self, t: int, h: Tensor) -> Tensor | None:
        """Queries and keys ``[R, width, 2·P·A]`` of step t."""
        if self.pair is None:
            return None
        both = torch.matmul(h, self.pair)
        if self.word is not None:
            both[..., : self.word.size(1)] += self.word[self._words(t)].view(
                -1, h.size(1), self.word.size(1)
            )
        return both

    @property
    def own_words(self) -> bool:
        """Whether every token has a query of its word, not every sequence and step."""
        return self.word is not None and self.word.size(0) == self.layout.num_tokens

    def _sequences(self, t: int) -> slice:
        """The rows of messages and weights at step t."""
        step = self.layout.steps[t]
        first = step.start // self.rows
        return slice(first, first + step.width)

    def _words(self, t: int) -> slice:
        """The rows of ``word`` at step t."""
        _, width, start, stop = self.layout.steps[t]
        assert self.word is not None
        if self.own_words:
            return slice(start, stop)
        return slice(start // self.rows, start // self.rows + width)

    def project_backward(self, t: int, h: Tensor, d_both: Tensor, d_h: Tensor) -> None:
        """Add what comes back through queries and keys to ``d_h`` and to the gradients."""
        d_pair, d_word = self.grads[:2]
        assert self.pair is not None and d_pair is not None
        flat = d_both.flatten(0, 1)
        d_pair.addmm_(h.flatten(0, 1).t(), flat)
        if d_word is not None:
            d_query = d_both[..., : d_word.size(1)]
            d_query = d_query.flatten(0, 1) if self.own_words else d_query.sum(0)
            d_word[self._words(t)] = d_query
        if self.learns is not None:
            flat = flat.clone()
            keys = flat.view_as(d_both)[..., flat.size(1) // 2 :]
            keys.mul_(self.learns[:, None, None])
        d_h.flatten(0, 1).addmm_(flat, self.pair.t())
