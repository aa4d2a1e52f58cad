"""Any PyG layer as the communication."""

import pytest
import torch
from torch.nn import BatchNorm1d, InstanceNorm1d, LayerNorm, Linear, Sequential
from torch_geometric.nn import GATv2Conv, GCNConv, GINConv, RGCNConv, SAGEConv, SGConv

from mtgnn import TaskGraph
from mtgnn.nn import GraphLSTM

B, T, E, H = 3, 4, 3, 4
LENGTHS, TASK = torch.tensor([4, 2, 3]), torch.tensor([0, 1, 2])
GRAPH = TaskGraph.hierarchy({"c": ["a", "b"], "b": ["a"]})
CONVS = {
    "gatv2": lambda: GATv2Conv(H, 2, heads=2, add_self_loops=False),
    "sage": lambda: SAGEConv(H, 5),
}


@pytest.mark.parametrize("exchange", ["mutual", "read", "cascade"])
@pytest.mark.parametrize("conv", CONVS)
def test_messages_arrive_and_isolated_nodes_receive_nothing(conv: str, exchange: str) -> None:
    torch.manual_seed(0)
    layer = GraphLSTM(E, H, GRAPH, exchange, conv=CONVS[conv]()).double()
    x = torch.randn(B, T, E).double()
    before, _ = layer(x, LENGTHS, TASK)
    every, _ = layer(x, LENGTHS)
    torch.testing.assert_close(every[torch.arange(B), :, TASK], before)
    for parameter in layer.convs.parameters():
        parameter.data += 0.5
    after, _ = layer(x, LENGTHS, TASK)
    assert torch.equal(after[0], before[0])  # "a" has no incoming edge
    assert not torch.allclose(after[1], before[1])
    assert not torch.allclose(after[2], before[2])


def test_a_factory_serves_layers_and_directions() -> None:
    made = []

    def factory(layer: int, direction: int) -> SAGEConv:
        made.append((layer, direction))
        return SAGEConv(H, H)

    layer = GraphLSTM(E, H, GRAPH, num_layers=2, bidirectional=True, conv=factory)
    assert made == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert layer(torch.randn(B, T, E), LENGTHS, TASK)[0].shape == (B, T, 2 * H)


def test_what_cannot_work_says_so_at_construction() -> None:
    with pytest.raises(ValueError, match="failed when called"):
        GraphLSTM(E, H, GRAPH, "read", conv=GCNConv(H, H))
    with pytest.raises(ValueError, match="failed when called"):
        GraphLSTM(E, H, GRAPH, conv=SAGEConv(H + 1, H))
    with pytest.raises(ValueError, match="factory .* got the class SAGEConv"):
        GraphLSTM(E, H, GRAPH, conv=SAGEConv)
    with pytest.raises(ValueError, match="expected the factory to give a layer, got the class"):
        GraphLSTM(E, H, GRAPH, conv=lambda layer, direction: SAGEConv)
    with pytest.raises(ValueError, match="; a task graph has no edge_type"):
        GraphLSTM(E, H, GRAPH, conv=RGCNConv(H, H, 2))
    with pytest.raises(ValueError, match="expected edge_dim=None"):
        GraphLSTM(E, H, GRAPH, conv=GATv2Conv(H, H, edge_dim=2, add_self_loops=False))
    for norm in (BatchNorm1d(H), InstanceNorm1d(H, track_running_stats=True)):
        with pytest.raises(ValueError, match="in training its norm is over the nodes of all"):
            GraphLSTM(E, H, GRAPH, conv=GINConv(Sequential(Linear(H, H), norm)))
    assert GraphLSTM(E, H, GRAPH, conv=GINConv(Sequential(Linear(H, H), LayerNorm(H)))).foreign
    with pytest.raises(ValueError, match="need a conv each"):
        GraphLSTM(E, H, GRAPH, num_layers=2, conv=SAGEConv(H, H))


def test_what_mixes_sequences_is_refused() -> None:
    """Else what a text is told depends on who else is in the batch."""
    with pytest.raises(ValueError, match="mixes sequences"):
        GraphLSTM(E, H, GRAPH, "read", conv=GATv2Conv(H, H))  # with self-loops
    GraphLSTM(E, H, GRAPH, conv=GATv2Conv(H, H))  # where a node is its own receiver: fine

    class Normed(SAGEConv):
        def forward(self, x, edge_index):
            out = super().forward(x, edge_index)
            return out - out.mean(0)

    with pytest.raises(ValueError, match="mixes sequences"):
        GraphLSTM(E, H, GRAPH, conv=Normed(H, H))
    for cached in (GCNConv(H, H, cached=True), SGConv(H, H, cached=True)):
        with pytest.raises(ValueError, match="another number of nodes each time|nothing cached"):
            GraphLSTM(E, H, GRAPH, conv=cached)


def test_trying_leaves_a_conv_in_training_and_gives_it_its_sizes() -> None:
    conv = SAGEConv((-1, -1), H)  # its sizes come from the first states it sees
    GraphLSTM(E, H, GRAPH, "read", conv=conv)
    assert conv.training and conv.lin_l.weight.shape == (H, H)


def test_trying_leaves_each_part_of_a_conv_in_its_mode() -> None:
    conv = SAGEConv(H, H)
    conv.lin_r.eval()
    conv.scale = torch.ones(1, requires_grad=True) * 2  # not copied: the conv itself is tried
    GraphLSTM(E, H, GRAPH, "read", conv=conv)
    assert conv.training and conv.lin_l.training and not conv.lin_r.training


def test_what_cannot_be_copied_or_is_never_the_same_is_taken() -> None:
    class Noisy(SAGEConv):
        def forward(self, x, edge_index):
            return torch.nn.functional.dropout(super().forward(x, edge_index), 0.5, True)

    normed = SAGEConv(H, H)
    normed.lin_l.scale = torch.ones(1, requires_grad=True) * 2  # this, torch does not copy
    for conv in (Noisy(H, H), normed):
        layer = GraphLSTM(E, H, GRAPH, "read", conv=conv)
        assert layer.message_size == H and conv.training


def test_lazy_layers_start_each_in_its_own_way() -> None:
    layer = GraphLSTM(E, H, GRAPH, num_layers=2, conv=lambda *_: SAGEConv((-1, -1), H))
    first, second = (layer.convs[key].lin_l.weight for key in ("l0", "l1"))
    assert first.shape == second.shape and not torch.equal(first, second)


def test_options_of_scores_make_no_sense() -> None:
    given = {"heads": 2, "score": "dot", "attention_dropout": 0.1, "score_channels": 2}
    with pytest.raises(ValueError, match="'score', 'heads', 'score_channels', 'attention_dropout'"):
        GraphLSTM(E, H, GRAPH, conv=SAGEConv(H, H), **given)
    with pytest.raises(ValueError, match="score_owner"):
        GraphLSTM(E, H, GRAPH, conv=SAGEConv(H, H), score_owner="receiver")


def test_what_is_no_message_and_who_cannot_be_detached() -> None:
    class Pair(SAGEConv):
        def forward(self, x, edge_index):
            return super().forward(x, edge_index), edge_index

    class Pooled(SAGEConv):
        def forward(self, x, edge_index):
            return super().forward(x, edge_index).sum(0)

    for wrong in (Pair(H, H), Pooled(H, H)):
        for exchange, nodes in (("mutual", 4), ("read", 2)):
            with pytest.raises(ValueError, match=rf"to give \[{nodes}, channels\], got"):
                GraphLSTM(E, H, GRAPH, exchange, conv=wrong)
    GraphLSTM(E, H, GRAPH, "read", conv=SAGEConv(H, H), detach=True)
    with pytest.raises(ValueError, match="cannot detach senders that are receivers as well"):
        GraphLSTM(E, H, GRAPH, "mutual", conv=SAGEConv(H, H), detach=True)
