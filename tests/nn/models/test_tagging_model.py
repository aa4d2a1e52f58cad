"""The whole tagging model: logits, losses, predictions, files."""

import io
import itertools
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch_geometric.data import Data

from mtgnn import TaskGraph
from mtgnn.data import EncodedSentences, SentenceEncoder, TokenBatch, WordForm
from mtgnn.data.spelling import pad_spelling
from mtgnn.nn import (
    AdversarialLSTM,
    MultiTaskLoss,
    MultiTaskModel,
    SharedLSTM,
    TaggingModel,
    allowed_transitions,
    split_parameters,
)
from mtgnn.nn.models.trainable import hits

TAGS = {"pos": ["DT", "NN", "VB"], "v1.0": ["O", "B-X", "I-X", "B-Y", "I-Y"], "ner": ["O", "B-Z"]}
SENTENCES = [
    ["A", "dog", "barks", "loudly"],
    ["dog", "Rex"],
    ["barks"],
    ["the", "20 000", "dogs"],
]
ENCODER = SentenceEncoder.build(SENTENCES[:3], TAGS, WordForm(lower=True), max_characters=4)
ENCODERS = ["single", "shared", "hierarchical", "complete", "star"]


def model(encoder: str | torch.nn.Module = "complete", **options: object) -> TaggingModel:
    torch.manual_seed(0)
    if encoder == "hierarchical":
        graph = TaskGraph.from_edges([("pos", "v1.0")], list(TAGS))
        options = {"encoder_options": {"graph": graph}, **options}
    sizes: dict = {"embedding_size": 4, "character_size": 6, "hidden_size": 3, **options}
    net = TaggingModel(ENCODER, encoder, **sizes)
    for parameter in net.parameters():
        parameter.data *= 3  # so that predictions are not all alike
    return net.double()


def batch(every: bool = True) -> TokenBatch:
    """The sentences, with random allowed labels, some missing."""
    torch.manual_seed(1)
    encoded = [ENCODER.encode(words) for words in SENTENCES]
    lengths = torch.tensor([len(words) for words in SENTENCES])
    tokens, characters = torch.zeros(4, 4, dtype=torch.long), torch.zeros(4, 4, 5, dtype=torch.long)
    for b, words in enumerate(encoded):
        tokens[b, : lengths[b]] = words.tokens
        for t, own in enumerate(words.characters.split(words.sizes.tolist())):
            characters[b, t, : len(own)] = own
    y = torch.stack([torch.randint(len(tags), (4, 4)) for tags in TAGS.values()], 2)
    y[..., 1] = torch.tensor([[1, 2, 2, 0], [0, 3, 9, 9], [3, 9, 9, 9], [3, 4, 1, 9]])
    y[1, :, 0] = y[0, 2] = -100
    y[torch.arange(4) >= lengths.unsqueeze(1)] = -100
    task = torch.tensor([2, 1, 1, 0])
    if every:
        return TokenBatch(tokens, characters, lengths, None, y)
    return TokenBatch(tokens, characters, lengths, task, y[torch.arange(4), :, task])


def logits(net: TaggingModel, own: TokenBatch) -> Tensor:
    return net(own.tokens, own.characters, own.lengths, own.task)


# Forward ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("characters", ["cnn", "lstm", "none"])
@pytest.mark.parametrize("encoder", ENCODERS)
def test_is_its_parts_in_a_row(encoder: str, characters: str) -> None:
    net, own = model(encoder, characters=characters).eval(), batch(every=False)
    x = net.words(own.tokens, own.characters)
    assert x.size(2) == net.words.output_size == (4 if characters == "none" else 10)
    out, _ = net.encoder(x, own.lengths, own.task)
    messages = encoder in ("complete", "star")  # stand beside the states
    assert out.shape == (4, 4, 12 if messages else 6) and net.encoder.bidirectional
    torch.testing.assert_close(logits(net, own), net.heads(out, own.task))
    if messages:
        got, attention = net(own.tokens, own.characters, own.lengths, own.task, True)
        assert len(attention) == 2 and torch.equal(got, logits(net, own))


@pytest.mark.parametrize("encoder", ENCODERS)
def test_all_tasks_equal_single(encoder: str) -> None:
    net, own = model(encoder).eval(), batch()
    every = logits(net, own)
    assert every.shape == (4, 4, 3, 5)
    real = torch.arange(4) < own.lengths.unsqueeze(1)
    for k in range(3):
        single = net(own.tokens, own.characters, own.lengths, torch.full((4,), k))
        torch.testing.assert_close(every[:, :, k][real], single[real])


@pytest.mark.parametrize("crf", [False, True])
@pytest.mark.parametrize(
    "encoder", [*ENCODERS, "shared_private", "cross_stitch", "mixture", "adversarial"]
)
def test_a_sentence_read_once_for_some_tasks_is_one_read_for_each(encoder: str, crf: bool) -> None:
    """Losses, tags and gradients; what is missing has labels for no task that is asked for."""
    net, every = model(encoder, crf=crf).eval(), batch()
    task = torch.tensor([[1, 0, 1], [0, 1, 0], [1, 1, 0], [1, 1, 1]]).bool()
    once = replace(every, task=task, y=every.y.masked_fill(~task.unsqueeze(1), -100))
    row, number = task.nonzero(as_tuple=True)
    fields = {k: getattr(once, k)[row] for k in ("tokens", "characters", "lengths")}
    each = TokenBatch(**fields, task=number, y=once.y[row, :, number])
    grads = []
    for own in (once, each):
        samples = net.losses(net.read(own), own)
        net.zero_grad()
        samples.value[samples.labelled].square().sum().backward()
        grads.append({name: p.grad for name, p in net.named_parameters()})
    for name, grad in grads[0].items():
        assert (grad is None) == (grads[1][name] is None), name
        if grad is not None:
            torch.testing.assert_close(grad, grads[1][name])
    assert sum(grad is not None and bool(grad.any()) for grad in grads[0].values()) > 5
    tags = net.predicted(net.read(once), once)
    assert torch.equal(tags[row, :, number], net.predicted(net.read(each), each))
    assert (tags.movedim(1, 2)[~task] == -100).all()
    counts = [
        torch.bincount(found.task[found.labelled], found.value[found.labelled].double(), 3)
        for own in (once, each)
        for found in [hits(net.predicted(net.read(own), own), own.y, own.task)]
    ]
    assert torch.equal(*counts)


@pytest.mark.parametrize("encoder", [*ENCODERS, "shared_private", "mixture", "adversarial"])
def test_a_task_of_no_sentence_has_no_gradient(encoder: str) -> None:
    net, every = model(encoder, crf=True).train(), batch()
    task = torch.tensor([[1, 0, 1], [1, 0, 0], [1, 0, 1], [0, 0, 1]]).bool()
    own = replace(every, task=task, y=every.y.masked_fill(~task.unsqueeze(1), -100))
    output = net.read(own)
    loss = net.losses(output, own).value.sum()
    (loss if output.auxiliary is None else loss + output.auxiliary.sum()).backward()
    places = {
        "heads": [net.heads.scores.heads["v1.0"], net.heads.crfs["v1.0"]],
        "single": [net.encoder.nodes["v1.0"]] if encoder in ("single", "shared_private") else [],
        "mixture": [net.encoder.gates["v1.0"]] if encoder == "mixture" else [],
        # "v1.0" is a level above the others.
        "hierarchical": [net.encoder.levels[1]] if encoder == "hierarchical" else [],
    }
    for name, parts in places.items():
        for part in parts:
            assert all(p.grad is None for p in part.parameters()), name
    assert all(p.grad is not None for p in net.heads.scores.heads["pos"].parameters())


def test_labels_of_a_task_that_a_sentence_does_not_have() -> None:
    """They are refused; on a GPU, where nobody looks at them, they count for nothing."""
    every = batch()
    task = torch.tensor([[1, 0, 1], [0, 1, 0], [1, 1, 0], [1, 1, 1]]).bool()
    clean = every.y.masked_fill(~task.unsqueeze(1), -100)
    for crf in (False, True):
        net = model(crf=crf).eval()
        stray, own = replace(every, task=task), replace(every, task=task, y=clean)
        output = net.read(own)
        with pytest.raises(ValueError, match="tasks of each sentence alone"):
            net.losses(output, stray)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("mtgnn.nn.heads.tagging._check_wanted", lambda *_: None)
            got, expected = net.losses(output, stray), net.losses(output, own)
        assert torch.equal(got.labelled, expected.labelled)
        torch.testing.assert_close(got.value[got.labelled], expected.value[got.labelled])


@pytest.mark.parametrize("crf", [False, True])
@pytest.mark.parametrize("characters", ["cnn", "lstm"])
@pytest.mark.parametrize("encoder", ENCODERS)
def test_gradients_accumulate(encoder: str, characters: str, crf: bool) -> None:
    net, own = model(encoder, characters=characters, crf=crf).eval(), batch()
    sums = []
    for _ in range(2):
        net.losses(net.read(own), own).value.mean().backward()
        sums.append([p.grad.clone() for p in net.parameters() if p.grad is not None])
    torch.testing.assert_close(sums[1], [2 * grad for grad in sums[0]])


@pytest.mark.parametrize("crf", [False, True])
@pytest.mark.parametrize("characters", ["cnn", "lstm"])
@pytest.mark.parametrize("encoder", ENCODERS)
def test_padding_and_companions_count_for_nothing(encoder: str, characters: str, crf: bool) -> None:
    net = model(encoder, characters=characters, crf=crf).eval()
    own = batch()
    losses = net.losses(net.read(own), own).value.view(4, 3)
    tags = net.predicted(net.read(own), own)
    for b, length in enumerate(own.lengths.tolist()):
        alone = TokenBatch(
            own.tokens[b : b + 1, :length],
            own.characters[b : b + 1, :length],
            own.lengths[b : b + 1],
            None,
            own.y[b : b + 1, :length],
        )
        torch.testing.assert_close(net.losses(net.read(alone), alone).value, losses[b])
        assert torch.equal(net.predicted(net.read(alone), alone)[0], tags[b, :length])


def test_encoder_options_may_ask_for_one_direction() -> None:
    options = {"bidirectional": False, "memory": "past", "concat_messages": False}
    net = model("star", encoder_options=options)
    assert net.encoder.output_size == 3 and net.encoder.memory == "past"


def test_each_direction_has_its_own_mailbox() -> None:
    """The forward half of an output hears the forward run of the virtual node and no other."""
    net, own = model("star").eval(), batch(every=False)
    x = net.words(own.tokens, own.characters)
    before, _ = net.encoder(x, own.lengths, own.task)
    virtual = net.encoder.nodes["shared"]
    changed = [p for name, p in virtual.named_parameters() if "reverse" in name]
    assert 0 < len(changed) < len(list(virtual.parameters()))
    for parameter in changed:
        parameter.data += 0.5
    after, _ = net.encoder(x, own.lengths, own.task)
    assert torch.equal(after[..., :3], before[..., :3])
    assert not torch.allclose(after[..., 3:], before[..., 3:])


# Losses -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("crf", [False, True])
@pytest.mark.parametrize("every", [False, True])
def test_a_sample_is_a_sentence_with_labels_in_a_task(every: bool, crf: bool) -> None:
    net, own = model(crf=crf).eval(), batch(every)
    losses = net.losses(net.read(own), own)
    assert losses.value.shape == losses.task.shape == losses.labelled.shape
    if every:
        assert losses.task.tolist() == [0, 1, 2] * 4
        assert losses.labelled.tolist() == [True] * 3 + [False, True, True] + [True] * 6
    else:
        assert torch.equal(losses.task, own.task) and losses.labelled.all()
    assert (losses.value[losses.labelled] > 0).all() and not losses.value[~losses.labelled].any()
    expected = losses.value.sum() / losses.labelled.sum()
    loss = MultiTaskLoss(3)(losses.value, losses.task, labelled=losses.labelled)
    torch.testing.assert_close(loss, expected)


def test_softmax_loss_is_the_cross_entropy_of_each_word() -> None:
    net, own = model().eval(), batch()
    found = logits(net, own)
    losses = net.losses(net.read(own), own).value.view(4, 3)
    for b, length in enumerate(own.lengths.tolist()):
        for k, tags in enumerate(TAGS.values()):
            total = torch.zeros(())
            for t in range(length):
                if own.y[b, t, k] >= 0:
                    total = total - found[b, t, k, : len(tags)].log_softmax(0)[own.y[b, t, k]]
            torch.testing.assert_close(losses[b, k], total.double())


@pytest.mark.parametrize("crf", [False, True])
@pytest.mark.parametrize("encoder", ["single", "star"])
def test_an_absent_task_keeps_no_gradient(encoder: str, crf: bool) -> None:
    net, own = model(encoder, crf=crf), batch(every=False)
    own = TokenBatch(own.tokens, own.characters, own.lengths, own.task, own.y)
    own.task[3], own.y[3, :3] = 1, torch.tensor([3, 4, 1])  # none of task 0
    net.losses(net.read(own), own).value.sum().backward()
    parts = [net.encoder.nodes, net.heads.scores.heads] + ([net.heads.crfs] if crf else [])
    for part in parts:
        assert all(p.grad is None for p in part["pos"].parameters())
        assert all(p.grad is not None for p in part["ner"].parameters())
    assert all(p.grad.any() for p in net.words.parameters())


def test_heads_and_nodes_that_send_to_none_are_a_task_s_own() -> None:
    net = model("star", crf=True)
    shared, own = split_parameters(net)
    assert len(shared) + len(own) == len(list(net.parameters()))
    names = {id(p): name for name, p in net.named_parameters()}
    found = {names[id(p)] for p in own}
    assert found == {
        name
        for name in names.values()
        if name.startswith("heads.") or ("encoder.nodes." in name and ".shared." not in name)
    }
    assert any(name.startswith("heads.crfs.v1") for name in found)


def test_auxiliary_losses_in_training_alone() -> None:
    encoder = AdversarialLSTM(10, 3, list(TAGS), bidirectional=True)
    net, own = model(encoder), batch(every=False)
    output = net.read(own)
    assert output.auxiliary is not None and output.auxiliary.shape == (4,)
    assert output.auxiliary.any()
    assert net.eval().read(own).auxiliary is None and model().read(own).auxiliary is None


def test_dropout_is_on_words_and_states() -> None:
    net, own = model(dropout=0.5, characters="none"), batch()
    assert not torch.equal(logits(net, own), logits(net, own))
    net.words.eval()
    assert not torch.equal(logits(net, own), logits(net, own))
    net.dropout.eval()
    assert torch.equal(logits(net, own), logits(net, own))


def test_starts_from_vectors() -> None:
    vectors = torch.randn(len(ENCODER.words), 4)
    net = TaggingModel(ENCODER, embedding_size=4, vectors=vectors)
    assert torch.equal(net.words.embedding.weight[1:], vectors[1:])


# Prediction ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("crf", [False, True])
def test_predicts_what_it_would_of_each_sentence_alone(crf: bool) -> None:
    net = model("star", crf=crf, dropout=0.5, schemes={"v1.0": "IOB2"})
    net.encoder.eval()
    found = net.predict(SENTENCES, batch_size=3)
    assert net.training and not net.encoder.training  # each part is in the mode it was in
    assert len({tag for tags in found for tag in tags["pos"]}) > 1
    net.eval()
    own = batch()
    numbers = net.predicted(net.read(own), own)
    for b, (words, tagged) in enumerate(zip(SENTENCES, found, strict=True)):
        assert list(tagged) == list(TAGS)
        for k, task in enumerate(TAGS):
            expected = [TAGS[task][i] for i in numbers[b, : len(words), k].tolist()]
            assert tagged[task] == expected
            assert net.predict([words], task) == [{task: expected}]
    assert net.predict([]) == []
    assert net.predict(iter(SENTENCES), batch_size=3) == found


@pytest.mark.parametrize("crf", [False, True])
def test_probabilities_of_all_tags_are_sums_over_tag_sequences(crf: bool) -> None:
    net = model("star", crf=crf, dropout=0.5, schemes={"v1.0": "IOB2"})
    found = net.predict_proba(SENTENCES, batch_size=3)
    assert net.training
    net.eval()
    words = SENTENCES[1]  # two of them
    encoded = ENCODER.encode(words)
    spelling = pad_spelling([encoded.spelling])
    for k, (task, tags) in enumerate(TAGS.items()):
        expected = torch.zeros(2, len(tags), dtype=torch.float64)
        lengths, number = torch.tensor([2]), torch.tensor([k])
        logits = net(encoded.tokens[None], spelling, lengths, number)
        for pair in itertools.product(range(len(tags)), repeat=2):
            if crf and task == "v1.0" and not possible(*(tags[i] for i in pair)):
                continue
            loss = net.heads.loss(logits, torch.tensor([pair]), lengths, number)
            expected[[0, 1], pair] += (-loss).exp().detach()
        torch.testing.assert_close(found[1][task], expected)
        torch.testing.assert_close(net.predict_proba([words], task)[0], {task: expected})
    for sentence, own in zip(SENTENCES, found, strict=True):
        assert {task: len(rows) for task, rows in own.items()} == dict.fromkeys(TAGS, len(sentence))
    assert net.predict_proba([]) == []


@pytest.mark.parametrize("crf", [False, True])
def test_nan_is_no_prediction(crf: bool) -> None:
    net = model(crf=crf)
    torch.nn.init.constant_(net.words.embedding.weight, torch.nan)
    for predict in (net.predict, net.predict_proba):
        with pytest.raises(ValueError, match="computes NaN"):
            predict(SENTENCES)


def possible(first: str, second: str) -> bool:
    """Whether two tags of IOB2 can be a sentence."""
    inside = second.startswith("I-") and first[1:] != second[1:]
    return not first.startswith("I-") and not inside


def test_schemes_hold_in_what_is_predicted() -> None:
    torch.manual_seed(0)
    words = [[f"w{int(i)}" for i in torch.randint(30, (12,))] for _ in range(20)]
    encoder = SentenceEncoder.build(words, TAGS)
    allowed = allowed_transitions(TAGS["v1.0"], "IOB2")
    broken = []
    for schemes in (None, {"v1.0": "IOB2"}):
        torch.manual_seed(0)
        net = TaggingModel(encoder, "single", hidden_size=8, crf=True, schemes=schemes)
        for parameter in net.parameters():
            parameter.data *= 4
        rows = [encoder.encode_tags(found["v1.0"], "v1.0") for found in net.predict(words)]
        broken.append(sum(int((~allowed.between[r[:-1], r[1:]]).sum()) for r in rows))
        broken[-1] += sum(int(not allowed.start[r[0]]) for r in rows)
    assert broken[0] > 0 and broken[1] == 0


def test_encoded_sentences_are_what_it_reads() -> None:
    items = [
        Data(words=SENTENCES[0], tags={"pos": ["DT", "NN", "VB", "VB"], "ner": ["O", "B-Z"] * 2}),
        Data(words=SENTENCES[1], tags={"v1.0": ["B-X", "I-X"]}),
    ]
    net = model(crf=True, schemes={"v1.0": "IOB2"}).eval()
    kept = []
    for by_task in (False, True):
        encoded = EncodedSentences(items, ENCODER, by_task)
        own = encoded.collate(list(encoded))
        losses = net.losses(net.read(own), own)
        assert int(losses.labelled.sum()) == 3
        kept.append(losses.value[losses.labelled])
    torch.testing.assert_close(*kept)


# Files --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"crf": True, "schemes": {"v1.0": "IOB2"}, "characters": "lstm", "dropout": 0.5},
        {"characters": "none", "encoder_options": {"num_layers": 2, "bidirectional": False}},
    ],
)
@pytest.mark.parametrize("encoder", ["single", "star"])
def test_a_loaded_model_predicts_the_same(tmp_path: Path, encoder: str, options: dict) -> None:
    net = model(encoder, **options)
    net.save(tmp_path / "model.pt")
    allowed = torch.serialization.get_safe_globals()  # torch_geometric has classes of its own there
    torch.serialization.clear_safe_globals()
    try:
        loaded = TaggingModel.load(tmp_path / "model.pt")
    finally:
        torch.serialization.add_safe_globals(allowed)
    assert loaded.predict(SENTENCES) == net.predict(SENTENCES)
    assert loaded.classes == TAGS and list(loaded.classes) == list(TAGS)
    assert loaded.graph == net.graph and not loaded.training
    own = batch()
    assert torch.equal(logits(loaded, own), logits(net.eval(), own))


def test_files_of_other_models_and_encoders_of_one_s_own() -> None:
    file = io.BytesIO()
    net = model(SharedLSTM(10, 3, list(TAGS), bidirectional=True))
    net.save(file)
    file.seek(0)
    with pytest.raises(ValueError, match=r"load\(path, encoder=…\)"):
        TaggingModel.load(file)
    file.seek(0)
    again = SharedLSTM(10, 3, list(TAGS), bidirectional=True)
    assert TaggingModel.load(file, again).predict(SENTENCES) == net.predict(SENTENCES)
    file.seek(0)
    with pytest.raises(ValueError, match="a file of MultiTaskModel.save, got one of TaggingModel"):
        MultiTaskModel.load(file)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: model("circle"), "'complete'"),
        (lambda: model(characters="rnn"), "'lstm'"),
        (lambda: model(characters="lstm", character_size=5), "even"),
        (lambda: model(dropout=1.0), "dropout"),
        (lambda: model(embedding_size=0), "at least 1"),
        (lambda: model(schemes={"chunk": "IOB2"}), r"\['chunk'\]"),
        (lambda: model(crf=True, schemes={"pos": "IOB2"}), "'DT'"),
        (lambda: model(crf=True, schemes={"v1.0": "IOB"}), "scheme"),
        (lambda: model(crf=True, schemes={"v1.0": "BILOU"}), r"'v1\.0': no sequence .* BILOU has"),
        (lambda: TaggingModel("x"), "expected a SentenceEncoder, got 'x'"),
        (lambda: model(vectors=torch.ones(3, 4)), "vectors of shape"),
        (lambda: model(SharedLSTM(10, 3, 3)), "'pos'"),
        (lambda: model(SharedLSTM(4, 3, list(TAGS))), "input_size 10"),
        (lambda: model(SharedLSTM(10, 3, list(TAGS)), encoder_options={}), "by name"),
        (lambda: model()(batch().tokens, None, batch().lengths), "got None"),
        (lambda: model()(batch().tokens + 90, batch().characters, batch().lengths), "tokens in"),
        (lambda: model().predict(SENTENCES, "films"), "'films'"),
        (lambda: model().predict("A dog"), "lists of words"),
        (lambda: model().predict([["A"], "A dog"]), "lists of words, got 'A dog'"),
        (lambda: model().predict([[]]), "at least one"),
        (lambda: model().predict(SENTENCES, batch_size=0), "batch_size"),
    ],
)
def test_errors(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
