"""Gradient balancing: one adapter for the aggregators of torchjd."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from .models import MultiTaskModel, TaggingModel

Aggregator = Callable[[Tensor], Tensor]


def balanced_backward(
    losses: Tensor,
    shared: Iterable[Tensor],
    own: Iterable[Tensor] = (),
    aggregator: Aggregator | None = None,
) -> None:
    """Backward pass in which the gradients of several losses are joined by an aggregator.

    Takes the place of ``losses.sum().backward()``. Shared parameters gain, in ``grad``, what the
    aggregator makes of the matrix whose rows are the gradients of the losses (`"Jacobian Descent
    for Multi-Objective Optimization" <https://arxiv.org/abs/2406.16232>`_); own parameters gain
    the gradient of the sum. What no loss reaches keeps its ``grad``, ``None`` included.

    It takes one backward pass for each loss, and memory for as many gradients of all shared
    parameters. It knows of one process only: with several, gradients are not averaged.

    Args:
        losses: ``[L]``, such as :meth:`MultiTaskLoss.per_task` gives; leave out tasks that are not
            in the batch, for each costs a pass.
        shared: Parameters that several losses reach.
        own: Parameters that only one of them reaches; see :func:`split_parameters`.
        aggregator: Maps ``[L, P]`` to ``[P]``: an aggregator of ``torchjd.aggregation``, or any
            function. By default ``UPGrad``, which needs the extra ``balance``, with a preference
            of 1 for every loss: where no two gradients conflict, it gives their sum.

    Raises:
        ValueError: If losses are no vector, there is no shared parameter, or a parameter is given
            as shared and own.
        ImportError: If the default aggregator is wanted and torchjd is not installed.

    Example:
        >>> weight = torch.tensor([1.0, 1.0], requires_grad=True)
        >>> balanced_backward(weight * torch.tensor([2.0, 4.0]), [weight], aggregator=sum)
        >>> weight.grad
        tensor([2., 4.])
    """
    if losses.dim() != 1 or losses.numel() == 0:
        raise ValueError(f"expected losses of shape [L], at least one, got {list(losses.shape)}")
    common, private = list(shared), list(own)
    if not common:
        raise ValueError("expected at least one shared parameter, got none")
    if {id(p) for p in common} & {id(p) for p in private}:
        raise ValueError("expected each parameter as shared or as own, got one as both")
    aggregator = _upgrad(losses) if aggregator is None else aggregator
    rows = []
    for number, loss in enumerate(losses):
        more = number < losses.numel() - 1
        rows.append(
            torch.autograd.grad(loss, common + private, retain_graph=more, allow_unused=True)
        )
    columns = list(zip(*rows, strict=True))
    _join_shared(common, columns[: len(common)], aggregator)
    for parameter, gradients in zip(private, columns[len(common) :], strict=True):
        reached = [gradient for gradient in gradients if gradient is not None]
        if reached:
            _accumulate(parameter, torch.stack(reached).sum(0))


def split_parameters(
    model: MultiTaskModel | TaggingModel,
) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Divide a model's parameters into shared ones and those that one task's loss alone reaches.

    Own are the heads, tables with ``embedding="task"``, and the nodes of tasks that send to none,
    or whose receivers are detached from them, with score parameters of their own.

    Returns:
        ``(shared, own)`` for :func:`balanced_backward`.
    """
    graph, nodes = model.graph, getattr(model.encoder, "nodes", None)
    private: list[nn.Module] = [model.heads, *model.own_tables()]
    if nodes is not None:
        senders = set() if getattr(model.encoder, "detach", False) else {i for i, _ in graph.edges}
        alone = [name for name in graph.tasks if name not in senders]
        private += [nodes[name] for name in alone]
        if getattr(model.encoder, "owned", False):
            for convs in model.encoder.convs.values():  # type: ignore[operator, union-attr]
                private += [convs[name] for name in alone if name in convs]
    own = {id(p): p for module in private for p in module.parameters()}
    return [p for p in model.parameters() if id(p) not in own], list(own.values())


def _join_shared(
    parameters: list[Tensor], columns: list[tuple[Tensor | None, ...]], aggregator: Aggregator
) -> None:
    reached = [
        (parameter, gradients)
        for parameter, gradients in zip(parameters, columns, strict=True)
        if any(gradient is not None for gradient in gradients)
    ]
    if not reached:
        return
    jacobian = torch.cat(
        [
            torch.stack([torch.zeros_like(p) if g is None else g for g in gradients]).flatten(1)
            for p, gradients in reached
        ],
        1,
    )
    joined = aggregator(jacobian).split([p.numel() for p, _ in reached])
    for (parameter, _), gradient in zip(reached, joined, strict=True):
        _accumulate(parameter, gradient.view_as(parameter))


def _accumulate(parameter: Tensor, gradient: Tensor) -> None:
    gradient = gradient.to(parameter.dtype)
    parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient


def _upgrad(losses: Tensor) -> Aggregator:
    try:
        from torchjd.aggregation import UPGrad
    except ImportError as error:
        raise ImportError(
            "the default aggregator is torchjd's: pip install mtgnn[balance], or give another"
        ) from error
    return UPGrad(pref_vector=torch.ones_like(losses))
