from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from math import isnan
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm  # comes with torch-geometric

from ..graph import TaskGraph
from ..nn import GraphLSTM, MultiTaskModel, TaggingModel
from ..nn.check import check_option
from ..nn.mailbox import mixes_senders
from ..ops.attention import CONTEXTUAL
from .ablation import edge_ablation, edge_insertion
from .agreement import graph_agreement
from .average import EdgeMean
from .clusters import task_clusters, task_embedding
from .collect import collect_attention, mailbox_shares
from .effects import EdgeEffects, edge_errors, find_encoder
from .gradient import edge_gradient
from .mailbox import MailboxByWord, MailboxWords
from .profiles import profile_graph
from .readout import Batch, check_batches, edges_into
from .recovery import graph_recovery
from .render import render_page
from .sentences import SentenceSample
from .shown import rounded, shown, words_of
from .words import EdgeByWord, WordWeight, WordWeights, heaviest

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

    It shows the task graph and the matrix of its weights, by attention, by what cutting an edge
    does to the loss and by its first-order estimate, and how far these agree; of a complete
    graph that reads, also how alike tasks are, see :func:`profile_graph`; clusters of tasks;
    the words at which a task listens, where its scores see words; and sentences to step through.
    Of a mailbox it shows which words tasks read in it, and whose shares it holds. It stays readable
    for the colour-blind.

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
    asked = edges_into(graph, tasks)
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
    readouts = [words, sample, *([EdgeMean(graph, tasks)] if "attention" in kinds else [])]

    def watched(doing: str) -> Iterable[Batch]:
        return tqdm(batches, doing, unit="batch", disable=not progress)

    table, sentences, *averaged = collect_attention(model, watched("attention"), readouts)
    if tasks is not None:
        sentences = [sentence for sentence in sentences if sentence.task in tasks]
    sees_words = encoder.score in CONTEXTUAL
    heaviest_words = _words(table, num_words, min_count)
    if not mailbox:  # there is a list an edge
        heaviest_words = [heaviest_words[edge] for edge in asked.tolist()]
    weights: dict[str, TaskGraph] = {"attention": averaged[0]} if averaged else {}
    effects = {"ablation": edge_ablation(model, watched("cutting edges"), tasks=tasks)}
    if _nan(effects["ablation"], tasks):
        raise ValueError("the model computes NaN: its parameters are not finite")
    if "gradient" in kinds:
        effects["gradient"] = edge_gradient(model, watched("gradients"), tasks=tasks)
    weights |= {name: effect.graph for name, effect in effects.items()}
    agreements = _agreements(weights)
    if "profile" in kinds:
        alone = edge_insertion(model, watched("edges alone")).graph
        weight = profile_graph(averaged[0], alone).weights()  # its edges may have another order
        weights["profile"] = graph.with_weight(torch.tensor([weight[e] for e in graph.edges]))
    content = {
        "title": title,
        "summary": _summary(model, effects["ablation"], tasks),
        "kind": "mailbox" if mailbox else "edges",
        "tasks": list(graph.tasks),
        "nodes": list(graph.nodes),
        "asked": [k for k, task in enumerate(graph.tasks) if tasks is None or task in tasks],
        "edges": graph.edge_index[:, asked].t().tolist(),
        "readouts": [
            _readout(name, weights[name], effects.get(name), truth, mailbox) for name in weights
        ],
        "agreements": agreements,
        "words": heaviest_words if sees_words else None,
        "rare": _rare(table, min_count),
        "min_count": min_count,
        "sentences": [shown(model, sentence, mailbox) for sentence in sentences],
        **(_map(weights[chosen], chosen, num_clusters) if tasks is None else {"clusters": None}),
    }
    if truth is not None and "attention" in kinds:
        content["readouts"].append(_planted(weights["attention"], truth))
    Path(path).write_text(render_page(content), encoding="utf-8")
    return weights


WIDTH = "the thinner, the closer to it, and at full width from twice as much."
ABOUT = {
    "shares": "The share of each sender in what a task reads: one learned number an edge, the same "
    "at all words. The circle shows the edges whose share is larger than an equal one would be: "
    + WIDTH,
    "attention": "Mean attention weight at the words of a task's own sentences. The circle shows "
    "the edges that weigh more than equal attention would: " + WIDTH,
    "ablation": "How much the loss of the receiver rises when the edge is cut: its other senders "
    "take its share, and where there is none, no message comes. The circle shows the edges where "
    "this is more than two standard errors, the thicker the farther beyond.",
    "gradient": "The rise of the loss when the edge is cut, to first order: the gradient of the "
    "loss along the change of the message. The circle shows more than two standard errors, the "
    "thicker the farther beyond.",
    "profile": "How alike the relations of two tasks to all tasks are, by attention and by what an "
    "edge does alone: a correlation, without a direction. Single edges are uncertain, and who "
    "belongs together is seen here best. The circle shows what is above 0.",
}
UNITS = {
    "attention": "weight",
    "ablation": "rise of the loss",
    "gradient": "rise of the loss",
    "profile": "correlation",
}


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


def _readout(
    name: str,
    graph: TaskGraph,
    effects: EdgeEffects | None,
    truth: TaskGraph | None,
    mailbox: bool,
) -> dict[str, Any]:
    """A way to weigh the edges, and above which bar an edge is drawn."""
    assert graph.edge_weight is not None
    receiver, about = (
        graph.edge_index[1],
        ABOUT["shares" if name == "attention" and mailbox else name],
    )
    error = None
    if name == "profile":
        bar = torch.zeros_like(graph.edge_weight)
    elif effects is None:
        bar = 1 / receiver.bincount(minlength=graph.num_nodes)[receiver].double()
        bar = torch.where(bar == 1, 0, bar)  # the only sender has all the weight
    else:
        error = edge_errors(effects)
        bar = 2 * error  # unknown of a single sequence: then no edge is drawn
    about += _recovered(graph, truth)
    return {
        "key": name,
        "name": name,
        "about": about,
        "unit": UNITS[name],
        "weight": rounded(graph.edge_weight),
        "error": None if error is None else _known(error),
        "bar": _known(bar),
        "signed": name != "attention",
        "most": 1 if name == "profile" else None,  # a correlation; others end at the largest
    }


def _recovered(graph: TaskGraph, truth: TaskGraph | None) -> str:
    """How well the weights tell the true edges, of those into receivers that are shown."""
    if truth is None:
        return ""
    shown = set(graph.edge_index[1].tolist())
    into = torch.tensor([k in shown for k in truth.edge_index[1].tolist()], dtype=torch.bool)
    truth = TaskGraph(truth.tasks, truth.edge_index[:, into])
    if not set(truth.edges) <= set(graph.edges):
        return ""
    with suppress(ValueError):  # all edges are true, or none is
        found = graph_recovery(graph, truth)
        return f" A true edge weighs more than another with probability {found.auroc:.2f}."
    return ""


def _known(values: Tensor) -> list[float | None]:
    """Errors, and bars that come from these: ``None`` where they are NaN, unknown."""
    return [None if isnan(value) else value for value in rounded(values)]


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


def _planted(graph: TaskGraph, truth: TaskGraph) -> dict[str, Any]:
    true = set(truth.edges)
    weight = [float(edge in true) for edge in graph.edges]
    about = "The true edges."
    named = {"key": "truth", "name": "truth", "about": about, "unit": "is there"}
    bar = [0.0] * len(weight)
    return {**named, "weight": weight, "error": None, "bar": bar, "signed": False, "most": 1}


def _agreements(weights: dict[str, TaskGraph]) -> list[dict[str, Any]]:
    """Each pair of readouts; where no receiver can be ranked, without numbers.

    Receivers of two senders are left out: their correlation is 1 or −1, whatever was learned.
    """
    if "attention" not in weights:
        return []
    names, found = list(weights), []
    graph = weights["attention"]
    pairs = {graph.nodes[k] for k in range(graph.num_nodes) if len(graph.incoming(k)) == 2}
    for i, first in enumerate(names):
        for second in names[i + 1 :]:
            row: dict[str, Any] = {"pair": f"{first} and {second}", "mean": None}
            row["why"] = "equal weights, or a single sender"
            with suppress(ValueError):  # as it says
                ranks = graph_agreement(weights[first], weights[second]).by_receiver
                row |= _without_pairs(ranks, pairs)
            found.append(row)
    return found


def _without_pairs(ranks: dict[str, float], pairs: set[str]) -> dict[str, Any]:
    left = {receiver: rank for receiver, rank in ranks.items() if receiver not in pairs}
    if not left:
        return {"why": "two senders"}
    values = torch.tensor(list(left.values()), dtype=torch.float64)
    spread = float(values.std()) if len(left) > 1 else None
    return {"mean": float(values.mean()), "spread": spread, "by_receiver": left}


def _map(graph: TaskGraph, name: str, num_clusters: int | None) -> dict[str, Any]:
    if graph.num_tasks < 3 or not (graph.edge_index < graph.num_tasks).all(0).any():
        return {"clusters": None}
    return {
        "clusters": task_clusters(graph, num_clusters),
        "clustered_by": name,
        "embedding": [rounded(place) for place in task_embedding(graph)],
    }


def _words(table: WordWeights | MailboxWords, number: int, min_count: int) -> list[Any]:
    """For each edge, or each task that reads a mailbox, its heaviest words: those that weigh more
    than under equal attention."""
    equal = torch.ones(table.weight.size(1))  # a mailbox's weights are in units of it
    if isinstance(table, WordWeights):
        receiver = table.graph.edge_index[1]
        equal = 1 / receiver.bincount(minlength=table.graph.num_nodes)[receiver].float()
    heavy = [
        heaviest(table.words, table.weight[:, i], table.count[:, i], number, min_count)
        for i in range(len(equal))
    ]
    return [
        [_word(entry) for entry in entries if entry.weight > 1.001 * float(one)]
        for entries, one in zip(heavy, equal, strict=True)
    ]


def _rare(table: WordWeights | MailboxWords, min_count: int) -> list[list[int] | None]:
    """For each task how many words are rarer than ``min_count``, and how many it has read; ``None``
    where it listens to nobody."""
    if isinstance(table, WordWeights):
        into = [table.graph.incoming(k) for k in range(table.graph.num_tasks)]
        columns = [edges[0][0] if edges else None for edges in into]
    else:
        columns = list(range(len(table.tasks)))
    found: list[list[int] | None] = []
    for column in columns:
        if column is None:
            found.append(None)
            continue
        count = table.count[:, column]
        found.append([int(((count > 0) & (count < min_count)).sum()), int((count > 0).sum())])
    return found


def _word(entry: WordWeight) -> list[Any]:
    return [entry.word, float(f"{entry.weight:.4g}"), entry.occurrences]


def _nan(effects: EdgeEffects, tasks: Sequence[str] | None) -> bool:
    """Whether a loss that is asked for is NaN."""
    own = [tasks is None or task in tasks for task in effects.graph.tasks]
    return bool(effects.loss[own].isnan().any())


def _summary(
    model: MultiTaskModel | TaggingModel, effects: EdgeEffects, tasks: Sequence[str] | None
) -> str:
    graph = model.graph
    own = [tasks is None or task in tasks for task in graph.tasks]
    count = effects.count[own]
    number = int(count.sum())
    loss = float((effects.loss[own] * count).sum() / number)
    if tasks is not None:
        of = ", ".join(task for task in graph.tasks if task in tasks)
        return (
            f"{type(model.encoder).__name__}, {graph.num_tasks} tasks, of which {of} "
            f"{'is' if sum(own) == 1 else 'are'} shown with the edges into "
            f"{'it' if sum(own) == 1 else 'them'}; read off {number:,} labelled sentences, whose "
            f"mean loss is {loss:.3f}."
        )
    return (
        f"{type(model.encoder).__name__}, {graph.num_tasks} tasks, {graph.num_edges} edges; "
        f"read off {number:,} labelled sentences, whose mean loss is {loss:.3f}."
    )
