"""Builds the loops in C++ with the machine's own compiler, for its own processor."""

from __future__ import annotations

import hashlib
import os
import platform
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from subprocess import SubprocessError
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import torch
from torch import Tensor

_SOURCE = Path(__file__).with_name("module.cpp")
_SUFFIX = {torch.float32: "Float", torch.float64: "Double"}
# As -ffast-math, but a NaN stays one. The macro makes glibc's headers offer exp for vectors.
_FLAGS = [
    *("-O3", "-march=native", "-fopenmp", "-ffast-math", "-fno-finite-math-only"),
    "-D__FAST_MATH__",
]
_NAME = "mtgnn_native"  # as module.cpp says
_lock = threading.Lock()
_built: Any = None


def compile_native(verbose: bool = False) -> None:
    """Build the C++ loops, or find them where an earlier call built them, and use them from now on.

    With ``MTGNN_NATIVE=1`` in the environment no call is needed: the first recurrence builds them.
    The first call on a machine takes about a minute. It needs Linux, a C++ compiler and ninja
    (extra ``native``). What it builds lies in PyTorch's folder of extensions, or where
    ``TORCH_EXTENSIONS_DIR`` says. Of several processes that ask at once, one builds it.

    Args:
        verbose: Print what the compiler says.

    Raises:
        RuntimeError: If there is no compiler or ninja, or the compiler fails.
    """
    global _built
    with _lock:
        if _built is not None:
            return
        try:
            _built = _load(verbose)
        except (ImportError, OSError, RuntimeError, SubprocessError) as error:
            raise RuntimeError(
                f"cannot build mtgnn's C++ loops, which need a C++ compiler and ninja: {error}"
            ) from error


def _load(verbose: bool) -> Any:
    """The module, built first unless it is there."""
    library = _library()
    if not library.exists():
        library.parent.mkdir(parents=True, exist_ok=True)
        with _alone(library):
            if not library.exists():  # another process may have built it meanwhile
                _build(library, verbose)
    spec = spec_from_file_location(_NAME, library)
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@contextmanager
def _alone(library: Path) -> Iterator[None]:
    """Wait while another process is at it, such as another rank: two would build the same.

    PyTorch's lock is a file that is there: all later processes wait for ever if one is killed
    meanwhile. This one the system lifts as soon as its process ends, in whatever way.
    """
    import fcntl  # not on Windows, where nothing is built

    with ExitStack() as stack:
        with suppress(OSError):  # somebody else's file, or a file system without locks
            file = stack.enter_context(open(library.with_suffix(".lock"), "w"))
            fcntl.flock(file, fcntl.LOCK_EX)
            stack.callback(fcntl.flock, file, fcntl.LOCK_UN)  # a child may hold the file open
        yield


def _build(library: Path, verbose: bool) -> None:
    """Build it in a folder of its own and move it into place when it is done.

    It is no Python module to PyTorch, which names what a process builds anew otherwise than before:
    its name is the same at every attempt.
    """
    with TemporaryDirectory(dir=library.parent, prefix=f"{library.stem}-") as folder:
        built = _cpp_extension().load(
            library.stem,
            [str(_SOURCE)],
            extra_cflags=_FLAGS,
            extra_ldflags=["-fopenmp"],
            build_directory=folder,
            verbose=verbose,
            is_python_module=False,
        )
        Path(built).replace(library)


def _cpp_extension() -> Any:
    """PyTorch's builder; it brings setuptools along, so it is imported only where it is wanted."""
    from torch.utils import cpp_extension

    return cpp_extension


def _library() -> Path:
    """Where the module of this Python, torch, processor and these sources is, or will be."""
    root = os.environ.get("TORCH_EXTENSIONS_DIR") or _cpp_extension().get_default_build_root()
    return Path(root) / "mtgnn" / f"mtgnn_native_{_place()}.so"


def _place() -> str:
    """What a build is good for: a Python, a torch, a processor and these sources."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    features = [line for line in lines if line.startswith(("flags", "Features"))][:1]
    told = [
        str(sys.implementation.cache_tag),
        torch.__version__,
        platform.machine(),
        platform.processor(),
        *features,
        *_FLAGS,
    ]
    for source in sorted(_SOURCE.parent.glob("*.[ch]*")):
        told.append(source.read_text(encoding="utf-8"))
    return hashlib.sha256("\n".join(told).encode()).hexdigest()[:12]


def serves(tensor: Tensor) -> bool:
    """Whether the C++ loops are there and can take such tensors.

    Where the environment has ``MTGNN_NATIVE=1``, the first call builds them.
    """
    if not tensor.is_cpu or tensor.dtype not in _SUFFIX:
        return False
    if _built is None and os.environ.get("MTGNN_NATIVE") == "1":
        compile_native()
    return _built is not None


class Loops(NamedTuple):
    """The classes of the extension, for one floating type."""

    shape: Any
    mutual_tensors: Any
    box_tensors: Any
    gate_tensors: Any
    mutual: Any
    boxes: Any
    gate: Any
    loop: Any


def loops(dtype: torch.dtype) -> Loops:
    """The classes for a floating type that :func:`serves` takes."""
    kinds = ("Mutual", "Boxes", "Gate", "Loop")
    suffix = _SUFFIX[dtype]
    return Loops(
        _built.Shape,
        _built.MutualTensors,
        _built.BoxTensors,
        _built.GateTensors,
        *(getattr(_built, kind + suffix) for kind in kinds),
    )


def pack(matrix: Tensor, low: torch.dtype) -> Tensor:
    """Matrices ``[G, depth, columns]`` as the loops read them.

    Args:
        matrix: Of float32 or float64.
        low: ``torch.bfloat16``: round them to it, where the processor multiplies it.

    Returns:
        ``[G, panels, depth, panel]``, or in bfloat16 ``[G, panels, depth / 2, panel, 2]``.
    """
    panel = getattr(_built, "PANEL" + _SUFFIX[matrix.dtype])
    count, depth, columns = matrix.shape
    panels = -(-columns // panel)
    half = low == torch.bfloat16 and _built.HAS_HALF
    rest = 0, panels * panel - columns, 0, depth % 2 if half else 0
    filled = torch.nn.functional.pad(matrix.to(low) if half else matrix, rest)
    if half:
        return filled.view(count, -1, 2, panels, panel).permute(0, 3, 1, 4, 2).contiguous()
    return filled.view(count, depth, panels, panel).transpose(1, 2).contiguous()
