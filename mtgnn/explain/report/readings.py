"""What a report reads off a model: a pass over the batches for each way to weigh its edges."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import torch
from tqdm import tqdm  # comes with torch-geometric

from ...graph import TaskGraph
from ...nn import MultiTaskModel, TaggingModel
from ..edges.ablation import edge_ablation, edge_insertion
from ..edges.effects import EdgeEffects
from ..edges.gradient import edge_gradient
from ..graphs.profiles import profile_graph
from ..readouts.answers import AnswerCount, LabelCounts
from ..readouts.average import EdgeMean
from ..readouts.collect import collect_attention
from ..readouts.mailbox import MailboxByWord, MailboxWords
from ..readouts.readout import Batch
from ..readouts.sentences import SentenceSample, SentenceWeights, words_of
from ..readouts.words import EdgeByWord, WordWeights
from .plan import ReportPlan


class Readings(NamedTuple):
    """What was read off a model.

    Attributes:
        words: At which words tasks listen, or which ones they read.
        sentences: Sentences, with all their weights.
        answers: How often the model is right.
        weights: The weighted graphs, by readout.
        effects: Of the readouts that are effects on the loss, these.
    """

    words: WordWeights | MailboxWords
    sentences: list[SentenceWeights]
    answers: dict[str, LabelCounts]
    weights: dict[str, TaskGraph]
    effects: dict[str, EdgeEffects]


def read_off(
    model: MultiTaskModel | TaggingModel,
    batches: Iterable[Batch],
    plan: ReportPlan,
    per_task: int,
    progress: bool,
) -> Readings:
    """Read off all that a plan names, see :func:`report`."""

    def watched(doing: str) -> Iterable[Batch]:
        return tqdm(batches, doing, unit="batch", disable=not progress)

    readouts = _readouts(model, plan, per_task)
    words, sentences, answers, *averaged = collect_attention(model, watched("attention"), readouts)
    weights: dict[str, TaskGraph] = {"attention": averaged[0]} if averaged else {}
    effects = {"ablation": edge_ablation(model, watched("cutting edges"), tasks=plan.only)}
    if _nan(effects["ablation"], plan.asked):
        raise ValueError("the model computes NaN: its parameters are not finite")
    if "gradient" in plan.kinds:
        effects["gradient"] = edge_gradient(model, watched("gradients"), tasks=plan.only)
    weights |= {name: effect.graph for name, effect in effects.items()}
    if "profile" in plan.kinds:
        alone = edge_insertion(model, watched("edges alone")).graph
        weight = profile_graph(averaged[0], alone).weights()  # its edges may have another order
        ordered = torch.tensor([weight[edge] for edge in plan.graph.edges])
        weights["profile"] = plan.graph.with_weight(ordered)
    return Readings(words, sentences, answers, weights, effects)


def _readouts(model: MultiTaskModel | TaggingModel, plan: ReportPlan, per_task: int) -> list[Any]:
    """What one pass over the attention serves."""
    encoder, graph, mailbox = plan.encoder, plan.graph, plan.mailbox
    vocabulary, characters = words_of(model)
    words: Any = (
        MailboxByWord(graph, vocabulary, encoder.memory == "past", encoder.bidirectional)
        if mailbox
        else EdgeByWord(graph, vocabulary)
    )
    sample = SentenceSample(graph, vocabulary, per_task, mailbox=mailbox, characters=characters)
    mean = [EdgeMean(graph, plan.only)] if "attention" in plan.kinds else []
    return [words, sample, AnswerCount(model), *mean]


def _nan(effects: EdgeEffects, asked: Sequence[str]) -> bool:
    """Whether a loss that is asked for is NaN."""
    own = [effects.graph.index(task) for task in asked]
    return bool(effects.loss[own].isnan().any())
