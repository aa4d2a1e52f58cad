"""The file of a saved model: plain lists, dicts and tensors, no pickled code."""

from __future__ import annotations

import zipfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from os import PathLike
from typing import IO, Any

import numpy as np
import torch
from torch import Tensor, nn

from ...cut_graph import CutGraph, cut_edges
from ...graph import TaskGraph
from ..heads.linear import replaced_heads

VERSION = 1
PLAIN = (bool, int, float, str)
# Of an encoder that was given as a module, what prediction depends on beside parameters and graph.
READS = (
    *("exchange", "memory", "num_layers", "bidirectional", "fusion", "score", "heads"),
    *("concat_messages", "owned", "own_rank", "subspaces"),
)
File = str | PathLike[str] | IO[bytes]


def plain(value: Any) -> Any:
    """The same in Python's own types, without numpy's, which torch reads back only as pickles.

    Raises:
        ValueError: If there is anything but numbers, strings, ``None``, tensors, and lists, tuples
            and dictionaries of these.
    """
    if value is None or isinstance(value, Tensor):
        return value
    if isinstance(value, Mapping):
        return {plain(key): plain(own) for key, own in value.items()}
    if isinstance(value, (list, tuple)):
        return (tuple if isinstance(value, tuple) else list)(map(plain, value))
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, str):
        return str.__str__(value)  # of an enum, its value
    for kind in (bool, int, float):
        if isinstance(value, kind):
            return kind(value)
    raise ValueError(f"expected plain values, got {value!r:.60}, a {type(value).__name__}")


def graph_to_plain(graph: TaskGraph) -> dict[str, Any]:
    """A graph as lists of names, and numbers of edges that are cut."""
    return {
        "tasks": list(graph.tasks),
        "virtual": list(graph.virtual),
        "edges": [list(edge) for edge in graph.edges],
        "cut": sorted(cut_edges(graph)),
    }


def _graph(plain: dict[str, Any]) -> TaskGraph:
    """The graph of :func:`graph_to_plain`, whole."""
    edges = [(sender, receiver) for sender, receiver in plain["edges"]]
    return TaskGraph.from_edges(edges, plain["tasks"], plain["virtual"])


def describe_encoder(
    encoder: str | nn.Module, options: Mapping[str, Any] | None
) -> dict[str, Any] | None:
    """An encoder's name and options as plain values; ``None`` if that does not describe it.

    Raises:
        ValueError: If there are options of an encoder given as a module.
    """
    if not isinstance(encoder, str):
        if options is not None:
            raise ValueError("encoder_options are for an encoder given by name")
        return None
    described: dict[str, Any] = {}
    for name, value in (options or {}).items():
        if isinstance(value, TaskGraph):
            described[name] = {"graph": graph_to_plain(value)}
        elif not is_simple(value):
            return None
        else:
            described[name] = plain(value)
    return {"name": encoder, "options": described}


def is_simple(value: Any) -> bool:
    """Whether a value is a number, a string or ``None``."""
    return value is None or isinstance(value, (*PLAIN, np.generic))


def describe_module(encoder: nn.Module) -> dict[str, Any]:
    """What a module that was given as an encoder says of how it reads, beside its parameters."""
    said = {name: getattr(encoder, name) for name in READS if hasattr(encoder, name)}
    simple = {name: plain(value) for name, value in said.items() if is_simple(value)}
    convs: Any = encoder.convs if getattr(encoder, "foreign", False) else {}
    return {**simple, "convs": [str(conv) for conv in convs.values()]}


def _check_module(content: dict[str, Any], encoder: nn.Module) -> None:
    """Raise where an encoder reads otherwise than the one that was saved."""
    given, own = content["module"], describe_module(encoder)
    given["graph"] = content["graph"]["edges"]
    own["graph"] = graph_to_plain(encoder.graph)["edges"]  # type: ignore[arg-type]
    other = [
        f"{name} {given[name]!r:.60}, not {own[name]!r:.60}"
        for name in given.keys() & own.keys()
        if given[name] != own[name]
    ]
    if other:
        said = "; ".join(sorted(other))
        raise ValueError(f"expected an encoder like the one that was saved: {said}")


def restore_encoder(content: dict[str, Any], encoder: nn.Module | None) -> dict[str, Any]:
    """The encoder of :func:`describe_encoder`, or the given one, as arguments of a model.

    Raises:
        ValueError: If an encoder is needed and missing, or given and not needed.
    """
    described = content["encoder"]
    if described is None:
        if encoder is None:
            raise ValueError(
                "this model's encoder was given as a module, or with an option such as a conv; "
                f"load(path, encoder=…) needs one like it, over {_graph(content['graph'])}"
            )
        _check_module(content, encoder)
        return {"encoder": encoder}
    if encoder is not None:
        raise ValueError(f"this model has the encoder {described['name']!r} and takes no other")
    options = {
        name: _graph(value["graph"]) if isinstance(value, dict) else value
        for name, value in described["options"].items()
    }
    return {"encoder": described["name"], "encoder_options": options}


def fill(model: Any, content: dict[str, Any]) -> None:
    """Give a model the parameters that were saved, and cut the edges that were cut.

    Raises:
        ValueError: If it had heads of another kind than those it is made with.
    """
    if content["replaced"]:
        raise ValueError(
            f"the heads of {content['replaced']} were replaced by others, which the file does not "
            "describe: make such a model, and give it torch.load(path)['state_dict']"
        )
    model.load_state_dict(content["state_dict"], assign=True)
    cut_again(model.encoder, content["graph"]["cut"])


def cut_again(encoder: Any, edges: Collection[int]) -> None:
    """Cut the edges of an encoder that were cut in the one that was saved, or extended."""
    if edges:
        encoder.graph = CutGraph(encoder.graph, edges)


@contextmanager
def damage(path: File) -> Iterator[None]:
    """Turn what a file of the right format but with wrong content leads to into one error."""
    try:
        yield
    except (KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise ValueError(f"the saved model in {path} does not fit: {error}") from error


def format_name(model: type[nn.Module]) -> str:
    """How a file says which class it is of."""
    return f"mtgnn.{model.__name__}"


def write(model: Any, own: dict[str, Any], path: File, kind: type[nn.Module]) -> None:
    """Write a model of a ``kind``: what is its ``own``, and what all models have, with the format's
    name and version."""
    content = {
        **own,
        "graph": graph_to_plain(model.graph),
        "encoder": model._encoder,
        "module": describe_module(model.encoder) if model._encoder is None else None,
        "options": model._options,
        "replaced": replaced_heads(model),
        "state_dict": dict(model.state_dict()),
    }
    torch.save({"format": format_name(kind), "version": VERSION, **plain(content)}, path)


def read(path: File, model: type[nn.Module]) -> dict[str, Any]:
    """Read what :func:`write` wrote, onto the CPU.

    Raises:
        OSError: If there is no such file, or it cannot be opened.
        ValueError: If the file is something else, is damaged, or is of a later version.
    """
    expected = f"expected a file of {model.__name__}.save"
    content = load_plain(path, expected)
    if not isinstance(content, dict) or content.get("format") != format_name(model):
        other = content.get("format") if isinstance(content, dict) else None
        what = f"one of {str(other).removeprefix('mtgnn.')}" if other else "something else"
        raise ValueError(
            f"{expected}, got {what} in {path} (load_model reads mtgnn.lightning's checkpoints)"
        )
    if content.get("version") != VERSION:
        raise ValueError(
            f"expected version {VERSION} of the format, got {content.get('version')} in {path}"
        )
    return content


def load_plain(path: File, expected: str) -> Any:
    """What a file of ``torch.save`` holds, on the CPU; no code in it is run.

    Raises:
        OSError: If there is no such file, or it cannot be opened.
        ValueError: If it is no such file, or damaged, with what was ``expected``.
    """
    try:
        _check_sums(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except (FileNotFoundError, IsADirectoryError, PermissionError):
        raise
    except Exception as error:  # torch raises whatever its unpickler and archive reader meet
        raise ValueError(f"{expected}, cannot read {path}") from error


def _check_sums(path: File) -> None:
    """Raise where a part of the archive differs from its checksum; torch does not look."""
    stream = None if isinstance(path, (str, PathLike)) else path
    start = stream.tell() if stream else 0
    with zipfile.ZipFile(path) as archive:
        damaged = archive.testzip()
    if damaged is not None:
        raise ValueError(f"{damaged} differs from its checksum")
    if stream:
        stream.seek(start)
