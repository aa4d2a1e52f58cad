"""Readouts against plain loops over single sentences."""

from __future__ import annotations

import pickle
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from reader import WORDS, Elsewhere, make_batches, reader, steps
from torch import Tensor
from torch_geometric.data import Data

from mtgnn import TaskGraph
from mtgnn.data import EncodedSentences, SentenceEncoder, SequenceBatch
from mtgnn.explain import (
    EdgeByPosition,
    EdgeByWord,
    EdgeMean,
    MailboxByWord,
    SentenceSample,
    average_attention,
    collect_attention,
    mean_weights,
    plot_sentence,
)
from mtgnn.nn import CompleteGraphLSTM, GraphLSTM, StarGraphLSTM, TaggingModel
from mtgnn.testing import randomise

TASKS = ["a", "b", "c"]
# Edges in no particular order; the virtual node hears, too.
EDGES = [("c", "a"), ("shared", "b"), ("b", "a"), ("a", "shared"), ("a", "c"), ("c", "shared")]
GRAPH = TaskGraph.from_edges([*EDGES, ("b", "c")], TASKS, ("shared",))
PART = TaskGraph.from_edges(
    [("a", "c"), ("a", "shared"), ("c", "shared"), ("shared", "b"), ("c", "b")], TASKS, ("shared",)
)
MODELS = {
    "read": lambda: CompleteGraphLSTM(4, 3, TASKS, heads=2, num_layers=2),
    "mutual": lambda: GraphLSTM(4, 3, GRAPH, heads=2),
    # The virtual node runs in the sequences of one task alone.
    "in part": lambda: GraphLSTM(4, 3, PART, heads=2),
    "both ways": lambda: CompleteGraphLSTM(4, 3, TASKS, bidirectional=True),
}


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest) -> torch.nn.Module:
    return reader(MODELS[request.param]())


def hears(graph: TaskGraph, edge: int, task: int) -> bool:
    receiver = int(graph.edge_index[1, edge])
    return receiver == task or (receiver >= graph.num_tasks and receiver in graph.ancestors([task]))


def assert_means(graph: TaskGraph, weight: Tensor, count: Tensor, groups: list) -> None:
    """``weight [G, E]`` and ``count [G, E]`` are those of the steps in each group."""
    for group, members in enumerate(groups):
        for edge in range(graph.num_edges):
            own = [weights[edge] for task, weights in members if hears(graph, edge, task)]
            assert int(count[group, edge]) == len(own)
            mean = torch.stack(own).mean() if own else torch.zeros(()).double()
            torch.testing.assert_close(weight[group, edge], mean)


def test_a_readout_can_take_what_the_model_returns(model: torch.nn.Module) -> None:
    class Answers:
        reads = "answer"

        def __init__(self) -> None:
            self.found: list[Tensor] = []

        def update(self, batch: Any, answer: Tensor) -> None:
            self.found.append(answer)

        def compute(self) -> list[Tensor]:
            return self.found

    batches = make_batches(3)
    answers, graph = collect_attention(model, batches, [Answers(), EdgeMean(model.encoder.graph)])
    for answer, batch in zip(answers, batches, strict=True):
        expected = model(batch.tokens, batch.lengths, batch.task)[0]
        torch.testing.assert_close(answer, expected)
    assert graph.edge_weight is not None


def test_mean_over_words_of_the_receivers_own_sentences(model: torch.nn.Module) -> None:
    graph = average_attention(model, make_batches(3))
    assert graph.edge_weight is not None and graph.edges == model.encoder.graph.edges
    found = steps(model, make_batches(3))
    for edge in range(graph.num_edges):
        own = [weights[edge] for task, _, _, weights in found if hears(graph, edge, task)]
        torch.testing.assert_close(graph.edge_weight[edge], torch.stack(own).mean().float())
    sums = torch.zeros(graph.num_nodes).index_add(0, graph.edge_index[1], graph.edge_weight)
    listens = [float(bool(graph.incoming(node))) for node in range(graph.num_nodes)]
    torch.testing.assert_close(sums, torch.tensor(listens))
    assert graph.edge_weight.std() > 0.01


def test_a_function_says_which_graph_it_reads() -> None:
    model = reader(MODELS["mutual"]())
    graph = average_attention(model, make_batches(3))
    named = GRAPH.with_weight(torch.ones(GRAPH.num_edges))  # weights that it had are no matter
    given = average_attention(lambda *a, **options: model(*a, **options), make_batches(3), named)
    assert given == graph != named


def test_mean_by_word(model: torch.nn.Module) -> None:
    graph = model.encoder.graph
    (words,) = collect_attention(model, make_batches(3), [EdgeByWord(graph, WORDS)])
    found = steps(model, make_batches(3))
    groups = [[(k, w) for k, _, token, w in found if token == v] for v in range(len(WORDS))]
    assert_means(graph, words.weight, words.count, groups)
    assert words.weight[words.count > 0].std() > 0.01


def test_mean_by_position(model: torch.nn.Module) -> None:
    graph = model.encoder.graph
    readouts = [EdgeByPosition(graph, number) for number in (9, 4)]
    everything, cut = collect_attention(model, make_batches(3), readouts)
    found = steps(model, make_batches(3))
    groups = [[(k, w) for k, t, _, w in found if t == place] for place in range(6)]
    assert_means(graph, everything.weight, everything.count, groups)
    last = [(k, w) for k, t, _, w in found if t >= 3]
    assert_means(graph, cut.weight, cut.count, [*groups[:3], last])


def test_top_words_are_sorted_and_frequent() -> None:
    model = reader(MODELS["read"]())
    (words,) = collect_attention(
        model, make_batches(3, (30, 30)), [EdgeByWord(model.encoder.graph, WORDS)]
    )
    edge = words.graph.edges.index(("c", "a"))
    rare = int(words.count[words.count[:, edge] > 0, edge].min())
    entries = words.top("a", "c", number=99, min_count=rare + 1)
    expected = {
        (WORDS.tokens[v], float(words.weight[v, edge]), int(words.count[v, edge]))
        for v in range(len(WORDS))
        if words.count[v, edge] > rare
    }
    assert {tuple(entry) for entry in entries} == expected
    assert [e.weight for e in entries] == sorted((e.weight for e in entries), reverse=True)
    assert words.top("a", "c", number=2, min_count=rare + 1) == entries[:2]
    with pytest.raises(ValueError, match=r"an edge \(sender, receiver\) of .*, got \('a', 'a'\)"):
        words.top("a", "a")
    with pytest.raises(ValueError, match="at least 1"):
        words.top("a", "c", min_count=0)


def test_equal_attention_to_the_past_and_the_future_is_one() -> None:
    """In the backward direction the past is what comes later."""
    options: dict[str, Any] = {"score": "uniform", "bidirectional": True}
    model = reader(StarGraphLSTM(4, 3, TASKS, "past", **options))
    readout = MailboxByWord(model.encoder.graph, WORDS, past=True, bidirectional=True)
    (words,) = collect_attention(model, make_batches(3), [readout])
    there = words.count > 0
    torch.testing.assert_close(words.weight[there], torch.ones(int(there.sum())).double())


@pytest.mark.parametrize("memory", ["all", "past"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_mailbox_of_another_kind_is_refused(memory: str, bidirectional: bool) -> None:
    """Its unit would be another: equal attention over other positions."""
    model = reader(StarGraphLSTM(4, 3, TASKS, memory, bidirectional=bidirectional))
    past = memory == "past"
    graph, right = model.encoder.graph, (past, past and bidirectional)
    for given in ((False, False), (True, False), (True, True)):
        readout = MailboxByWord(graph, WORDS, *given)
        if given == right:
            collect_attention(model, make_batches(2), [readout])
            continue
        said = rf"MailboxByWord\(…, past={right[0]}, bidirectional={right[1]}\)"
        with pytest.raises(ValueError, match=said):
            collect_attention(model, make_batches(2), [readout])


@pytest.mark.parametrize("memory", ["all", "past"])
def test_words_of_the_mailbox(memory: str) -> None:
    model = reader(StarGraphLSTM(4, 3, TASKS, memory, heads=2, bidirectional=memory == "all"))
    graph, batches = model.encoder.graph, make_batches(3)
    (words,) = collect_attention(model, batches, [MailboxByWord(graph, WORDS, memory == "past")])
    read, equal = torch.zeros(2, len(WORDS), 3, dtype=torch.float64)
    count = torch.zeros(len(WORDS), 3, dtype=torch.long)
    sentence: list[int] = []
    rows = steps(model, batches)
    for number, (task, t, token, beta) in enumerate(rows):
        if t == 0:
            sentence = [token]
            for _, later, other, _ in rows[number + 1 :]:
                if later == 0:
                    break
                sentence.append(other)
        count[token, task] += 1
        readable = t + 1 if memory == "past" else len(sentence)
        for j in range(readable):
            read[sentence[j], task] += beta[j]
            equal[sentence[j], task] += 1 / readable
    assert torch.equal(words.count, count)
    there = count > 0
    torch.testing.assert_close(words.weight[there], (read / equal)[there])
    assert not words.weight[~there].any()
    assert words.weight[there].std() > 0.01
    assert words.top("b", 1, 1)[0].weight == pytest.approx(float(words.weight[:, 1].max()))
    with pytest.raises(ValueError, match="a task among"):
        words.top("shared")


@pytest.mark.parametrize("mailbox", [False, True])
def test_sentences_hold_the_weights_of_their_words(mailbox: bool) -> None:
    model = reader(StarGraphLSTM(4, 3, TASKS) if mailbox else MODELS["mutual"]())
    graph, batches = model.encoder.graph, make_batches(3)
    (kept,) = collect_attention(model, batches, [SentenceSample(graph, WORDS, 99, mailbox=mailbox)])
    sentences: list[tuple[int, list[int], list[Tensor]]] = []
    for task, t, token, weights in steps(model, batches):
        if t == 0:
            sentences.append((task, [], []))
        sentences[-1][1].append(token)
        sentences[-1][2].append(weights)
    expected = {(task, *tokens): torch.stack(own) for task, tokens, own in sentences}
    assert len(kept) == sum(len(batch) for batch in batches)
    assert [s.task for s in kept] == ["a"] * 3 + ["b"] * 3 + ["c"] * 2
    assert {s.label for s in kept} == {0, 1}
    for s in kept:
        k = TASKS.index(s.task)
        own = expected[(k, *(WORDS.tokens.index(word) for word in s.words))]
        if mailbox:
            assert s.senders == s.words
        else:
            edges = graph.incoming(k)
            assert s.senders == [graph.nodes[sender] for _, sender in edges]
            own = own[:, [edge for edge, _ in edges]]
        torch.testing.assert_close(s.weights, own.t())


@pytest.mark.parametrize("memory", ["current", "all"])
def test_a_task_that_listens_to_nobody_has_no_weights(memory: str, tmp_path: Path) -> None:
    graph = TaskGraph.from_edges([("a", "b"), ("c", "b")], TASKS)
    model = reader(GraphLSTM(4, 3, graph, "read", memory=memory))
    sample = SentenceSample(graph, WORDS, 1, mailbox=memory == "all")
    [[first, second, third]] = collect_attention(model, make_batches(3), [sample])
    for alone in (first, third):
        assert alone.senders == [] and alone.weights.shape == (0, len(alone.words))
        assert alone.strongest() == []
        with pytest.raises(ValueError, match="listens to nobody"):
            plot_sentence(alone, tmp_path / "no.png")
    assert len(second.strongest()) == len(second.words)


def test_sampling_is_fair_and_small() -> None:
    graph = TaskGraph.complete(2)
    tokens = torch.arange(3, 9).view(6, 1)
    ones = torch.ones(6, dtype=torch.long)
    batch = SequenceBatch(tokens, ones, torch.zeros_like(ones), torch.full((6,), -100))
    weights = torch.ones(6, 1, 2)
    counts = dict.fromkeys(WORDS.tokens[3:], 0)
    for seed in range(300):
        sample = SentenceSample(graph, WORDS, per_task=2, seed=seed)
        sample.update(batch, weights)
        kept = sample.compute()
        assert len({s.words[0] for s in kept}) == 2
        assert all(s.label is None for s in kept)
        for s in kept:
            counts[s.words[0]] += 1
    assert all(70 <= count <= 130 for count in counts.values())  # 100 expected, four deviations


@pytest.mark.parametrize("mailbox", [False, True])
def test_memory_does_not_grow_with_the_batches(mailbox: bool) -> None:
    model = reader(StarGraphLSTM(4, 3, TASKS) if mailbox else MODELS["read"]())
    graph, batches = model.encoder.graph, make_batches(3, (60,) * 3)
    for batch in batches:  # sentences of one size, whichever are kept
        batch.tokens[:], batch.lengths[:] = batch.tokens[0], 6

    def size(readout: Any) -> int:
        """In bytes, less the state of a generator of random numbers."""
        own = vars(readout).items()
        return len(pickle.dumps({k: v for k, v in own if not isinstance(v, Random)}))

    def held(number: int) -> list[int]:
        """Bytes of each readout once it has taken the same batches a number of times."""
        readouts: list[Any] = [SentenceSample(graph, WORDS, 2, mailbox=mailbox)]
        if mailbox:
            readouts.append(MailboxByWord(graph, WORDS))
        else:
            readouts += [EdgeMean(graph), EdgeByWord(graph, WORDS), EdgeByPosition(graph, 4)]
        collect_attention(model, batches * number, readouts)
        return [size(readout) for readout in readouts]

    assert held(10) == held(5)


def test_the_model_is_left_as_it_was() -> None:
    model = reader(CompleteGraphLSTM(4, 3, TASKS, num_layers=2, dropout=0.5)).train()
    model.embedding.eval()
    first, second = (average_attention(model, make_batches(3)) for _ in range(2))
    assert first == second  # no dropout
    assert model.encoder.training and not model.embedding.training


def test_a_mailbox_of_several_senders_has_words_and_edges() -> None:
    layer = CompleteGraphLSTM(4, 3, TASKS, memory="all", bidirectional=True)
    model = reader(layer)
    graph, shares = layer.graph, [share for _, share in layer.edge_attention()]
    readouts = [EdgeMean(graph), MailboxByWord(graph, WORDS), EdgeByPosition(graph)]
    averaged, words, places = collect_attention(model, make_batches(3), readouts)
    expected = torch.stack(shares).mean(0).float()
    torch.testing.assert_close(averaged.edge_weight, expected.detach())
    assert averaged.edge_weight.std() > 0.01
    there = places.count > 0
    torch.testing.assert_close(
        places.weight[there].float(), averaged.edge_weight.expand_as(there)[there]
    )
    (alone,) = collect_attention(model, make_batches(3), [MailboxByWord(graph, WORDS)])
    assert torch.equal(words.weight, alone.weight) and words.weight.std() > 0.01


def test_shares_of_two_virtual_nodes_are_told() -> None:
    edges = [(hub, task) for task in TASKS for hub in ("u", "v")]
    graph = TaskGraph.from_edges(edges, TASKS, ("u", "v"))
    layer = GraphLSTM(4, 3, graph, "read", memory="all")
    averaged = average_attention(reader(layer), make_batches(3))
    expected = layer.edge_attention()[0][1].detach().float()
    torch.testing.assert_close(averaged.edge_weight, expected)


def test_who_hears_nobody_reads_no_words() -> None:
    layer = GraphLSTM(4, 3, TaskGraph.from_edges([("a", "b")], TASKS), "read", memory="all")
    (words,) = collect_attention(
        reader(layer), make_batches(3), [MailboxByWord(layer.graph, WORDS)]
    )
    assert words.count.sum(0).bool().tolist() == [False, True, False]


def test_no_share_lies_on_an_edge_into_a_node_that_hears_nothing_here() -> None:
    graph = TaskGraph.star(TASKS)  # of an exchange that reads, the virtual node runs in silence
    edges = [*graph.edges, ("a", "b")]
    layer = GraphLSTM(4, 3, TaskGraph.from_edges(edges, TASKS, ("shared",)), "read", memory="all")
    (found,) = collect_attention(reader(layer), make_batches(3), [EdgeMean(layer.graph)])
    into = dict(zip(layer.graph.edges, found.edge_weight.tolist(), strict=True))
    assert [into[task, "shared"] for task in TASKS] == [0.0] * 3
    assert into["shared", "a"] == into["shared", "c"] == 1 and 0 < into["a", "b"] < 1


def test_what_cannot_be_read_is_refused() -> None:
    star, complete = reader(StarGraphLSTM(4, 3, 6)), reader(CompleteGraphLSTM(4, 3, 4))
    with pytest.raises(
        ValueError, match="EdgeMean reads 'edges'.*hands out .'mailbox', 'answer'.: a.*not to edges"
    ):
        average_attention(star, make_batches(2))
    with pytest.raises(ValueError, match="MailboxByWord reads 'mailbox'"):
        collect_attention(complete, make_batches(2), [MailboxByWord(complete.encoder.graph, WORDS)])
    with pytest.raises(ValueError, match="task3"):
        average_attention(complete, make_batches(3))
    with pytest.raises(ValueError, match="on the graph's edges"):
        average_attention(complete, make_batches(3), TaskGraph.complete(3))
    with pytest.raises(ValueError, match="at least one batch"):
        average_attention(complete, [])
    with pytest.raises(ValueError, match="num_positions of at least 1, got 0"):
        EdgeByPosition(complete.encoder.graph, 0)
    with pytest.raises(ValueError, match="per_task of at least 1, got 0"):
        SentenceSample(complete.encoder.graph, WORDS, 0)
    with pytest.raises(ValueError, match="no attention"):
        mean_weights([])
    with pytest.raises(ValueError, match="heads"):
        mean_weights([(complete.encoder.graph.edge_index, torch.zeros(2, 3, 4))])


def test_sentences_task_by_task_say_what_all_tasks_at_once_say() -> None:
    sentences = [text.split() for text in ("an old dog", "barks", "a cat sees an old dog")]
    data = [Data(words=words, tags=dict.fromkeys(TASKS, ["x"] * len(words))) for words in sentences]
    encoder = SentenceEncoder.build(sentences, dict.fromkeys(TASKS, ["x", "y"]))
    sizes = {"embedding_size": 4, "character_size": 4, "hidden_size": 6}
    model = TaggingModel(encoder, "complete", **sizes, encoder_options={"score": "dot"}).double()
    randomise(model.encoder, scale=1.5)  # and padding stays zero
    by_task = EncodedSentences(data, encoder, by_task=True)
    graph = average_attention(model, [by_task.collate(list(by_task))])
    every = EncodedSentences(data, encoder)
    batch = every.collate(list(every))
    given = batch.tokens, batch.characters, batch.lengths
    _, attention = model.eval()(*given, return_attention_weights=True)
    expected = mean_weights(attention).sum((0, 1)) / batch.lengths.sum()
    assert graph.edge_weight is not None and graph.edge_weight.std() > 0.01
    torch.testing.assert_close(graph.edge_weight, expected.float())
    with pytest.raises(ValueError, match="expected sequences of one task each"):
        average_attention(model, [batch])


def test_batches_come_to_the_models_device() -> None:
    model = reader(MODELS["read"]())
    graph, batches = model.encoder.graph, make_batches(3)
    readouts = [EdgeByWord(graph, WORDS), EdgeByPosition(graph)]
    found = collect_attention(model, map(Elsewhere, batches), readouts)
    again = [EdgeByWord(graph, WORDS), EdgeByPosition(graph)]
    for own, other in zip(found, collect_attention(model, batches, again), strict=True):
        assert torch.equal(own.weight, other.weight) and torch.equal(own.count, other.count)
    given = collect_attention(lambda *a, **options: model(*a, **options), batches, readouts)
    assert given[0].count.sum() == 2 * found[0].count.sum()  # a function has no device


def only(batches: list[SequenceBatch], task: int) -> list[SequenceBatch]:
    """The sequences of one task."""
    parts = [(b.tokens, b.lengths, b.task, b.y) for b in batches]
    return [SequenceBatch(*(part[own[2] == task] for part in own)) for own in parts]


def test_one_task_is_asked_with_its_own_sequences_alone(model: torch.nn.Module) -> None:
    whole = average_attention(model, make_batches(3))
    alone = average_attention(model, only(make_batches(3), 1), tasks=["b"])
    into = {edge: weight for edge, weight in whole.weights().items() if edge[1] == "b"}
    assert alone.nodes == whole.nodes and alone.weights() == pytest.approx(into)
    assert average_attention(model, make_batches(3), tasks=["b"]).weights() == pytest.approx(into)
    with pytest.raises(ValueError, match=r"belongs to \['c'\].*tasks=\[…\] asks"):
        average_attention(model, only(make_batches(3), 1), tasks=["b", "c"])
    for wrong in (["b", "x"], "b", []):
        with pytest.raises(ValueError, match="expected tasks among .*, who listen, got"):
            average_attention(model, make_batches(3), tasks=wrong)
