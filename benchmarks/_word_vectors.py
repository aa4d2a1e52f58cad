"""Word vectors that are trained once and kept in a file."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import torch
from _examples import start_vectors
from _files import whole_file
from torch import Tensor

from mtgnn.data import Vocabulary


def kept_vectors(
    folder: Path, options: dict[str, Any], texts: Any, vocabulary: Vocabulary
) -> Tensor | None:
    """Vectors ``[V, E]`` as the options say, the same for all seeds; ``None`` for none.

    Args:
        folder: For the file, whose name tells data, size, words and texts.
        options: As for ``start_vectors`` of the examples.
        texts: The data set's texts.
        vocabulary: Their words.
    """
    if options["vectors"] is None:
        return None
    said = "\n".join([str(options["vectors"]), *vocabulary.tokens, *texts.train.text])
    name = f"vectors-{options['data']}-{options['embedding_size']}-{zlib.crc32(said.encode()):08x}"
    path = folder / f"{name}.pt"
    if not path.exists():
        vectors = start_vectors({**options, "seed": 0}, texts, vocabulary)
        with whole_file(path) as part:
            torch.save(vectors, part)
    vectors = torch.load(path, weights_only=True)
    assert isinstance(vectors, Tensor)
    return vectors
