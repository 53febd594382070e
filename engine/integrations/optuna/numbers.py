"""Ranges of numbers in two forms: Optuna's distributions and ConfigSpace's hyperparameters, with their values."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from ConfigSpace.hyperparameters import (
    Constant,
    FloatHyperparameter,
    Hyperparameter,
    IntegerHyperparameter,
    OrdinalHyperparameter,
    UniformFloatHyperparameter,
    UniformIntegerHyperparameter,
)
from optuna.distributions import FloatDistribution, IntDistribution

from airtune.grammars import SpaceError
from airtune.grammars.axes import plain
from airtune.grammars.space_check import LARGEST_FLOAT

# Steps of up to so many values are told to the model as those values; of longer ones it is told the position.
LARGEST_GRID = 500
# Optuna's storages keep whole numbers as floats, which are exact up to here.
LARGEST_WHOLE = 2**53
NARROW = 1e-10  # of so narrow a range ConfigSpace's 13 decimals leave too little
LARGEST_RATIO = 1e100  # of the bounds of a log scale; wider ones are told as exponents


@dataclass(frozen=True, slots=True)
class Values:
    """One parameter's values in both forms.

    Attributes:
        to_config: Optuna's value -> ConfigSpace's.
        to_param: The inverse.

    Raises, both: ValueError for a value that is not of the parameter.
    """

    to_config: Callable[[Any], Any]
    to_param: Callable[[Any], Any]


def number_range(
    name: str, distribution: FloatDistribution | IntDistribution
) -> tuple[Hyperparameter[Any, Any], Values]:
    """A distribution of numbers as a hyperparameter, and its values in both forms.

    Raises:
        SpaceError: If it is wider than floats reach.
    """
    number = float if isinstance(distribution, FloatDistribution) else int
    if distribution.step is not None and (number is float or distribution.step > 1):
        return _grid(name, distribution, number)
    low, high = number(distribution.low), number(distribution.high)
    if number is float or max(abs(low), abs(high)) > LARGEST_WHOLE:
        return _floats(name, low, high, distribution.log, number)
    hp = UniformIntegerHyperparameter(name, low, high, log=distribution.log)
    return hp, Values(reader(hp), plain)


def _grid(
    name: str, distribution: FloatDistribution | IntDistribution, number: type[int] | type[float]
) -> tuple[Hyperparameter[Any, Any], Values]:
    """Steps: an ordinal of the values, or the position of a value where they are many."""
    low, high, step = distribution.low, distribution.high, distribution.step or 1
    if max(abs(low), abs(high)) > LARGEST_WHOLE * min(step, 1):
        if number is float:
            return _floats(name, low, high, False, lambda value: low + (value - low) // step * step)
        wide, exact = int(step), int(low)
        wide <<= max(0, int((high - low) // wide).bit_length() - 50)  # steps that floats hold exactly
        return _floats(name, low, high, False, lambda value: exact + (int(value) - exact) // wide * wide)
    last = round((high - low) / step)

    def at(position: int) -> int | float:
        # the product may exceed the bound by a rounding error
        return number(min(low + position * step, high))

    def position(value: Any) -> int:
        if not low <= value <= high:
            raise ValueError(f"{value!r} is not from {low!r} to {high!r}")
        steps: float = (value - low) / step
        return round(steps)

    if last < LARGEST_GRID:
        values = [at(k) for k in range(last + 1)]
        middle = values[last // 2]  # the default, as of a range
        return OrdinalHyperparameter(name, values, middle), Values(lambda v: values[position(v)], plain)
    return UniformIntegerHyperparameter(name, 0, last), Values(position, lambda k: at(int(k)))


def _floats(
    name: str, low: float, high: float, log: bool, number: Callable[[Any], Any]
) -> tuple[Hyperparameter[Any, Any], Values]:
    """A range of floats, or of whole numbers beyond `LARGEST_WHOLE`; `number` makes a float one of its values.

    Raises:
        SpaceError: If it is wider than floats reach.
    """
    try:
        bottom, top = float(low), float(high)
        # a whole number has been rounded
        bottom = math.nextafter(bottom, math.inf) if bottom < low else bottom
        top = math.nextafter(top, -math.inf) if top > high else top
        if bottom >= top:  # whole numbers that are the same float
            return Constant(name, 0), Values(lambda value: 0 * _inside(value, low, high), lambda _: low)
        told, untold, log = _scales(bottom, top, log)
        hp = UniformFloatHyperparameter(name, told(bottom), told(top), log=log)
    except (ValueError, OverflowError) as error:
        raise SpaceError(
            f"the range of {name!r} cannot be searched: {error}",
            value=(low, high),
            allowed="bounds that are no further apart than the largest float",
            hint="scale the parameter: suggest its logarithm, or a part of it",
        ) from error

    def to_config(value: Any) -> float:
        own = told(float(min(max(_inside(value, low, high), bottom), top)))
        return min(max(own, float(hp.lower)), float(hp.upper))

    return hp, Values(to_config, lambda own: number(min(max(untold(plain(own)), bottom), top)))


def _scales(
    bottom: float, top: float, log: bool
) -> tuple[Callable[[float], float], Callable[[float], float], bool]:
    """How values of a range are told, the inverse, and whether on a log scale.

    As they are, if need be in other units: ConfigSpace rounds to 13 decimals, which would change tiny ones, and fails
    on those beyond `LARGEST_FLOAT`.
    """
    rounded = [round(bound, 13) for bound in (bottom, top)]
    held = top - bottom > NARROW and max(abs(bottom), abs(top)) <= LARGEST_FLOAT
    if held and all(map(partial(math.isclose, rel_tol=1e-6), rounded, (bottom, top))):
        return float, float, log
    if not log:
        width = top - bottom
        return lambda value: (value - bottom) / width, lambda own: bottom + own * width, False
    if top / bottom < LARGEST_RATIO:
        return lambda value: value / bottom, lambda own: own * bottom, True
    return math.log10, lambda own: math.pow(10.0, own), False


def reader(hp: Hyperparameter[Any, Any]) -> Callable[[Any], Any]:
    """A function that gives Optuna's value back as the hyperparameter's own, or raises ValueError."""
    if isinstance(hp, FloatHyperparameter | IntegerHyperparameter):
        number = float if isinstance(hp, FloatHyperparameter) else int
        return lambda value: _inside(number(value), hp.lower, hp.upper)
    return lambda value: value  # ConfigSpace's check is next


def _inside(value: Any, lower: Any, upper: Any) -> Any:
    if not lower <= value <= upper:
        raise ValueError(f"{value!r} is not from {lower!r} to {upper!r}")
    return value
