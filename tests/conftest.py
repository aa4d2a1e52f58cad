"""Fixtures of more than one module.

Where there is no GPU, Triton's kernels are tested in its interpreter: that must be said before
anything imports Triton, which torch_geometric does.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable

import pytest
import torch

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"
os.environ.pop("MTGNN_NATIVE", None)  # tests say themselves which loops they want

from mtgnn.ops import compile_native
from mtgnn.ops.native import build


@pytest.fixture(scope="session")
def native_loops() -> object:
    """The loops in C++; they are not in use yet."""
    tools = shutil.which("c++") and shutil.which("ninja")
    if not tools or not sys.platform.startswith("linux"):
        pytest.skip("needs Linux, a C++ compiler and ninja")
    compile_native()
    loops, build._built = build._built, None
    return loops


@pytest.fixture
def use_native(native_loops: object, monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Turns the loops in C++ on and off."""
    return lambda on: monkeypatch.setattr(build, "_built", native_loops if on else None)
