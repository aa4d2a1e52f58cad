"""Tables of the records of ``tagging.py`` and ``tagging_speed.py``."""

from __future__ import annotations

from collections.abc import Sequence

from _comparison import Table
from _record import Row, select, spread, unique, unique_keys
from _settings import GRAPHS
from _tagging_data import TASKS
from _tagging_plan import HEADS, MODELS, runs
from _tagging_record import scope_of
from _tagging_scores import JOINT, KEY, difference

CORPORA = (*TASKS, *(JOINT + corpus for corpus in TASKS))


def in_order(rows: Sequence[Row]) -> list[Row]:
    """Rows by corpus, head, model, task and seed, whenever they were made; CRFs come first."""

    def place(row: Row) -> tuple[int, ...]:
        corpus, head = CORPORA.index(row["corpus"]), -HEADS.index(row["head"])
        tasks = TASKS[row["corpus"].removeprefix(JOINT)]
        return corpus, head, _place(row["model"]), tasks.index(row["task"]), int(row["seed"])

    return sorted(rows, key=place)


def _place(model: str) -> int:
    return MODELS.index(model.partition(",")[0])  # a size may come behind it


def tagging_table(rows: Sequence[Row], counts: Sequence[Row], sizes: Sequence[Row]) -> Table:
    """A line a corpus, task, model and head."""
    encoder = {
        (row["scope"], task, row["model"], row["head"]): f"{int(row['encoder']):,}"
        for row in sizes
        for task in row["tasks"].split()
    }
    rows = in_order(rows)
    lines = []
    for group in unique_keys(rows, *KEY[:4]):
        own = select(rows, **dict(zip(KEY[:4], group, strict=True)))
        cells = []
        for column in ("test", "unknown_words", "dev"):
            values = [100 * float(row[column]) for row in own if row[column]]
            cells.append(spread(values, ".2f") if values else "–")
        ahead = difference(own, rows, counts) or "–"
        size = encoder.get((scope_of(own[0]), *group[1:]), "–")
        lines.append([*group, cells[0], ahead, *cells[1:], str(len(own)), size])
    header = ["corpus", "task", "model", "head", "test", "minus single", "unknown words", "dev"]
    return [*header, "seeds", "parameters of the encoder"], lines


def tagging_against_table(rows: Sequence[Row], counts: Sequence[Row]) -> Table:
    """A line a graph and a task: how far it is ahead of models that share otherwise."""
    rows = in_order(rows)
    others = [m for m in unique(rows, "model") if m not in ("single", *GRAPHS)]
    others.sort(key=_place)
    lines = []
    for corpus, task, head in unique_keys(rows, "corpus", "task", "head"):
        for model in GRAPHS:
            own = select(rows, corpus=corpus, task=task, head=head, model=model)
            known = planned(scope_of(own[0])) if own else ()
            found = [
                difference(own, rows, counts, other) if other.partition(",")[0] in known else "–"
                for other in others
            ]
            if any(cell != "–" and not cell.endswith("is missing") for cell in found):
                lines.append([corpus, task, model, head, *found])
    return ["corpus", "task", "model", "head", *(f"minus {other}" for other in others)], lines


def planned(scope: str) -> set[str]:
    """The models that are trained in a scope: in some there is nothing to share, or to order."""
    return {run.model for run in runs([scope], MODELS, HEADS[:1], [0])}


def tagging_option_table(
    rows: Sequence[Row],
    counts: Sequence[Row],
    others: Sequence[Row],
    other_counts: Sequence[Row],
    names: tuple[str, str],
) -> Table:
    """A line a task and model: a record made with an option, and one without, on the seeds that
    both have. ``names`` are theirs."""
    mark = f" {names[0]}"
    ours, mine = (
        [{**row, "model": row["model"] + mark} for row in part] for part in (rows, counts)
    )
    lines = []
    for group in unique_keys(ours, *KEY[:4]):
        wanted = dict(zip(KEY[:4], group, strict=True))
        own, model = select(ours, **wanted), wanted["model"].removesuffix(mark)
        theirs = select(others, **{**wanted, "model": model})
        both = {row["seed"] for row in own} & {row["seed"] for row in theirs}
        cells = [
            spread([100 * float(row[column]) for row in part if row["seed"] in both], ".2f")
            for column in ("dev", "test")
            for part in (own, theirs)
            if both
        ]
        if cells:
            ahead = difference(own, others, [*mine, *other_counts], model)
            lines.append([*group[:2], model, group[3], *cells, ahead])
    header = [f"{part}, {name}" for part in ("dev", "test") for name in names]
    return ["corpus", "task", "model", "head", *header, f"{names[0]} minus {names[1]}"], lines


def tagging_speed_table(rows: Sequence[Row]) -> Table:
    """A line a model: sentences a second, and how many times those of the plain LSTM."""
    lines = []
    for corpus, head, model in unique_keys(rows, "corpus", "head", "model"):
        line = [corpus, model, head]
        for phase in ("train", "tag"):
            own = select(rows, corpus=corpus, head=head, model=model, phase=phase)
            line += [f"{float(row['sentences_per_s']):,.0f}" for row in own]
            line += [f"{float(row['ratio_to_lstm']):.2f}" for row in own]
        lines.append(line)
    header = ["corpus", "model", "head", "training, sentences/s", "× `lstm`"]
    return [*header, "tagging, sentences/s", "× `lstm`"], lines


def tagging_size_tables(
    rows: Sequence[Row],
    counts: Sequence[Row],
    sizes: Sequence[Row],
    others: Sequence[Row],
    other_counts: Sequence[Row],
    hidden_size: int,
) -> tuple[Table, Table]:
    """A record of models of another size: how far they are ahead of ``single``, and graphs of the
    other record, with its own size, ahead of them."""
    rows, counts, sizes = (
        [{**row, "model": f"{row['model']}, H = {hidden_size}"} for row in part]
        for part in (rows, counts, sizes)
    )
    beside = [row for row in others if row["model"] in ("single", *GRAPHS)]
    return tagging_beside_tables(rows, counts, sizes, beside, other_counts)


def tagging_beside_tables(
    rows: Sequence[Row],
    counts: Sequence[Row],
    sizes: Sequence[Row],
    others: Sequence[Row],
    other_counts: Sequence[Row],
) -> tuple[Table, Table]:
    """A record beside models of another one: how far its own are ahead of ``single``, and graphs of
    both ahead of models that share otherwise."""
    alike = {(row["corpus"], row["head"]) for row in rows}
    beside = [
        row for row in others if row["model"] == "single" or (row["corpus"], row["head"]) in alike
    ]
    every = [*beside, *rows], [*other_counts, *counts]
    header, lines = tagging_table(*every, sizes)
    named = unique_keys(rows, *KEY[:4])
    own = [line for line in lines if tuple(line[:4]) in named]
    return (header, own), tagging_against_table(*every)
