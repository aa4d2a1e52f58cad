"""The nearest relatives that install; they compute something else, so their values differ."""

from __future__ import annotations

from importlib import util
from pathlib import Path

import torch
from _cases import Case, sparse_graph
from torch import Tensor, nn
from torch_geometric.nn import DenseGATConv

from mtgnn import TaskGraph

GCONV_LSTM = Path("nn", "recurrent", "gconv_lstm.py")


class DenseGATLoop(nn.Module):
    """A loop over words with PyG's ``DenseGATConv`` on the complete graph and an ``LSTMCell`` a
    task. Its attention does not see the word.

    Args:
        case: The row.
    """

    def __init__(self, case: Case) -> None:
        super().__init__()
        self.conv = DenseGATConv(case.H, case.H)
        self.cells = nn.ModuleList(nn.LSTMCell(case.E + case.H, case.H) for _ in range(case.K))
        self.register_buffer("adj", (1 - torch.eye(case.K)).unsqueeze(0))
        self.hidden_size = case.H

    def forward(self, x: Tensor, lengths: Tensor, task: Tensor) -> Tensor:
        """States ``[B, T, H]`` of each sequence's task."""
        batch = x.size(0)
        rows, task = torch.arange(batch, device=x.device), task.to(x.device)
        states = [(x.new_zeros(batch, self.hidden_size),) * 2 for _ in self.cells]
        h = torch.stack([state[0] for state in states], 1)
        out = []
        for word in x.unbind(1):
            messages = self.conv(h, self.adj, add_loop=False).unbind(1)
            inputs = [torch.cat([word, message], -1) for message in messages]
            states = [
                cell(own, state)
                for cell, own, state in zip(self.cells, inputs, states, strict=True)
            ]
            h = torch.stack([state[0] for state in states], 1)
            out.append(h[rows, task])
        return torch.stack(out, 1)


class GConvLSTMLoop(nn.Module):
    """A loop over words with PyG-Temporal's ``GConvLSTM`` on the row's graph, once for each
    sequence: Chebyshev filters of order 2 in the place of attention, and the same weights in all
    tasks.

    Args:
        case: The row.

    Raises:
        ImportError: If the package is not there.
    """

    def __init__(self, case: Case) -> None:
        super().__init__()
        self.cell = gconv_lstm()(case.E, case.H, K=2)
        graph = sparse_graph(case.K) if case.kind == "sparse" else TaskGraph.complete(case.K)
        self.register_buffer("edge_index", graph.edge_index)
        self.num_tasks, self.hidden_size = case.K, case.H

    def forward(self, x: Tensor, lengths: Tensor, task: Tensor) -> Tensor:
        """States ``[B, T, H]`` of each sequence's task."""
        first = torch.arange(x.size(0), device=x.device) * self.num_tasks
        edge_index = (self.edge_index.unsqueeze(1) + first.view(1, -1, 1)).flatten(1)
        own, out = first + task.to(x.device), []
        # Its own zeros are in float32.
        state = (x.new_zeros(len(first) * self.num_tasks, self.hidden_size),) * 2
        for word in x.unbind(1):
            every = word.repeat_interleave(self.num_tasks, 0)
            state = self.cell(every, edge_index, None, *state)
            out.append(state[0][own])
        return torch.stack(out, 1)


def gconv_lstm() -> type[nn.Module]:
    """PyG-Temporal's class, from its file: the package cannot be imported without torch-sparse.

    Raises:
        ImportError: If the package is not there.
    """
    package = util.find_spec("torch_geometric_temporal")
    if package is None or not package.submodule_search_locations:
        raise ImportError("wants: pip install --no-deps torch-geometric-temporal")
    path = Path(package.submodule_search_locations[0]) / GCONV_LSTM
    spec = util.spec_from_file_location("gconv_lstm", path)
    assert spec is not None and spec.loader is not None
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.GConvLSTM
