"""Any PyG layer as the communication between tasks: ``GATv2Conv`` inside ``GraphLSTM``.

A hierarchy of tasks: ``sum`` and ``sign`` are easy, ``both`` needs what they know.
"""

import torch
from torch import nn
from torch_geometric.nn import GATv2Conv

from mtgnn import TaskGraph
from mtgnn.nn import ClassificationHeads, GraphLSTM, pool

torch.manual_seed(0)
HIDDEN = 16
graph = TaskGraph.hierarchy({"both": ["sum", "sign"]})
# Without self-loops: a node's own state is the LSTM's business.
conv = GATv2Conv(HIDDEN, HIDDEN, add_self_loops=False)
rnn = GraphLSTM(input_size=3, hidden_size=HIDDEN, graph=graph, exchange="cascade", conv=conv)
heads = ClassificationHeads(HIDDEN, [2, 2, 2], graph.tasks)
print(rnn)

x = torch.randn(900, 6, 3)
lengths = torch.randint(3, 7, (900,))
task = torch.arange(900) % 3
real = torch.arange(6) < lengths[:, None]
total = (x[..., 0] * real).sum(1) > 0
sign = x[:, 0, 1] > 0
answers = {"sum": total, "sign": sign, "both": total ^ sign}
y = torch.stack([answers[name] for name in graph.tasks], 1).gather(1, task[:, None]).squeeze(1)

optimizer = torch.optim.Adam([*rnn.parameters(), *heads.parameters()], lr=0.01)
for _ in range(15):
    for batch in torch.randperm(720).split(32):
        out, state = rnn(x[batch], lengths[batch], task[batch])
        logits = heads(pool(out, lengths[batch], "last"), task[batch])
        loss = nn.functional.cross_entropy(logits, y[batch].long())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

rnn.eval()
with torch.no_grad():
    out, state = rnn(x[720:], lengths[720:], task[720:])
    right = heads(pool(out, lengths[720:], "last"), task[720:]).argmax(1) == y[720:].long()
for number, name in enumerate(graph.tasks):
    print(f"{name:5} accuracy {right[task[720:] == number].float().mean():.1%}")
