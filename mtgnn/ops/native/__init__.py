"""The loop over words in C++, for CPUs: optional, and compiled where it is asked for."""

from .build import compile_native, serves
from .steps import NativeSteps

__all__ = ["NativeSteps", "compile_native", "serves"]
