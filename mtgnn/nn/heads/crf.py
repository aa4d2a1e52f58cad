"""A linear-chain conditional random field over the tags of a sentence."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ...data import NO_LABEL
from ...graph_check import is_integer
from ..check import check_lengths, check_numbers, whole_numbers
from . import chain
from .chain import Scores
from .tag_scheme import AllowedTransitions, on_no_path


class LinearChainCRF(nn.Module):
    r"""A linear-chain conditional random field (`"Conditional Random Fields: Probabilistic Models
    for Segmenting and Labeling Sequence Data" <https://dl.acm.org/doi/10.5555/645530.655813>`_).

    .. math::
        \log p(\mathbf{y} \mid \mathbf{e}) = s(\mathbf{y}) - \log \sum_{\mathbf{y}'}
        \exp s(\mathbf{y}'), \quad s(\mathbf{y}) = a_{y_1} + \sum_t e_{t, y_t} +
        \sum_{t > 1} W_{y_{t-1}, y_t} + b_{y_T}

    Parameters have the names that pytorch-crf gives them. What is not allowed has probability 0,
    in training and in decoding, and its score is never learned.

    Args:
        num_tags: Number of tags C.
        allowed: Which tags may follow each other (see :func:`allowed_transitions`); by default
            all.

    Shapes:
        - **input:** emissions :math:`(B, T, C)`, labels :math:`(B, T)`, lengths :math:`(B)`
        - **output:** log-likelihoods :math:`(B)`; of emissions in half precision in float32

    Raises:
        ValueError: If there is no tag, or ``allowed`` is of another size or leaves a tag without
            any path.

    Example:
        >>> crf = LinearChainCRF(3)
        >>> emissions, lengths = torch.randn(2, 4, 3), torch.tensor([4, 2])
        >>> y = torch.tensor([[0, 2, 1, 0], [1, 1, -100, -100]])
        >>> loss = -crf(emissions, y, lengths).mean()
        >>> crf.decode(emissions, lengths).shape
        torch.Size([2, 4])
    """

    forbidden: Tensor
    forbidden_start: Tensor
    forbidden_end: Tensor

    def __init__(self, num_tags: int, allowed: AllowedTransitions | None = None) -> None:
        super().__init__()
        check_numbers(num_tags=num_tags)
        if allowed is not None:
            _check_allowed(allowed, num_tags)
        self.num_tags, self.constrained = num_tags, allowed is not None
        self.transitions = nn.Parameter(torch.empty(num_tags, num_tags))
        self.start_transitions = nn.Parameter(torch.empty(num_tags))
        self.end_transitions = nn.Parameter(torch.empty(num_tags))
        for name, tags in zip(
            ("forbidden", "forbidden_start", "forbidden_end"), allowed or (None,) * 3, strict=True
        ):
            forbidden = None if tags is None else ~tags
            self.register_buffer(name, forbidden, persistent=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all parameters anew, from −0.1 to 0.1."""
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -0.1, 0.1)

    def forward(self, emissions: Tensor, y: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Compute the log-likelihood of labels.

        Where a label is missing (−100), it is summed over: the likelihood is that of the labels
        that are there, and of a sentence without any it is 1.

        Args:
            emissions: ``[B, T, C]``, scores of the tags.
            y: ``[B, T]``, labels; what stands beyond the lengths does not matter.
            lengths: ``[B]``, real steps; or a mask ``[B, T]`` of booleans that is true there; by
                default T.

        Returns:
            ``[B]``; to be maximised.

        Raises:
            ValueError: For wrong sizes, a label out of range, or labels that ``allowed`` forbids.
        """
        sizes = self._check(emissions, lengths)
        if y.shape != emissions.shape[:2] or not is_integer(y):
            raise ValueError(
                f"expected integer labels of shape {list(emissions.shape[:2])}, "
                f"got {y.dtype} of {list(y.shape)}"
            )
        y = whole_numbers(y).unsqueeze(0)
        return log_likelihood(self._scores(emissions), y, sizes.unsqueeze(0))[0]

    def decode(self, emissions: Tensor, lengths: Tensor | None = None) -> Tensor:
        """The likeliest tags of each sentence, as a whole (Viterbi): ``[B, T]``.

        Beyond the lengths stands −100. Arguments and errors are those of :meth:`forward`.
        """
        sizes = self._check(emissions, lengths)
        return decode(self._scores(emissions), sizes.unsqueeze(0))[0]

    def marginals(self, emissions: Tensor, lengths: Tensor | None = None) -> Tensor:
        """The probability of each tag at each step: ``[B, T, C]``, zeros beyond the lengths.

        Not differentiable. Arguments and errors are those of :meth:`forward`.
        """
        sizes = self._check(emissions, lengths)
        return chain.marginals(self._scores(emissions), sizes.unsqueeze(0))[0]

    def constraints(self) -> tuple[Tensor, Tensor, Tensor]:
        """Transitions ``[C, C]``, start and end ``[C]``, with −∞ at what is not allowed."""
        if not self.constrained:
            return self.transitions, self.start_transitions, self.end_transitions
        return (
            self.transitions.masked_fill(self.forbidden, -torch.inf),
            self.start_transitions.masked_fill(self.forbidden_start, -torch.inf),
            self.end_transitions.masked_fill(self.forbidden_end, -torch.inf),
        )

    @property
    def allowed(self) -> AllowedTransitions | None:
        """Which tags may follow each other; ``None``: all."""
        if not self.constrained:
            return None
        return AllowedTransitions(~self.forbidden, ~self.forbidden_start, ~self.forbidden_end)

    def _scores(self, emissions: Tensor) -> Scores:
        return stack_crf_scores([self], emissions.unsqueeze(0))

    def _check(self, emissions: Tensor, lengths: Tensor | None) -> Tensor:
        """Raise where sizes do not fit; else return the lengths, where the emissions are."""
        if emissions.dim() != 3 or emissions.size(2) != self.num_tags or 0 in emissions.shape:
            raise ValueError(
                f"expected emissions of shape [B, T, {self.num_tags}], got {list(emissions.shape)}"
            )
        return whole_lengths(lengths, *emissions.shape[:2]).to(emissions.device, non_blocking=True)

    def extra_repr(self) -> str:
        """Size and constraint in the representation."""
        return f"{self.num_tags}" + (", constrained" if self.constrained else "")


# Several chains at once ---------------------------------------------------------------------------


def stack_crf_scores(crfs: Sequence[LinearChainCRF], emissions: Tensor) -> Scores:
    """The scores of N chains, filled up with −∞ to the tags of ``emissions [N, S, T, C]``, in
    float32 at least: in half precision a sum over steps soon knows nothing of the last digit."""
    wide = torch.promote_types(emissions.dtype, torch.float32)
    between, start, end = [], [], []
    for crf in crfs:
        more = emissions.size(3) - crf.num_tags
        own = crf.constraints()
        between.append(nn.functional.pad(own[0], (0, more, 0, more), value=-torch.inf))
        start.append(nn.functional.pad(own[1], (0, more), value=-torch.inf))
        end.append(nn.functional.pad(own[2], (0, more), value=-torch.inf))
    parts = emissions, torch.stack(between), torch.stack(start), torch.stack(end)
    return Scores(*(part.to(wide) for part in parts))


def log_likelihood(scores: Scores, y: Tensor, lengths: Tensor) -> Tensor:
    """Log-likelihood of the labels ``[N, S, T]`` that are there: ``[N, S]``.

    Raises:
        ValueError: If a label is out of range, or no allowed path has the labels.
    """
    real = torch.arange(y.size(2), device=y.device) < lengths.unsqueeze(2)
    there = real & (y != NO_LABEL)
    wrong = there & ((y < 0) | (y >= scores.emissions.size(3)))
    path = torch.where(there & ~wrong, y, 0)
    own = (scores.start > -torch.inf) | (scores.transitions > -torch.inf).any(1)
    wrong |= there & ~own.unsqueeze(1).expand(-1, y.size(1), -1).gather(2, path)
    labelled = there.any(2)
    partial = labelled & (real & ~there).any(2)
    score = chain.path_score(scores, path, lengths)
    impossible = labelled & ~partial & (score == -torch.inf)
    flags = torch.stack([wrong.any(), partial.any(), impossible.any()]).tolist()  # one look
    if flags[0]:
        found = sorted(set(y[wrong].tolist()))
        raise ValueError(f"expected labels of tags that there are, or {NO_LABEL}, got {found[:5]}")
    if flags[1]:
        score = torch.where(partial, _partial_score(scores, y, lengths, partial), score)
        impossible = labelled & (score == -torch.inf)
        flags[2] = bool(impossible.any())
    if flags[2]:
        n, s = impossible.nonzero()[0].tolist()
        labels = y[n, s, : int(lengths[n, s])].tolist()
        raise ValueError(
            f"expected labels that the transitions allow, got {labels} in sentence {s}"
        )
    return torch.where(labelled, score - chain.log_partition(scores, lengths), 0)


def decode(scores: Scores, lengths: Tensor) -> Tensor:
    """The best path: ``[N, S, T]``, −100 beyond the lengths.

    Raises:
        ValueError: If no path of some length is allowed.
    """
    path, best = chain.best_path(scores, lengths)
    if bool((best == -torch.inf).any()):
        length = int(lengths[best == -torch.inf][0])
        raise ValueError(f"the allowed transitions have no path of length {length}")
    real = torch.arange(path.size(2), device=path.device) < lengths.unsqueeze(2)
    return torch.where(real, path, NO_LABEL)


def whole_lengths(lengths: Tensor | None, batch: int, steps: int) -> Tensor:
    """Lengths ``[B]``, from themselves or from a mask ``[B, T]``.

    Raises:
        ValueError: For wrong sizes, a length out of range, or a mask with holes.
    """
    if lengths is None:
        return torch.full((batch,), steps)
    if lengths.dtype == torch.bool:
        if lengths.shape != (batch, steps):
            raise ValueError(
                f"expected a mask of shape [{batch}, {steps}], got {list(lengths.shape)}"
            )
        if bool((lengths[:, 1:] & ~lengths[:, :-1]).any()):
            raise ValueError("expected a mask whose real steps come first, got one with holes")
        lengths = lengths.sum(1)
    check_lengths(lengths, batch, steps)
    return whole_numbers(lengths)


def _partial_score(scores: Scores, y: Tensor, lengths: Tensor, partial: Tensor) -> Tensor:
    """Log of the sum over the paths that have the labels that are there, where ``partial``."""
    some = partial.any(0).nonzero().squeeze(1)
    labels, emissions = y[:, some], scores.emissions[:, some]
    tags = torch.arange(emissions.size(3), device=y.device)
    others = (labels != NO_LABEL).unsqueeze(3) & (labels.unsqueeze(3) != tags)
    # Labels end most paths at every step: the plain recursion is the one that minds no zeros.
    own = scores._replace(emissions=emissions.masked_fill(others, -torch.inf)).double()
    total = chain.log_partition_plain(own, lengths[:, some]).to(emissions.dtype)
    return total.new_zeros(partial.shape).index_copy(1, some, total)


def _check_allowed(allowed: AllowedTransitions, num_tags: int) -> None:
    """Raise where a tag is on no path, or sizes do not fit."""
    shapes = [(num_tags, num_tags), (num_tags,), (num_tags,)]
    for name, value, shape in zip(allowed._fields, allowed, shapes, strict=True):
        if value.dtype != torch.bool or tuple(value.shape) != shape:
            raise ValueError(
                f"expected allowed.{name} as booleans of shape {list(shape)}, "
                f"got {value.dtype} of {list(value.shape)}"
            )
    lost = on_no_path(allowed)
    if lost:
        raise ValueError(f"no allowed path from start to end has the tags number {lost}")
