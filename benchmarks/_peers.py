"""The nearest relatives that install; they compute something else, so their values differ."""

from __future__ import annotations

import torch
from _cases import Case
from torch import Tensor, nn
from torch_geometric.nn import DenseGATConv


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
