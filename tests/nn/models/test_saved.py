"""Files of models: plain values, the same predictions, clear errors."""

import io
from enum import Enum
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch_geometric.nn import GATv2Conv, SAGEConv

from mtgnn import TaskGraph
from mtgnn.data import Vocabulary
from mtgnn.nn import CompleteGraphLSTM, GraphLSTM, MultiTaskModel, SharedLSTM
from mtgnn.testing import randomise

CLASSES = {"books": ["bad", "good"], "v1.0": ["one", "two", "three"], "dvd": ["bad", "good"]}
VOCABULARY = Vocabulary(["i", "like", "it", "not", "!"])
TOKENS = torch.tensor([[3, 4, 5, 7], [5, 4, 0, 0], [6, 0, 0, 0], [3, 1, 2, 0]])
LENGTHS = torch.tensor([4, 2, 1, 3])
TASK = torch.tensor([2, 1, 1, 2])
TEXTS = ["i like it !", "", "not it", "i do not like it at all", "i", "like it"]
HIERARCHY = TaskGraph.hierarchy({"dvd": ["books", "v1.0"]})


def model(encoder: str | torch.nn.Module = "complete", **options: object) -> MultiTaskModel:
    torch.manual_seed(0)
    sizes: dict = {"embedding_size": 4, "hidden_size": 3, **options}
    return MultiTaskModel(VOCABULARY, CLASSES, encoder, **sizes)


def tied(net: MultiTaskModel) -> MultiTaskModel:
    """Scale parameters up, so that predictions are not all alike."""
    for parameter in net.parameters():
        parameter.data *= 3
    return net


@pytest.mark.parametrize(
    ("encoder", "options"),
    [
        ("single", {"embedding": "task", "encoder_options": {"num_layers": 2}}),
        ("shared", {"pooling": "last", "encoder_options": {"bidirectional": True}}),
        ("complete", {"pooling": "mean", "encoder_options": {"exchange": "mutual", "heads": 2}}),
        ("star", {"pooling": "attention", "dropout": 0.5, "encoder_options": {"memory": "past"}}),
        ("graph", {"encoder_options": {"graph": HIERARCHY, "exchange": "cascade"}}),
        ("shared_private", {"encoder_options": {"bidirectional": True}}),
        ("adversarial", {"encoder_options": {"adversarial_weight": 0.1, "pooling": "max"}}),
        ("hierarchical", {"encoder_options": {"graph": HIERARCHY, "num_layers": 2}}),
        ("cross_stitch", {"encoder_options": {"num_layers": 2, "subspaces": 3}}),
        ("mixture", {"encoder_options": {"num_experts": 2}}),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float, torch.double])
def test_a_loaded_model_predicts_the_same(
    tmp_path: Path, encoder: str, options: dict, dtype: torch.dtype
) -> None:
    torch.manual_seed(0)
    classes = {name: CLASSES[name] for name in HIERARCHY.tasks}
    net = tied(
        MultiTaskModel(VOCABULARY, classes, encoder, embedding_size=4, hidden_size=3, **options)
    ).to(dtype)
    net.save(tmp_path / "model.pt")
    loaded = MultiTaskModel.load(tmp_path / "model.pt")
    assert loaded.vocabulary == VOCABULARY and loaded.classes == classes
    assert list(loaded.classes) == list(classes) and loaded.graph == net.graph
    assert not loaded.training and loaded.embedding.weight.dtype == dtype
    for task in classes:
        assert loaded.predict(TEXTS, task) == net.predict(TEXTS, task)
    net.eval()
    assert torch.equal(loaded(TOKENS, LENGTHS, TASK), net(TOKENS, LENGTHS, TASK))
    loaded(TOKENS, LENGTHS, TASK)[:, 0].sum().backward()
    assert loaded.embedding.weight.grad.any()


def test_the_file_holds_plain_values(tmp_path: Path) -> None:
    net = model("graph", encoder_options={"graph": TaskGraph.star(list(CLASSES))})
    net.save(tmp_path / "model.pt")
    allowed = torch.serialization.get_safe_globals()  # torch_geometric has classes of its own there
    torch.serialization.clear_safe_globals()
    try:
        content = torch.load(tmp_path / "model.pt", weights_only=True)
    finally:
        torch.serialization.add_safe_globals(allowed)
    assert content["graph"]["tasks"] == list(CLASSES)
    assert content["graph"]["virtual"] == ["shared"]
    assert ["shared", "books"] in content["graph"]["edges"]
    plain = (dict, list, str, int, float, bool, type(None), Tensor)

    def walk(value: object) -> None:
        assert type(value) in plain
        for part in value.values() if isinstance(value, dict) else ():
            walk(part)
        for part in value if isinstance(value, list) else ():
            walk(part)

    walk(content)


class Score(str, Enum):
    DOT = "dot"


def test_numbers_and_names_of_numpy_are_saved_plain(tmp_path: Path) -> None:
    net = MultiTaskModel(
        VOCABULARY,
        {np.str_(task): list(np.unique(names)) for task, names in CLASSES.items()},
        "star",
        embedding_size=np.int64(4),
        hidden_size=np.int64(3),
        dropout=np.float64(0.1),
        encoder_options={
            "num_layers": np.int64(2),
            "message_dropout": np.float32(0.5),
            "score": Score.DOT,
        },
    )
    net.save(tmp_path / "model.pt")
    loaded = MultiTaskModel.load(tmp_path / "model.pt")
    assert loaded.predict(TEXTS, "dvd") == net.predict(TEXTS, "dvd")
    read = loaded.encoder
    assert (read.score, read.num_layers, read.message_dropout) == ("dot", 2, 0.5)


def test_what_an_encoder_of_one_s_own_calls_its_parts_is_no_matter(tmp_path: Path) -> None:
    class Own(SharedLSTM):
        def __init__(self) -> None:
            super().__init__(4, 3, list(CLASSES))
            self.heads = torch.nn.ModuleList([torch.nn.Linear(3, 3)])

    net = model(Own())
    net.save(tmp_path / "model.pt")
    assert MultiTaskModel.load(tmp_path / "model.pt", Own()).predict(TEXTS, "dvd") == net.predict(
        TEXTS, "dvd"
    )


def test_what_is_not_plain_is_refused_when_it_is_saved() -> None:
    net = model()
    net._options["hidden_size"] = {3}
    with pytest.raises(ValueError, match=r"plain values, got \{3\}, a set"):
        net.save(io.BytesIO())


def test_saves_to_a_stream() -> None:
    net, file = tied(model()), io.BytesIO()
    net.save(file)
    file.seek(0)
    assert MultiTaskModel.load(file).predict(TEXTS, "dvd") == net.predict(TEXTS, "dvd")


def test_graphs_have_what_helps_them_unless_told_otherwise(tmp_path: Path) -> None:
    graph = {"graph": TaskGraph.from_edges([("books", "dvd")], list(CLASSES))}
    for encoder, options in (("complete", {}), ("star", {}), ("graph", graph)):
        for off in ({}, {"common": False}, {"concat_messages": False}):
            net = model(encoder, encoder_options={**options, **off})
            for loaded in (net, through_a_file(net, tmp_path)):
                layer = loaded.encoder
                assert (layer.common is None) == ("common" in off)
                assert layer.concat_messages == ("concat_messages" not in off)
    assert model("single").encoder.common is None


def test_own_parts_are_as_narrow_in_the_file(tmp_path: Path) -> None:
    net = randomise(model("complete", encoder_options={"own_rank": 2}), dtype=torch.float32)
    loaded = through_a_file(net, tmp_path)
    assert loaded.encoder.nodes["books"].weight_hh_l0_left.size(1) == 2
    assert loaded.predict(TEXTS, "dvd") == net.predict(TEXTS, "dvd")


def through_a_file(net: MultiTaskModel, folder: Path) -> MultiTaskModel:
    net.save(folder / "model.pt")
    return MultiTaskModel.load(folder / "model.pt")


def own_encoders() -> list[tuple]:
    tasks = list(CLASSES)
    graph = TaskGraph.complete(tasks)
    conv = {"graph": graph, "conv": GATv2Conv(3, 3, add_self_loops=False)}
    return [
        (lambda: SharedLSTM(4, 3, tasks, num_layers=2), None),
        # Given by name: a conv is no plain value.
        (lambda: GraphLSTM(4, 3, **conv, common=True, concat_messages=True), conv),
    ]


@pytest.mark.parametrize(("make", "options"), own_encoders())
def test_an_encoder_of_one_s_own_is_asked_for(tmp_path: Path, make, options) -> None:
    net = tied(model(make()) if options is None else model("graph", encoder_options=options))
    net.save(tmp_path / "model.pt")
    with pytest.raises(ValueError, match=r"load\(path, encoder=…\).*TaskGraph"):
        MultiTaskModel.load(tmp_path / "model.pt")
    loaded = MultiTaskModel.load(tmp_path / "model.pt", encoder=make())
    assert loaded.predict(TEXTS, "dvd") == net.predict(TEXTS, "dvd")
    with pytest.raises(ValueError, match="expected an encoder like the one that was saved"):
        MultiTaskModel.load(tmp_path / "model.pt", encoder=GraphLSTM(4, 3, net.graph))


def test_an_encoder_that_reads_otherwise_does_not_fit(tmp_path: Path) -> None:
    """Although its parameters have the same names and sizes."""
    path = tmp_path / "model.pt"
    model(CompleteGraphLSTM(4, 3, list(CLASSES))).save(path)
    for options, said in (
        ({"exchange": "mutual"}, "exchange 'read', not 'mutual'"),
        ({"score": "dot"}, "score 'additive', not 'dot'"),
    ):
        with pytest.raises(ValueError, match=said):
            MultiTaskModel.load(path, CompleteGraphLSTM(4, 3, list(CLASSES), **options))
    one_way = TaskGraph(list(CLASSES), TaskGraph.complete(list(CLASSES)).edge_index.flip(0))
    with pytest.raises(ValueError, match=r"graph \[\['v1.0', 'books'\]"):
        MultiTaskModel.load(path, GraphLSTM(4, 3, one_way, "read"))
    same = {"kernel": "reference", "dropout": 0.5, "num_layers": 1}
    MultiTaskModel.load(path, CompleteGraphLSTM(4, 3, list(CLASSES), **same))
    MultiTaskModel.load(path, GraphLSTM(4, 3, TaskGraph.complete(list(CLASSES)), "read"))


def test_heads_of_another_kind_are_not_in_the_file(tmp_path: Path) -> None:
    class Scaled(torch.nn.Linear):
        def forward(self, h: Tensor) -> Tensor:
            return 10 * super().forward(h)

    net = model()
    net.heads.heads["dvd"] = Scaled(net.encoder.output_size, len(CLASSES["dvd"]))
    net.save(tmp_path / "model.pt")
    with pytest.raises(ValueError, match=r"heads of \['dvd'\] were replaced"):
        MultiTaskModel.load(tmp_path / "model.pt")
    net.load_state_dict(torch.load(tmp_path / "model.pt")["state_dict"])  # as it says


def test_another_conv_does_not_fit(tmp_path: Path) -> None:
    graph = TaskGraph.complete(list(CLASSES))
    model(GraphLSTM(4, 3, graph, conv=SAGEConv(3, 3))).save(tmp_path / "model.pt")
    with pytest.raises(ValueError, match="aggr=mean.*not.*aggr=sum"):
        other = GraphLSTM(4, 3, graph, conv=SAGEConv(3, 3, aggr="sum"))
        MultiTaskModel.load(tmp_path / "model.pt", other)


def test_attributes_of_an_encoder_of_one_s_own_are_no_matter(tmp_path: Path) -> None:
    class Own(CompleteGraphLSTM):
        scale = np.sqrt(16)

    def make() -> Own:
        made = Own(4, 3, list(CLASSES))
        made.calls, made.floor = np.float64(3), float("nan")
        return made

    model(make()).save(tmp_path / "model.pt")
    MultiTaskModel.load(tmp_path / "model.pt", make())


def test_broken_files(tmp_path: Path) -> None:
    path, broken = tmp_path / "model.pt", tmp_path / "broken.pt"
    model().save(path)
    data = path.read_bytes()
    weights = model().embedding.weight.detach().numpy().tobytes()
    assert data.count(weights) == 1
    flipped = data.replace(weights, weights[:-1] + bytes([weights[-1] ^ 1]))
    for content in (b"", b"no model", data[: len(data) // 2], data[:200] + data[400:], flipped):
        broken.write_bytes(content)
        with pytest.raises(ValueError, match=r"MultiTaskModel\.save.*broken\.pt"):
            MultiTaskModel.load(broken)
    with pytest.raises(FileNotFoundError):
        MultiTaskModel.load(tmp_path / "nowhere.pt")
    with pytest.raises(ValueError, match="takes no other"):
        MultiTaskModel.load(path, encoder=SharedLSTM(4, 3, list(CLASSES)))
    content = torch.load(path, weights_only=True)
    other_head = {**content["state_dict"], "heads.heads.dvd.weight": torch.ones(5, 3)}
    for change, message in [
        ({"format": "another"}, "got one of another"),
        ({"format": None}, "something else"),
        ({"version": 99}, "version 1"),
        ({"classes": None}, "classes"),
        ({"state_dict": {}}, "does not fit"),
        ({"state_dict": other_head}, "does not fit"),
        ({"options": {"embedding_sise": 4}}, "does not fit"),
    ]:
        torch.save({**content, **change}, broken)
        with pytest.raises(ValueError, match=message):
            MultiTaskModel.load(broken)
    torch.save(content["state_dict"], broken)
    with pytest.raises(ValueError, match="something else"):
        MultiTaskModel.load(broken)
    torch.save([torch.nn.Linear(2, 2)], broken)  # pickled code is refused, not run
    with pytest.raises(ValueError, match="cannot read"):
        MultiTaskModel.load(broken)
