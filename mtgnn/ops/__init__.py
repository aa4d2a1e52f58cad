"""The recurrences as functions on tensors: a plain path and a fast one.

Layers call them; what a user may want of them is how they run.
"""

from .gpu import use_triton
from .keep_memory import keep_memory
from .native import compile_native
from .ran import kernels_ran

__all__ = ["compile_native", "keep_memory", "kernels_ran", "use_triton"]
