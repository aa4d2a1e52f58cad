"""Pages of large tensors come from the system once."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

# How many pages the system hands out for sixteen tensors of 128 MiB, one after another, in a
# process that had one before. The C library may put something small where the first one was, so
# that the second does not fit and asks for pages too: what is kept is seen over many.
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
print(sum(faults() for _ in range(16)))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
def test_large_tensors_take_the_pages_of_those_before() -> None:
    found = {}
    for how in ("keep", "leave"):
        line = [sys.executable, "-c", PROGRAM, how]
        done = subprocess.run(line, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        found[how] = int(done.stdout)
    assert 4 * found["keep"] < found["leave"]
