"""Who learns from whom on FDU-MTL, and do seeds agree on it?

Trains the complete graph with every seed, and reads its edges off the test texts, by attention and
by what cutting an edge does to the loss. Prints how much two seeds agree, for each readout, how
much the two readouts of one seed do, and whom each domain hears most in the mean over seeds; with
contextual scores also the words at which it does.

    python benchmarks/learned_graph.py --root data/fdu-mtl --csv benchmarks/results/graphs.csv
    python benchmarks/learned_graph.py --csv benchmarks/results/graphs.csv --summary
    python benchmarks/learned_graph.py --data planted --settings headline --seeds 0 1   # a minute

Settings are those of ``accuracy.py``; their default is a quarter of FDU-MTL's training texts, with
static and with contextual scores. Models and protocol are those of ``accuracy.py``, at one learning
rate; the dev part chooses the epoch. A row of the record is an edge's weight in a readout of a
seed; what is there is not trained again. Words are kept in ``--out``.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from _record import Row, append, read, select, spread
from _settings import PROTOCOLS, SETTINGS
from _study import Run, Study

from mtgnn import TaskGraph
from mtgnn.data import BucketBatchSampler, EncodedTexts, SequenceBatch
from mtgnn.explain import (
    EdgeByWord,
    EdgeMean,
    WordWeights,
    collect_attention,
    edge_ablation,
    graph_agreement,
)
from mtgnn.nn import MultiTaskModel

COLUMNS = ("dataset", "setting", "seed", "dev", "readout", "sender", "receiver", "weight")
READOUTS = ("attention", "ablation")
HEARD, WORDS, MIN_COUNT = 3, 6, 20


def test_batches(study: Study, model: MultiTaskModel, run: Run) -> list[SequenceBatch]:
    """The test texts, of similar length side by side."""
    options = study.run_options(run)
    texts = EncodedTexts(study.of(run.seed).test, model.vocabulary, options["max_length"])
    sampler = BucketBatchSampler(texts.lengths, options["batch_size"], shuffle=False)
    return [texts.collate([texts[i] for i in part]) for part in sampler]


def read_graphs(study: Study, run: Run, rate: float) -> tuple[list[Row], WordWeights]:
    """Train a model and read its edges: rows of the record, and weights by word."""
    model, done = study.train(run, rate, progress=f"{run.setting} {run.seed}")
    batches = test_batches(study, model.cpu(), run)
    kinds = [EdgeMean(model.graph), EdgeByWord(model.graph, model.vocabulary)]
    attention, words = collect_attention(model, batches, kinds)
    graphs = {"attention": attention, "ablation": edge_ablation(model, batches).graph}
    named = {"dataset": study.data, "setting": run.setting, "seed": str(run.seed)}
    named["dev"] = f"{done.dev_accuracy:.4f}"
    rows = [
        {**named, "readout": how, "sender": sender, "receiver": receiver, "weight": f"{w:.6g}"}
        for how, graph in graphs.items()
        for (sender, receiver), w in zip(graph.edges, graph.edge_weight.tolist(), strict=True)
    ]
    return rows, words


def top_words(words: WordWeights, graph: TaskGraph) -> dict[str, list[str]]:
    """For each receiver's heaviest edge, the words at which it is heaviest."""
    found = {}
    for receiver, senders in heard(graph, 1):
        sender = senders[0][0]
        top = words.top(receiver, sender, WORDS, MIN_COUNT)
        found[f"{receiver} hears {sender}"] = [f"{e.word} {e.weight:.2f}" for e in top]
    return found


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


def counted(values: Iterable[float]) -> str:
    """Mean ± standard deviation, and how many there are."""
    every = list(values)
    return f"{spread(every, '.2f')} ({len(every)})"


def summary(rows: Sequence[Row]) -> str:
    """Agreements, and who is heard, of one setting of one data set."""
    seeds = list(dict.fromkeys(row["seed"] for row in rows))
    graphs = {
        how: [as_graph(select(rows, readout=how, seed=seed)) for seed in seeds] for how in READOUTS
    }
    lines = []
    for how, own in graphs.items():
        pairs = [graph_agreement(a, b).mean for a, b in itertools.combinations(own, 2)]
        if pairs:
            lines.append(f"{how}: rank correlation of two seeds {counted(pairs)}")
    both = [graph_agreement(*pair).mean for pair in zip(*graphs.values(), strict=True)]
    lines.append(f"attention and ablation of one seed: {counted(both)}")
    for how, own in graphs.items():
        lines.append(f"most heard, by {how}, mean over seeds:")
        for receiver, senders in heard(mean_graph(own), HEARD):
            told = ", ".join(f"{name} {weight:.3f}" for name, weight in senders)
            lines.append(f"  {receiver:14} {told}")
    return "\n".join(lines)


def read_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    complete = [name for name, setting in SETTINGS.items() if "complete" in setting.models]
    add("--data", choices=list(PROTOCOLS), default="fdu-mtl")
    add("--root", default="data/fdu-mtl", help="where FDU-MTL is, or goes")
    add("--source", help="where FDU-MTL's files come from")
    add("--settings", nargs="+", choices=complete, default=["quarter", "score-additive"])
    add("--seeds", type=int, nargs="+", default=[0, 1, 2])
    add("--learning-rate", type=float, help="(the middle of accuracy.py's grid)")
    add("--csv", type=Path, help="the record: rows are added to it")
    add("--out", type=Path, default=Path("runs/learned-graph"), help="word vectors, and words")
    add("--summary", action="store_true", help="show what is in the record, and stop")
    add("--accelerator", default="auto")
    add("--quick", action="store_true", help="tiny sizes, whose numbers mean nothing")
    return parser.parse_args()


def train_all(options: argparse.Namespace, rows: list[Row]) -> None:
    """Train what is missing; add to the record, and to the rows."""
    places: dict[str, Any] = {"root": options.root, "source": options.source}
    study = Study(
        options.data, options.out, options.quick, accelerator=options.accelerator, **places
    )
    rate = options.learning_rate or PROTOCOLS[options.data].grid[1]
    for seed in options.seeds:
        for setting in options.settings:
            if select(rows, dataset=options.data, setting=setting, seed=str(seed)):
                continue
            new, words = read_graphs(study, Run(setting, "complete", seed), rate)
            rows += new
            if options.csv:
                append(options.csv, COLUMNS, new)
            graph = as_graph(select(new, readout="attention"))
            path = options.out / f"words-{options.data}-{setting}-{seed}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(top_words(words, graph), indent=1), encoding="utf-8")


def main() -> None:
    """Do what the command line says."""
    options = read_options()
    rows = read(options.csv) if options.csv else []
    if not options.summary:
        train_all(options, rows)
    for data, setting in dict.fromkeys((row["dataset"], row["setting"]) for row in rows):
        own = select(rows, dataset=data, setting=setting)
        dev = counted(float(r) for _, r in dict.fromkeys((row["seed"], row["dev"]) for row in own))
        print(f"\n{data}, {setting}: dev accuracy {dev}\n{summary(own)}")


if __name__ == "__main__":
    main()
