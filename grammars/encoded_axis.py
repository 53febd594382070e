"""An axis as ConfigSpace's own check sees it: vector values to compare with constants, keys to compare with each other.

It compares *vector* values, after rounding floats to 13 decimals; relations compare values that went through the vector
representation and back. Thresholds come from the same arithmetic.
"""

from __future__ import annotations

import operator
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from ConfigSpace.hyperparameters import FloatHyperparameter, Hyperparameter

from . import intervals
from .axes import Axis
from .intervals import Intervals

# Axes up to this size are tabulated; larger ones (always numeric, so monotone) are searched by bisection.
TABLE_SIZE = 4096
_ROUND_PLACES = 13  # ConfigSpace's own, in hyperparameters/hp_components.py

Compare = Callable[[Any, Any], Any]


class EncodedAxis:
    """The points of one hyperparameter's axis in ConfigSpace's encodings."""

    def __init__(self, hp: Hyperparameter[Any, Any], axis: Axis) -> None:
        self.hp, self.axis = hp, axis

    def vector(self, index: int) -> float:
        """The vector value that the check computes for a lattice point."""
        value = self.axis.value(index)
        if isinstance(self.hp, FloatHyperparameter):
            value = float(np.round(value, _ROUND_PLACES))
        if isinstance(value, list | tuple):
            # ConfigSpace reads a bare list as several values; a choice's vector value is its place.
            return float(index)
        return float(self.hp.to_vector(value))

    def key(self, index: int) -> Any:
        """What relations compare: the value after a round trip through the vector representation."""
        return self.hp.to_value(np.float64(self.vector(index)))

    @cached_property
    def vectors(self) -> Sequence[float]:
        """All vector values, tabulated or lazy."""
        return self._table(self.vector)

    @cached_property
    def keys(self) -> Sequence[Any]:
        """All keys, tabulated or lazy."""
        return self._table(self.key)

    @cached_property
    def sorted_keys(self) -> bool:
        """Whether the keys ascend, so that bisection works."""
        if self.axis.size > TABLE_SIZE:
            return True
        try:
            return all(not b < a for a, b in zip(self.keys, self.keys[1:], strict=False))
        except TypeError:
            return False

    def _table(self, of: Callable[[int], Any]) -> Sequence[Any]:
        if self.axis.size <= TABLE_SIZE:
            return [of(i) for i in range(self.axis.size)]
        return _Lazy(of, self.axis.size)

    def where(self, op: Compare, constant: float) -> Intervals:
        """The indices whose vector value compares so with a constant."""
        return _where(self.vectors, op, constant, ascending=self.axis.size > TABLE_SIZE)

    def where_key(self, op: Compare, constant: Any) -> Intervals:
        """The indices whose key compares so with a constant."""
        return _where(self.keys, op, constant, ascending=self.sorted_keys)


class _Lazy(Sequence[Any]):
    """An axis-long sequence computed where it is looked at."""

    def __init__(self, of: Callable[[int], Any], size: int) -> None:
        self._of, self._size, self._seen = of, size, dict[int, Any]()

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, index: Any) -> Any:
        if index not in self._seen:
            self._seen[index] = self._of(index)
        return self._seen[index]


def _where(points: Sequence[Any], op: Compare, constant: Any, *, ascending: bool) -> Intervals:
    if not ascending:
        return intervals.of(i for i, point in enumerate(points) if op(point, constant))
    size = len(points)
    left, right = bisect_left(points, constant, 0, size), bisect_right(points, constant, 0, size)
    low, high = {
        operator.eq: (left, right),
        operator.ne: (left, right),
        operator.lt: (0, left),
        operator.le: (0, right),
        operator.gt: (right, size),
        operator.ge: (left, size),
    }[op]
    found: Intervals = ((low, high - 1),) if low < high else ()
    return intervals.complement(found, size) if op is operator.ne else found
