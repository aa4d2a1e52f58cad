"""The programs of ``benchmarks/`` as modules."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="session")
def program() -> Iterator[Callable[[str], ModuleType]]:
    """Import a program by its name."""
    sys.path.insert(0, os.fspath(BENCHMARKS))
    yield importlib.import_module
    sys.path.remove(os.fspath(BENCHMARKS))
