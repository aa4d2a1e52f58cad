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
``--learning-rate``, it chooses among them too, for every model and head, on the seed
``--tune-seed``, which gives no rows; while the best one stands at an end, the next one beyond it,
by a factor of two, is tried too. Then the test part is read, once. CoNLL-2000 has no dev
part: 1,000 sentences are drawn from its train file with seed 0, equal sentences together, and are
not trained on. With ``--labels`` the dev part has its full size: what is compared is training, not
tuning, on few labels; the sentences are drawn by the seed, a smaller draw from a larger one.

Beside the record stand, as ``…_counts.csv``, what was right in each test sentence, from which come
intervals of differences to ``single``: a paired bootstrap over sentences, of means over seeds; as
``…_graphs.csv`` the edges of each graph model on the test parts (mean attention; by how much the
loss of a receiver's sentence rises without the edge, in nats, and the standard error of that); as
``…_words.csv``, of scores that see words, the words at which a task listens most to each sender; as
``…_sizes.csv`` how many parameters models have; as ``…_choices.json`` the learning rates that were
tried and chosen; and as ``…_settings.json`` the options of each scope: runs with others go into
another record.

Rows are written when a run is finished, and runs whose rows are there are not run again. Tags of
test sentences are kept in ``--out``.
"""

from __future__ import annotations

import argparse
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
from _tagging_train import Bench
from _tuning import Choices

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


def choose(bench: Bench, run: Run) -> float:
    """The learning rate with the best mean dev score on the seed for tuning."""
    options = bench.options
    rates, seeds = tuple(options.learning_rate), (options.tune_seed,)
    if len(rates) == 1:
        return rates[0]
    choices, place = choices_of(options), tuned_as(run)
    while left := choices.missing(*place, rates, seeds):  # what they find may ask for more
        for rate, seed in left:
            _, done = bench.train(run._replace(seed=seed), rate)
            tried = {"learning_rate": rate, "seed": seed, "dev": round(done.dev_score, 5)}
            tried |= {"epochs": done.best_epoch, "seconds": round(done.seconds, 1)}
            choices.add(*place, tried)
            print("tried", *place, rate, f"dev {done.dev_score:.5f}", flush=True)
    return choices.choose(*place, rates, seeds)


def choices_of(options: argparse.Namespace) -> Choices:
    """What was tried, beside the record."""
    return Choices(options.csv.with_name(f"{options.csv.stem}_choices.json"))


def tuned_as(run: Run) -> tuple[str, str, str]:
    """Scope, head and model, of which each has its rate; with the task of a model of one."""
    model = run.model if run.model != "single" else f"{run.model} {run.tasks[0]}"
    return run.scope, run.head, model


# What a person sees ---------------------------------------------------------------------------


def estimate(bench: Bench, left: list[Run]) -> None:
    """Print how much time of a processor the runs will take, from a few batches of each kind."""
    hours: dict[tuple[str, str, str], list[float]] = {}
    seconds: dict[Run, float] = {}
    rates, seeds = tuple(bench.options.learning_rate), (bench.options.tune_seed,)
    choices = choices_of(bench.options)
    kinds = {run._replace(seed=0) for run in left}
    trainings = 0.0
    for run in left:
        kind = run._replace(seed=0)
        if kind not in seconds:
            seconds[kind] = bench.seconds(run)
        hours.setdefault((run.scope, run.model, run.head), []).append(seconds[kind] / 3600)
        trainings += seconds[kind] / 3600
    if len(rates) > 1:
        tries = {kind: choices.missing(*tuned_as(kind), rates, seeds) for kind in kinds}
        trainings += sum(seconds[kind] * len(left) for kind, left in tries.items()) / 3600
        print(f"tuning: at least {sum(map(len, tries.values()))} trainings")
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
    add("--own-rate", type=float, default=1.0, help="of what nodes have for themselves, times that")
    add("--dropout", type=float, default=0.5)
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
