"""Sentences a second in training and in tagging, beside a plain ``nn.LSTM`` with the same heads.

    python benchmarks/tagging_speed.py --root data --csv tagging_speed.csv
    python benchmarks/tagging_speed.py --quick

Every model tags all tasks of a corpus in one pass, with the words, characters, sizes and heads of
``tagging.py``. ``lstm`` is what one would write without this library: a packed ``torch.nn.LSTM``
that all tasks share, below this library's CRF; ``shared`` computes the same, which is checked
first. ``single`` has as many LSTMs as tasks. Training is forward, backward and a step of Adam;
tagging is forward and decoding. Models take turns on the same batches, which stand for an epoch:
the middles of equal pieces of all batches in order of length. Measure on an idle machine.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from _record import select, unique_keys, write
from _tagging_answers import look
from _tagging_command_line import make_parser, parse
from _tagging_data import TASKS
from _tagging_plan import HEADS, MODELS, Run, runs
from _tagging_train import Bench, step
from _timing import WHERE, alternate, environment, middles
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from mtgnn import TaskGraph
from mtgnn.data import BucketBatchSampler, TokenBatch
from mtgnn.nn import TaggingModel

PLAIN = "lstm"
COLUMNS = [
    *("corpus", "tasks", "model", "head", "phase", "E", "H", "batch_size"),
    *("sentences_per_s", "tokens_per_s", "ratio_to_lstm", *WHERE),
]


class PlainLSTM(nn.Module):
    """A packed :class:`torch.nn.LSTM` that is called like the encoders of this library."""

    def __init__(self, input_size: int, hidden_size: int, tasks: tuple[str, ...]) -> None:
        super().__init__()
        self.graph = TaskGraph.isolated(tasks)
        self.output_size = 2 * hidden_size
        self.lstm = nn.LSTM(input_size, hidden_size, batch_first=True, bidirectional=True)

    def forward(self, x: Tensor, lengths: Tensor, task: None = None) -> tuple[Tensor, None]:
        """Read sentences for all tasks."""
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        out, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True)
        return out.unsqueeze(2).expand(-1, -1, self.graph.num_tasks, -1), None


def build(bench: Bench, corpus: str, name: str, head: str) -> TaggingModel:
    """A model of all tasks of a corpus."""
    run = Run(corpus, TASKS[corpus], "shared" if name == PLAIN else name, head, 0)
    model = bench.build(run, dropout=0.5)
    if name == PLAIN:
        shared = model.encoder
        model.encoder = PlainLSTM(model.words.output_size, bench.options.hidden_size, run.tasks)
        model.encoder.load_state_dict(shared.state_dict())
    return model


def check(bench: Bench, corpus: str, head: str, batches: list[TokenBatch]) -> None:
    """Stop unless the plain model and ``shared`` agree."""
    plain, shared = (build(bench, corpus, name, head).eval() for name in (PLAIN, "shared"))
    for batch in batches:
        with torch.no_grad():
            ours, theirs = shared.read(batch).logits, plain.read(batch).logits
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)


def sample(bench: Bench, corpus: str) -> list[TokenBatch]:
    """Batches that stand for an epoch."""
    train = bench.prepare(Run(corpus, TASKS[corpus], "shared", "crf", 0)).train
    every = BucketBatchSampler(train.lengths, bench.options.batch_size).global_batches()
    every.sort(key=lambda batch: int(train.lengths[batch].max()))
    return [train.collate([train[i] for i in b]) for b in middles(every, bench.options.batches)]


def calls(model: TaggingModel, batches: list[TokenBatch]) -> dict[str, Callable[[], object]]:
    """What is timed, by phase."""
    optimiser = torch.optim.Adam(model.parameters(), 1e-3, fused=True)

    def train() -> None:
        for batch in batches:
            step(model.train(), batch, optimiser)

    def tag() -> None:
        for batch in batches:
            look(model.eval(), batch)

    return {"train": train, "tag": tag}


def measure(bench: Bench, corpus: str, head: str) -> list[dict[str, Any]]:
    """The lines of a corpus and a head."""
    options, batches = bench.options, sample(bench, corpus)
    check(bench, corpus, head, batches[:2])
    own = [run.model for run in runs([corpus], options.models, [head], [0])]
    names = list(dict.fromkeys([PLAIN, *own]))
    models = {name: calls(build(bench, corpus, name, head), batches) for name in names}
    sizes = sum(map(len, batches)), sum(int(batch.lengths.sum()) for batch in batches)
    lines = []
    for phase in ("train", "tag"):
        one = {name: model[phase] for name, model in models.items()}
        times = alternate(one, "cpu", options.seconds, options.rounds)
        for name, time in times.items():
            lines.append(
                {
                    "corpus": corpus,
                    "tasks": len(TASKS[corpus]),
                    "model": name,
                    "head": head,
                    "phase": phase,
                    "E": options.embedding_size,
                    "H": options.hidden_size,
                    "batch_size": options.batch_size,
                    "sentences_per_s": round(sizes[0] / time.median, 1),
                    "tokens_per_s": round(sizes[1] / time.median, 1),
                    "ratio_to_lstm": round(times[PLAIN].median / time.median, 3),
                }
            )
    return lines


def table(lines: list[dict[str, Any]]) -> str:
    """Sentences a second, and times as many as the plain model."""
    said = [f"{'':32}{'train':>18}{'tag':>18}    sentences/s (times that of {PLAIN})"]
    for corpus, head, model in unique_keys(lines, "corpus", "head", "model"):
        own = select(lines, corpus=corpus, head=head, model=model)
        cells = [f"{x['sentences_per_s']:.0f} ({x['ratio_to_lstm']:.2f})" for x in own]
        said.append(f"{corpus + ', ' + model + ', ' + head:32}{cells[0]:>18}{cells[1]:>18}")
    return "\n".join(said)


def read_options(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = make_parser(__doc__)
    add = parser.add_argument_group("what is measured").add_argument
    add("--corpora", nargs="+", choices=list(TASKS), default=["conll2000"])
    add("--models", nargs="+", choices=MODELS, default=list(MODELS))
    add("--heads", nargs="+", choices=HEADS, default=["crf"])
    add("--batches", type=int, default=12, help="how many stand for an epoch")
    add("--seconds", type=float, default=60.0, help="for a phase of all models of a head")
    add("--rounds", type=int, default=20, help="turns at most")
    add("--csv", type=Path, help="write the record here")
    options = parse(parser, arguments, {"batches": 2, "rounds": 2})
    options.labels = None
    return options


def main() -> None:
    """Measure and print."""
    options = read_options()
    torch.set_num_threads(options.threads)
    bench = Bench(options)
    lines = [x for c in options.corpora for head in options.heads for x in measure(bench, c, head)]
    print(table(lines))
    if options.csv:
        where = environment("cpu")
        write(options.csv, COLUMNS, [line | where for line in lines])


if __name__ == "__main__":
    main()
