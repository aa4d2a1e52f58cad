"""Tag schemes: a sequence is allowed if and only if it spells spans."""

import itertools

import pytest
import torch

from mtgnn.data import Span, write_tags
from mtgnn.nn import allowed_transitions
from mtgnn.nn.heads.tag_scheme import AllowedTransitions, first_not_allowed

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


@pytest.mark.parametrize("scheme", TAGS)
def test_finds_the_first_label_that_is_not_allowed(scheme: str) -> None:
    """Among all sequences of up to three labels or none, −100."""
    tags, allowed = TAGS[scheme], allowed_transitions(TAGS[scheme], scheme)
    labels = [-100, *range(len(tags))]
    paths = [p for n in (1, 2, 3) for p in itertools.product(labels, repeat=n)]
    good, bad = [], []
    for path in paths:
        places = []
        for t, label in enumerate(path):
            if label < 0:
                continue
            before = None if t == 0 else path[t - 1]
            fits = allowed.start[label] if before is None else True
            fits = fits and (before is None or before < 0 or allowed.between[before, label])
            if not (fits and (t + 1 < len(path) or allowed.end[label])):
                places.append(t)
        (bad if places else good).append((torch.tensor(path), *places[:1]))
    fine = [row for row, *_ in good]
    assert len(good) > 9 and len(bad) > 9 and first_not_allowed(allowed, fine) is None
    for row, place in bad[:: max(1, len(bad) // 40)]:
        assert first_not_allowed(allowed, [*fine[-5:], row, *fine[:5]]) == (5, place)


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
