"""Word vectors trained on texts of one's own."""

from __future__ import annotations

from collections.abc import Iterable

from .text_check import check_several
from .vectors import WordVectors, fill_vectors
from .vocabulary import Vocabulary

LONGEST = 10_000


def train_vectors(
    texts: Iterable[str],
    vocabulary: Vocabulary,
    size: int = 100,
    *,
    min_count: int = 2,
    window: int = 5,
    epochs: int = 5,
    workers: int = 1,
    seed: int = 0,
) -> WordVectors:
    """Train skip-gram vectors (word2vec, `arXiv:1301.3781 <https://arxiv.org/abs/1301.3781>`_).

    Give it training texts and texts without labels, never those of dev or test. Tokens without a
    vector are filled up as in :func:`read_vectors`. With one worker the same arguments give the
    same vectors.

    Args:
        texts: Texts whose tokens are separated by white space; raw text must be tokenised as the
            other texts are, see :func:`tokenize`.
        vocabulary: Whose tokens to return; the others are trained as context only.
        size: Size E of a vector.
        min_count: Rarer tokens are left out.
        window: Greatest distance of two tokens that predict each other.
        epochs: Times that the texts are read.
        workers: Threads; with more than one, results differ from run to run.
        seed: Seed of gensim's start and of the vectors that are drawn.

    Raises:
        ImportError: If gensim is not installed (extra ``vectors``).
        ValueError: If a number is below 1, there is one string in the place of several, or no
            token of the vocabulary occurs often enough.
    """
    check_several(texts)
    try:
        from gensim.models import Word2Vec
    except ImportError as error:
        raise ImportError('vectors are trained by gensim: pip install "mtgnn[vectors]"') from error
    if min(size, min_count, window, epochs, workers) < 1:
        raise ValueError(
            f"expected numbers of at least 1, got size={size}, min_count={min_count}, "
            f"window={window}, epochs={epochs}, workers={workers}"
        )
    sentences = [piece for text in texts for piece in _pieces(text.split())]
    model = Word2Vec(
        vector_size=size,
        min_count=min_count,
        window=window,
        sg=1,
        epochs=epochs,
        workers=workers,
        seed=seed,
    )
    model.build_vocab(sentences)
    learned = model.wv.key_to_index
    found = [i for i, token in enumerate(vocabulary.tokens) if token in learned]
    if not found:
        raise ValueError(
            f"expected a token of the vocabulary to occur {min_count} times in the texts, none does"
        )
    model.train(sentences, total_examples=len(sentences), epochs=epochs)
    tokens = vocabulary.tokens
    return fill_vectors({i: model.wv[tokens[i]] for i in found}, vocabulary, seed)


def _pieces(tokens: list[str]) -> list[list[str]]:
    """A text in pieces: gensim passes over what is beyond its longest sentence."""
    return [tokens[i : i + LONGEST] for i in range(0, len(tokens), LONGEST)]
