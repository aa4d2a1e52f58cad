"""Write ``docs/results*.md``, their pictures and tables of ``README.md`` from committed records.

    python benchmarks/report.py
    python benchmarks/report.py --check     # changes nothing; fails if a page is not up to date

Each text of ``benchmarks/results/pages/`` is a page of ``docs/``: a line ``{{NAME}}`` of it becomes
the tables and pictures of that record, or, while there is none, the command that makes it.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path

import _plots as plots
import _tables as tables
import _tagging_tables as tagging
from _accuracy_page import accuracy_pieces, claims_table, short_table
from _graphs import by_readout, mean_graph, words_in_common
from _markdown import markdown
from _record import Row, by_seed, read, select, unique, unique_keys
from _report_commands import COMMANDS
from _settings import GRAPHS, SETTINGS
from _tagging_graphs import agreement, graph_table, seed_graphs
from _tagging_plan import TOGETHER
from _transfer_tables import complete_seeds, transfer_against_table, transfer_table
from _tuning import Choices

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"
DOCS = ROOT / "docs"
README = ROOT / "README.md"
BLOCK = re.compile(r"(<!-- results: (\w+) -->\n).*?(\n<!-- end -->)", re.DOTALL)
RECORDS = {"claims": "accuracy"}  # parts that are of a record of another name


class Report:
    """The pages.

    Args:
        results: Folder of the records and, in ``pages/``, of the texts.
        docs: Folder of the pages; pictures go into ``images/`` in it.
        draw: Draw the pictures; else they are only named in the pages.
    """

    def __init__(self, results: Path, docs: Path, draw: bool = True) -> None:
        self.results, self.docs, self.draws = results, docs, draw

    def pages(self) -> dict[Path, str]:
        """Each page's text.

        Raises:
            ValueError: If a text names an unknown record.
        """
        texts = sorted((self.results / "pages").glob("*.md"))
        return {self.docs / path.name: self.text(path.read_text("utf-8")) for path in texts}

    def readme(self, text: str) -> str:
        """The README with its tables, of a setting or of transfer, each between two comments."""
        rows = select(read(self.results / "accuracy.csv"), dataset="fdu-mtl")
        moved = select(read(self.results / "transfer.csv"), reviews="unleaked")

        def table(name: str) -> str:
            if name == "transfer":
                return markdown(transfer_table(moved))
            return markdown(short_table(select(rows, setting=name)))

        return BLOCK.sub(lambda m: m[1] + table(m[2]) + m[3], text)

    def text(self, template: str) -> str:
        """A text with the tables and pictures that it names."""
        return re.sub(r"^\{\{(.*)\}\}$", lambda m: self.part(m[1]), template, flags=re.MULTILINE)

    def part(self, name: str) -> str:
        """What stands in the place of ``{{NAME}}``."""
        if name not in COMMANDS:
            raise ValueError(f"expected a record among {list(COMMANDS)}, got {name!r}")
        rows = read(self.results / f"{RECORDS.get(name, name)}.csv")
        if not rows:
            return f"*Not run yet:* `python {COMMANDS[name]}`"
        pieces: list[str] = getattr(self, name)(rows)
        return "\n\n".join(pieces)

    def picture(self, name: str, title: str, draw: Callable[[Path], bool | None]) -> list[str]:
        """A picture's line, or nothing where there is nothing to draw."""
        path = self.docs / "images" / f"{name}.png"
        if self.draws and draw(path) is False:
            return []
        return [f"![{title}](images/{name}.png)"] if path.exists() else []

    # One method a record -----------------------------------------------------------------------

    def planted(self, rows: Sequence[Row]) -> list[str]:
        means = select(rows, task="mean")
        picture = self.picture(
            "planted", "Planted tasks", lambda path: plots.score_dots(means, path)
        )
        return [markdown(tables.planted_table(rows)), *picture]

    def accuracy(self, rows: Sequence[Row]) -> list[str]:
        bootstrap = read(self.results / "accuracy_bootstrap.csv")
        choices = Choices(self.results / "accuracy_choices.json").content
        return accuracy_pieces(rows, bootstrap, choices, self.picture)

    def claims(self, rows: Sequence[Row]) -> list[str]:
        return [markdown(claims_table(rows))]

    def transfer(self, rows: Sequence[Row]) -> list[str]:
        return self.transferred(rows, "transfer")

    def transfer_planted(self, rows: Sequence[Row]) -> list[str]:
        return self.transferred(rows, "transfer_planted")

    def transferred(self, rows: Sequence[Row], name: str) -> list[str]:
        """The tables and the picture of a record of ``transfer.py``."""
        # A model of the other tasks has seen leaked reviews with their labels.
        every = select(rows, reviews="unleaked") or rows
        tasks = {row["task"] for row in every}
        order = sorted(unique(every, "labels"), key=lambda n: float(n.replace("all", "inf")))
        series: dict[str, dict[str, float]] = {}
        for method in unique(every, "method"):
            for labels in order:
                own = complete_seeds(select(every, method=method, labels=labels), tasks)
                if own:
                    mean = statistics.mean(by_seed(own).values())
                    series.setdefault(method, {})[labels] = 100 * mean
        picture = self.picture(
            name,
            "Transfer by the number of labels",
            lambda path: plots.lines(series, "labels", "test accuracy in %", path),
        )
        against = transfer_against_table(rows)
        pieces = [markdown(transfer_table(rows)), *picture]
        return [*pieces, markdown(against)] if against[1] else pieces

    def tagging(self, rows: Sequence[Row]) -> list[str]:
        return self.tags(rows, "tagging")

    def tagging_few(self, rows: Sequence[Row]) -> list[str]:
        return self.tags(rows, "tagging_few")

    def tagging_characters(self, rows: Sequence[Row]) -> list[str]:
        counts, _, *others = self.beside("tagging_characters", "tagging")
        table = tagging.tagging_option_table(rows, counts, *others, ("LSTM", "CNN"))
        return [markdown(table), *self.tags(rows, "tagging_characters")]

    def tagging_few_own(self, rows: Sequence[Row]) -> list[str]:
        counts, sizes, *others = self.beside("tagging_few_own", "tagging_few")
        found = tagging.tagging_option_table(rows, counts, *others, ("a tenth", "as fast"))
        few = [row for row in others[0] if row["model"] not in GRAPHS]
        beside = tagging.tagging_beside_tables(rows, counts, sizes, few, others[1])
        return [markdown(table) for table in (found, *beside)]

    def tagging_wide(self, rows: Sequence[Row]) -> list[str]:
        beside = self.beside("tagging_wide", "tagging")
        said = json.loads((self.results / "tagging_wide_settings.json").read_text("utf-8"))
        [size] = {own["hidden_size"] for own in said.values()}
        return [markdown(table) for table in tagging.tagging_size_tables(rows, *beside, size)]

    def beside(self, name: str, other: str) -> list[list[Row]]:
        """Counts and sizes of a record of ``tagging.py``, and another record and its counts."""
        files = f"{name}_counts", f"{name}_sizes", other, f"{other}_counts"
        return [read(self.results / f"{file}.csv") for file in files]

    def tags(self, rows: Sequence[Row], name: str) -> list[str]:
        """The tables of a record of ``tagging.py``: all models, and graphs against the others."""
        counts, sizes = (read(self.results / f"{name}_{part}.csv") for part in ("counts", "sizes"))
        against = tagging.tagging_against_table(rows, counts)
        pieces = [markdown(tagging.tagging_table(rows, counts, sizes))]
        pieces += [markdown(against)] if against[1] else []
        choices = Choices(self.results / f"{name}_choices.json").content
        for scope in choices:
            rates = markdown(tables.rate_table(choices, scope))
            pieces += [f"Learning rates that dev chose, {scope}:", rates]
        return pieces

    def tagging_speed(self, rows: Sequence[Row]) -> list[str]:
        return [markdown(tagging.tagging_speed_table(rows))]

    def crf(self, rows: Sequence[Row]) -> list[str]:
        return [markdown(tables.crf_table(rows))]

    def tagging_graphs(self, rows: Sequence[Row]) -> list[str]:
        shown = {"scope": TOGETHER, "model": "complete", "head": "crf"}
        own = select(rows, **shown)
        if not own:
            return [f"*Not run yet:* `python {COMMANDS['tagging_graphs']}`"]
        words = select(read(self.results / "tagging_words.csv"), **shown)
        picture = self.picture(
            "tagging-graphs",
            "Who listens to whom",
            lambda path: plots.task_graphs(seed_graphs(own), path),
        )
        return [markdown(graph_table(own, words)), agreement(own), *picture]

    def recovery(self, rows: Sequence[Row]) -> list[str]:
        pieces = []
        for shape, strength in unique_keys(rows, "shape", "strength"):
            own = select(rows, shape=shape, strength=strength)
            found = {
                method: [float(row["auroc"]) for row in select(own, method=method)]
                for method in unique(own, "method")
            }
            best = dict(sorted(found.items(), key=lambda pair: -sum(pair[1]) / len(pair[1])))
            title = f"{shape}, strength {strength}"
            pieces += [f"**{title}**", markdown(tables.recovery_table(own))]
            pieces += self.picture(
                f"recovery-{shape}-{strength}",
                title,
                lambda path, best=best: plots.dots(best, "AUROC; a dot a seed", path),
            )
        return pieces

    def graphs(self, rows: Sequence[Row]) -> list[str]:
        words = read(self.results / "graphs_words.csv")
        pieces = []
        for data, setting in unique_keys(rows, "dataset", "setting"):
            own = select(rows, dataset=data, setting=setting)
            means = {how: mean_graph(graphs) for how, graphs in by_readout(own).items()}
            pieces += [f"**{data}, {setting}**: {SETTINGS[setting].about}"]
            pieces += [markdown(tables.agreement_table(own)), markdown(tables.heard_table(means))]
            pieces += self.picture(
                f"graphs-{data}-{setting}",
                f"{data}, {setting}: mean over seeds",
                lambda path, means=means: plots.task_graphs(means, path),
            )
            seen = select(words, dataset=data, setting=setting)
            if seen:
                pieces.append(markdown(tables.word_table(seen)))
                shares = words_in_common(seen)
                if all(shares):
                    same, other = (100 * sum(values) / len(values) for values in shares)
                    pieces.append(
                        f"Two seeds have {same:.0f} % of a receiver's words in common, and "
                        f"{other:.0f} % of two different receivers' words."
                    )
        return pieces

    def collect_attention(self, rows: Sequence[Row]) -> list[str]:
        return [markdown(tables.collecting_table(rows))]

    def speed(self, rows: Sequence[Row]) -> list[str]:
        return [markdown(tables.speed_table(rows))]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--docs", type=Path, default=DOCS)
    parser.add_argument("--check", action="store_true", help="fail if a page is not up to date")
    options = parser.parse_args()
    report = Report(options.results, options.docs, draw=not options.check)
    pages = {**report.pages(), README: report.readme(README.read_text(encoding="utf-8"))}
    for page, text in pages.items():
        if not options.check:
            page.parent.mkdir(parents=True, exist_ok=True)
            page.write_text(text, encoding="utf-8")
        elif not page.exists() or page.read_text(encoding="utf-8") != text:
            raise SystemExit(f"{page} is not up to date: python benchmarks/report.py")


if __name__ == "__main__":
    main()
