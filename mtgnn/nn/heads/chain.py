"""Linear chains of tags: log partition, marginals and best path, of several chains at once.

Scores are ``emissions [N, S, T, C]`` of S sequences for each of N chains, ``transitions [N, C, C]``
(from row to column), ``start [N, C]`` and ``end [N, C]``; −∞ forbids. ``lengths [N, S]`` are at
least 1, and what stands beyond them counts for nothing.

Sums run over scaled probabilities in float64, whose range is 600 nats and more, with two or three
small kernels a step, forwards and backwards in one loop. Where a score goes beyond that range,
which is noticed, the plain recursion of log sums takes over: it is slower, and never loses a path.

A compiler goes around all this: it would unroll the loop over steps.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

FORBIDDEN = -1e30  # as good as −∞ in a plain sum of scores, and its gradient is never NaN
RESCALED = 4  # steps between two divisions by the sum


class Scores(NamedTuple):
    """Scores of chains, see above."""

    emissions: Tensor
    transitions: Tensor
    start: Tensor
    end: Tensor

    def double(self) -> Scores:
        """In float64, in which chains are computed."""
        return Scores(*(part.double() for part in self))


@torch.compiler.disable
def log_partition(scores: Scores, lengths: Tensor) -> Tensor:
    """Logarithm of the sum over all paths of exp(score): ``[N, S]``, −∞ where no path is allowed.

    Differentiable in all scores as often as one likes; from the second time on by the plain
    recursion, which transforms of ``torch.func`` take, too.
    """
    wide = scores.double()
    if torch._C._are_functorch_transforms_active():
        return log_partition_plain(wide, lengths).to(scores.emissions.dtype)
    train = torch.is_grad_enabled() and any(part.requires_grad for part in scores)
    scan = _scan(Scores(*(part.detach() for part in wide)), lengths, backwards=train)
    if not scan.exact:
        total = log_partition_plain(wide, lengths)
    elif train:
        total = _LogPartition.apply(*wide, lengths, scan)
    else:
        total = scan.total
    return total.to(scores.emissions.dtype)


def log_partition_plain(scores: Scores, lengths: Tensor) -> Tensor:
    """:func:`log_partition` as the recursion of log sums that defines it, by autograd."""
    emissions, transitions, start, end = (part.clamp(min=FORBIDDEN) for part in scores)
    alpha = start.unsqueeze(1) + emissions[:, :, 0]
    for t in range(1, emissions.size(2)):
        paths = alpha.unsqueeze(3) + transitions.unsqueeze(1)  # [N, S, from, to]
        step = paths.logsumexp(2) + emissions[:, :, t]
        alpha = torch.where((lengths > t).unsqueeze(2), step, alpha)
    total = (alpha + end.unsqueeze(1)).logsumexp(2)
    return total.masked_fill(total < FORBIDDEN / 10, -torch.inf)


@torch.compiler.disable
@torch.no_grad()
def marginals(scores: Scores, lengths: Tensor) -> Tensor:
    """Probability of each tag at each step: ``[N, S, T, C]``, zeros beyond the lengths."""
    wide = Scores(*(part.detach() for part in scores.double()))
    scan = _scan(wide, lengths, backwards=True)
    if scan.exact:
        return scan.tag_probability().to(scores.emissions.dtype)
    with torch.enable_grad():
        emissions = wide.emissions.clamp(min=FORBIDDEN).requires_grad_()
        total = log_partition_plain(wide._replace(emissions=emissions), lengths)
        (probability,) = torch.autograd.grad(total.sum(), emissions)
    return probability.to(scores.emissions.dtype)


@torch.compiler.disable
@torch.no_grad()
def best_path(scores: Scores, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """The path of the highest score (Viterbi): tags ``[N, S, T]``, and its score ``[N, S]``.

    Beyond the lengths stand numbers that mean nothing. The score is −∞ where no path is allowed.
    """
    emissions, transitions, start, end = scores
    num_chains, num_sequences, steps, num_tags = emissions.shape
    deltas = emissions.permute(2, 0, 1, 3).clone(memory_format=torch.contiguous_format)
    rows = deltas.unbind()
    rows[0].add_(start.unsqueeze(1))
    # [from, N, S, to]: over the outermost dimension, a CPU finds the maximum ten times as fast.
    between = transitions.transpose(0, 1).unsqueeze(2)
    paths = emissions.new_empty(num_tags, num_chains, num_sequences, num_tags)
    for before, now in zip(rows[:-1], rows[1:], strict=True):
        now.add_(torch.add(before.movedim(2, 0).unsqueeze(3), between, out=paths).amax(0))
    # The tag before is looked for along the best path alone: that spares an argmax over all tags.
    # Row C of a chain is for the last step, after which comes the end.
    after = torch.cat([transitions.transpose(1, 2), end.unsqueeze(1)], 1).flatten(0, 1)
    offset = torch.arange(num_chains, device=lengths.device).view(-1, 1) * (num_tags + 1)
    time = torch.arange(steps, device=lengths.device).view(-1, 1, 1)
    over = (time >= lengths - 1).unbind()
    tag, path = torch.zeros_like(lengths), []
    for delta, ends in zip(reversed(rows), reversed(over), strict=True):
        row = torch.where(ends, num_tags, tag).add_(offset)
        tag = after.index_select(0, row.view(-1)).view_as(delta).add_(delta).argmax(2)
        path.append(tag)
    final = _rows(deltas, (lengths - 1) * lengths.numel() + _numbers(lengths))
    return torch.stack(path[::-1], 2), (final + end.unsqueeze(1)).amax(2)


def path_score(scores: Scores, path: Tensor, lengths: Tensor) -> Tensor:
    """Score of the given tags ``[N, S, T]``: ``[N, S]``."""
    emissions, transitions, start, end = scores
    real = torch.arange(path.size(2), device=path.device) < lengths.unsqueeze(2)
    path = torch.where(real, path, 0)
    chain = torch.arange(len(transitions), device=path.device).view(-1, 1, 1)
    # torch.where, not a product: a score beyond the lengths may be −∞.
    tags = torch.where(real, emissions.gather(3, path.unsqueeze(3)).squeeze(3), 0).sum(2)
    pairs = transitions[chain, path[:, :, :-1], path[:, :, 1:]]
    between = torch.where(real[:, :, 1:], pairs, 0).sum(2)
    final = path.gather(2, (lengths - 1).unsqueeze(2)).squeeze(2)
    return tags + between + start.gather(1, path[:, :, 0]) + end.gather(1, final)


# Scaled sums --------------------------------------------------------------------------------------


class _Scan(NamedTuple):
    """What the loop over the steps leaves.

    Attributes:
        total: ``[N, S]``, the log partition.
        exact: Whether no sum lost anything to the range of the numbers.
        forward: ``[N, S, T, C]``, paths up to and with step t that end in a tag, scaled.
        ahead: ``[N, S, T, C]``, paths after step t that follow a tag, scaled.
        after: ``[N, S, T, C]``, paths from step t on that begin with a tag, scaled.
        between: ``[N, C, C]``, exponentials of the transitions, scaled.
        real: ``[N, S, T, 1]``, which steps are real.
    """

    total: Tensor
    exact: bool
    forward: Tensor
    ahead: Tensor
    after: Tensor
    between: Tensor
    real: Tensor

    def tag_probability(self) -> Tensor:
        """``[N, S, T, C]``, zeros beyond the lengths."""
        joint = self.forward * self.ahead
        return torch.where(self.real, joint / joint.sum(3, keepdim=True), 0)

    def pair_probability(self, weight: Tensor) -> Tensor:
        """Sum over steps and sequences, weighed by ``[N, S]``, of each pair's: ``[N, C, C]``."""
        joint = (self.forward * self.ahead).sum(3, keepdim=True)
        weigh = weight.view(*weight.shape, 1, 1) / joint[:, :, :-1]
        left = torch.where(self.real[:, :, 1:], self.forward[:, :, :-1] * weigh, 0).flatten(1, 2)
        right = torch.where(self.real[:, :, 1:], self.after[:, :, 1:], 0).flatten(1, 2)
        return self.between * (left.transpose(1, 2) @ right)


def _scan(scores: Scores, lengths: Tensor, backwards: bool) -> _Scan:
    """Sum over paths from both ends; the backward direction is a forward one, turned around."""
    emissions, transitions, start, end = scores
    num_chains, steps, count = len(transitions), emissions.size(2), lengths.numel()
    time, size = torch.arange(steps, device=lengths.device), lengths.unsqueeze(2)
    number = _numbers(lengths).unsqueeze(2)
    real = (time < size).unsqueeze(3)
    turned = torch.where(time < size, size - 1 - time, time)  # [N, S, T]
    tags, tag_shift = _exp(torch.where(real, emissions, 0), 3)
    pairs, pair_shift = _exp(transitions, (1, 2))
    first, start_shift = _exp(start, 1)
    final, end_shift = _exp(end, 1)
    source = number * steps + time
    if backwards:
        tags = _rows(tags, torch.cat([source, number * steps + turned]).movedim(2, 0))
        both = torch.cat([pairs, pairs.transpose(1, 2)])
        before, after, norm = _steps(tags, both, torch.cat([first, final]))
        place = turned * (2 * count) + count + number
        ahead, behind = _rows(before, place), _rows(after, place)
    else:
        _, after, norm = _steps(_rows(tags, source.movedim(2, 0)), pairs, first)
        ahead = behind = after[:0]
    forward = _rows(after, time * (count * (1 + backwards)) + number)
    last = _rows(forward, (number * steps + size - 1).squeeze(2))
    ending = (last * final.unsqueeze(1)).sum(2)
    norm = norm[:, :num_chains].permute(1, 2, 0, 3)
    total = torch.where(real, norm.log() + tag_shift, 0).sum((2, 3)) + ending.log()
    total = total + (lengths - 1) * pair_shift.view(-1, 1) + start_shift + end_shift
    # What falls below the least number is lost. A sum has C terms, each a product with a factor of
    # at most 1, and grows by C a step at most until it is scaled down: above this floor, less is
    # lost than is rounded away.
    info = torch.finfo(forward.dtype)
    floor = float(forward.size(3)) ** RESCALED * info.tiny / info.eps
    reach = _reachable(transitions, start, steps).transpose(0, 1).unsqueeze(1) & real
    fine = [((forward >= floor) | ~reach).all(), (ending >= floor).all()]
    if backwards:
        reach = _reachable(transitions.transpose(1, 2), end, steps).transpose(0, 1).unsqueeze(1)
        reach = reach.expand_as(forward).gather(2, turned.unsqueeze(3).expand_as(forward)) & real
        joint = (forward * ahead).sum(3, keepdim=True)
        fine += [((behind >= floor) | ~reach).all(), ((joint >= floor) | ~real).all()]
    return _Scan(total, bool(torch.stack(fine).all()), forward, ahead, behind, pairs, real)


def _steps(tags: Tensor, between: Tensor, first: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Sums before and with each step's tag ``[T, N, S, C]``, and what they were divided by."""
    before, after = torch.empty_like(tags), torch.empty_like(tags)
    norm = tags.new_ones(*tags.shape[:3], 1)
    before[0] = first.unsqueeze(1)
    torch.mul(before[0], tags[0], out=after[0])
    rows = zip(tags.unbind(), before.unbind(), after.unbind(), norm.unbind(), strict=True)
    last = None
    for t, (tag, into, out, scale) in enumerate(rows):
        if last is not None:
            torch.bmm(last, between, out=into)
            torch.mul(into, tag, out=out)
        if t % RESCALED == 0:
            torch.sum(out, 2, keepdim=True, out=scale)
            out /= scale
        last = out
    return before, after, norm


def _rows(table: Tensor, index: Tensor) -> Tensor:
    """Rows ``[…, C]`` of a table whose other dimensions are numbered through."""
    rows = table.flatten(0, -2).index_select(0, index.reshape(-1))
    return rows.view(*index.shape, -1)


def _numbers(lengths: Tensor) -> Tensor:
    """Sequences ``[N, S]``, numbered through."""
    return torch.arange(lengths.numel(), device=lengths.device).view_as(lengths)


def _exp(scores: Tensor, dim: int | tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Exponentials, the largest along ``dim`` scaled to 1, and the shift that does so."""
    shift = scores.amax(dim, keepdim=True).clamp(min=FORBIDDEN)
    return (scores - shift).exp(), shift


def _reachable(transitions: Tensor, start: Tensor, steps: int) -> Tensor:
    """Which tags an allowed path can have at each step: ``[T, N, C]``, by transitions alone."""
    allowed, now = transitions > -torch.inf, start > -torch.inf
    if bool(allowed.all()) and bool(now.all()):
        return now.expand(steps, -1, -1)
    rows = [now]
    while len(rows) < steps:
        rows.append((rows[-1].unsqueeze(2) & allowed).any(1))
        if torch.equal(rows[-1], rows[-2]):  # and so for ever; in tag schemes after a step or two
            rows += [rows[-1]] * (steps - len(rows))
    return torch.stack(rows)


class _LogPartition(torch.autograd.Function):
    """The log partition of a scan; its gradient is the probability of each tag and pair."""

    @staticmethod
    def forward(
        ctx: Any,
        emissions: Tensor,
        transitions: Tensor,
        start: Tensor,
        end: Tensor,
        lengths: Tensor,
        scan: _Scan,
    ) -> Tensor:
        ctx.save_for_backward(emissions, transitions, start, end, lengths)
        ctx.scan = scan
        return scan.total.clone()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():  # create_graph=True: probabilities have a gradient, too
            *scores, lengths = ctx.saved_tensors
            return *_gradient(Scores(*scores), lengths, grad), None, None
        scan: _Scan = ctx.scan
        weighed = scan.tag_probability() * grad.view(*grad.shape, 1, 1)
        steps = scan.real.sum(2, keepdim=True).expand(-1, -1, -1, weighed.size(3))
        last = weighed.gather(2, steps - 1).squeeze(2)
        first, pairs = weighed[:, :, 0], scan.pair_probability(grad)
        return weighed, pairs, first.sum(1), last.sum(1), None, None


def _gradient(scores: Scores, lengths: Tensor, grad: Tensor) -> tuple[Tensor | None, ...]:
    """The gradient of the plain recursion, differentiable in its turn."""
    wanted = [part for part in scores if part.requires_grad]
    total = log_partition_plain(scores, lengths)
    found = iter(torch.autograd.grad(total, wanted, grad, create_graph=True))
    return tuple(next(found) if part.requires_grad else None for part in scores)
