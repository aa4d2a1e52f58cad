"""The whole model: logits, losses, predictions."""

import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from mtgnn.data import SequenceBatch, Vocabulary
from mtgnn.nn import MultiTaskModel, Prediction, SharedLSTM

CLASSES = {"books": ["bad", "good"], "v1.0": ["one", "two", "three"], "dvd": ["bad", "good"]}
VOCABULARY = Vocabulary(["i", "like", "it", "not", "!"])
TOKENS = torch.tensor([[3, 4, 5, 7], [5, 4, 0, 0], [6, 0, 0, 0], [3, 1, 2, 0]])
LENGTHS = torch.tensor([4, 2, 1, 3])
TASK = torch.tensor([2, 1, 1, 2])
TEXTS = ["i like it !", "", "not it", "i do not like it at all", "i", "like it"]
BASELINES = ["shared_private", "adversarial", "cross_stitch", "mixture"]
ENCODERS = ["single", "shared", "complete", "star", *BASELINES]


def model(encoder: str | torch.nn.Module = "complete", **options: object) -> MultiTaskModel:
    torch.manual_seed(0)
    sizes: dict = {"embedding_size": 4, "hidden_size": 3, **options}
    return MultiTaskModel(VOCABULARY, CLASSES, encoder, **sizes)


def batch(y: list[int]) -> SequenceBatch:
    return SequenceBatch(TOKENS, LENGTHS, TASK, torch.tensor(y))


def tied(net: MultiTaskModel) -> MultiTaskModel:
    """Scale parameters up, so that predictions are not all alike."""
    for parameter in net.parameters():
        parameter.data *= 3
    return net


# Forward ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("pooling", ["last", "mean", "max", "attention"])
def test_is_its_parts_in_a_row(encoder: str, pooling: str) -> None:
    net = model(encoder, pooling=pooling, encoder_options={"bidirectional": True}).double()
    got = net(TOKENS, LENGTHS, TASK)
    out, _ = net.encoder(net.embedding.weight[TOKENS], LENGTHS, TASK)
    h = net.pooling(out, LENGTHS)
    assert net.pooling.how == pooling and net.pooling.bidirectional and h.shape[1] % 6 == 0
    for b, k in enumerate(TASK.tolist()):
        head = net.heads.heads[list(CLASSES)[k]]
        torch.testing.assert_close(got[b, : len(head.bias)], head(h[b]))
        assert (got[b, len(head.bias) :] == -torch.inf).all()


def test_attention_is_the_encoder_s() -> None:
    net = model(encoder_options={"bidirectional": True})
    logits, attention = net(TOKENS, LENGTHS, TASK, return_attention_weights=True)
    assert torch.equal(logits, net(TOKENS, LENGTHS, TASK)) and len(attention) == 2


def test_auxiliary_losses_are_the_encoder_s() -> None:
    net = model("adversarial")
    logits, attention, auxiliary = net(TOKENS, LENGTHS, TASK, True, return_auxiliary_losses=True)
    assert torch.equal(logits, net(TOKENS, LENGTHS, TASK)) and len(attention) == 1
    out, _ = net.encoder(net.embedding(TOKENS), LENGTHS, TASK)
    expected = net.encoder.auxiliary_losses(out, LENGTHS, TASK)
    assert net.has_auxiliary_losses and expected.all()
    torch.testing.assert_close(auxiliary, expected)
    plain = model("shared_private")
    _, auxiliary = plain(TOKENS, LENGTHS, TASK, return_auxiliary_losses=True)
    assert torch.equal(auxiliary, torch.zeros(4)) and not plain.has_auxiliary_losses


def test_the_discriminator_reads_what_the_heads_read() -> None:
    for pooling, expected in (("max", "max"), ("mean", "mean"), ("attention", "last")):
        assert model("adversarial", pooling=pooling).encoder.pooling == expected
    assert model("adversarial", encoder_options={"pooling": "last"}).encoder.pooling == "last"
    with pytest.raises(ValueError, match="'attention'.* got 'median'"):
        model("adversarial", pooling="median")


def test_a_saved_discriminator_reads_the_same(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    for options in ({}, {"pooling": "last"}):
        model("adversarial", encoder_options=options).save(path)
        assert MultiTaskModel.load(path).encoder.pooling == options.get("pooling", "max")


@pytest.mark.parametrize("embedding", ["shared", "task"])
@pytest.mark.parametrize("encoder", ENCODERS)
def test_padding_and_companions_count_for_nothing(encoder: str, embedding: str) -> None:
    net = model(encoder, embedding=embedding).double()
    whole = net(TOKENS, LENGTHS, TASK)
    for b, length in enumerate(LENGTHS.tolist()):
        alone = net(TOKENS[b : b + 1, :length], LENGTHS[b : b + 1], TASK[b : b + 1])[0]
        torch.testing.assert_close(alone, whole[b, : len(alone)])
    longer = torch.cat([TOKENS, torch.zeros(4, 3, dtype=torch.long)], 1)
    torch.testing.assert_close(net(longer, LENGTHS, TASK), whole)


def test_a_table_for_each_task() -> None:
    net, size = model("single", embedding="task"), len(VOCABULARY)
    assert net.embedding.weight.shape == (3 * size, 4)
    before = net(TOKENS, LENGTHS, TASK)
    with torch.no_grad():
        net.embedding.weight[size : 2 * size] += 1  # the table of task 1
    changed = (net(TOKENS, LENGTHS, TASK) != before).any(1)
    assert changed.tolist() == [False, True, True, False]
    net.loss_per_sample(net(TOKENS, LENGTHS, TASK), batch([-100, 2, 0, -100])).sum().backward()
    rows = net.embedding.weight.grad.any(1).nonzero().flatten() - size
    assert rows.tolist() == [4, 5, 6]  # the tokens of the two texts of task 1


@pytest.mark.parametrize("encoder", ["single", "star", "shared_private", "mixture"])
def test_an_absent_task_keeps_no_gradient(encoder: str) -> None:
    net = model(encoder)
    net.loss_per_sample(net(TOKENS, LENGTHS, TASK), batch([1, 2, 0, 0])).mean().backward()
    absent = [net.heads.heads["books"], net.encoder.nodes["books"]]
    assert all(p.grad is None for module in absent for p in module.parameters())
    present = [net.heads.heads["dvd"], net.encoder.nodes["dvd"], net.embedding]
    assert all(p.grad is not None and p.grad.any() for m in present for p in m.parameters())
    assert not net.embedding.weight.grad[0].any()


def test_dropout_is_on_vectors_and_pooled_states() -> None:
    net = model(dropout=0.5)
    dropped: list[tuple[torch.Tensor, torch.Tensor]] = []
    net.dropout.register_forward_hook(lambda part, given, out: dropped.append((given[0], out)))
    torch.manual_seed(1)
    first, second = net(TOKENS, LENGTHS, TASK), net(TOKENS, LENGTHS, TASK)
    assert not torch.equal(first, second)
    vectors, pooled = dropped[:2]
    assert len(dropped) == 4 and torch.equal(vectors[0], net.embedding(TOKENS))
    assert pooled[0].shape == (len(TOKENS), net.encoder.output_size)
    assert torch.equal(net.heads(pooled[1], TASK), first)
    net.eval()
    assert torch.equal(net(TOKENS, LENGTHS, TASK), net(TOKENS, LENGTHS, TASK))


@pytest.mark.parametrize("embedding", ["shared", "task"])
def test_starts_from_vectors(embedding: str) -> None:
    vectors = torch.randn(len(VOCABULARY), 4)
    net = model("single", embedding=embedding, vectors=vectors)
    tables = net.embedding.weight.detach().view(-1, *vectors.shape)
    assert len(tables) == (3 if embedding == "task" else 1)
    for table in tables:
        assert torch.equal(table[1:], vectors[1:])
    assert not tables[0, 0].any()


# Losses -------------------------------------------------------------------------------------------


def test_loss_is_the_cross_entropy_over_own_classes() -> None:
    net = model()
    logits = net(TOKENS, LENGTHS, TASK)
    losses = net.loss_per_sample(logits, batch([1, 2, -100, 0]))
    assert losses[2] == 0 and losses.isfinite().all()
    for b, (y, size) in enumerate([(1, 2), (2, 3), (0, 0), (0, 2)]):
        if b != 2:
            torch.testing.assert_close(losses[b], -logits[b, :size].log_softmax(0)[y])
    (gradient,) = torch.autograd.grad(losses.sum(), logits)
    assert gradient.isfinite().all() and not gradient[2].any() and gradient[0].any()


@pytest.mark.parametrize("y", [[2, 0, 0, 0], [0, 3, 0, 0], [0, 0, -1, 0]])
def test_labels_outside_the_head_s_classes(y: list[int]) -> None:
    net = model()
    logits = net(TOKENS, LENGTHS, TASK)
    with pytest.raises(ValueError, match="expected labels of task '(v1.0|dvd)' in 0…"):
        net.loss_per_sample(logits, batch(y))
    with pytest.raises(ValueError, match="labels y as integers"):
        net.loss_per_sample(logits, SequenceBatch(TOKENS, LENGTHS, TASK, torch.ones(4)))


# Prediction ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("embedding", ["shared", "task"])
def test_predicts_from_text(embedding: str) -> None:
    net = tied(model("star", dropout=0.5, embedding=embedding))
    net.encoder.eval()
    found = net.predict(TEXTS, "v1.0", batch_size=4)
    assert net.training and not net.encoder.training  # each part is in the mode it was in
    assert all(p.grad is None for p in net.parameters())
    assert len(set(found)) > 1
    net.eval()
    for text, prediction in zip(TEXTS, found, strict=True):
        tokens = torch.tensor([VOCABULARY.encode(text)])
        logits = net(tokens, torch.tensor([tokens.size(1)]), torch.tensor([1]))
        probability, label = logits.softmax(1).max(1)
        assert isinstance(prediction, Prediction)
        assert prediction.label == CLASSES["v1.0"][int(label)]
        assert prediction.probability == pytest.approx(probability.item(), rel=1e-5)


@pytest.mark.parametrize("task", list(CLASSES))
def test_probabilities_of_all_classes(task: str) -> None:
    net = tied(model("star", dropout=0.5)).double()
    found = net.predict_proba(TEXTS, task, batch_size=4)
    assert net.training and not found.requires_grad
    assert found.shape == (len(TEXTS), len(CLASSES[task])) and found.dtype == torch.float64
    assert len(found.unique(dim=0)) > 1
    net.eval()
    for text, row in zip(TEXTS, found, strict=True):
        tokens = torch.tensor([VOCABULARY.encode(text)])
        number = torch.tensor([list(CLASSES).index(task)])
        odds = net(tokens, torch.tensor([tokens.size(1)]), number)[0, : len(row)].exp()
        torch.testing.assert_close(row, odds / odds.sum())
    best = [CLASSES[task][int(i)] for i in found.argmax(1)]
    assert [given.label for given in net.predict(TEXTS, task)] == best
    assert net.predict_proba([], task).shape == (0, len(CLASSES[task]))
    assert net.predict(iter(TEXTS), task) == net.predict(TEXTS, task)
    assert torch.equal(net.predict_proba(iter(TEXTS), task), net.predict_proba(TEXTS, task))


def test_predicts_nothing_and_the_beginning_of_a_text() -> None:
    net = tied(model())
    assert net.predict([], "books") == []
    assert net.predict(["i like it"], "books", max_length=1) == net.predict(["i"], "books")
    assert net.predict(["i like it"], "books") != net.predict(["i"], "books")


def test_texts_of_unknown_words_are_predicted_with_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    net = model()
    net.predict(["i like it", "Zounds"], "books")
    assert not caplog.records
    assert len(net.predict(["I LIKE it"], "books")) == 1
    [record] = caplog.records
    assert record.getMessage().startswith("2 of 3 tokens are not in the vocabulary")


# Bad input ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoder", ["complete", "star", "adversarial"])
def test_all_parameters_are_drawn_anew(encoder: str) -> None:
    net = model(encoder, pooling="attention")
    for parameter in net.parameters():
        parameter.data.fill_(7)
    net.reset_parameters()
    assert all(not (parameter == 7).any() for parameter in net.parameters())
    assert not net.embedding.weight[0].any()


@pytest.mark.parametrize("embedding", ["shared", "task"])
def test_unknown_words_say_nothing_until_they_are_trained(embedding: str) -> None:
    net = model(embedding=embedding)
    for _ in range(2):
        tables = net.embedding.weight.view(-1, len(VOCABULARY), net.embedding.embedding_dim)
        assert len(tables) == (1 if embedding == "shared" else len(CLASSES))
        assert not tables[:, :3].any() and tables[:, 3:].all()
        net.reset_parameters()
    vectors = torch.ones(len(VOCABULARY), net.embedding.embedding_dim)
    net.load_vectors(vectors)
    assert net.embedding.weight.view_as(tables)[:, 1:].all()


def test_a_model_in_evaluation_mode_is_not_touched() -> None:
    """Else threads that predict at once would put dropout on for each other."""
    net = model().eval()
    modes: list[bool] = []
    for part in net.modules():
        part.train = lambda mode=True: modes.append(mode)  # type: ignore[method-assign]
    net.predict(TEXTS, "books")
    assert not modes and not any(part.training for part in net.modules())


@pytest.mark.parametrize("encoder", ["complete", "star"])
def test_threads_may_share_a_model(encoder: str) -> None:
    net = tied(model(encoder, encoder_options={"bidirectional": True})).double().eval()
    jobs = [(TEXTS[start:] * 3, task) for start in range(4) for task in CLASSES] * 4
    expected = [net.predict_proba(texts, task, batch_size=2) for texts, task in jobs]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda job: net.predict_proba(*job, batch_size=2), jobs))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)


def test_nan_is_no_prediction() -> None:
    net = model()
    torch.nn.init.constant_(net.embedding.weight, math.nan)
    with pytest.raises(ValueError, match="computes NaN"):
        net.predict(["i"], "books")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: MultiTaskModel(VOCABULARY, {}), "at least one task"),
        (lambda: MultiTaskModel(VOCABULARY, {"a": []}), "'a'"),
        (lambda: MultiTaskModel(VOCABULARY, {"a": ["x", "x"]}), "unique"),
        (lambda: MultiTaskModel(VOCABULARY, {"a": "xy"}), "'xy'"),
        (lambda: MultiTaskModel(VOCABULARY, {"a": [0, 1]}), "label names"),
        (lambda: MultiTaskModel(VOCABULARY, {"a": 2}), "label names of task 'a', got 2"),
        (lambda: MultiTaskModel(VOCABULARY, ["a"]), "classes as a dict"),
        (lambda: MultiTaskModel(["i"], CLASSES), "expected a Vocabulary"),
        (lambda: model("circle"), "'complete'"),
        (lambda: model(pooling="median"), "pooling to be one of .*'attention'"),
        (lambda: model(embedding="own"), "embedding"),
        (lambda: model(embedding_size=0), "embedding_size"),
        (lambda: model(dropout=1.0), "dropout"),
        (lambda: model(vectors=torch.ones(3, 4)), "vectors of shape"),
        (
            lambda: model(vectors=torch.full((len(VOCABULARY), 4), math.inf)),
            "that of word 0 is not",
        ),
        (lambda: model(torch.nn.LSTM(4, 3)), "TaskGraph"),
        (lambda: model(SharedLSTM(4, 3, 3)), "'books'"),
        (lambda: model(SharedLSTM(5, 3, list(CLASSES))), "input_size 4"),
        (lambda: model(SharedLSTM(4, 3, list(CLASSES)), encoder_options={}), "by name"),
        (lambda: model()(TOKENS[0], LENGTHS, TASK), r"\[B, T\]"),
        (lambda: model()(TOKENS.double(), LENGTHS, TASK), "integer tokens"),
        (lambda: model()(TOKENS + 1, LENGTHS, TASK), "0…7, got 1…8"),
        (lambda: model()(TOKENS - 1, LENGTHS, TASK), "got -1…6"),
        (lambda: model()(TOKENS, LENGTHS + 1, TASK), "1…4"),
        (lambda: model()(TOKENS, LENGTHS - 1, TASK), "1…4"),
        (lambda: model()(TOKENS, LENGTHS, TASK + 1), "0…2"),
        (lambda: model().predict(["i"], "films"), "'books'.*'films'"),
        (lambda: model().predict("i like it", "books"), "several strings"),
        (lambda: model().predict(["i", b"like"], "books"), "as strings, got b'like'"),
        (lambda: model().predict(["i"], "books", batch_size=0), "batch_size"),
        (lambda: model().predict(["i"], "books", max_length=0), "max_length"),
    ],
)
def test_errors(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
