"""Writes docs/api.md: what the modules offer, from their signatures and docstrings.

python docs/api_page.py
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

PAGE = Path(__file__).with_name("api.md")
PARTS = ("nn", "data", "datasets", "lightning", "metrics", "explain", "ops", "testing")
MODULES = [importlib.import_module(name) for name in ("mtgnn", *(f"mtgnn.{p}" for p in PARTS))]
HEAD = """# Names

What each module offers: signatures, in which types are left out, and the first words of the
docstrings, where the rest stands: types, shapes, errors, sources. Methods that torch, PyG and
Lightning call by themselves are not listed. Written by `python docs/api_page.py`.

"""
WIDTH = 90
METHODS = (FunctionType, property, classmethod, staticmethod)
# Of the methods that torch, PyG and Lightning know too, those that a user calls.
CALLED = ("forward", "reset_parameters", "update", "compute")


def names(module: ModuleType) -> list[str]:
    """The names of a module, in the order of the page."""
    return sorted((n for n in module.__all__ if not n.startswith("__")), key=str.lower)


LISTED = {name for module in MODULES for name in names(module)}


def page() -> str:
    """The whole page."""
    parts = [HEAD]
    for module in MODULES:
        place = module.__name__.replace(".", "")
        parts.append(f"- [`{module.__name__}`](#{place}): {sentence(module)}\n")
    for module in MODULES:
        parts.append(f"\n## {module.__name__}\n\n{' · '.join(map(link, names(module)))}\n")
        parts += [entry(name, getattr(module, name)) for name in names(module)]
    return "".join(parts)


def entry(name: str, thing: Any) -> str:
    """What the page says of a name."""
    if not callable(thing):
        return f"\n### {name}\n\n`{value(thing)}`\n"
    code = signature(name, thing, WIDTH)
    text = f"\n### {name}\n\n```\n{code}\n```\n\n{paragraph(thing)}\n"
    lines = "".join(f"- {line}\n" for line in members(thing)) if isinstance(thing, type) else ""
    return f"{text}\n{lines}" if lines else text


def link(name: str) -> str:
    """A name that leads to what the page says of it."""
    return f"[`{name}`](#{name.lower()})"


# Signatures -----------------------------------------------------------------------------------


def signature(name: str, thing: Any, width: int | None = None) -> str:
    """A call with the names and defaults of the parameters, and what a function returns."""
    if getattr(thing, "_is_protocol", False):
        return f"class {name}(Protocol)"
    found = inspect.signature(thing)
    before, after = f"{name}(", ")"
    if is_context(thing):
        before, after = f"with {name}(", "):"
    elif not isinstance(thing, type):
        after += returned(found.return_annotation)
    words = list(parameters(found))
    line = f"{before}{', '.join(words)}{after}"
    if width is None or len(line) <= width:
        return line
    return f"{before}\n{filled(words, width)}\n{after}"


def is_context(thing: Any) -> bool:
    """Whether it stands in a ``with``."""
    inner = inspect.unwrap(thing)
    return inner is not thing and inspect.isgeneratorfunction(inner)


def parameters(found: inspect.Signature) -> Iterator[str]:
    """Parameters with their defaults, and the sign after which they go by name."""
    last = None
    for parameter in found.parameters.values():
        kind = parameter.kind
        if kind is kind.KEYWORD_ONLY and last not in (kind.KEYWORD_ONLY, kind.VAR_POSITIONAL):
            yield "*"
        sign = {kind.VAR_POSITIONAL: "*", kind.VAR_KEYWORD: "**"}.get(kind, "")
        given = "" if parameter.default is parameter.empty else f"={value(parameter.default)}"
        yield f"{sign}{parameter.name}{given}"
        last = kind


def value(thing: Any) -> str:
    """A plain value as the code has it."""
    return repr(thing).replace("'", '"')


def returned(annotation: Any) -> str:
    """What a function returns, as its source says it."""
    if not isinstance(annotation, str):
        annotation = inspect.formatannotation(annotation).replace("torch.", "")
    return "" if annotation in ("None", "Any") else f" -> {annotation}"


def filled(words: list[str], width: int) -> str:
    """Words with commas, in lines that stand four blanks in."""
    lines = ["   "]
    for word in words:
        if len(lines[-1]) + len(word) + 2 > width:
            lines.append("   ")
        lines[-1] += f" {word},"
    return "\n".join(lines)


# Classes --------------------------------------------------------------------------------------


def members(kind: type) -> Iterator[str]:
    """Attributes, properties and methods of a class, and which classes of the page it extends."""
    ours = [base for base in kind.__mro__ if base.__module__.startswith("mtgnn")]
    bases = [base for base in ours[1:] if base.__name__ in LISTED]
    fields, calls = attributes(kind), []
    for name, thing in methods(kind, [base for base in ours if base not in bases]):
        if isinstance(thing, property):
            fields.setdefault(name, sentence(thing))
        else:
            shown = f"{kind.__name__}.{name}" if isinstance(thing, classmethod) else name
            bound = thing.__get__(object(), kind)  # without ``self``
            calls.append(f"`{signature(shown, bound)}`: {sentence(bound)}")
    yield from (f"`{name}`: {said}" for name, said in fields.items())
    yield from calls
    yield from (f"and what {link(base.__name__)} has" for base in bases)


def attributes(kind: type) -> dict[str, str]:
    """What stands under ``Attributes:`` in a docstring."""
    _, _, section = inspect.cleandoc(kind.__doc__ or "").partition("\nAttributes:\n")
    section = section.split("\n\n")[0]
    parts = [text.partition(":") for text in re.split(r"^    (?! )", section, flags=re.M)[1:]]
    return {name: markdown(said) for name, _, said in parts}


def methods(kind: type, bases: list[type]) -> Iterator[tuple[str, Any]]:
    """Public methods and properties that some bases of a class define, but for what only other
    packages call."""
    others = [base for base in kind.__mro__ if not base.__module__.startswith("mtgnn")]
    for name, thing in [item for base in bases for item in vars(base).items()]:
        known = name not in CALLED and any(name in vars(other) for other in others)
        # PyG writes methods into a class once there is an instance.
        written = str(getattr(thing, "__module__", "")).endswith(("_propagate", "_edge_updater"))
        if isinstance(thing, METHODS) and not (name.startswith("_") or known or written):
            yield name, thing


# Docstrings -----------------------------------------------------------------------------------


def paragraph(thing: Any) -> str:
    """The first paragraph of a docstring."""
    return markdown(inspect.cleandoc(thing.__doc__ or "").split("\n\n")[0])


def sentence(thing: Any) -> str:
    """The first sentence of a docstring."""
    return re.split(r"(?<=[a-z`)\]]\.) (?=[A-Z])", paragraph(thing))[0]


def markdown(text: str) -> str:
    """A docstring's text in one line; names on this page lead to their places."""

    def named(found: re.Match[str]) -> str:
        path, _, name = found[2].rpartition(".")
        if name in LISTED:
            return link(name)
        return f"`{name}`" if found[1] or not path else f"`{path}.{name}`"

    text = re.sub(r":\w+:`(~?)([^`]*)`", named, " ".join(text.split()))
    text = re.sub(r"`([^`<]*) <([^>]*)>`_", r"[\1](\2)", text)
    return text.replace("``", "`")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
