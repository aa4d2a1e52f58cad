"""Who learns from whom on FDU-MTL, and do seeds agree on it?

Trains the complete graph with every seed, and reads its edges off the test texts, by attention and
by what cutting an edge does to the loss. Prints how much two seeds agree, for each readout and for
the profiles of tasks, how much the two readouts of one seed do, and whom each domain hears most in
the mean over seeds.

    python benchmarks/learned_graph.py --root data/fdu-mtl --csv benchmarks/results/graphs.csv
    python benchmarks/learned_graph.py --csv benchmarks/results/graphs.csv --summary
    python benchmarks/learned_graph.py --data planted --settings headline --seeds 0 1   # a minute

Settings are those of ``accuracy.py``; their default is a quarter of FDU-MTL's training texts, where
tasks read whole texts. ``exchange-read`` and ``score-additive`` are the same read word by word,
with static and with contextual scores. Models and protocol are those of ``accuracy.py``, at one
learning rate; the dev part chooses the epoch. A row of the record is an edge's weight in a readout
of a seed. Beside it ``graphs_words.csv`` has, of contextual scores, the words at which a domain
hears its strongest sender most; of whole texts, the words that it reads most, where 1 is what a
word would get of equal attention. What is there is not trained again.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from _examples import numbered_batches
from _graphs import (
    BOTH,
    COLUMNS,
    COMPARED,
    agreements,
    by_readout,
    dev_accuracy,
    heard,
    mean_graph,
)
from _record import Row, append, read, select, spread, unique_keys
from _settings import PROTOCOLS, SETTINGS
from _study import Run, Study

from mtgnn import TaskGraph
from mtgnn.data import EncodedTexts, SequenceBatch
from mtgnn.explain import (
    EdgeByWord,
    EdgeMean,
    MailboxByWord,
    MailboxWords,
    WordWeights,
    collect_attention,
    edge_ablation,
)
from mtgnn.nn import MultiTaskModel
from mtgnn.ops import keep_memory
from mtgnn.ops.attention import CONTEXTUAL

WORD_COLUMNS = ("dataset", "setting", "seed", "receiver", "sender", "word", "weight")
HEARD, WORDS, MIN_COUNT = 3, 6, 20
MIXED = "all, mixed"


def test_batches(study: Study, model: MultiTaskModel, run: Run) -> list[SequenceBatch]:
    """The test texts, of similar length side by side."""
    options = study.run_options(run)
    texts = EncodedTexts(study.of(run.seed).test, model.vocabulary, options["max_length"])
    return [batch for _, batch in numbered_batches(texts, options["batch_size"])]


def read_graphs(study: Study, run: Run, rate: float) -> tuple[list[Row], list[Row]]:
    """Train a model and read its edges: rows of both records."""
    model, done = study.train(run, rate, progress=f"{run.setting} {run.seed}")
    batches = test_batches(study, model.cpu(), run)
    encoder: Any = model.encoder
    mailbox = encoder.memory != "current"
    both = model.graph, model.vocabulary
    by_word: Any = MailboxByWord(*both, encoder.memory == "past") if mailbox else EdgeByWord(*both)
    kinds = [EdgeMean(model.graph), by_word]
    attention, words = collect_attention(model, batches, kinds)
    graphs = {"attention": attention, "ablation": edge_ablation(model, batches).graph}
    named = {"dataset": study.data, "setting": run.setting, "seed": str(run.seed)}
    dev = f"{done.dev_accuracy:.4f}"
    rows = [
        {**named, "dev": dev, "readout": how, "sender": i, "receiver": k, "weight": f"{w:.6g}"}
        for how, graph in graphs.items()
        for (i, k), w in zip(graph.edges, graph.edge_weight.tolist(), strict=True)
    ]
    if encoder.score not in CONTEXTUAL:
        return rows, []
    top = mailbox_words(words) if mailbox else edge_words(words, attention)
    return rows, [{**named, **row} for row in top]


def edge_words(words: WordWeights, graph: TaskGraph) -> list[Row]:
    """For each receiver's heaviest edge, the words at which it is heaviest: rows of the record."""
    rows = []
    for receiver, senders in heard(graph, 1):
        edge = {"receiver": receiver, "sender": senders[0][0]}
        for top in words.top(receiver, edge["sender"], WORDS, MIN_COUNT):
            rows.append({**edge, "word": top.word, "weight": f"{top.weight:.2f}"})
    return rows


def mailbox_words(words: MailboxWords) -> list[Row]:
    """The words that each receiver reads most of its senders' whole texts."""
    rows = []
    for receiver in words.tasks:
        edge = {"receiver": receiver, "sender": MIXED}
        for top in words.top(receiver, WORDS, MIN_COUNT):
            rows.append({**edge, "word": top.word, "weight": f"{top.weight:.2f}"})
    return rows


def counted(values: Iterable[float]) -> str:
    """Mean ± standard deviation, and how many there are."""
    every = list(values)
    return f"{spread(every, '.2f')} ({len(every)})"


def summary(rows: Sequence[Row]) -> str:
    """Agreements, and who is heard, of one setting of one data set."""
    found = agreements(rows)
    lines = [
        f"{how}: rank correlation of two seeds {counted(found[how])}"
        for how in COMPARED
        if found[how]
    ]
    lines.append(f"{BOTH} of one seed: {counted(found[BOTH])}")
    for how, own in by_readout(rows).items():
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
    add("--settings", nargs="+", choices=complete, default=["quarter"])
    add("--seeds", type=int, nargs="+", default=[0, 1, 2])
    add("--learning-rate", type=float, help="(the middle of accuracy.py's grid)")
    add("--csv", type=Path, help="the record: rows are added to it")
    add("--out", type=Path, default=Path("runs/learned-graph"), help="for word vectors")
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
                # The words first: where there are edges, a seed counts as done.
                append(options.csv.with_name(f"{options.csv.stem}_words.csv"), WORD_COLUMNS, words)
                append(options.csv, COLUMNS, new)


def main() -> None:
    """Do what the command line says."""
    options = read_options()
    rows = read(options.csv) if options.csv else []
    if not options.summary:
        train_all(options, rows)
    for data, setting in unique_keys(rows, "dataset", "setting"):
        own = select(rows, dataset=data, setting=setting)
        dev = counted(dev_accuracy(own))
        print(f"\n{data}, {setting}: dev accuracy {dev}\n{summary(own)}")


if __name__ == "__main__":
    keep_memory()
    main()
