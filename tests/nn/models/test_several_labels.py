"""Texts with labels in several tasks: read once, as if each task had read them by itself."""

import pytest
import torch
from torch_geometric.data import Data

from mtgnn.data import EncodedTexts, SequenceBatch, Vocabulary
from mtgnn.graph import TaskGraph
from mtgnn.nn import MultiTaskLoss, MultiTaskModel, add_task
from mtgnn.nn.models.trainable import hits

CLASSES = {"mood": ["bad", "good"], "topic": ["food", "film", "art"], "lang": ["a", "b"]}
VOCABULARY = Vocabulary(["i", "like", "it", "not", "!"])
TOKENS = torch.tensor([[3, 4, 5, 7], [5, 4, 0, 0], [6, 0, 0, 0], [3, 1, 2, 0]])
LENGTHS = torch.tensor([4, 2, 1, 3])
TASKS = torch.tensor([[1, 1, 0], [0, 1, 0], [1, 1, 1], [0, 0, 1]]).bool()
Y = torch.tensor([[1, 2, -100], [-100, 0, -100], [0, -100, 1], [-100, -100, 0]])
ENCODERS = ["single", "shared", "complete", "star", "shared_private", "adversarial"]
ENCODERS += ["cross_stitch", "mixture", "hierarchical"]
GRAPH = TaskGraph.from_edges([("lang", "mood"), ("mood", "topic")], list(CLASSES))


def model(encoder: str = "complete", **options: object) -> MultiTaskModel:
    torch.manual_seed(0)
    sizes: dict = {"embedding_size": 4, "hidden_size": 3, **options}
    if encoder == "hierarchical":
        sizes["encoder_options"] = {"graph": GRAPH, **sizes.get("encoder_options", {})}
    return MultiTaskModel(VOCABULARY, CLASSES, encoder, **sizes).double()


def one(net: MultiTaskModel, task: int) -> torch.Tensor:
    """Logits of all texts in one task."""
    return net(TOKENS, LENGTHS, torch.full((len(TOKENS),), task))


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("pooling", ["last", "attention"])
def test_each_task_has_what_it_has_by_itself(encoder: str, pooling: str) -> None:
    net = model(encoder, pooling=pooling, encoder_options={"bidirectional": True})
    alone = torch.stack([one(net, k) for k in range(3)], 1)
    torch.testing.assert_close(net(TOKENS, LENGTHS), alone)
    some = net(TOKENS, LENGTHS, TASKS)
    torch.testing.assert_close(some[TASKS], alone[TASKS])
    assert not some[~TASKS].any() and some.shape == (4, 3, 3)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_losses_and_gradients_are_those_of_an_example_a_task(encoder: str) -> None:
    net = model(encoder)
    row, number = TASKS.nonzero(as_tuple=True)
    every = SequenceBatch(TOKENS, LENGTHS, TASKS, Y)
    each = SequenceBatch(TOKENS[row], LENGTHS[row], number, Y[row, number])
    found, counts = [], []
    for batch in (every, each):
        net.zero_grad()
        losses = net.losses(net.eval().read(batch), batch)
        assert len(losses.value) == len(losses.task) == len(losses.labelled)
        loss = MultiTaskLoss(3)(losses.value, losses.task, labelled=losses.labelled)
        loss.backward()
        counts.append(losses.labelled.sum().item())
        found.append([loss, *(p.grad for p in net.parameters())])
    assert counts == [6, 6]  # one of the seven has no label
    for ours, theirs in zip(*found, strict=True):
        if theirs is None:  # an example of a task that has no label was read for it
            assert ours is None or not ours.any()
        else:
            torch.testing.assert_close(ours, theirs)


def test_a_task_of_no_text_keeps_no_gradient() -> None:
    net, tasks = model("star"), torch.tensor([[1, 0, 1]] * 4).bool()
    y = torch.tensor([[1, -100, 0]] * 4)
    batch = SequenceBatch(TOKENS, LENGTHS, tasks, y)
    losses = net.loss_per_sample(net.read(batch).logits, batch)
    assert losses.shape == (4, 3) and not losses[:, 1].any()
    losses.sum().backward()
    absent = [net.heads.heads["topic"], net.encoder.nodes["topic"]]
    assert all(p.grad is None for part in absent for p in part.parameters())
    assert net.heads.heads["lang"].weight.grad.any()


def test_predictions_of_all_tasks_are_those_of_each() -> None:
    texts = ["i like it !", "", "not it", "i like"]
    for embedding in ("shared", "task"):
        net = model("complete", embedding=embedding)
        for parameter in net.parameters():
            parameter.data *= 3
        every, known = net.predict(texts, batch_size=3), net.predict_proba(texts)
        assert list(known) == list(CLASSES) and [list(own) for own in every] == [list(CLASSES)] * 4
        for task, names in CLASSES.items():
            assert [own[task].label for own in every] == [
                own.label for own in net.predict(texts, task)
            ]
            torch.testing.assert_close(known[task], net.predict_proba(texts, task))
            assert known[task].shape == (4, len(names))
        assert net.predict([]) == [] and net.predict_proba([])["topic"].shape == (0, 3)


def test_a_text_is_read_once_for_all_tasks() -> None:
    net, read = model("complete"), []
    net.encoder.register_forward_hook(lambda part, given, out: read.append(given[2]))
    net.predict(["i like it", "not it"])
    assert read == [None]


def test_dropout_is_of_the_tasks_that_a_text_has() -> None:
    net = model("shared", dropout=0.5)
    seen: list[torch.Size] = []
    net.dropout.register_forward_hook(lambda part, given, out: seen.append(out.shape))
    net(TOKENS, LENGTHS, TASKS)
    assert seen == [(4, 4, 4), (int(TASKS.sum()), 3)]


def test_a_new_task_has_labels_beside_the_others() -> None:
    wider = add_task(model("star"), "style", ["dry", "wild"])

    class Named(list[Data]):
        tasks, classes = list(CLASSES), CLASSES

    data = Named([Data(text="i like it", labels={"mood": "good", "style": "wild"})])
    texts = EncodedTexts(data, wider.vocabulary, classes=wider.classes)
    batch = texts.collate(list(texts))
    assert batch.y.tolist() == [[1, -100, -100, 1]]
    losses = wider.losses(wider.read(batch), batch)
    assert losses.labelled.tolist() == [True, False, False, True]


def test_what_a_text_does_not_have_is_neither_predicted_nor_counted() -> None:
    net, batch = model(), SequenceBatch(TOKENS, LENGTHS, TASKS, torch.zeros_like(Y))
    output = net.read(batch)
    predicted = net.predicted(output, batch)
    assert torch.equal(predicted == -100, ~TASKS)
    assert torch.equal(predicted[TASKS], output.logits.argmax(-1)[TASKS])
    assert hits(predicted, batch.y, batch.task).labelled.sum() == TASKS.sum()


def test_in_training_auxiliary_losses_are_one_a_text() -> None:
    net = model("adversarial").train()
    output = net.read(SequenceBatch(TOKENS, LENGTHS, TASKS, Y))
    out, _ = net.encoder(net.embedding(TOKENS), LENGTHS, TASKS)
    torch.testing.assert_close(output.auxiliary, net.encoder.auxiliary_losses(out, LENGTHS, TASKS))
    assert output.auxiliary.shape == (4,) and output.auxiliary.all()


@pytest.mark.parametrize(
    ("task", "y", "message"),
    [
        (TASKS, Y[:, 0], r"labels of shape \[4, 3\], got \[4\]"),
        (TASKS, Y + 5 * (Y > 0), "labels of task 'mood' in 0…1"),
        (TASKS, Y.clamp(min=0), r"the tasks of each text alone, got others in texts \[0, 1, 3\]"),
        (TASKS, Y.double(), "labels y as integers"),
        (torch.zeros(4, dtype=torch.long), Y, r"labels of shape \[4\], got \[4, 3\]"),
    ],
)
def test_labels_that_do_not_fit(task: torch.Tensor, y: torch.Tensor, message: str) -> None:
    net, batch = model(), SequenceBatch(TOKENS, LENGTHS, task, y)
    with pytest.raises(ValueError, match=message):
        net.losses(net.read(batch), batch)


def test_tasks_that_do_not_fit() -> None:
    for wrong, message in [
        (TASKS[:, :2], r"booleans \[4, 3\], got \[4, 2\]"),
        (TASKS & (TASKS.sum(1, keepdim=True) > 1), r"at least one task .* \[1, 3\] have none"),
        (TASKS.long(), r"integer tasks of shape \[4\]"),
    ]:
        with pytest.raises(ValueError, match=message):
            model()(TOKENS, LENGTHS, wrong)
    for tasks in (TASKS, None):
        with pytest.raises(ValueError, match=r'vectors of their own.*embedding="shared"'):
            model("single", embedding="task")(TOKENS, LENGTHS, tasks)
