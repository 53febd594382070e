"""The lattice of round values: numbers in steps that people write, for who copies and changes one digit.

A language model that may say any width from 16 to 1024 tries 640, 641, 642 (docs/log/prompts.md): each is new, and none
tells anything. Of round values each is a real step from the others.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import count
from typing import Any

from ConfigSpace import ConfigurationSpace
from ConfigSpace.hyperparameters import Hyperparameter, NumericalHyperparameter

from .axes import Axis, EnumeratedAxis
from .canonical import canonical_lattice, compared_values, once_per_space
from .lattice import Lattice

MOST = 24  # round values of a hyperparameter; its default, bounds and compared values come in addition
# Of a decade of a logarithmic scale, finest first; below the last, whole powers of ten are left out.
_MANTISSAS = (
    (1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0),
    (1.0, 1.5, 2.0, 3.0, 5.0, 7.0),
    (1.0, 2.0, 5.0),
    (1.0, 3.0),
)
_STEPS = (1.0, 2.0, 5.0)  # of a linear scale, times a power of ten


@once_per_space
def round_lattice(space: ConfigurationSpace) -> Lattice:
    """The canonical lattice with at most `MOST` round values of each number, made once for each space object.

    Bounds, defaults and the values that conditions and clauses compare for equality stay. A round value nearer to one
    of those than half a step is left out. The texts are those of the canonical lattice.

    >>> from ConfigSpace import ConfigurationSpace, Float
    >>> lattice = round_lattice(ConfigurationSpace(space=[Float("lr", (1e-4, 1e-1), log=True, default=3e-3)]))
    >>> [lattice.axes[0].text(i) for i in range(0, 7)]
    ['1e-4', '1.5e-4', '2e-4', '3e-4', '5e-4', '7e-4', '1e-3']

    Raises:
        SpaceError: If the space cannot be searched.
    """
    whole = canonical_lattice(space)
    compared = compared_values(space)
    axes = {
        name: _round_axis(space[name], axis, compared[name])
        for name, axis in zip(whole.names, whole.axes, strict=True)
    }
    return Lattice(space, axes)


def _round_axis(hp: Hyperparameter[Any, Any], axis: Axis, compared: Sequence[Any]) -> Axis:
    if not isinstance(hp, NumericalHyperparameter) or axis.size <= MOST:
        return axis
    low, high, log = float(axis.value(0)), float(axis.value(axis.size - 1)), bool(getattr(hp, "log", False))
    for values in _log_values(low, high) if log else _linear_values(low, high):
        found = {axis.nearest(value) for value in values}
        if len(found) <= MOST:
            break
    scale = math.log if log else float
    half = (scale(high) - scale(low)) / max(len(found), 1) / 2
    kept = {0, axis.size - 1, *(axis.nearest(value) for value in (hp.default_value, *compared))}
    places = [scale(axis.value(i)) for i in kept]
    free = {i for i in found if all(abs(scale(axis.value(i)) - place) >= half for place in places)}
    entries = [(axis.text(i), axis.value(i)) for i in sorted(kept | free)]
    return EnumeratedAxis(entries, ordered=True, log=log)


def _log_values(low: float, high: float) -> Iterator[list[float]]:
    """Ever fewer values from low to high, both positive."""
    first, last = math.floor(math.log10(low)), math.floor(math.log10(high))
    for mantissas in _MANTISSAS:
        yield _within([m * 10.0**e for e in range(first, last + 1) for m in mantissas], low, high)
    for every in count(1):
        yield _within([10.0**e for e in range(first, last + 1) if e % every == 0], low, high)


def _linear_values(low: float, high: float) -> Iterator[list[float]]:
    """Multiples of ever larger steps from low to high."""
    exponent = math.floor(math.log10((high - low) / MOST))
    for larger in count():
        for step in (s * 10.0 ** (exponent + larger) for s in _STEPS):
            yield [i * step for i in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _within(values: list[float], low: float, high: float) -> list[float]:
    return [value for value in values if low <= value <= high]
