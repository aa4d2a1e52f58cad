import pytest
import torch
from torch import Tensor

from mtgnn import TaskGraph
from mtgnn.data import SequenceBatch
from mtgnn.explain import average_attention, plot_task_graphs
from mtgnn.nn import CompleteGraphLSTM, StarGraphLSTM


class Reader(torch.nn.Module):
    """An encoder on embedded tokens, with what it handed out last."""

    def __init__(self, encoder: torch.nn.Module) -> None:
        super().__init__()
        self.embedding, self.encoder = torch.nn.Embedding(9, 4), encoder

    def forward(self, tokens: Tensor, lengths: Tensor, task: Tensor, **options: bool) -> tuple:
        return self.encoder(self.embedding(tokens), lengths, task, **options)


def batches(tasks: int) -> list[SequenceBatch]:
    generator = torch.Generator().manual_seed(0)
    made = []
    for size in (5, 3):
        tokens = torch.randint(9, (size, 6), generator=generator)
        lengths = torch.randint(1, 7, (size,), generator=generator)
        lengths[0] = 6
        task = torch.arange(size) % tasks
        made.append(SequenceBatch(tokens, lengths, task, torch.zeros(size, dtype=torch.long)))
    return made


def test_weights_are_the_mean_over_words_of_the_receivers_own_sentences() -> None:
    torch.manual_seed(1)
    model = Reader(CompleteGraphLSTM(4, 3, ["a", "b", "c"], heads=2, num_layers=2))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=2.0)
    graph = average_attention(model, batches(3))
    assert graph.edge_weight is not None
    words: dict[int, list[Tensor]] = {0: [], 1: [], 2: []}
    for batch in batches(3):
        attention = model(batch.tokens, batch.lengths, batch.task, return_attention_weights=True)[2]
        for b, k in enumerate(batch.task.tolist()):
            for t in range(int(batch.lengths[b])):
                layers = [alpha[b, t].mean(-1) for _, alpha in attention]
                words[k].append((layers[0] + layers[1]) / 2)
    for edge, (_, k) in enumerate(graph.edge_index.t().tolist()):
        mean = torch.stack(words[k]).mean(0)[edge]
        torch.testing.assert_close(graph.edge_weight[edge], mean)
    sums = torch.zeros(3).index_add(0, graph.edge_index[1], graph.edge_weight)
    torch.testing.assert_close(sums, torch.ones(3))
    assert graph.edge_weight.std() > 0.01


def test_what_cannot_be_averaged_is_refused() -> None:
    star = Reader(StarGraphLSTM(4, 3, 2))
    with pytest.raises(ValueError, match="positions, not to edges"):
        average_attention(star, batches(2))
    complete = Reader(CompleteGraphLSTM(4, 3, 4))
    with pytest.raises(ValueError, match="task3"):
        average_attention(complete, batches(3), complete.encoder.graph)


def test_a_picture_is_drawn(tmp_path) -> None:
    graph = TaskGraph.complete(["a", "b", "c"])
    learned = graph.with_weight(torch.tensor([0.9, 0.1, 0.5, 0.5, 0.2, 0.8]))
    plot_task_graphs({"equal": graph, "learned": learned}, tmp_path / "graph.png", [0, 0, 1])
    assert (tmp_path / "graph.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ValueError, match="expected tasks"):
        plot_task_graphs({"one": graph, "other": TaskGraph.complete(2)}, tmp_path / "no.png")
    with pytest.raises(ValueError, match="a group for each"):
        plot_task_graphs({"one": graph}, tmp_path / "no.png", [0])
