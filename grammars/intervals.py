"""Sets of integers as sorted, disjoint, inclusive intervals: how the automaton holds huge sets."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from operator import itemgetter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

Intervals = tuple[tuple[int, int], ...]
# So many are looked through one by one faster than by bisection.
_FEW = 16


def union(sets: Iterable[Intervals]) -> Intervals:
    """All members of any of the sets.

    >>> union([((0, 2), (7, 7)), ((3, 4),)])
    ((0, 4), (7, 7))
    """
    merged: list[tuple[int, int]] = []
    for low, high in sorted(pair for one in sets for pair in one):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return tuple(merged)


def of(indices: Iterable[int]) -> Intervals:
    """The set of these integers."""
    return union(((i, i),) for i in indices)


def intersection(first: Intervals, *others: Intervals) -> Intervals:
    """The members that all of the sets have.

    >>> intersection(((0, 4), (7, 9)), ((3, 8),))
    ((3, 4), (7, 8))
    """
    for other in others:
        pairs = ((max(a, c), min(b, d)) for a, b in first for c, d in other)
        first = tuple(sorted(pair for pair in pairs if pair[0] <= pair[1]))
    return first


def complement(one: Intervals, size: int) -> Intervals:
    """The members of 0..size-1 that are not in the set.

    >>> complement(((1, 2),), 5)
    ((0, 0), (3, 4))
    """
    out: list[tuple[int, int]] = []
    start = 0
    for low, high in one:
        if start < low:
            out.append((start, low - 1))
        start = high + 1
    if start < size:
        out.append((start, size - 1))
    return tuple(out)


def without(one: Intervals, indices: Iterable[int]) -> Intervals:
    """The set less single members (sorted ascending).

    >>> without(((0, 4),), [0, 2])
    ((1, 1), (3, 4))
    """
    drop = list(indices)
    out: list[tuple[int, int]] = []
    at = 0
    for low, high in one:
        while at < len(drop) and drop[at] < low:
            at += 1
        while at < len(drop) and drop[at] <= high:
            if low < drop[at]:
                out.append((low, drop[at] - 1))
            low = drop[at] + 1
            at += 1
        if low <= high:
            out.append((low, high))
    return tuple(out)


def contains(one: Intervals, index: int) -> bool:
    """Whether the set has this member."""
    if len(one) > _FEW:
        at = bisect_right(one, index, key=itemgetter(0))
        return at > 0 and index <= one[at - 1][1]
    for low, high in one:  # asked for at every step of every path: a generator costs twice as much
        if low <= index <= high:
            return True
    return False


def size(one: Intervals) -> int:
    """How many members."""
    return sum(high - low + 1 for low, high in one)


def nth(one: Intervals, rank: int) -> int:
    """The member of this rank (0 is the smallest)."""
    for low, high in one:
        if rank <= high - low:
            return low + rank
        rank -= high - low + 1
    raise IndexError("rank beyond the set")


def closest(one: Intervals, index: int) -> int:
    """The member nearest to `index`, the smaller one on ties."""
    candidates = (min(max(index, low), high) for low, high in one)
    return min(candidates, key=lambda i: (abs(i - index), i))


def random_below(rng: np.random.Generator | np.random.RandomState, bound: int) -> int:
    """A uniform integer in 0..bound-1 of any size, by rejection."""
    bits = bound.bit_length()
    while True:
        draw = int.from_bytes(rng.bytes((bits + 7) // 8), "big") >> (-bits % 8)
        if draw < bound:
            return draw
