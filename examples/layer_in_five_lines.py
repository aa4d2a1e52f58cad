"""A task-graph layer in an ordinary PyTorch training loop.

Three tasks count in the same sequences; tasks 0 and 1 count the same thing. The layer takes the
place of an ``nn.LSTM``: it also wants to know which task a sequence belongs to.
"""

import torch
from torch import nn

from mtgnn.nn import CompleteGraphLSTM

torch.manual_seed(0)
x = torch.randn(600, 8, 4)  # [sequences, steps, features]
task = torch.arange(600) % 3
y = (x[:, :, 0].sum(1) > 0) ^ (task == 2)  # task 2 has it the other way round

rnn = CompleteGraphLSTM(input_size=4, hidden_size=16, num_tasks=["first", "second", "other"])
heads = nn.Linear(16, 3)
optimizer = torch.optim.Adam([*rnn.parameters(), *heads.parameters()], lr=0.01)
for _ in range(15):
    for batch in torch.randperm(480).split(32):
        out, state = rnn(x[batch], task=task[batch])  # [B, T, 16]
        logit = heads(out[:, -1]).gather(1, task[batch, None]).squeeze(1)
        loss = nn.functional.binary_cross_entropy_with_logits(logit, y[batch].float())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

rnn.eval()
with torch.no_grad():
    # "task" says who reads; the attention says whom it listens to.
    out, state, attention = rnn(x[480:], task=task[480:], return_attention_weights=True)
    logit = heads(out[:, -1]).gather(1, task[480:, None]).squeeze(1)
right = (logit > 0) == y[480:]
print(f"accuracy on sequences it has not seen: {right.float().mean():.1%}")
edge_index, alpha = attention[0]  # alpha [B, T, edges, heads]
for edge, (sender, receiver) in enumerate(rnn.graph.edges):
    mine = task[480:] == rnn.graph.index(receiver)
    print(f"{receiver:6} listens to {sender:6} {alpha[mine, :, edge].mean():.2f}")
