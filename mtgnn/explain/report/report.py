"""One HTML page about what a model's tasks learn from each other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from ...graph import TaskGraph
from ...nn import MultiTaskModel, TaggingModel
from ...nn.compiled import uncompiled
from ...ops.attention import CONTEXTUAL
from ..readouts.readout import Batch
from .plan import ReportPlan, check_loader, check_path, plan_report
from .readings import Readings, read_off
from .render import render_page
from .shown import shown
from .shown_answers import shown_answers
from .shown_graphs import shown_agreements, shown_map, shown_readout, shown_truth
from .shown_words import rare_words, shown_words


def report(
    model: MultiTaskModel | TaggingModel,
    batches: Iterable[Batch],
    path: str | PathLike[str],
    *,
    title: str = "What the tasks learn from each other",
    truth: TaskGraph | None = None,
    tasks: Sequence[str] | None = None,
    cluster_by: str | None = None,
    num_clusters: int | None = None,
    per_task: int = 5,
    num_words: int = 8,
    min_count: int = 5,
    progress: bool = True,
) -> dict[str, TaskGraph]:
    """Write one HTML page about a model: it needs no network, and no other file.

    It says how often the model is right on these sequences, and what always giving a task's most
    frequent label would reach. It shows the task graph and the matrix of its weights, by
    attention, by what cutting an edge does to the loss and by its first-order estimate, and how far
    these agree; of a complete graph that reads, also how alike tasks are, see
    :func:`profile_graph`; clusters of tasks; the words at which a task listens, where its scores
    see words; and sentences to step through. Of a mailbox it shows which words tasks read in it,
    and whose shares it holds. It stays readable for the colour-blind.

    Args:
        model: The model; its encoder is a :class:`mtgnn.nn.GraphLSTM` over a graph with edges. Of a
            model that tags, the loss is that of a sentence, all its tags together.
        batches: Batches of labelled sequences, each of one task, on any device; read more than
            once, so no generator.
        path: Where the page goes.
        title: Its title.
        truth: The true task graph, where it is known; a star has no edges to compare with it.
        tasks: Names of the receivers that are asked for, by default all: only these need labelled
            sequences, such as a task that was added, and the page shows the edges into them alone,
            without profiles and clusters, which take all edges.
        cluster_by: The weights that the clusters come from: ``"profile"``, ``"ablation"``,
            ``"attention"`` or ``"gradient"``; by default the first of these that there is. Tasks
            without edges between them have no clusters.
        num_clusters: Number of clusters, see :func:`task_clusters`.
        per_task: Sentences a task.
        num_words: Words shown a pair of tasks.
        min_count: Words that are rarer are not shown among these; the page says how many these are.
        progress: Show a progress bar of each pass over the batches: every edge is cut, which takes
            many times an evaluation.

    Returns:
        The weighted graphs, by readout.

    Raises:
        ValueError: If the batches are a generator or no batches of sequences, the model is none,
            the page's folder does not exist, the encoder runs on no graph with edges, a
            receiving task has no labelled sequence, ``truth`` has other tasks or edges, the model
            has no weights of the kind ``cluster_by``, or it computes NaN.
    """
    model = uncompiled(model)
    check_loader(batches)
    check_path(Path(path))
    plan = plan_report(model, truth, tasks, cluster_by)
    readings = read_off(model, batches, plan, per_task, progress)
    content = {
        "title": title,
        "summary": _summary(model, plan, readings),
        "labelled": "sentences" if isinstance(model, MultiTaskModel) else "words",
        "sentences": [
            shown(model, each, plan.mailbox)
            for each in readings.sentences
            if each.task in plan.asked
        ],
        **_shown_graphs(plan, readings, truth, num_clusters),
        **_shown_words(plan, readings, num_words, min_count),
        "answers": shown_answers(readings.answers, model.classes, plan.asked),
    }
    Path(path).write_text(render_page(content), encoding="utf-8")
    return readings.weights


def _shown_graphs(
    plan: ReportPlan, readings: Readings, truth: TaskGraph | None, num_clusters: int | None
) -> dict[str, Any]:
    """The task graph, its weights by all readouts, and how far these agree."""
    graph, weights = plan.graph, readings.weights
    readouts = [
        shown_readout(name, weights[name], readings.effects.get(name), truth, plan.mailbox)
        for name in weights
    ]
    if truth is not None and "attention" in weights:
        readouts.append(shown_truth(weights["attention"], truth))
    compared = {name: each for name, each in weights.items() if name != "profile"}
    return {
        "kind": "mailbox" if plan.mailbox else "edges",
        "tasks": list(graph.tasks),
        "nodes": list(graph.nodes),
        "asked": [graph.index(task) for task in plan.asked],
        "edges": graph.edge_index[:, plan.edges].t().tolist(),
        "readouts": readouts,
        "agreements": shown_agreements(compared),
        **(
            {"clusters": None}
            if plan.cluster_by is None
            else shown_map(weights[plan.cluster_by], plan.cluster_by, num_clusters)
        ),
    }


def _shown_words(
    plan: ReportPlan, readings: Readings, num_words: int, min_count: int
) -> dict[str, Any]:
    """The words at which tasks listen, or which they read."""
    heaviest = shown_words(readings.words, num_words, min_count)
    if not plan.mailbox:  # there is a list an edge
        heaviest = [heaviest[edge] for edge in plan.edges.tolist()]
    return {
        "words": heaviest if plan.encoder.score in CONTEXTUAL else None,
        "rare": rare_words(readings.words, min_count),
        "min_count": min_count,
    }


def _summary(model: MultiTaskModel | TaggingModel, plan: ReportPlan, readings: Readings) -> str:
    graph, asked, effects = plan.graph, plan.asked, readings.effects["ablation"]
    own = [graph.index(task) for task in asked]
    count = effects.count[own]
    number = int(count.sum())
    loss = float((effects.loss[own] * count).sum() / number)
    size = f"{effects.graph.num_edges} edges; "
    if len(asked) < graph.num_tasks:
        one = len(asked) == 1
        size = (
            f"of which {', '.join(asked)} {'is' if one else 'are'} shown with the edges into "
            f"{'it' if one else 'them'}; "
        )
    return (
        f"{type(model.encoder).__name__}, {graph.num_tasks} tasks, {size}read off {number:,} "
        f"labelled sentences, whose mean loss is {loss:.3f}."
    )
