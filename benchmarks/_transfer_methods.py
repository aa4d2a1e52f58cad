"""The methods of ``transfer.py``: what is trained on the other tasks, and what on the new one."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

from mtgnn.nn import (
    MultiTaskModel,
    edge_logit_group,
    freeze,
    freeze_except_task,
    unfreeze,
)


class Method(NamedTuple):
    """A way to a model of a new task.

    Attributes:
        encoder: Name of the encoder.
        options: Options of ``examples/text_classification.py`` that the encoder depends on.
        further: Further ones, of the encoder's class.
        trained: What learns from the new task: ``"own"``, its node and head and the scores of
            edges into it; ``"head"``; ``"head-of-shared"``, a head that its own part says nothing
            to; or ``"all"``.
        pretrained: Whether a model of the other tasks comes first; else one of this task alone.
    """

    encoder: str
    options: dict[str, Any] = {}
    trained: str = "own"
    pretrained: bool = True
    further: dict[str, Any] = {}


WORDS: dict[str, Any] = {"exchange": "read"}
METHODS: dict[str, Method] = {
    "scratch": Method("single", trained="all", pretrained=False),
    "star-scratch": Method("star", trained="all", pretrained=False),
    "shared": Method("shared"),
    "shared-tuned": Method("shared", trained="all"),
    "shared_private": Method("shared_private"),
    "shared_private-head": Method("shared_private", trained="head-of-shared"),
    "shared_private-tuned": Method("shared_private", trained="all"),
    "adversarial": Method("adversarial"),
    "adversarial-head": Method("adversarial", trained="head-of-shared"),
    "shared_mailbox": Method("shared_mailbox", trained="head"),
    "shared_mailbox-tuned": Method("shared_mailbox", trained="all"),
    "star": Method("star"),
    "star-head": Method("star", trained="head"),
    "star-tuned": Method("star", trained="all"),
    "complete-mailbox": Method("complete", {"exchange": "mailbox"}),
    "complete": Method("complete", WORDS),
    "complete-own": Method(
        "complete", {**WORDS, "score": "additive"}, further={"score_owner": "receiver"}
    ),
    "complete-tuned": Method("complete", WORDS, trained="all"),
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
