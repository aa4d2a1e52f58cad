"""The file of a saved model: plain lists, dicts and tensors, no pickled code."""

from __future__ import annotations

from os import PathLike
from typing import IO, Any

import torch

from ..graph import TaskGraph

FORMAT = "mtgnn.MultiTaskModel"
VERSION = 1
File = str | PathLike[str] | IO[bytes]


def graph_to_plain(graph: TaskGraph) -> dict[str, Any]:
    """A graph as lists of names."""
    return {
        "tasks": list(graph.tasks),
        "virtual": list(graph.virtual),
        "edges": [list(edge) for edge in graph.edges],
    }


def graph_from_plain(plain: dict[str, Any]) -> TaskGraph:
    """The graph of :func:`graph_to_plain`."""
    edges = [(sender, receiver) for sender, receiver in plain["edges"]]
    return TaskGraph.from_edges(edges, plain["tasks"], plain["virtual"])


def options_to_plain(options: dict[str, Any]) -> dict[str, Any] | None:
    """Options of an encoder as plain values; ``None`` if one of them, such as a conv, is not."""
    plain: dict[str, Any] = {}
    for name, value in options.items():
        if isinstance(value, TaskGraph):
            value = {"graph": graph_to_plain(value)}
        elif value is not None and not isinstance(value, bool | int | float | str):
            return None
        plain[name] = value
    return plain


def options_from_plain(plain: dict[str, Any]) -> dict[str, Any]:
    """The options of :func:`options_to_plain`."""
    return {
        name: graph_from_plain(value["graph"]) if isinstance(value, dict) else value
        for name, value in plain.items()
    }


def write(content: dict[str, Any], path: File) -> None:
    """Write ``content`` with the format's name and version."""
    torch.save({"format": FORMAT, "version": VERSION, **content}, path)


def read(path: File) -> dict[str, Any]:
    """Read what :func:`write` wrote, onto the CPU.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is something else, is damaged, or is of a later version.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # torch raises whatever its unpickler and archive reader meet
        raise ValueError(f"expected a file of MultiTaskModel.save, cannot read {path}") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError(f"expected a file of MultiTaskModel.save, got something else in {path}")
    if content.get("version") != VERSION:
        raise ValueError(
            f"expected version {VERSION} of the format, got {content.get('version')} in {path}"
        )
    return content
