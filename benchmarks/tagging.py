"""Tag with single-task, shared and graph models: the corpora each by itself, and all in one model.

Corpora: CoNLL-2000 (``pos``, ``chunk``), UD English EWT (``upos``, ``xpos``), WNUT-17 (``ner``).
Models, each with a softmax and with a CRF: ``single`` (a model for each task, sharing nothing),
``shared``, ``hierarchical`` (parts of speech below chunks below entities), ``shared_private``,
``complete`` and ``star``. They have the same words, characters, heads, sizes, batches, epochs and
learning rates; all are bidirectional. A model's vocabulary is that of the sentences it trains on.

    python benchmarks/tagging.py --root data --csv benchmarks/results/tagging.csv
    python benchmarks/tagging.py --summary --csv benchmarks/results/tagging.csv
    python benchmarks/tagging.py --labels 200 --epochs 60 --csv few.csv --out runs/tagging-few
    python benchmarks/tagging.py --quick     # tiny generated files: a look at the output

One row of the record is the result of a model in a task:

- ``corpus``: ``conll2000`` where the model has the tasks of this corpus alone, ``joint:conll2000``
  where it has the tasks of all corpora in one graph. ``single`` would be the same in both.
- ``dev``, ``test``: F1 of spans for ``chunk`` and ``ner``, else accuracy; from 0 to 1.
- ``unknown_words``: accuracy of the tags of test words that are not among the training sentences of
  the task's own corpus.
- ``sentences_per_s``: sentences trained on a second, for all tasks of the model, looks at the dev
  part included; on a CPU a second of the processor's, which what runs beside it changes little.

The dev part chooses the epoch, by the mean of its tasks' scores. Where several values are given for
``--learning-rate`` or ``--dropout``, it chooses among them too, for every model and head, on the
seed ``--tune-seed``, which gives no rows. Then the test part is read, once. CoNLL-2000 has no dev
part: 1,000 sentences are drawn from its train file with seed 0, equal sentences together, and are
not trained on. With ``--labels`` the dev part has its full size: what is compared is training, not
tuning, on few labels; the sentences are drawn by the seed, a smaller draw from a larger one.

Beside the record stand, as ``…_counts.csv``, what was right in each test sentence, from which come
intervals of differences to ``single``: a paired bootstrap over sentences, of means over seeds; as
``…_graphs.csv`` the edges of each graph model on the test parts (mean attention; by how much the
loss of a receiver's sentence rises without the edge, in nats, and the standard error of that); as
``…_words.csv``, of scores that see words, the words at which a task listens most to each sender; as
``…_sizes.csv`` how many parameters models have; and as ``…_settings.json`` the options of each
scope: runs with others go into another record.

Rows are written when a run is finished, and runs whose rows are there are not run again. Tags of
test sentences are kept in ``--out``.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import logging
import statistics
import time
from pathlib import Path

import torch
from _tagging_command_line import make_parser, parse
from _tagging_data import TASKS
from _tagging_graphs import graph_rows
from _tagging_plan import HEADS, MODELS, TOGETHER, Run, runs
from _tagging_record import COUNTS, EDGES, SCORES, SIZES, WORDS, Record
from _tagging_scores import keep, key, pack, prediction_file, summary
from _tagging_train import Bench, Configuration

from mtgnn.ops import keep_memory


def finish(bench: Bench, run: Run) -> None:
    """Train a run, test it, and write its rows."""
    options = bench.options
    chosen = choose(bench, run)
    clock = time.process_time if options.accelerator == "cpu" else time.perf_counter
    start = clock()
    model, done = bench.train(run, chosen)
    speed = bench.sentences(run) * done.epochs / (clock() - start)
    answers = bench.answers(run, model)
    rows, counts = [], []
    for begin, (corpus, task) in zip(run.keys, answers, strict=True):
        answer = answers[corpus, task]
        sides = {"predicted": answer.predicted, "true": answer.true, "unknown": answer.unknown}
        keep(prediction_file(options.out, begin), answer.tags, **sides)
        counts.append({**begin, **pack(answer.counts)})
        row = {
            **begin,
            "dev": f"{done.dev_score_by_task[task]:.5f}",
            "test": f"{answer.test:.5f}",
            "unknown_words": f"{answer.unknown_words:.5f}",
            "sentences_per_s": f"{speed:.1f}",
        }
        rows.append(row)
    begin = {"scope": run.scope, "model": run.model, "head": run.head, "seed": str(run.seed)}
    edges, words = graph_rows(model.cpu(), bench.batches(run), begin)
    record = Record(options.csv)
    for part, own in ((COUNTS, counts), (EDGES, edges), (WORDS, words), (SCORES, rows)):
        record.add(part, own)  # the scores at the end: with them the run counts as finished
    for row in rows:
        print(*row.values(), f"epoch {done.best_epoch}", f"{done.seconds:.0f} s", flush=True)


# Tuning ---------------------------------------------------------------------------------------


def grid(options: argparse.Namespace) -> list[Configuration]:
    """What the dev part chooses among."""
    pairs = itertools.product(options.learning_rate, options.dropout)
    return [Configuration(*pair) for pair in pairs]


def choose(bench: Bench, run: Run) -> Configuration:
    """The configuration with the best mean dev score on the seed for tuning."""
    every = grid(bench.options)
    if len(every) == 1:
        return every[0]
    tuning = run._replace(seed=bench.options.tune_seed)
    path = bench.options.out / "tuning.csv"
    scores = {}
    for configuration in every:
        name = [run.scope, "+".join(run.tasks), run.model, run.head, *map(str, configuration)]
        found = tuned(path).get(tuple(name))
        if found is None:
            found = bench.train(tuning, configuration)[1].dev_score
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a", newline="", encoding="utf-8") as file:
                csv.writer(file, lineterminator="\n").writerow([*name, found])
            print("tuned", *name, f"dev {found:.5f}", flush=True)
        scores[configuration] = found
    return max(scores, key=lambda configuration: scores[configuration])


def tuned(path: Path) -> dict[tuple[str, ...], float]:
    """Dev scores that are known."""
    if not path.exists():
        return {}
    with path.open(newline="", encoding="utf-8") as file:
        return {tuple(row[:-1]): float(row[-1]) for row in csv.reader(file)}


# What a person sees ---------------------------------------------------------------------------


def estimate(bench: Bench, left: list[Run]) -> None:
    """Print how much time of a processor the runs will take, from a few batches of each kind."""
    hours: dict[tuple[str, str, str], list[float]] = {}
    seconds: dict[Run, float] = {}
    every = grid(bench.options)
    known = tuned(bench.options.out / "tuning.csv")
    kinds = {run._replace(seed=0) for run in left}
    trainings = 0.0
    for run in left:
        kind = run._replace(seed=0)
        if kind not in seconds:
            seconds[kind] = bench.seconds(run)
        hours.setdefault((run.scope, run.model, run.head), []).append(seconds[kind] / 3600)
        trainings += seconds[kind] / 3600
    if len(every) > 1:
        trainings += sum(seconds[kind] * len(every) for kind in kinds) / 3600
        done = f", of which {len(known)} are done" if known else ""
        print(f"tuning: {len(every)} trainings for each of {len(kinds)} models{done}")
    print(f"{'corpora':12}{'model':16}{'head':10}{'trainings':>10}{'CPU min each':>14}{'hours':>8}")
    for (scope, model, head), each in hours.items():
        mean = 60 * statistics.mean(each)
        print(f"{scope:12}{model:16}{head:10}{len(each):>10}{mean:>14.1f}{sum(each):>8.2f}")
    print(f"estimate: {trainings:.1f} CPU hours, from a few batches of each kind", flush=True)


def read_options(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = make_parser(__doc__)
    add = parser.add_argument_group("what is run").add_argument
    scopes = [*TASKS, TOGETHER]
    add("--scopes", nargs="+", choices=scopes, default=scopes, help="corpora, or all in one model")
    add("--models", nargs="+", choices=MODELS, default=list(MODELS))
    add("--heads", nargs="+", choices=HEADS, default=list(HEADS))
    add("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    add("--csv", type=Path, default=Path("tagging.csv"), help="the record")
    add("--out", type=Path, default=Path("runs/tagging"), help="for predictions and tuning")
    add("--summary", action="store_true", help="show what is in the record, and stop")
    add("--estimate", action="store_true", help="show how long it would take, and stop")
    add = parser.add_argument_group("training").add_argument
    add("--labels", type=int, metavar="N", help="train on N sentences of each corpus (all)")
    add("--epochs", type=int, default=12, help="learning rates fall to zero over them")
    add("--learning-rate", type=float, nargs="+", default=[2e-3], help="several: dev chooses")
    add("--dropout", type=float, nargs="+", default=[0.5], help="several: dev chooses")
    add("--tune-seed", type=int, default=100)
    add("--clip", type=float, default=5.0, help="greatest gradient norm")
    add("--progress", action="store_true", help="show a bar")
    quick = {"epochs": 2, "seeds": [0, 1], "learning_rate": [0.02]}
    options = parse(parser, arguments, quick)
    if options.tune_seed in options.seeds:
        parser.error("--tune-seed is among --seeds: what was tuned is reported from other seeds")
    return options


def main() -> None:
    """Do what the command line says."""
    options = read_options()
    logging.basicConfig(format="%(message)s")
    torch.set_num_threads(options.threads)
    record = Record(options.csv)
    if not options.summary:
        record.check_settings(options)
        done = {key(row) for row in record.read(SCORES)}
        every = list(runs(options.scopes, options.models, options.heads, options.seeds))
        left = [run for run in every if not {key(k) for k in run.keys} <= done]
        bench = Bench(options)
        if left:
            estimate(bench, left)
        if options.estimate:
            return
        record.keep_settings(options)
        kinds = {run._replace(seed=0): run for run in reversed(left)}  # the first one of each
        record.replace(SIZES, [bench.size(run) for run in reversed(kinds.values())])
        start = time.perf_counter()
        for number, run in enumerate(left, 1):
            finish(bench, run)
            hours = (time.perf_counter() - start) / 3600
            print(f"{number} of {len(left)} runs, {hours:.2f} hours", flush=True)
    rows = record.read(SCORES)
    print(summary(rows, record.read(COUNTS)) if rows else f"there is nothing in {options.csv}")


if __name__ == "__main__":
    keep_memory()
    main()
