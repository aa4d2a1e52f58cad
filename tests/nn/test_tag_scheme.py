"""Tag schemes: a sequence is allowed if and only if it spells spans."""

import itertools

import pytest
import torch

from mtgnn.nn import allowed_transitions
from mtgnn.nn.tag_scheme import AllowedTransitions

IOB2 = ["I-X", "O", "B-Y", "B-X", "I-Y"]
IOBES = ["S-X", "I-X", "O", "E-X", "B-X", "E-Y", "S-Y", "B-Y", "I-Y"]


def spell(tags: list[str], scheme: str) -> bool:
    """Whether tags are what some spans spell: read off the spans, spell them anew, compare."""
    spans: list[list] = []
    for tag in tags:
        prefix, _, kind = tag.partition("-")
        if prefix == "I" or prefix == "E":
            if not spans or spans[-1][0] != kind:
                return False
            spans[-1][1] += 1
        else:
            spans.append([kind, 1])
    spelt = []
    for kind, size in spans:
        if not kind:
            spelt += ["O"] * size
        elif scheme == "IOB2":
            spelt += [f"B-{kind}"] + [f"I-{kind}"] * (size - 1)
        elif size == 1:
            spelt += [f"S-{kind}"]
        else:
            spelt += [f"B-{kind}"] + [f"I-{kind}"] * (size - 2) + [f"E-{kind}"]
    return spelt == tags


def allows(allowed: AllowedTransitions, path: tuple[int, ...]) -> bool:
    pairs = zip(path, path[1:], strict=False)
    return bool(
        allowed.start[path[0]]
        and allowed.end[path[-1]]
        and all(allowed.between[i, j] for i, j in pairs)
    )


@pytest.mark.parametrize(("scheme", "tags"), [("IOB2", IOB2), ("IOBES", IOBES)])
def test_allows_what_spells_spans(scheme: str, tags: list[str]) -> None:
    allowed = allowed_transitions(tags, scheme)
    assert all(part.dtype == torch.bool for part in allowed)
    found = 0
    for length in (1, 2, 3, 4):
        for path in itertools.product(range(len(tags)), repeat=length):
            expected = spell([tags[i] for i in path], scheme)
            assert allows(allowed, path) == expected
            found += expected
    assert found > 100


def test_a_type_may_hold_a_line() -> None:
    allowed = allowed_transitions(["O", "B-creative-work", "I-creative-work"], "IOB2")
    assert allowed.between[1, 2] and not allowed.between[0, 2]


@pytest.mark.parametrize(
    ("tags", "scheme", "message"),
    [
        (["O"], "BILOU", "scheme"),
        (["O", "S-X"], "IOB2", "'S-X'"),
        (["O", "X"], "IOBES", "'X'"),
        (["O", "B-"], "IOB2", "'B-'"),
        (["O", "O-X"], "IOB2", "'O-X'"),
        (["O", "B"], "IOB2", "'B'"),
    ],
)
def test_errors(tags: list[str], scheme: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        allowed_transitions(tags, scheme)
