"""The methods of ``transfer.py``: what is trained on the other tasks, and what on the new one."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

from mtgnn.nn import (
    MultiTaskModel,
    build_encoder,
    edge_logit_group,
    freeze,
    freeze_except_task,
    unfreeze,
)


class Method(NamedTuple):
    """A way to a model of a new task.

    Attributes:
        encoder: Name of the encoder.
        options: Its options.
        trained: What learns from the new task: ``"own"``, its node and head and the scores of
            edges into it; ``"head"``; ``"head-of-shared"``, a head that its own part says nothing
            to; or ``"all"``.
        pretrained: Whether a model of the other tasks comes first; else one of this task alone.
    """

    encoder: str
    options: dict[str, Any] = {}
    trained: str = "own"
    pretrained: bool = True


GRAPH: dict[str, Any] = {"common": True, "concat_messages": True}
COMPLETE: dict[str, Any] = {**GRAPH, "score": "static"}
MAILBOX: dict[str, Any] = {**GRAPH, "memory": "all"}
METHODS: dict[str, Method] = {
    "scratch": Method("single", trained="all", pretrained=False),
    "star-scratch": Method("star", GRAPH, trained="all", pretrained=False),
    "shared": Method("shared"),
    "shared-tuned": Method("shared", trained="all"),
    "shared_private": Method("shared_private"),
    "shared_private-head": Method("shared_private", trained="head-of-shared"),
    "adversarial": Method("adversarial"),
    "adversarial-head": Method("adversarial", trained="head-of-shared"),
    "star": Method("star", GRAPH),
    "star-head": Method("star", GRAPH, trained="head"),
    "star-tuned": Method("star", GRAPH, trained="all"),
    "complete-mailbox": Method("complete", MAILBOX),
    "complete": Method("complete", COMPLETE),
    "complete-own": Method("complete", {**GRAPH, "score_owner": "receiver"}),
    "complete-tuned": Method("complete", COMPLETE, trained="all"),
}


def freeze_for(model: MultiTaskModel, task: str, trained: str) -> None:
    """Freeze what is not to learn from a task, see :attr:`Method.trained`.

    Logits of edges are one parameter. Where only this task's texts are read, those of the edges
    into other tasks get no gradient, and without weight decay they stay as they are.
    """
    logits = edge_logit_group(model)
    if trained == "all":
        return
    if trained == "head-of-shared":
        silence(model, task)
    if trained == "own" and logits is None:
        freeze_except_task(model, task)
        return
    freeze(model)
    unfreeze(model, [f"heads.{task}"])
    if trained == "own" and logits is not None:
        unfreeze(model, [f"nodes.{task}", logits])


@torch.no_grad()
def silence(model: MultiTaskModel, task: str) -> None:
    """Have a task's own LSTM put out zeros: without weights its cells stay empty."""
    for name, parameter in model.named_parameters():
        if f".nodes.{task}." in name:
            parameter.zero_()


def missing(method: str) -> str | None:
    """Why a method cannot be run here; ``None`` if it can."""
    try:
        build_encoder(METHODS[method].encoder, 2, 2, 2, **METHODS[method].options)
    except ValueError as error:
        return str(error)
    return None
