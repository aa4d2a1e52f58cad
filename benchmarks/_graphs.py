"""The record of ``learned_graph.py``: the weight of every edge, by readout and seed."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Iterator, Sequence

import torch
from _record import Row, select, unique, unique_keys

from mtgnn import TaskGraph
from mtgnn.explain import graph_agreement, profile_graph

COLUMNS = ("dataset", "setting", "seed", "dev", "readout", "sender", "receiver", "weight")
READOUTS = ("attention", "ablation")
PROFILE = "profile"
COMPARED = (*READOUTS, PROFILE)
BOTH = "attention and ablation"


def as_graph(rows: Sequence[Row]) -> TaskGraph:
    """The graph of one readout of one seed."""
    tasks = list(dict.fromkeys(row[end] for end in ("sender", "receiver") for row in rows))
    graph = TaskGraph.from_edges([(row["sender"], row["receiver"]) for row in rows], tasks)
    weight = {(row["sender"], row["receiver"]): float(row["weight"]) for row in rows}
    return graph.with_weight(torch.tensor([weight[edge] for edge in graph.edges]))


def mean_graph(graphs: Sequence[TaskGraph]) -> TaskGraph:
    """The mean of graphs with the same edges."""
    weights = [g.edge_weight for g in graphs if g.edge_weight is not None]
    return graphs[0].with_weight(torch.stack(weights).mean(0))


def heard(graph: TaskGraph, number: int) -> Iterator[tuple[str, list[tuple[str, float]]]]:
    """For each receiver the senders that weigh most."""
    assert graph.edge_weight is not None
    for node, receiver in enumerate(graph.tasks):
        senders = [(graph.nodes[s], float(graph.edge_weight[e])) for e, s in graph.incoming(node)]
        yield receiver, sorted(senders, key=lambda pair: -pair[1])[:number]


def by_readout(rows: Sequence[Row]) -> dict[str, list[TaskGraph]]:
    """Of one setting: for each readout the graphs of all seeds, in the same order."""
    seeds = unique(rows, "seed")
    return {
        how: [as_graph(select(rows, readout=how, seed=seed)) for seed in seeds] for how in READOUTS
    }


def agreements(rows: Sequence[Row]) -> dict[str, list[float]]:
    """Of one setting: rank correlations of any two seeds, by readout and by the profiles of both
    readouts, and of both readouts of each seed; means over receivers."""
    graphs = by_readout(rows)
    of_seed = list(zip(*graphs.values(), strict=True))
    graphs[PROFILE] = [profile_graph(*own) for own in of_seed]
    found = {
        how: [graph_agreement(a, b).mean for a, b in itertools.combinations(graphs[how], 2)]
        for how in COMPARED
    }
    found[BOTH] = [graph_agreement(*own).mean for own in of_seed]
    return found


def words_in_common(rows: Sequence[Row]) -> tuple[list[float], list[float]]:
    """Of one setting: for any two seeds, the share of a receiver's words that both have, mean over
    receivers; and the share that one has of another receiver's. Words of different senders are
    different ones."""
    found: dict[str, dict[str, set[tuple[str, str]]]] = {}
    for row in rows:
        own = found.setdefault(row["seed"], {}).setdefault(row["receiver"], set())
        own.add((row["sender"], row["word"]))
    own_words, others = [], []
    for a, b in itertools.combinations(found.values(), 2):
        share = {
            (k, m): len(a[k] & b[m]) / max(len(a[k]), len(b[m])) for k in a for m in b if k in b
        }
        own_words.append(statistics.mean(v for (k, m), v in share.items() if k == m))
        different = [v for (k, m), v in share.items() if k != m]
        others.extend([statistics.mean(different)] if different else [])
    return own_words, others


def dev_accuracy(rows: Sequence[Row]) -> list[float]:
    """Of one setting: every seed's."""
    return [float(dev) for _, dev in unique_keys(rows, "seed", "dev")]
