"""What a program says where a user gave it a wrong file, folder or value."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def one_line_errors() -> Iterator[None]:
    """End the program with one line and status 2, as ``argparse`` does, where the user can help it.

    These are the kinds of error that the library documents for bad input, files, the network,
    missing extras, and a training that diverged. Others are mistakes in the program, or the end of
    a pipe, and are left as they are. Where one of these kinds is a mistake, too, call ``main`` from
    Python to see its traceback.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except (ValueError, OSError, ImportError, FloatingPointError) as error:
        said = " ".join(str(error).splitlines())
        print(f"{Path(sys.argv[0]).name}: error: {said}", file=sys.stderr)
        raise SystemExit(2) from error
