"""Modules behind ``torch.compile``."""

from __future__ import annotations

from typing import Any, TypeVar

Module = TypeVar("Module")


def uncompiled(module: Module) -> Module:
    """The module that ``torch.compile(module)`` wraps: it holds the same parameters, and what looks
    at a model's parts finds them there. Any other module itself."""
    plain: Any = getattr(module, "_orig_mod", module)
    return plain
