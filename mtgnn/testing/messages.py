"""Who hears whom, and how much."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from ..graph import TaskGraph
from ..nn.check import task_graph
from ..nn.tasks import has_one_task, task_mask
from .calling import evaluating, outputs, require, same


def assert_heard(
    layer: nn.Module,
    x: Tensor,
    lengths: Tensor | None = None,
    task: Tensor | None = None,
    *,
    edges: Iterable[tuple[str, str]] | None = None,
) -> None:
    """Disturbing a sender changes what the receiver puts out, for every edge.

    The parameters of ``layer.nodes[sender]`` are disturbed and put back. What changes by no more
    than rounding does has not changed.

    Args:
        layer: The layer.
        x: ``[B, T, E]`` or ``[B, T, N, E]``, T at least 2: a message may take a step to arrive.
        lengths: ``[B]``.
        task: ``[B]``, boolean ``[B, K]``, or ``None``: the states of all tasks are looked at.
        edges: Pairs of names (sender, receiving task); by default all edges of the graph that
            enter a task of the batch. A path counts where it is named here.

    Raises:
        AssertionError: If a receiver does not hear a sender, or there is nothing to check.
        KeyError: If a name is unknown.

    Example:
        >>> from mtgnn import TaskGraph
        >>> from mtgnn.nn import GraphLSTM
        >>> from mtgnn.testing import random_batch, randomise
        >>> layer = randomise(GraphLSTM(3, 4, TaskGraph.hierarchy({"b": ["a"]})))
        >>> assert_heard(layer, *random_batch(3, 2), edges=[("a", "b")])
    """
    graph = task_graph(layer)
    member = task_mask(task, x.size(0), graph.num_tasks)
    present = set(member.any(0).nonzero().flatten().tolist())
    if edges is None:
        edges = [edge for edge in graph.edges if graph.index(edge[1]) in present]
    pairs = [(sender, graph.index(receiver), receiver) for sender, receiver in edges]
    require(bool(pairs), "nothing to check: no edge enters a task of this batch")
    before = outputs(layer, x, lengths, task)
    least = 4 * torch.finfo(before.dtype).eps * before.abs().max()
    after = {
        sender: _disturbed(layer, sender, x, lengths, task)
        for sender in dict.fromkeys(sender for sender, _, _ in pairs)
    }
    for sender, number, receiver in pairs:
        require(number in present, f"no sequence of this batch belongs to {receiver!r}")
        changed = (after[sender] - before).abs() > least
        changed = (changed if has_one_task(task) else changed[:, :, number])[member[:, number]]
        require(bool(changed.any()), f"{receiver!r} does not hear {sender!r}")


def assert_attention_sums_to_one(
    layer: nn.Module, x: Tensor, lengths: Tensor | None = None, task: Tensor | None = None
) -> None:
    """At every real step the weights of a receiver sum to one, and all others are zero.

    On edges they are ``[B, T, num_edges, P]`` and sum to one over the edges into each node that
    ran; a mailbox (``layer.memory`` of ``"all"`` or ``"past"``) has ``[B, T, T, P]``, with several
    tasks ``[B, K, T, T, P]``, over readable real positions, where the task hears anybody.
    Asking for them must not change the result.

    Args:
        layer: The layer.
        x: ``[B, T, E]`` or ``[B, T, N, E]``.
        lengths: ``[B]``.
        task: ``[B]``, boolean ``[B, K]``, or ``None``.

    Raises:
        AssertionError: If a sum is not one, a weight is negative, or a weight stands where nothing
            is sent.
    """
    with evaluating(layer), torch.no_grad():
        plain = layer(x, lengths, task)[0]
        answer = layer(x, lengths, task, return_attention_weights=True)
    require(len(answer) == 3, f"expected (out, state, attention), got {len(answer)} values")
    out, _, attention = answer
    require(torch.equal(out, plain), "asking for the attention changes the result")
    require(len(attention) > 0, "expected attention for each layer and direction, got none")
    full = torch.full((x.size(0),), x.size(1)) if lengths is None else lengths.cpu()
    real = (torch.arange(x.size(1)) < full[:, None]).to(x.device)
    memory, both = getattr(layer, "memory", None), bool(getattr(layer, "bidirectional", False))
    for number, (edge_index, alpha) in enumerate(attention):
        require(bool((alpha >= 0).all()), "a weight is negative or NaN")
        if memory in ("all", "past"):
            _check_mailbox(task_graph(layer), alpha, real, task)
            if memory == "past":  # every second of both directions is read from the end
                steps = alpha.transpose(-3, -1)  # [..., P, T, T], from the position to the step
                ahead = steps.triu(1) if both and number % 2 else steps.tril(-1)
                require(not bool(ahead.any()), "a weight stands on a position not yet read")
        else:
            _check_edges(task_graph(layer), edge_index, alpha, real, task)


def _check_edges(
    graph: TaskGraph, edge_index: Tensor, alpha: Tensor, real: Tensor, task: Tensor | None
) -> None:
    batch, steps = real.shape
    expected = (batch, steps, graph.num_edges)
    require(
        alpha.shape[:3] == expected and edge_index.size(1) == graph.num_edges,
        f"expected weights {[*expected, 'P']}, got {list(alpha.shape)}",
    )
    require(not bool(alpha[~real].any()), "a weight stands beyond the lengths")
    shape = (batch, steps, graph.num_nodes, alpha.size(-1))
    sums = alpha.new_zeros(shape).index_add(2, edge_index[1].to(alpha.device), alpha)
    hears = torch.tensor([bool(graph.incoming(node)) for node in range(graph.num_nodes)])
    member = task_mask(task, batch, graph.num_tasks)
    for b in range(batch):
        own = member[b].nonzero().flatten().tolist()
        for node in range(graph.num_nodes):
            got = sums[b, real[b], node]
            ran = bool(hears[node]) and (node in own or bool(got.any()))
            message = f"weights into {graph.nodes[node]!r} do not sum to {int(ran)}"
            same(got, torch.full_like(got, float(ran)), message)


def _check_mailbox(graph: TaskGraph, alpha: Tensor, real: Tensor, task: Tensor | None) -> None:
    hears = torch.tensor([bool(graph.incoming(k)) for k in range(graph.num_tasks)])
    if task is None:
        reads = hears.expand(len(alpha), -1)
    elif has_one_task(task):
        alpha, reads = alpha.unsqueeze(1), hears[task.cpu()].unsqueeze(1)
    else:
        reads = hears & task.cpu()
    there = real[:, None] & reads.to(real.device)[:, :, None]
    expected = there[..., None].to(alpha.dtype).expand(alpha.shape[:3] + alpha.shape[-1:])
    same(alpha.sum(3), expected, "weights over the mailbox do not sum to one")
    unread = ~real[:, None, None, :, None].expand_as(alpha)
    require(not bool(alpha[unread].any()), "a weight stands on a position beyond the lengths")


def _disturbed(layer: nn.Module, sender: str, *arguments: Any) -> Tensor:
    """Outputs with other parameters in one node, which are put back afterwards."""
    require(hasattr(layer, "nodes"), "expected the parameters of each node in layer.nodes[name]")
    parameters = list(layer.get_submodule("nodes")[sender].parameters())  # type: ignore[index]
    kept = [parameter.detach().clone() for parameter in parameters]
    try:
        for parameter in parameters:
            parameter.data.add_(0.5)
        return outputs(layer, *arguments)
    finally:
        for parameter, values in zip(parameters, kept, strict=True):
            parameter.data.copy_(values)
