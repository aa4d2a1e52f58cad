"""The vocabulary: which token has which number."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from .text_check import check_several, check_text

PAD, UNK, EMPTY = "<pad>", "<unk>", "<empty>"
SPECIALS = (PAD, UNK, EMPTY)


class Vocabulary:
    """Numbers for tokens. Texts are split on white space and nothing else is changed.

    Three tokens always come first: 0 ``<pad>`` fills batches, 1 ``<unk>`` stands for a token that
    is not in the vocabulary, and 2 ``<empty>`` is the one token of a text without tokens.

    Args:
        tokens: The tokens in order. The three special ones may lead them or be left out, so that
            ``Vocabulary(vocabulary.tokens) == vocabulary``.

    Raises:
        ValueError: If a token occurs twice, is empty, holds white space or is no string.

    Example:
        >>> vocabulary = Vocabulary.build(["i like it !", "i do not"], max_size=5)
        >>> vocabulary.tokens
        ['<pad>', '<unk>', '<empty>', 'i', '!']
        >>> vocabulary.encode("i object !"), vocabulary.encode("")
        ([3, 1, 4], [2])
    """

    def __init__(self, tokens: Sequence[str] = ()) -> None:
        if isinstance(tokens, str):
            raise ValueError(f"tokens must be a sequence of strings, got the string {tokens!r}")
        own = list(tokens)
        if tuple(own[: len(SPECIALS)]) == SPECIALS:
            own = own[len(SPECIALS) :]
        self._tokens = [*SPECIALS, *own]
        for token in own:
            if not isinstance(token, str) or token.split() != [token]:
                raise ValueError(f"a token must be a string without white space, got {token!r}")
        self._index = {token: i for i, token in enumerate(self._tokens)}
        if len(self._index) != len(self._tokens):
            twice = [token for token, count in Counter(self._tokens).items() if count > 1]
            raise ValueError(f"tokens must be unique, got {twice[:5]} more than once")

    @classmethod
    def build(
        cls, texts: Iterable[str], min_count: int = 1, max_size: int | None = None
    ) -> Vocabulary:
        """The vocabulary of ``texts``: most frequent tokens first, equally frequent ones by name.

        Build it from training texts alone.

        Args:
            texts: The texts.
            min_count: Leave out tokens that occur less often.
            max_size: Greatest length of the vocabulary, the three special tokens included.

        Raises:
            ValueError: If a text is no string, ``min_count`` is below 1 or ``max_size`` below 3.
        """
        check_several(texts)
        if min_count < 1:
            raise ValueError(f"min_count must be at least 1, got {min_count}")
        if max_size is not None and max_size < len(SPECIALS):
            raise ValueError(f"max_size must be at least {len(SPECIALS)}, got {max_size}")
        counts: Counter[str] = Counter()
        for text in texts:
            check_text(text)
            counts.update(text.split())
        for special in SPECIALS:
            counts.pop(special, None)
        often = [token for token, count in counts.items() if count >= min_count]
        often.sort(key=lambda token: (-counts[token], token))
        return cls(often if max_size is None else often[: max_size - len(SPECIALS)])

    @property
    def tokens(self) -> list[str]:
        """All tokens in order, the special ones first."""
        return list(self._tokens)

    def encode(self, text: str) -> list[int]:
        """The numbers of the tokens of ``text``: at least one, for an empty text is ``[2]``."""
        unknown = self._index[UNK]
        return [self._index.get(token, unknown) for token in text.split()] or [self._index[EMPTY]]

    def __contains__(self, token: object) -> bool:
        return token in self._index

    def __len__(self) -> int:
        return len(self._tokens)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Vocabulary):
            return NotImplemented
        return self._tokens == other._tokens

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Vocabulary({len(self)} tokens)"
