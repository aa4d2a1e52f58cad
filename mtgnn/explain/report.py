from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm  # comes with torch-geometric

from ..graph import TaskGraph
from ..nn import GraphLSTM, MultiTaskModel, TaggingModel
from ..nn.check import check_option
from ..nn.mailbox import mixes_senders
from ..ops.attention import CONTEXTUAL
from .ablation import edge_ablation, edge_insertion
from .answers import AnswerCount
from .average import EdgeMean
from .collect import collect_attention, mailbox_shares
from .effects import EdgeEffects, find_encoder
from .gradient import edge_gradient
from .mailbox import MailboxByWord
from .profiles import profile_graph
from .readout import Batch, check_batches, edges_into
from .render import render_page
from .sentences import SentenceSample
from .shown import shown, words_of
from .shown_answers import shown_answers
from .shown_graphs import shown_agreements, shown_map, shown_readout, shown_truth
from .shown_words import rare_words, shown_words
from .words import EdgeByWord

CLUSTER_BY = ("profile", "ablation", "attention", "gradient")


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
    if cluster_by is not None:
        check_option("cluster_by", cluster_by, CLUSTER_BY)
    if isinstance(batches, Iterator):
        raise ValueError("batches are read more than once: expected a loader, got an iterator")
    check_batches(batches)
    _check_path(Path(path))
    _check_model(model)
    encoder = find_encoder(model)
    kinds, graph = _kinds(encoder), encoder.graph
    asked = [task for task in graph.tasks if tasks is None or task in tasks]
    edges = edges_into(graph, tasks)
    if tasks is not None:
        if cluster_by is not None:
            raise ValueError(f"expected no cluster_by with tasks=[…], got {cluster_by!r}")
        kinds = [kind for kind in kinds if kind != "profile"]
    if truth is not None:
        _check_truth(truth, graph)
    chosen = cluster_by or next(name for name in CLUSTER_BY if name in kinds)
    if chosen not in kinds:
        raise ValueError(f"expected cluster_by among {kinds} of this model, got {chosen!r}")
    mailbox = encoder.memory != "current"
    vocabulary, characters = words_of(model)
    words: Any = (
        MailboxByWord(graph, vocabulary, encoder.memory == "past", encoder.bidirectional)
        if mailbox
        else EdgeByWord(graph, vocabulary)
    )
    sample = SentenceSample(graph, vocabulary, per_task, mailbox=mailbox, characters=characters)
    readouts = [words, sample, AnswerCount(model)]
    readouts += [EdgeMean(graph, tasks)] if "attention" in kinds else []

    def watched(doing: str) -> Iterable[Batch]:
        return tqdm(batches, doing, unit="batch", disable=not progress)

    table, sentences, counts, *averaged = collect_attention(model, watched("attention"), readouts)
    sees_words = encoder.score in CONTEXTUAL
    heaviest_words = shown_words(table, num_words, min_count)
    if not mailbox:  # there is a list an edge
        heaviest_words = [heaviest_words[edge] for edge in edges.tolist()]
    weights: dict[str, TaskGraph] = {"attention": averaged[0]} if averaged else {}
    effects = {"ablation": edge_ablation(model, watched("cutting edges"), tasks=tasks)}
    if _nan(effects["ablation"], asked):
        raise ValueError("the model computes NaN: its parameters are not finite")
    if "gradient" in kinds:
        effects["gradient"] = edge_gradient(model, watched("gradients"), tasks=tasks)
    weights |= {name: effect.graph for name, effect in effects.items()}
    agreements = shown_agreements(weights)
    if "profile" in kinds:
        alone = edge_insertion(model, watched("edges alone")).graph
        weight = profile_graph(averaged[0], alone).weights()  # its edges may have another order
        weights["profile"] = graph.with_weight(torch.tensor([weight[e] for e in graph.edges]))
    content = {
        "title": title,
        "summary": _summary(model, effects["ablation"], asked),
        "answers": shown_answers(counts, model.classes, asked),
        "labelled": "sentences" if isinstance(model, MultiTaskModel) else "words",
        "kind": "mailbox" if mailbox else "edges",
        "tasks": list(graph.tasks),
        "nodes": list(graph.nodes),
        "asked": [graph.index(task) for task in asked],
        "edges": graph.edge_index[:, edges].t().tolist(),
        "readouts": [
            shown_readout(name, weights[name], effects.get(name), truth, mailbox)
            for name in weights
        ],
        "agreements": agreements,
        "words": heaviest_words if sees_words else None,
        "rare": rare_words(table, min_count),
        "min_count": min_count,
        "sentences": [shown(model, each, mailbox) for each in sentences if each.task in asked],
        **(
            shown_map(weights[chosen], chosen, num_clusters)
            if tasks is None
            else {"clusters": None}
        ),
    }
    if truth is not None and "attention" in kinds:
        content["readouts"].append(shown_truth(weights["attention"], truth))
    Path(path).write_text(render_page(content), encoding="utf-8")
    return weights


def _kinds(encoder: GraphLSTM) -> list[str]:
    """The ways to weigh this encoder's edges."""
    mailbox = encoder.memory != "current"
    weighed = not mailbox or mailbox_shares(encoder) is not None
    kinds = ["attention", "ablation"] if weighed else ["ablation"]
    if mixes_senders(encoder) or (not mailbox and encoder.score != "uniform"):
        kinds.append("gradient")
    if encoder.exchange == "read" and _is_complete(encoder.graph):  # else it takes a run an edge
        kinds.append("profile")
    return kinds


def _is_complete(graph: TaskGraph) -> bool:
    """Whether there are the edges between any two of four tasks or more, and no others."""
    every = TaskGraph.complete(graph.tasks).edges
    return graph.num_tasks > 3 and sorted(graph.edges) == sorted(every)


def _check_path(path: Path) -> None:
    """Raise where no page can be written: at once, and not after all has been computed."""
    if not path.parent.is_dir():
        raise ValueError(f"expected path in a folder that exists, got {str(path)!r}")
    if path.is_dir():
        raise ValueError(f"expected path of a file, got the folder {str(path)!r}")


def _check_model(model: Any) -> None:
    """Raise for what has no words and labels, such as an encoder alone."""
    if not hasattr(model, "encoder") or not (
        hasattr(model, "vocabulary") or hasattr(model, "sentences")
    ):
        raise ValueError(f"expected a MultiTaskModel or a TaggingModel, got {type(model).__name__}")


def _check_truth(truth: TaskGraph, graph: TaskGraph) -> None:
    """Raise where a true graph is of other tasks, or has edges that a model without virtual nodes
    cannot have."""
    if truth.tasks != graph.tasks:
        raise ValueError(f"expected truth of the tasks {graph.tasks}, got {truth.tasks}")
    more = sorted(set(truth.edges) - set(graph.edges))
    if more and not graph.virtual:
        raise ValueError(f"truth has edges that the model's graph has not: {more[:5]}")


def _nan(effects: EdgeEffects, asked: Sequence[str]) -> bool:
    """Whether a loss that is asked for is NaN."""
    own = [effects.graph.index(task) for task in asked]
    return bool(effects.loss[own].isnan().any())


def _summary(
    model: MultiTaskModel | TaggingModel, effects: EdgeEffects, asked: Sequence[str]
) -> str:
    graph = model.graph
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
