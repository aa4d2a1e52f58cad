"""What a program says where a user gave it a wrong file, folder or value."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def one_line_errors() -> Iterator[None]:
    """End the program with one line and status 2, as ``argparse`` does, where the user can help it.

    These are the errors that the library documents for bad input, files, the network and missing
    extras. Any other error is a mistake in the program, and keeps its traceback.
    """
    try:
        yield
    except (ValueError, OSError, ImportError) as error:
        said = " ".join(str(error).splitlines())
        print(f"{Path(sys.argv[0]).name}: error: {said}", file=sys.stderr)
        raise SystemExit(2) from error
