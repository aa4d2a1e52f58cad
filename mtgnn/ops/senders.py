"""Who sends what in the fused recurrence, and attention over them, forward and backward."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from .attention import normalise
from .layout import Layout


class Senders(NamedTuple):
    """Senders whose states are known before the recurrence starts.

    Either *edges*: at step t a slot reads its senders' tokens of step t; or a *mailbox*: at every
    step it reads all states of one sender.

    Attributes:
        values: Edges: ``[*, H]``, packed tokens; mailbox: ``[S, T', H]``.
        keys: Their projections ``[*, P·A]`` or ``[S, T', P·A]``.
        mask: Edges: ``[S, J]``, where there is a sender; mailbox: ``[S, T']``, the real positions.
        slots: Edges: ``[S, J]``, the senders' slots; mailbox: ``None``.
        place: Edges: ``[T, *]``, the token of each of the senders' slots at each step.
        past: Mailbox: ``None``, or how many positions the first step reads; every later step reads
            one more.
        heads: P.
    """

    values: Tensor
    keys: Tensor | None
    mask: Tensor
    slots: Tensor | None
    place: Tensor | None
    past: int | None
    heads: int

    def at(self, t: int, width: int) -> tuple[Tensor, Tensor | None, Tensor, Tensor | None]:
        """For the first ``width`` slots at step t: values ``[s, J, H]``, keys ``[s, J, P·A]``, mask
        ``[s, J]`` and, for edges, the senders' tokens ``[s·J]``."""
        mask = self.mask[:width]
        if self.slots is None:
            if self.past is not None:
                mask = mask.clone()
                mask[:, self.past + t :] = False
            keys = None if self.keys is None else self.keys[:width]
            return self.values[:width], keys, mask, None
        assert self.place is not None
        tokens = self.place[t][self.slots[:width].flatten()]
        values = self.values.index_select(0, tokens).unflatten(0, mask.shape)
        if self.keys is None:
            return values, None, mask, tokens
        return values, self.keys.index_select(0, tokens).unflatten(0, mask.shape), mask, tokens

    def start(
        self,
        values: Tensor,
        keys: Tensor | None,
        weight: Tensor,
        bias: Tensor | None,
        att: Tensor | None,
        layout: Layout,
    ) -> Talk:
        """A run over the steps, forward or backward; the tensors are those inside the kernel."""
        senders = self._replace(values=values, keys=keys)
        return Talk(senders, weight, bias, att, layout)


class Talk:
    """The communication of one run of the fused recurrence: what it keeps and what it gathers.

    Attributes:
        query: ``[L, P·A]``, and its gradient ``d_query``.
        message: ``[L, P·H]``.
        alpha: Edges: ``[L, J, P]``; mailbox: ``[S, T, T', P]``.
    """

    def __init__(
        self,
        senders: Senders,
        weight: Tensor,
        bias: Tensor | None,
        att: Tensor | None,
        layout: Layout,
    ) -> None:
        self.senders, self.layout = senders, layout
        self.weight, self.bias, self.att = weight, bias, att
        self.mailbox = senders.slots is None

    def prepare(self) -> None:
        """Make room for what the forward run keeps."""
        tokens, heads = self.layout.num_tokens, self.senders.heads
        values, positions = self.senders.values, self.senders.mask.size(1)
        self.query = values.new_empty(tokens, self.weight.size(1))
        self.message = values.new_empty(tokens, heads * values.size(-1))
        if self.mailbox:
            shape = (self.layout.num_slots, len(self.layout.widths), positions, heads)
            self.alpha = values.new_zeros(shape)
        else:
            self.alpha = values.new_empty(tokens, positions, heads)

    def alpha_at(self, alpha: Tensor, t: int, here: slice) -> Tensor:
        """The part ``[s, J, P]`` of all weights that belongs to step t."""
        return alpha[: here.stop - here.start, t] if self.mailbox else alpha[here]

    def resume(
        self, query: Tensor, message: Tensor, alpha: Tensor, grad_alpha: Tensor | None
    ) -> None:
        """Take what the forward run kept, and prepare to gather gradients."""
        self.query, self.message, self.alpha = query, message, alpha
        self.grad_alpha = grad_alpha
        self.d_query = torch.empty_like(query)
        self.d_values = torch.zeros_like(self.senders.values)
        assert self.senders.keys is not None
        self.d_keys = torch.zeros_like(self.senders.keys)
        self.d_att = None if self.att is None else torch.zeros_like(self.att)
        if self.mailbox:  # products over all steps, taken at the end
            self.d_message = message.new_zeros(*alpha.shape[:2], message.size(1))
            self.d_logits = torch.zeros_like(alpha) if self.att is None else None
            self.queries = message.new_zeros(*alpha.shape[:2], query.size(1))

    def finish(self) -> tuple[Tensor, Tensor]:
        """Gradients of values and keys."""
        if self.mailbox:
            for p, part in enumerate(self.d_message.chunk(self.senders.heads, -1)):
                self.d_values += self.alpha[..., p].transpose(1, 2) @ part
            if self.d_logits is not None:
                parts = [
                    self.d_logits[..., p].transpose(1, 2) @ part
                    for p, part in enumerate(self.queries.chunk(self.senders.heads, -1))
                ]
                self.d_keys = torch.cat(parts, -1)
        return self.d_values, self.d_keys


def attend(talk: Talk, t: int, here: slice, word: Tensor, h: Tensor) -> Tensor:
    """What the slots receive at step t: ``[s, P·H]``."""
    width = h.size(0)
    values, keys, mask, _ = talk.senders.at(t, width)
    assert keys is not None
    sees_word = talk.weight.size(0) > h.size(1)
    query = (torch.cat([word, h], -1) if sees_word else h) @ talk.weight
    if talk.bias is not None:
        query += talk.bias
    alpha = normalise(_logits(talk, query, keys), mask)
    talk.query[here] = query
    talk.alpha_at(talk.alpha, t, here).copy_(alpha)
    message = talk.message[here]
    message.copy_((alpha.transpose(1, 2) @ values).flatten(1))
    return message


def attend_backward(talk: Talk, t: int, here: slice, d_message: Tensor) -> Tensor:
    """The gradient ``[s, E + H]`` or ``[s, H]`` of what the query was made of."""
    width, heads = d_message.size(0), talk.senders.heads
    values, keys, _, tokens = talk.senders.at(t, width)
    assert keys is not None
    alpha = talk.alpha_at(talk.alpha, t, here)
    d_heads = d_message.unflatten(1, (heads, -1))  # [s, P, H]
    d_alpha = values @ d_heads.transpose(1, 2)
    if talk.grad_alpha is not None:
        d_alpha += talk.alpha_at(talk.grad_alpha, t, here)
    d_logits = alpha * (d_alpha - (alpha * d_alpha).sum(1, keepdim=True))
    query = talk.query[here]
    if talk.att is None:
        d_logits = d_logits / math.sqrt(query.size(1) // heads)
        split = keys.unflatten(2, (heads, -1)).transpose(1, 2)  # [s, P, J, A]
        d_query = (d_logits.transpose(1, 2).unsqueeze(2) @ split).flatten(1)
        d_keys = None
        if not talk.mailbox:
            d_keys = d_logits.unsqueeze(-1) * query.unflatten(1, (1, heads, -1))
    else:
        bent = _bent(query, keys, heads)
        assert talk.d_att is not None
        talk.d_att += _over_senders(d_logits, bent)
        d_keys = bent.mul_(bent).neg_().add_(1)  # tanh' = 1 − tanh²
        d_keys *= talk.att
        d_keys *= d_logits.unsqueeze(-1)
        d_query = d_keys.sum(1).flatten(1)
    talk.d_query[here] = d_query
    if talk.mailbox:
        talk.d_message[:width, t] = d_message
        if talk.d_logits is None:
            talk.d_keys[:width] += d_keys.flatten(2)  # type: ignore[union-attr]
        else:
            talk.d_logits[:width, t] = d_logits
            talk.queries[:width, t] = query
    else:
        assert tokens is not None and d_keys is not None
        d_values = alpha @ d_heads
        talk.d_values.index_add_(0, tokens, d_values.flatten(0, 1))
        talk.d_keys.index_add_(0, tokens, d_keys.flatten(2).flatten(0, 1))
    return d_query @ talk.weight.t()


def _logits(talk: Talk, query: Tensor, keys: Tensor) -> Tensor:
    """Scores ``[s, J, P]``."""
    heads = talk.senders.heads
    if talk.att is not None:
        bent = _bent(query, keys, heads)
        if heads == 1:
            return bent.squeeze(2) @ talk.att.t()
        return (bent * talk.att).sum(-1)
    split = query.unflatten(1, (heads, -1)).unsqueeze(-1)  # [s, P, A, 1]
    products = keys.unflatten(2, (heads, -1)).transpose(1, 2) @ split
    return products.squeeze(-1).transpose(1, 2) / math.sqrt(split.size(2))


def _bent(query: Tensor, keys: Tensor, heads: int) -> Tensor:
    """The inside of an additive score, ``[s, J, P, A]``."""
    return (query.unsqueeze(1) + keys).tanh_().unflatten(-1, (heads, -1))


def _over_senders(d_logits: Tensor, bent: Tensor) -> Tensor:
    """Σ over slots and senders of ``d_logits [s, J, P]`` times ``bent [s, J, P, A]``."""
    return torch.einsum("sjp,sjpa->pa", d_logits, bent)
