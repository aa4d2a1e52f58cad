"""Fixtures of more than one module."""

from __future__ import annotations

import shutil
from collections.abc import Callable

import pytest

from mtgnn.ops import compile_native
from mtgnn.ops.native import build


@pytest.fixture(scope="session")
def native_loops() -> object:
    """The loops in C++; they are not in use yet."""
    if shutil.which("c++") is None or shutil.which("ninja") is None:
        pytest.skip("needs a C++ compiler and ninja")
    compile_native()
    loops, build._built = build._built, None
    return loops


@pytest.fixture
def use_native(native_loops: object, monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Turns the loops in C++ on and off."""
    return lambda on: monkeypatch.setattr(build, "_built", native_loops if on else None)
