"""The models that ``text_classification.py`` compares, each in its standard configuration, and how
they are trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mtgnn import TaskGraph
from mtgnn.data import Vocabulary
from mtgnn.nn import (
    CrossStitchLSTM,
    GraphLSTM,
    MultiTaskModel,
    StarGraphLSTM,
    TaggingModel,
    edge_logit_group,
)


class GroupLSTM(nn.Module):
    """A layer in which the tasks of a group are one task, as an encoder of all tasks.

    Args:
        layer: Has a task for each group.
        tasks: Names of the tasks.
        groups: The group of each task.
    """

    def __init__(self, layer: GraphLSTM, tasks: Sequence[str], groups: Sequence[int]) -> None:
        super().__init__()
        self.register_buffer("group", torch.tensor(groups), persistent=False)
        self.graph = TaskGraph.isolated(tasks)
        self.layer = layer
        self.output_size, self.bidirectional = layer.output_size, layer.bidirectional

    def forward(self, x: Tensor, lengths: Tensor, task: Tensor) -> Any:
        return self.layer(x, lengths, self.group.to(task.device)[task])


def build_oracle(options: dict[str, Any], texts: Any) -> GroupLSTM:
    """Knows what the graph models have to find out: one LSTM for each true group of tasks."""
    sizes, groups = (options["embedding_size"], options["hidden_size"]), texts.train.groups
    layer = GraphLSTM(*sizes, TaskGraph.isolated(max(groups) + 1))
    return GroupLSTM(layer, texts.train.tasks, groups)


def build_shared_mailbox(
    input_size: int, hidden_size: int, tasks: Sequence[str], **options: Any
) -> GroupLSTM:
    """The star with one node for all tasks: its mailbox, and nothing of the multi-task graph."""
    layer = StarGraphLSTM(input_size, hidden_size, 1, concat_messages=True, **options)
    return GroupLSTM(layer, tasks, [0] * len(tasks))


def build_no_messages(
    input_size: int, hidden_size: int, tasks: Sequence[str], **options: Any
) -> GraphLSTM:
    """The graphs' nodes with their common part, and no edge between them."""
    return GraphLSTM(input_size, hidden_size, TaskGraph.isolated(tasks), common=True, **options)


CONTROLS = {"shared_mailbox": build_shared_mailbox, "no_messages": build_no_messages}
"""What graphs are made of, one part each: no published models."""


def graph_options(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """What a graph's encoder takes of the options; nothing for the other models."""
    alike = {key: options[key] for key in ("common", "concat_messages")}
    if name == "complete" and options["exchange"] == "mailbox":
        read = {"exchange": "read", "memory": "all"}
        return {**read, "score": options["score"] or "additive", **alike}
    if name == "complete":
        return {"exchange": options["exchange"], "score": options["score"] or "static", **alike}
    if name == "star":
        given = options["score"]
        score = "additive" if given in (None, "static") else given  # positions are no edges
        return {"memory": options["memory"], "score": score, **alike}
    return {}


def build_model(
    name: str,
    options: dict[str, Any],
    texts: Any,
    vocabulary: Vocabulary,
    vectors: Tensor | None = None,
    **encoder_options: Any,
) -> MultiTaskModel:
    """One of the models to compare; they differ in the encoder alone.

    ``single`` shares nothing, so every task has its own embedding, too. ``encoder_options`` are
    further ones, for the encoder's class.
    """
    torch.manual_seed(options["seed"])
    encoder: str | nn.Module = name
    if name == "oracle":
        encoder = build_oracle(options, texts)
    if name in CONTROLS:
        sizes = options["embedding_size"], options["hidden_size"]
        encoder = CONTROLS[name](*sizes, texts.train.tasks, **encoder_options)
        encoder_options = {}
    return MultiTaskModel(
        vocabulary,
        texts.classes,
        encoder,
        embedding_size=options["embedding_size"],
        hidden_size=options["hidden_size"],
        pooling=options["pooling"],
        dropout=options["dropout"],
        embedding="task" if name == "single" else "shared",
        encoder_options={**graph_options(name, options), **encoder_options} or None,
        vectors=vectors,
    )


def count_parameters(model: nn.Module) -> int:
    """How many parameters a model has."""
    return sum(parameter.numel() for parameter in model.parameters())


def fit_options(model: MultiTaskModel | TaggingModel, options: Mapping[str, Any]) -> dict[str, Any]:
    """What :func:`mtgnn.lightning.fit` takes of the options."""
    alike = ("patience", "learning_rate", "weight_decay", "clip", "seed", "accelerator")
    return {
        "max_epochs": options["epochs"],
        "learning_rates": group_rates(model, options["learning_rate"]),
        **{name: options[name] for name in alike},
    }


def group_rates(model: MultiTaskModel | TaggingModel, learning_rate: float) -> dict[str, float]:
    """Learning rates of single groups of parameters, for :func:`mtgnn.lightning.fit`: numbers that
    say who hears whom learn faster, as the authors of cross-stitch found too."""
    stitches = isinstance(model.encoder, CrossStitchLSTM)
    group = "stitches" if stitches else edge_logit_group(model)
    return {} if group is None else {group: 10 * learning_rate}
