"""Who listens to whom in a trained tagging model, what for, and at which words."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from _comparison import Table
from _graphs import BOTH, READOUTS, agreements, by_readout
from _record import Row, select, spread, unique, unique_keys

from mtgnn import TaskGraph
from mtgnn.data import TokenBatch
from mtgnn.explain import EdgeByWord, EdgeMean, WordWeights, collect_attention, edge_ablation
from mtgnn.nn import GraphLSTM, TaggingModel
from mtgnn.ops.attention import CONTEXTUAL

RUN = ("scope", "model", "head", "seed")
EDGE = (*RUN, "receiver", "sender")
NUMBER, MIN_COUNT = 8, 20
SHOWN = 4  # words of an edge in a table


def graph_rows(
    model: TaggingModel, batches: Iterable[TokenBatch], run: Row
) -> tuple[list[Row], list[Row]]:
    """The edges of a model, and the words at which tasks listen; none where nothing is sent.

    A mailbox has no attention of edges; words are told apart by scores that see them, where a task
    has several senders.

    Args:
        model: On the CPU.
        batches: Test sentences of one task each; read more than once, so no generator.
        run: What begins a row.
    """
    encoder: Any = model.encoder
    if not isinstance(encoder, GraphLSTM) or not encoder.graph.num_edges:
        return [], []
    graph = encoder.graph
    attention, words = None, []
    if encoder.memory == "current":
        readouts = [EdgeMean(graph), EdgeByWord(graph, model.sentences.words)]
        averaged, table = collect_attention(model, batches, readouts)
        attention = averaged.edge_weight.tolist()
        if encoder.score in CONTEXTUAL:
            words = list(word_rows(table, run))
    effects = edge_ablation(model, batches)
    rows = []
    for edge, (sender, receiver) in enumerate(graph.edges):
        k = int(graph.edge_index[1, edge])
        if k < graph.num_tasks:
            told = {
                "attention": "" if attention is None else f"{attention[edge]:.4f}",
                "change": f"{float(effects.change[edge, k]):.5f}",
                "error": f"{float(effects.error[edge, k]):.5f}",
            }
            rows.append({**run, "receiver": receiver, "sender": sender, **told})
    return rows, words


def word_rows(table: WordWeights, run: Row) -> Iterator[Row]:
    """The heaviest words of the edges of tasks with several senders."""
    receivers = table.graph.edge_index[1]
    for edge, (sender, receiver) in enumerate(table.graph.edges):
        if int((receivers == receivers[edge]).sum()) > 1:
            for word, weight, times in table.top(receiver, sender, NUMBER, MIN_COUNT):
                own = {"word": word, "weight": f"{weight:.4f}", "occurrences": str(times)}
                yield {**run, "receiver": receiver, "sender": sender, **own}


def graph_table(rows: Sequence[Row], words: Sequence[Row]) -> Table:
    """Edges over seeds: attention, rise of the loss, and words that several seeds name."""
    header = ["corpora", "model", "head", "listens", "to", "attention", "rise of the loss", "at"]
    found = []
    columns = (*RUN[:3], "receiver", "sender")
    for key in unique_keys(rows, *columns):
        names = dict(zip(columns, key, strict=True))
        own = select(rows, **names)
        attention = [float(row["attention"]) for row in own if row["attention"]]
        change = [float(row["change"]) for row in own]
        told = spread(attention, ".2f") if attention else "–"
        found.append([*key, told, spread(change, ".2f"), common_words(select(words, **names))])
    return header, found


def common_words(rows: Sequence[Row]) -> str:
    """The words that most seeds name, at least two where there are several seeds, with the mean
    weight there."""
    seeds = {row["seed"] for row in rows}
    counts: dict[str, list[float]] = {}
    for row in rows:
        counts.setdefault(row["word"], []).append(float(row["weight"]))
    often = [word for word, own in counts.items() if len(own) >= min(2, len(seeds))]
    often.sort(key=lambda word: (-len(counts[word]), -sum(counts[word])))
    told = [f"`{word}` {statistics.mean(counts[word]):.2f}" for word in often[:SHOWN]]
    return ", ".join(told) or "–"


def readouts(rows: Sequence[Row]) -> list[Row]:
    """Edges of one model as those of ``learned_graph.py``: a row for each readout."""
    return [
        {**row, "readout": readout, "weight": row[column]}
        for readout, column in zip(READOUTS, ("attention", "change"), strict=True)
        for row in rows
    ]


def seed_graphs(rows: Sequence[Row]) -> dict[str, TaskGraph]:
    """Of one model the attention of each seed."""
    seeds = unique(rows, "seed")
    attention = by_readout(readouts(rows))[READOUTS[0]]
    return {f"seed {seed}": graph for seed, graph in zip(seeds, attention, strict=True)}


def agreement(rows: Sequence[Row]) -> str:
    """In words: how far seeds agree on a graph, and in each seed attention and loss."""
    found = {k: ", ".join(f"{v:.2f}" for v in own) for k, own in agreements(readouts(rows)).items()}
    attention, loss = (found[readout] for readout in READOUTS)
    told = (
        f"Rank correlation of attention and loss in each seed, mean over receivers: {found[BOTH]}"
    )
    return f"{told}; of any two seeds, attention: {attention or '–'}; loss: {loss or '–'}."
