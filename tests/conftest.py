"""Fixtures of more than one module.

Where there is no GPU, Triton's kernels are tested in its interpreter: that must be said before
anything imports Triton, which torch_geometric does.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator

import pytest
import torch

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"
if "PYTEST_XDIST_WORKER" in os.environ:  # threads of several processes would wait for each other
    os.environ["OMP_NUM_THREADS"] = "1"  # of programs that tests start
    torch.set_num_threads(1)
os.environ.pop("MTGNN_NATIVE", None)  # tests say themselves which loops they want

from mtgnn.ops import compile_native, gpu, use_triton
from mtgnn.ops.native import build


@pytest.fixture(autouse=True)
def seeded() -> None:
    """No test depends on the numbers that others before it drew."""
    torch.manual_seed(0)


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


@pytest.fixture
def triton_kernels() -> Iterator[None]:
    """The kernels in Triton are used."""
    with use_triton(True):
        yield


@pytest.fixture
def record_launches(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Records which of some functions of ``mtgnn.ops.gpu`` are called, in a list that grows."""

    def record(*names: str) -> list[str]:
        ran: list[str] = []
        for name in names:
            own = getattr(gpu, name)
            monkeypatch.setattr(gpu, name, lambda *a, f=name, g=own: (ran.append(f), g(*a))[1])
        return ran

    return record
