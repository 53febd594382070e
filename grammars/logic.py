"""ConfigSpace's conditions and forbidden clauses as formulas over indices, evaluated value by value.

The judge is ConfigSpace's own check (`Configuration(space, values=...)`), and it is followed to the letter:
- an inactive parent is NaN there, so that only `NotEquals` holds of it;
- children whose conditions it takes for equivalent share the first one's condition;
- how it compares values is in `encoded_axis`.
"""

from __future__ import annotations

import operator
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from . import intervals
from .encoded_axis import Compare, EncodedAxis
from .errors import SpaceError
from .intervals import Intervals

# A relation is exact if one of its sides has at most so many lattice points: each needs a state of its own. Where
# both have more, one side is cut into about a quarter as many blocks. The next size is for too many states.
RELATION_SIZES = (1024, 128)

_MIRRORED: dict[Compare, Compare] = {
    operator.eq: operator.eq,
    operator.lt: operator.gt,
    operator.le: operator.ge,
    operator.gt: operator.lt,
    operator.ge: operator.le,
}


@dataclass(frozen=True, slots=True)
class Atom:
    """Hyperparameter `at` (a position in reading order) has a value with an index in `inside`.

    Attributes:
        at: Position of the hyperparameter.
        inside: The indices for which it holds.
        inactive: Whether it holds when the hyperparameter is inactive.
    """

    at: int
    inside: Intervals
    inactive: bool


@dataclass(frozen=True, eq=False)
class Relation:
    """A comparison of two hyperparameters' values; false where one is inactive. Compared by identity.

    Attributes:
        op: What is compared: the left value with the right one.
        left: Position of the left hyperparameter in reading order.
        right: Position of the right one.
        left_axis: The axis of the left one.
        right_axis: The axis of the right one.
        size: Lattice points that a side may have to be told apart one by one. Where both have more, the side
            read first is cut into about size / 4 blocks; of a block holds what holds of all its points.
    """

    op: Compare
    left: int
    right: int
    left_axis: EncodedAxis
    right_axis: EncodedAxis
    size: int

    @property
    def exact(self) -> bool:
        """Whether it holds of exactly the pairs of values that compare so."""
        first = self._sides(min(self.left, self.right))[0]
        smaller = min(self.left_axis.axis.size, self.right_axis.axis.size)
        return smaller <= self.size or not first.sorted_keys

    def starts(self, at: int) -> list[int]:
        """Where, along one side's axis, the set of forbidden partners may change."""
        mine, other = self._sides(at)
        if mine.axis.size <= self.size or not mine.sorted_keys:
            return list(range(mine.axis.size))
        if not self.exact:
            return self._blocks
        keys = [other.keys[i] for i in range(other.axis.size)]
        return [
            bisect(mine.keys, k, 0, len(mine.keys)) for k in keys for bisect in (bisect_left, bisect_right)
        ]

    @cached_property
    def _blocks(self) -> list[int]:
        """Where the blocks of the side read first begin: evenly over its own points, and over the other's."""
        mine, other = self._sides(min(self.left, self.right))
        count = self.size // 8
        own = [k * mine.axis.size // count for k in range(count)]
        values = [other.keys[k * (other.axis.size - 1) // (count - 1)] for k in range(count)]
        met = [
            bisect(mine.keys, v, 0, mine.axis.size) for v in values for bisect in (bisect_left, bisect_right)
        ]
        return sorted({i for i in (*own, *met) if i < mine.axis.size})

    def given(self, at: int, index: int) -> Formula:
        """What is left of it once one side is known."""
        mine, other = self._sides(at)
        op = _MIRRORED[self.op] if at == self.left else self.op
        ends = [index]
        if not self.exact:  # comparisons are monotone: what holds at both ends of a block holds within
            after = bisect_right(self._blocks, index)
            ends = [self._blocks[after - 1], [*self._blocks, mine.axis.size][after] - 1]
        try:
            inside = intervals.intersection(*(other.where_key(op, mine.keys[i]) for i in ends))
        except TypeError as e:
            raise SpaceError(
                f"a relation compares {mine.hp.name!r} with {other.hp.name!r}, but they have no order",
                value=f"{mine.keys[index]!r} with {other.keys[0]!r}",
                allowed="relations between numbers, or between texts",
                hint="forbid the combinations one by one with ForbiddenAndConjunction",
            ) from e
        return simplify_atom(
            Atom(self.right if at == self.left else self.left, inside, False), other.axis.size
        )

    def _sides(self, at: int) -> tuple[EncodedAxis, EncodedAxis]:
        pair = (self.left_axis, self.right_axis)
        return pair if at == self.left else pair[::-1]


@dataclass(frozen=True, slots=True)
class All:
    """Every part holds."""

    parts: tuple[Formula, ...]


@dataclass(frozen=True, slots=True)
class Any_:
    """Some part holds."""

    parts: tuple[Formula, ...]


Formula = bool | Atom | Relation | All | Any_


def simplify_atom(atom: Atom, size: int) -> Formula:
    """False where nothing satisfies the atom, True where everything does, inactivity included."""
    if not atom.inside and not atom.inactive:
        return False
    return True if atom.inactive and intervals.size(atom.inside) == size else atom


def all_of(parts: Sequence[Formula]) -> Formula:
    """A conjunction, simplified."""
    rest = list(dict.fromkeys(part for part in parts if part is not True))
    if any(part is False for part in rest):
        return False
    return True if not rest else rest[0] if len(rest) == 1 else All(tuple(rest))


def any_of(parts: Sequence[Formula]) -> Formula:
    """A disjunction, simplified."""
    rest = list(dict.fromkeys(part for part in parts if part is not False))
    if any(part is True for part in rest):
        return True
    return False if not rest else rest[0] if len(rest) == 1 else Any_(tuple(rest))


def given(formula: Formula, at: int, index: int | None) -> Formula:
    """The formula once hyperparameter `at` is known to have this index (None: it is inactive)."""
    match formula:
        case Atom(where, inside, inactive) if where == at:
            return inactive if index is None else intervals.contains(inside, index)
        case Relation(left=left, right=right) if at in (left, right):
            return False if index is None else formula.given(at, index)
        case All(parts):
            return all_of([given(part, at, index) for part in parts])
        case Any_(parts):
            return any_of([given(part, at, index) for part in parts])
        case _:
            return formula


def starts(formula: Formula, at: int) -> set[int]:
    """The indices of hyperparameter `at` where the formula's outcome may change."""
    match formula:
        case Atom(where, inside, _) if where == at:
            return {edge for low, high in inside for edge in (low, high + 1)}
        case Relation(left=left, right=right) if at in (left, right):
            return set(formula.starts(at))
        case All(parts) | Any_(parts):
            return set().union(*(starts(part, at) for part in parts))
        case _:
            return set()


def mentions(formula: Formula, at: int) -> bool:
    """Whether the formula's outcome may depend on hyperparameter `at`."""
    match formula:
        case Atom(where, _, _):
            return where == at
        case Relation(left=left, right=right):
            return at in (left, right)
        case All(parts) | Any_(parts):
            return any(mentions(part, at) for part in parts)
        case _:
            return False
