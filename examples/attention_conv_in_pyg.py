"""``TaskAttentionConv`` as a layer of an ordinary PyG model, on an ordinary graph.

Zachary's karate club, 34 people and who knows whom; one person of each of four factions is
labelled, the others' faction is to be found.
"""

import torch
from torch import Tensor, nn
from torch_geometric.datasets import KarateClub

from mtgnn.nn import TaskAttentionConv


class AttentionNet(nn.Module):
    """Two rounds of messages; each node's own state is added, since the layer sends none."""

    def __init__(self, in_channels: int, hidden_channels: int, out_channels: int) -> None:
        super().__init__()
        self.encode = nn.Linear(in_channels, hidden_channels)
        self.conv1 = TaskAttentionConv(hidden_channels)
        self.conv2 = TaskAttentionConv(hidden_channels)
        self.classify = nn.Linear(hidden_channels, out_channels)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        x = self.encode(x)
        x = torch.tanh(x + self.conv1(x, edge_index))
        x = torch.tanh(x + self.conv2(x, edge_index))
        return self.classify(x)


torch.manual_seed(0)
data = KarateClub()[0]
model = AttentionNet(data.num_features, 16, out_channels=4)
print(model)
optimizer = torch.optim.Adam(model.parameters(), lr=0.01, weight_decay=5e-3)
for _ in range(150):
    logits = model(data.x, data.edge_index)
    loss = nn.functional.cross_entropy(logits[data.train_mask], data.y[data.train_mask])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

model.eval()
with torch.no_grad():
    hidden = model.encode(data.x)
    _, (edge_index, alpha) = model.conv1(hidden, data.edge_index, return_attention_weights=True)
    right = model(data.x, data.edge_index).argmax(1) == data.y
print(f"accuracy on the unlabelled: {right[~data.train_mask].float().mean():.1%}")
strongest = int(alpha[:, 0].argmax())
print(f"the strongest edge: {edge_index[0, strongest]} → {edge_index[1, strongest]}")
