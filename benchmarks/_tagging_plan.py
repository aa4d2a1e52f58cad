"""Which models the tagging benchmark trains, and of what."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from _record import Row
from _tagging_data import TASKS
from _tagging_scores import JOINT

from mtgnn import TaskGraph

MODELS = ("single", "shared", "hierarchical", "shared_private", "complete", "star")
HEADS = ("softmax", "crf")
TOGETHER = "joint"
BELOW = {"chunk": ["pos", "upos", "xpos"], "ner": ["chunk"]}  # of the hierarchical model


class Run(NamedTuple):
    """What is trained: a model of the tasks of a corpus, or of all of them (``"joint"``)."""

    scope: str
    tasks: tuple[str, ...]
    model: str
    head: str
    seed: int

    @property
    def corpora(self) -> tuple[str, ...]:
        """The corpora that it reads."""
        return tuple(TASKS) if self.scope == TOGETHER else (self.scope,)

    @property
    def keys(self) -> list[Row]:
        """What begins its rows of the record."""
        before = JOINT if self.scope == TOGETHER else ""
        return [
            {
                "corpus": before + corpus,
                "task": task,
                "model": self.model,
                "head": self.head,
                "seed": str(self.seed),
            }
            for corpus in self.corpora
            for task in TASKS[corpus]
            if task in self.tasks
        ]


def runs(
    scopes: Sequence[str], models: Sequence[str], heads: Sequence[str], seeds: Sequence[int]
) -> Iterator[Run]:
    """All runs, seed by seed.

    ``single`` is a model for each task, and in a joint run would be the same. A corpus with one
    task has nothing to share, and in one whose tasks are on one level ``hierarchical`` is
    ``shared``: these are left out.
    """
    for seed in seeds:
        for scope in scopes:
            corpora = tuple(TASKS) if scope == TOGETHER else (scope,)
            tasks = tuple(task for corpus in corpora for task in TASKS[corpus])
            for model in models:
                if model == "single":
                    groups = [] if scope == TOGETHER else [(task,) for task in tasks]
                elif len(tasks) == 1 or (model == "hierarchical" and not levels(tasks).num_edges):
                    groups = []
                else:
                    groups = [tasks]
                for group in groups:
                    yield from (Run(scope, group, model, head, seed) for head in heads)


def levels(tasks: Sequence[str]) -> TaskGraph:
    """Parts of speech below chunks below entities."""
    edges = [(low, high) for high in tasks for low in BELOW.get(high, ()) if low in tasks]
    return TaskGraph.from_edges(edges, tasks)
