"""Where torch-scatter helps: its ``segment_csr`` against torch's own ``index_add_``.

    python benchmarks/scatter.py

Needs torch-scatter, which is never needed otherwise. Two places use it: ``TaskAttentionConv`` on an
adjacency in CSR form, and ``GraphLSTM`` in a mutual exchange over a sparse graph whose nodes have
unequal numbers of senders. Both are timed in turns, in one process, with it and without; first the
results are compared.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import torch
import torch_geometric.typing
from _timing import alternate
from torch import Tensor, nn
from torch_geometric.utils import to_torch_csr_tensor

import mtgnn.ops.sparse
from mtgnn import TaskGraph
from mtgnn.nn import GraphLSTM, TaskAttentionConv

Call = Callable[[bool], Tensor]  # with a backward pass, or without


def random_edges(nodes: int, edges: int) -> Tensor:
    """Distinct edges without self-loops, sorted by receiver; in-degrees differ."""
    generator = torch.Generator().manual_seed(0)
    pair = torch.randint(nodes * nodes, (2 * edges,), generator=generator).unique()
    receiver, sender = pair // nodes, pair % nodes
    keep = (receiver != sender).nonzero().squeeze(1)
    keep = keep[torch.randperm(len(keep), generator=generator)[:edges]].sort().values
    return torch.stack([sender[keep], receiver[keep]])


def switched(call: Call, scatter: bool, train: bool) -> Callable[[], Tensor]:
    """The call with torch-scatter, or without it."""

    def run() -> Tensor:
        torch_geometric.typing.WITH_TORCH_SCATTER = scatter
        mtgnn.ops.sparse.WITH_TORCH_SCATTER = scatter
        return call(train)

    return run


def there_and_back(module: nn.Module, x: Tensor, forward: Callable[[], Tensor]) -> Call:
    """Outputs, or gradients of the input."""

    def run(train: bool) -> Tensor:
        if not train:
            with torch.no_grad():
                return forward()
        x.grad = None
        module.zero_grad()
        forward().square().sum().backward()
        assert x.grad is not None
        return x.grad

    return run


def conv_call(nodes: int, edges: int, channels: int) -> Call:
    """The layer on a graph."""
    torch.manual_seed(0)
    conv = TaskAttentionConv(channels)
    x = torch.randn(nodes, channels, requires_grad=True)
    adjacency = to_torch_csr_tensor(random_edges(nodes, edges).flip(0), size=(nodes, nodes))

    return there_and_back(conv, x, lambda: conv(x, adjacency))


def layer_call(tasks: int, neighbours: int, batch: int, steps: int, size: int) -> Call:
    """The recurrence over a graph."""
    torch.manual_seed(0)
    graph = TaskGraph(tasks, random_edges(tasks, tasks * neighbours))
    layer = GraphLSTM(size, size, graph, "mutual")
    x = torch.randn(batch, steps, size, requires_grad=True)

    return there_and_back(layer, x, lambda: layer(x)[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="small sizes: only to see it run")
    quick: bool = parser.parse_args().quick
    if not torch_geometric.typing.WITH_TORCH_SCATTER:
        raise SystemExit("torch-scatter is not installed")
    convs = [(50, 200, 8)] if quick else [(2_000, 20_000, 64), (20_000, 400_000, 64)]
    layers = [(20, 3, 2, 4, 8)] if quick else [(512, 8, 8, 20, 64), (128, 16, 16, 50, 64)]
    cases = {f"TaskAttentionConv, {n} nodes, {e} edges": conv_call(n, e, c) for n, e, c in convs}
    for tasks, neighbours, *sizes in layers:
        name = f"GraphLSTM, {tasks} tasks, {neighbours} senders in the mean"
        cases[name] = layer_call(tasks, neighbours, *sizes)
    print(f"{'milliseconds':56}{'without':>10}{'with':>10}")
    for name, call in cases.items():
        for phase, train in (("forward", False), ("train", True)):
            calls = {scatter: switched(call, scatter, train) for scatter in (False, True)}
            torch.testing.assert_close(calls[True](), calls[False](), rtol=1e-3, atol=1e-4)
            times = alternate(calls, "cpu", 1 if quick else 10, 3 if quick else 30)
            row = "".join(f"{1e3 * time.median:10.1f}" for time in times.values())
            print(f"{name + ', ' + phase:56}{row}")


if __name__ == "__main__":
    main()
