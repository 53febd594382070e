"""Sets of integers as intervals, against Python's own sets: every subset of a small range, and every pair of them."""

from __future__ import annotations

from itertools import pairwise, product

import pytest

from airtune.grammars import intervals

SIZE = 6
SUBSETS = [frozenset(i for i in range(SIZE) if mask >> i & 1) for mask in range(2**SIZE)]


def members(one: intervals.Intervals) -> set[int]:
    """The set; that it is written in its one form (sorted, no neighbours that touch) is checked too."""
    assert all(low <= high for low, high in one)
    assert all(high + 1 < low for (_, high), (low, _) in pairwise(one))
    return {i for low, high in one for i in range(low, high + 1)}


def test_of_and_size_and_contains() -> None:
    for wanted in SUBSETS:
        made = intervals.of(sorted(wanted, reverse=True))
        assert members(made) == wanted
        assert intervals.size(made) == len(wanted)
        assert [intervals.contains(made, i) for i in range(-1, SIZE + 1)] == [
            i in wanted for i in range(-1, SIZE + 1)
        ]


def test_membership_among_many_intervals() -> None:
    wanted = {i for i in range(300) if i % 7 in (0, 1, 4)}
    made = intervals.of(wanted)
    assert len(made) > 80
    assert [i for i in range(-5, 310) if intervals.contains(made, i)] == sorted(wanted)


def test_nth_and_closest() -> None:
    for wanted in SUBSETS:
        made = intervals.of(wanted)
        assert [intervals.nth(made, rank) for rank in range(len(wanted))] == sorted(wanted)
        with pytest.raises(IndexError, match="rank beyond the set"):
            intervals.nth(made, len(wanted))
        for index in range(-2, SIZE + 2):
            if wanted:
                assert intervals.closest(made, index) == min(wanted, key=lambda i: (abs(i - index), i))


def test_complement_and_without() -> None:
    for wanted, drop in product(SUBSETS, SUBSETS):
        made = intervals.of(wanted)
        assert members(intervals.without(made, sorted(drop))) == wanted - drop
    for wanted in SUBSETS:
        for size in (max(wanted, default=-1) + 1, SIZE, SIZE + 2):
            assert members(intervals.complement(intervals.of(wanted), size)) == set(range(size)) - wanted


def test_union_and_intersection() -> None:
    for one, other in product(SUBSETS, SUBSETS):
        a, b = intervals.of(one), intervals.of(other)
        assert members(intervals.union([a, b])) == one | other
        assert members(intervals.intersection(a, b)) == one & other
    third = intervals.of([0, 1, 4])
    assert intervals.intersection(intervals.of(range(5)), intervals.of([1, 2, 4]), third) == ((1, 1), (4, 4))
    assert intervals.intersection(third) == third
    assert intervals.union([]) == ()


def test_union_of_overlapping_and_nested_ranges() -> None:
    assert intervals.union([((0, 9),), ((2, 3),), ((8, 12), (14, 14))]) == ((0, 12), (14, 14))
