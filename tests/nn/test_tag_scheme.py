"""Tag schemes: a sequence is allowed if and only if it spells spans."""

import itertools

import pytest
import torch

from mtgnn.data import Span, write_tags
from mtgnn.nn import allowed_transitions
from mtgnn.nn.tag_scheme import AllowedTransitions

TAGS = {
    "IOB1": ["I-X", "O", "B-Y", "B-X", "I-Y"],
    "IOB2": ["I-X", "O", "B-Y", "B-X", "I-Y"],
    "IOBES": ["S-X", "I-X", "O", "E-X", "B-X", "E-Y", "S-Y", "B-Y", "I-Y"],
    "BILOU": ["U-X", "I-X", "O", "L-X", "B-X", "L", "U", "B", "I"],
}


def spellings(length: int, scheme: str, kinds: list[str]) -> set[tuple[str, ...]]:
    """The tags of every way to lay spans over a sentence."""
    if length == 0:
        return {()}
    found = {("O", *rest) for rest in spellings(length - 1, scheme, kinds)}
    for size in range(1, length + 1):
        for kind in kinds:
            span = [*write_tags([Span(0, size, kind)], size, scheme)]
            for rest in spellings(length - size, scheme, kinds):
                following = list(rest)
                if scheme == "IOB1" and rest and rest[0] == span[0]:  # another span of the type
                    following[0] = rest[0].replace("I", "B", 1)
                found.add((*span, *following))
    return found


def allows(allowed: AllowedTransitions, path: tuple[int, ...]) -> bool:
    pairs = zip(path, path[1:], strict=False)
    return bool(
        allowed.start[path[0]]
        and allowed.end[path[-1]]
        and all(allowed.between[i, j] for i, j in pairs)
    )


@pytest.mark.parametrize("scheme", TAGS)
def test_allows_what_spells_spans_and_nothing_else(scheme: str) -> None:
    tags = TAGS[scheme]
    allowed = allowed_transitions(tags, scheme)
    assert all(part.dtype == torch.bool for part in allowed)
    for length in (1, 2, 3, 4):
        paths = itertools.product(range(len(tags)), repeat=length)
        found = {tuple(tags[i] for i in path) for path in paths if allows(allowed, path)}
        expected = spellings(length, scheme, ["X", "" if scheme == "BILOU" else "Y"])
        assert found == expected and len(expected) > 2


def test_a_type_may_hold_a_line() -> None:
    allowed = allowed_transitions(["O", "B-creative-work", "I-creative-work"], "IOB2")
    assert allowed.between[1, 2] and not allowed.between[0, 2]


@pytest.mark.parametrize(
    ("tags", "scheme", "message"),
    [
        (["O"], "IOB", "scheme"),
        (["O", "S-X"], "IOB2", "'S-X'"),
        (["O", "X"], "IOBES", "'X'"),
        (["O", "B-"], "IOB2", "'B-'"),
        (["O", "O-X"], "IOB2", "'O-X'"),
    ],
)
def test_errors(tags: list[str], scheme: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        allowed_transitions(tags, scheme)
