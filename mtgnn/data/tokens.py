"""Raw text to tokens."""

from __future__ import annotations

import re

_ABBREVIATIONS = "mr|mrs|ms|dr|st|jr|inc|etc|vs"
_CLITICS = r"'(?:s|m|re|ve|ll|d)\b"
_TAIL = rf"(?:(?:[-/&]|(?!{_CLITICS})')\w+)*"
_TOKEN = re.compile(
    rf"""
    ``|''                                 # quotes, opening and closing
    |\.{{2,}}|-{{2,}}                     # ... and --
    |n't\b|{_CLITICS}
    |(?<!\w)'\d\ds?\b(?!')                # '98 and '70s
    |\w[\w-]*(?:\.(?:com|net|org)\b)
    |\d+(?:[.,:/-]\d+)*\w*{_TAIL}         # 1,000 and 16:9, 2.4ghz, 5-star
    |[^\W\d_](?:\.[^\W\d_])+\b\.?         # u.s. and i.e
    |(?:{_ABBREVIATIONS})\.
    |\w+{_TAIL}                           # sci-fi, and/or, c'mon
    |\S
    """,
    re.VERBOSE | re.IGNORECASE,
)
# (what, by what), before the tokens are found.
_SPLIT = [
    (re.compile(r"(?<=\w)(n't)\b", re.IGNORECASE), r" \1"),
    (
        re.compile(r"\b(can)(?=not\b)|\b(gon|wan)(?=na\b)|\b(got)(?=ta\b)", re.IGNORECASE),
        r"\1\2\3 ",
    ),
    (re.compile(r"\.{3,}"), "... "),
    (re.compile(r"-{2,}"), " -- "),
]
_OPENING = re.compile(r'(?<![^\s(\[{<])"')


def tokenize(text: str, lower: bool = True) -> list[str]:
    """Split English text into tokens, by default lower-case, in the manner of the Penn Treebank.

    Punctuation stands alone, contractions are split (``do n't``, ``it 's``) and double quotes
    become ` `` ` and ``''``, as in the tokenised reviews of FDU-MTL. It is a handful of rules, made
    for raw text that is to join such reviews. Tokenised text passes through unchanged, but for what
    its own tokeniser left together.

    Args:
        text: The text.
        lower: False: casing is kept, and makes no difference to where text is split.

    Example:
        >>> tokenize('I don\\'t like "Lost": it\\'s so-so (2.5 stars)...')
        ... # doctest: +NORMALIZE_WHITESPACE
        ['i', 'do', "n't", 'like', '``', 'lost', "''", ':', 'it', "'s", 'so-so', '(', '2.5',
        'stars', ')', '...']
    """
    text = (text.lower() if lower else text).replace("\u2019", "'").replace("\u2018", "'")
    text = _OPENING.sub(" `` ", text.replace("\u201c", " `` ").replace("\u201d", " '' "))
    text = text.replace('"', " '' ")
    for pattern, replacement in _SPLIT:
        text = pattern.sub(replacement, text)
    return _TOKEN.findall(text)
