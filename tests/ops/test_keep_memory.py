"""Pages of large tensors come from the system once."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

# How many pages the system hands out for a tensor of 128 MiB, in a process that had one before.
PROGRAM = """
import resource, sys, torch
from mtgnn.ops import keep_memory
if sys.argv[1] == "keep":
    assert keep_memory()
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(1 << 25)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
def test_large_tensors_take_the_pages_of_those_before() -> None:
    found = {}
    for how in ("keep", "leave"):
        line = [sys.executable, "-c", PROGRAM, how]
        done = subprocess.run(line, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        found[how] = int(done.stdout)
    # Pages of 2 MiB, if the system has them: 64.
    assert found["keep"] < 16 < found["leave"]
