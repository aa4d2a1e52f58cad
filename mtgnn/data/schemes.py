"""Spans as tags: IOB1, IOB2, IOBES and BILOU, read as the official scorer reads them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

OUTSIDE = "O"

# What a span of one token, and the first, inner and last token of a longer one, are called. IOB1
# says B only where a span follows upon one of its own type.
_NAMES = {
    "IOB1": ("I", "I", "I", "I"),
    "IOB2": ("B", "B", "I", "I"),
    "IOBES": ("S", "B", "I", "E"),
    "BILOU": ("U", "B", "I", "L"),
}
SCHEMES = tuple(_NAMES)
_STARTING, _ENDING = frozenset("BSU"), frozenset("ESLU")
_PREFIXES = frozenset("BIESLU")


class Span(NamedTuple):
    """The tokens from ``start`` up to, but without, ``end``, and what they are."""

    start: int
    end: int
    type: str


def read_spans(tags: Iterable[str]) -> list[Span]:
    """The spans of a sentence, in whatever scheme it is tagged, as ``conlleval`` reads them.

    No sequence is ill-formed here. A tag B, S or U begins a span. Any other tag continues the span
    before it where that one is open and of the same type, and begins one where not. A tag E, L, S
    or U ends its span, and so does whatever does not continue it. (This is the official scorer's
    rule for ill-formed output, and the one by which :func:`repair_tags` repairs. Tags may have
    no type: ``B``, ``I``, ``O``.)

    Args:
        tags: Tags of one sentence: ``O``, or a prefix of B, I, E, S, L, U and a type, ``B-NP``.

    Raises:
        ValueError: If something is no such tag.

    Example:
        >>> read_spans(["B-NP", "I-NP", "O", "I-VP"])
        [Span(start=0, end=2, type='NP'), Span(start=3, end=4, type='VP')]
    """
    spans: list[Span] = []
    is_open = False
    for position, tag in enumerate(tags):
        if tag == OUTSIDE:
            is_open = False
            continue
        prefix, kind = split_tag(tag)
        if is_open and prefix not in _STARTING and spans[-1].type == kind:
            spans[-1] = spans[-1]._replace(end=position + 1)
        else:
            spans.append(Span(position, position + 1, kind))
        is_open = prefix not in _ENDING
    return spans


def write_tags(spans: Iterable[Span], length: int, scheme: str = "IOB2") -> list[str]:
    """The tags of a sentence of ``length`` tokens with these spans.

    Args:
        spans: The spans from left to right, which do not overlap.
        length: Number of tokens of the sentence.
        scheme: ``"IOB1"``, ``"IOB2"``, ``"IOBES"`` or ``"BILOU"``.

    Raises:
        ValueError: If the scheme is unknown, or spans are empty, overlap, or go beyond the end.

    Example:
        >>> write_tags([Span(0, 2, "NP"), Span(2, 3, "NP")], 4, "IOBES")
        ['B-NP', 'E-NP', 'S-NP', 'O']
    """
    single, first, inner, last = _NAMES[check_scheme(scheme)]
    tags = [OUTSIDE] * length
    before = Span(0, 0, "")
    for span in spans:
        if not before.end <= span.start < span.end <= length:
            raise ValueError(
                f"expected spans from left to right within {length} tokens, got "
                f"{tuple(span)} after {tuple(before)}"
            )
        size = span.end - span.start
        prefixes = [single] if size == 1 else [first, *[inner] * (size - 2), last]
        if (
            scheme == "IOB1"
            and span.start == before.end
            and span.type == before.type
            and before.end
        ):
            prefixes[0] = "B"
        end = f"-{span.type}" if span.type else ""
        tags[span.start : span.end] = [prefix + end for prefix in prefixes]
        before = span
    return tags


def repair_tags(tags: Sequence[str], scheme: str = "IOB2") -> list[str]:
    """What ``tags`` mean, written well-formed: the spans of :func:`read_spans`, in ``scheme``.

    The tags may be in any scheme. Well-formed tags of ``scheme`` come out as they are.

    Example:
        >>> repair_tags(["I-PER", "I-PER", "O", "I-LOC", "I-PER"])
        ['B-PER', 'I-PER', 'O', 'B-LOC', 'B-PER']
    """
    return write_tags(read_spans(tags), len(tags), scheme)


def check_tags(tags: Sequence[str], scheme: str = "IOB2") -> None:
    """Raise ``ValueError`` unless ``tags`` are well-formed in ``scheme``.

    Example:
        >>> check_tags(["O", "I-PER"], "IOB2")
        Traceback (most recent call last):
            ...
        ValueError: token 1: 'I-PER' after 'O' is no IOB2, which has 'B-PER' here
    """
    for position, (tag, right) in enumerate(zip(tags, repair_tags(tags, scheme), strict=True)):
        if tag != right:
            before = f"after {tags[position - 1]!r}" if position else "at the beginning"
            raise ValueError(
                f"token {position}: {tag!r} {before} is no {scheme}, which has {right!r} here"
            )


def convert_tags(tags: Sequence[str], source: str, target: str) -> list[str]:
    """Well-formed tags of the scheme ``source`` as tags of the scheme ``target``.

    Raises:
        ValueError: If a scheme is unknown or ``tags`` are not well-formed in ``source``; see
            :func:`repair_tags` for those.

    Example:
        >>> convert_tags(["I-NP", "I-NP", "B-NP", "O"], "IOB1", "BILOU")
        ['B-NP', 'L-NP', 'U-NP', 'O']
    """
    check_tags(tags, source)
    return repair_tags(tags, target)


def scheme_tags(types: Iterable[str], scheme: str = "IOB2") -> list[str]:
    """All tags of a scheme for spans of these types: ``O``, then type by type.

    Example:
        >>> scheme_tags(["NP", "VP"], "IOB2")
        ['O', 'B-NP', 'I-NP', 'B-VP', 'I-VP']
    """
    prefixes = dict.fromkeys(("B", "I", *reversed(_NAMES[check_scheme(scheme)])))
    return [
        OUTSIDE,
        *(prefix + (f"-{kind}" if kind else "") for kind in types for prefix in prefixes),
    ]


def split_tag(tag: str) -> tuple[str, str]:
    """Prefix and type of a tag other than ``O``: ``B-creative-work`` is B and creative-work."""
    prefix, dash, kind = tag.partition("-")
    if prefix not in _PREFIXES or bool(dash) != bool(kind):
        raise ValueError(f"expected the tag O, or one such as B-NP, got {tag!r}")
    return prefix, kind


def check_scheme(scheme: str) -> str:
    """The scheme itself, or ``ValueError``."""
    if scheme not in _NAMES:
        raise ValueError(f"expected a scheme of {list(SCHEMES)}, got {scheme!r}")
    return scheme
