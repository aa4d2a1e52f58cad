"""docs/api.md lists what the modules offer, from their signatures and docstrings."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from torch import nn

DOCS = Path(__file__).parent.parent / "docs"
with pytest.MonkeyPatch.context() as patch:
    patch.syspath_prepend(str(DOCS))
    api = importlib.import_module("api_page")

CALLABLE = {
    f"{module.__name__}.{name}": getattr(module, name)
    for module in api.MODULES
    for name in api.names(module)
    if callable(getattr(module, name)) and not getattr(getattr(module, name), "_is_protocol", False)
}


class Parent(nn.Module):
    """A parent. It has a name.

    Attributes:
        size: How large
            it is.

    Raises:
        ValueError: Never.
    """

    def forward(self, x: Any, *rest: Any, scale: float = 1e-3) -> list[int]:
        """Compute. As in :class:`torch.nn.Linear`, or :class:`~mtgnn.graph.TaskGraph`."""

    def extra_repr(self) -> str:
        """What torch asks for."""

    @classmethod
    def load(cls, path: str = "here") -> Parent:
        """Load ``path``."""

    @property
    def size(self) -> int:
        """Told already."""

    @property
    def depth(self) -> int:
        """How deep (it is). Not shown."""

    def _own(self) -> None:
        """Private."""


Parent.__module__ = "mtgnn.somewhere"


class Pair(NamedTuple):
    """Two."""

    first: int
    second: tuple[str, ...] = ("a",)


@contextmanager
def room(*, size: int | None = None) -> Iterator[None]:
    yield


def test_the_page_is_that_of_the_docstrings() -> None:
    expected = "python docs/api_page.py writes it anew"
    assert api.PAGE.read_text(encoding="utf-8") == api.page(), expected


def test_every_name_has_a_place_of_its_own() -> None:
    headings = re.findall(r"^##+ (.+)$", api.page(), re.MULTILINE)
    assert set(api.LISTED) < set(headings)
    assert len({heading.lower().replace(".", "") for heading in headings}) == len(headings)
    assert " at 0x" not in api.page()


@pytest.mark.parametrize("name", CALLABLE)
def test_signatures_are_those_of_the_code(name: str) -> None:
    thing = CALLABLE[name]
    text = api.signature(name.rpartition(".")[2], thing, 90)
    assert max(map(len, text.split("\n"))) <= 90
    text = text.removeprefix("with ").removesuffix(":")
    [function] = ast.parse(f"def {text}: ...").body
    assert isinstance(function, ast.FunctionDef)
    arguments = function.args
    by_place = [argument.arg for argument in arguments.args]
    by_name = [argument.arg for argument in arguments.kwonlyargs]
    defaults = [*arguments.defaults, *(d for d in arguments.kw_defaults if d is not None)]
    true = inspect.signature(thing).parameters.values()
    assert by_place == [p.name for p in true if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert by_name == [p.name for p in true if p.kind is p.KEYWORD_ONLY]
    shown = [ast.unparse(default) for default in defaults]
    assert shown == [repr(p.default) for p in true if p.default is not p.empty]


def test_what_a_class_has() -> None:
    assert list(api.members(Parent)) == [
        "`size`: How large it is.",
        "`depth`: How deep (it is).",
        "`forward(x, *rest, scale=0.001) -> list[int]`: Compute.",
        '`Parent.load(path="here") -> Parent`: Load `path`.',
    ]
    assert api.paragraph(Parent) == "A parent. It has a name."
    assert api.paragraph(Parent.forward) == (
        "Compute. As in `torch.nn.Linear`, or [`TaskGraph`](#taskgraph)."
    )


def test_fields_and_contexts() -> None:
    assert api.signature("Pair", Pair) == 'Pair(first, second=("a",))'
    assert api.signature("room", room) == "with room(*, size=None):"


def test_a_subclass_leaves_the_rest_to_its_base(monkeypatch: pytest.MonkeyPatch) -> None:
    class Child(Parent):
        """A child."""

        def load_all(self) -> None:
            """Load."""

    Child.__module__ = "mtgnn.somewhere"
    monkeypatch.setattr(api, "LISTED", {"Parent"})
    assert list(api.members(Child)) == ["`load_all()`: Load.", "and what [`Parent`](#parent) has"]
