from collections import Counter

import pytest

from mtgnn.datasets.splits import stratified_groups

LABELS = [0] * 60 + [1] * 40
ALONE = list(range(100))
IN_FOURS = [n // 4 for n in range(100)]


@pytest.mark.parametrize("groups", [ALONE, [n // 2 for n in range(100)]])
def test_shares_follow_the_labels(groups: list[int]) -> None:
    drawn = stratified_groups(groups, LABELS, 20, seed=0)
    assert Counter(LABELS[number] for number in drawn) == {0: 12, 1: 8}


def test_groups_stay_together() -> None:
    for seed in range(20):
        drawn = stratified_groups(IN_FOURS, LABELS, 20, seed)
        left = set(range(100)) - drawn
        assert not {IN_FOURS[n] for n in drawn} & {IN_FOURS[n] for n in left}


def test_remainders_go_to_the_largest() -> None:
    labels = [0] * 5 + [1] * 3 + [2] * 2
    drawn = stratified_groups(range(10), labels, 3, seed=0)
    assert Counter(labels[number] for number in drawn) == {0: 1, 1: 1, 2: 1}


def test_seeded_and_random() -> None:
    draws = [frozenset(stratified_groups(ALONE, LABELS, 20, seed)) for seed in range(50)]
    assert draws[0] == stratified_groups(ALONE, LABELS, 20, 0)
    assert len(set(draws)) == 50
    assert frozenset.union(*draws) == set(range(100))


def test_a_group_of_both_labels_counts_for_both() -> None:
    labels = [0, 1] * 10
    groups = [n // 2 for n in range(20)]
    drawn = stratified_groups(groups, labels, 6, seed=1)
    assert Counter(labels[number] for number in drawn) == {0: 3, 1: 3}
    assert len({groups[number] for number in drawn}) == 3


def test_what_cannot_be_drawn() -> None:
    with pytest.raises(ValueError, match="more than 3 examples to draw 3, got 3"):
        stratified_groups([0, 1, 2], [0, 0, 0], 3, seed=0)
    with pytest.raises(ValueError, match="only 0 of 2 examples"):
        stratified_groups([0] * 4, [0] * 4, 2, seed=0)
