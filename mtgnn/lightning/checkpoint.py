"""A training checkpoint holds the whole model: it predicts and is evaluated without the program."""

from __future__ import annotations

import io
import os
from typing import Any

import torch

from ..nn import MultiTaskModel, TaggingModel, Trainable
from ..nn.models.saved import format_name, load_plain

MODELS = {format_name(model): model for model in (MultiTaskModel, TaggingModel)}
WEIGHTS = "state_dict"
EXPECTED = "expected a checkpoint of mtgnn.lightning.fit"


def describe(model: Trainable) -> dict[str, Any]:
    """What the model's ``save`` writes, without the weights: plain values.

    Raises:
        ValueError: If it writes anything else.
    """
    file = io.BytesIO()
    model.save(file)
    file.seek(0)
    content = torch.load(file, map_location="cpu", weights_only=True)
    if not isinstance(content, dict) or not {"format", WEIGHTS} <= content.keys():
        raise ValueError(
            f"expected {type(model).__name__}.save to write a dictionary with 'format' and "
            f"{WEIGHTS!r}, got {list(content) if isinstance(content, dict) else type(content)}"
        )
    del content[WEIGHTS]
    return content


def read_checkpoint(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The content of a checkpoint of :func:`fit`; no pickled code is run.

    ``["mtgnn"]`` has ``"epoch"`` (number of epochs trained), ``"dev_accuracy"`` and
    ``"dev_score"`` (of each task, then) and ``"notes"``.

    Raises:
        OSError: If there is no such file, or it cannot be opened.
        ValueError: If it is not such a checkpoint.
    """
    content = load_plain(path, EXPECTED)
    if not isinstance(content, dict) or "mtgnn" not in content:
        raise ValueError(
            f"{EXPECTED}, got {os.fspath(path)} (what was saved by a model's save is read by its "
            "load)"
        )
    return content


def load_model(
    path: str | os.PathLike[str], encoder: torch.nn.Module | None = None
) -> MultiTaskModel | TaggingModel:
    """The model in a checkpoint of :func:`fit`: one of this library's.

    (Of another :class:`~mtgnn.nn.Trainable` the weights are in
    ``read_checkpoint(path)["state_dict"]``, their names after ``"model."``.)

    Args:
        path: The checkpoint.
        encoder: The encoder, where the model was given one of its own making.

    Raises:
        OSError: If there is no such file, or it cannot be opened.
        ValueError: If it is not such a checkpoint.
    """
    content = read_checkpoint(path)
    kind = content["mtgnn"]["model"]["format"]
    if kind not in MODELS:
        raise ValueError(f"expected a checkpoint of {list(MODELS)}, got one of {kind}")
    prefix = "model."
    weights = {
        name.removeprefix(prefix): value
        for name, value in content["state_dict"].items()
        if name.startswith(prefix)
    }
    file = io.BytesIO()
    torch.save({**content["mtgnn"]["model"], WEIGHTS: weights}, file)
    file.seek(0)
    return MODELS[kind].load(file, encoder=encoder)
