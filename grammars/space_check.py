"""What a search space must be before anything is built on it, and what ConfigSpace can hold of one.

ConfigSpace rounds bounds of floats to 13 decimals and bounds of integers to floats, either of which may put a bound
outside the range: what it can hold is checked before it is built, and the written bound is put back afterwards.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import math
from collections.abc import Iterable, Mapping
from graphlib import TopologicalSorter
from typing import Any

import numpy as np
from ConfigSpace import Configuration, ConfigurationSpace
from ConfigSpace.conditions import ConditionLike, Conjunction
from ConfigSpace.hyperparameters import IntegerHyperparameter

from .errors import SpaceError, shown

DECIMALS = 13  # of every float in ConfigSpace
LARGEST_FLOAT = 1e290  # of larger ones NumPy cannot round the decimals
WHOLE = 2**63  # integers are 64 bits wide
LARGEST_LOG = 2**62  # and the exponential of a logarithm may be a little above its bound
EXACT = 2**53  # integers up to here are floats, too
DEEPEST = 12  # hyperparameters within each other: for each one more ConfigSpace takes four times as long, at 14 seconds
_CHANGE = 1e-6  # of a bound on a log scale, of the range on a linear one: by so much rounding may change it


def check_space(space: ConfigurationSpace) -> None:
    """Refuse spaces that cannot be searched.

    Raises:
        SpaceError: If it is no ConfigurationSpace, is empty, has bounds that are not finite or reversed, or conditions
            on conditions too often, or that ConfigSpace takes for others.
    """
    if not isinstance(space, ConfigurationSpace):
        raise SpaceError(
            f"{type(space).__name__} is not a search space",
            value=space,
            allowed="a ConfigSpace.ConfigurationSpace",
            hint="build one, or read it with read_space",
        )
    if len(space) == 0:
        raise SpaceError(
            "the space is empty",
            value=space.name,
            allowed="at least one hyperparameter",
            hint="add hyperparameters",
        )
    for name, hp in space.items():
        try:
            name.encode()
        except UnicodeEncodeError as e:
            raise SpaceError(
                f"the name {name!r} is not valid Unicode",
                value=name,
                allowed="names with a UTF-8 form",
                hint="rename it",
            ) from e
        if hasattr(hp, "lower"):
            numeric: Any = hp
            lower, upper = numeric.lower, numeric.upper
            log = bool(getattr(hp, "log", False))
            check_range(name, lower, upper, log=log)
            check_held(name, lower, upper, log=log, whole=isinstance(hp, IntegerHyperparameter))
    if space.conditions:
        check_depth({name: {parent.name for parent in space.parents_of[name]} for name in space})
        _check_conjunctions(space)


def check_depth(parents: Mapping[str, Iterable[str]]) -> None:
    """Refuse hyperparameters that are conditional on conditional ones more often than ConfigSpace can take.

    Args:
        parents: By name, the hyperparameters that a condition is about.

    Raises:
        SpaceError: Naming the first that lies too deep.
        CycleError: If they go round in a circle.
    """
    depth: dict[str, int] = {}
    for name in TopologicalSorter(parents).static_order():
        depth[name] = 1 + max((depth[parent] for parent in parents.get(name, ())), default=0)
        if depth[name] > DEEPEST:
            raise SpaceError(
                f"{name!r} is the {depth[name]}th in a row of hyperparameters, each conditional on the one before",
                value=name,
                allowed=f"up to {DEEPEST} within each other",
                hint="make one categorical of several in the row, whose choices are what these can be together",
            )


def _check_conjunctions(space: ConfigurationSpace) -> None:
    """Refuse an AND and an OR of the same conditions: ConfigSpace's check uses the first of them for both."""
    found = [
        (name, one)
        for name in space
        for one in space.parent_conditions_of[name]
        if isinstance(one, Conjunction)
    ]
    for (first, one), (second, other) in itertools.combinations(found, 2):
        if one.equivalent_condition_on_parent(other) and not _equal(one, other):
            raise SpaceError(
                f"ConfigSpace takes the conditions of {first!r} and {second!r} for the same, and uses one for both: "
                f"{one}; {other}",
                value=str(other),
                allowed="AND and OR of the same conditions for one hyperparameter only",
                hint=f"write a part of the condition of {second!r} in other words that mean the same, for example "
                "EQ, GT or LT as IN with the values, or the values of an IN in another order",
            )


def _equal(one: ConditionLike, other: ConditionLike) -> bool:
    """Whether two conditions say the same of their parents; ConfigSpace does not tell AND from OR."""
    if not isinstance(one, Conjunction) or not isinstance(other, Conjunction):
        return one.equivalent_condition_on_parent(other)
    return type(one) is type(other) and all(
        any(_equal(part, of_other) for of_other in right.components)
        for left, right in ((one, other), (other, one))
        for part in left.components
    )


def check_range(name: str, lower: Any, upper: Any, *, log: bool) -> None:
    """Refuse a range of numbers that is not one.

    Raises:
        SpaceError: If a bound is no finite number, they are reversed or equal, or a log scale reaches 0.
    """
    for which, bound in (("lower", lower), ("upper", upper)):
        if not is_finite_number(bound):
            raise SpaceError(
                f"{name!r}: the {which} bound is {shown(bound)}",
                value=bound,
                allowed="a finite number",
                hint=f"give a number for {which!r}",
            )
    if lower >= upper:
        raise SpaceError(
            f"{name!r}: the lower bound {lower!r} is not below the upper bound {upper!r}",
            value=(lower, upper),
            allowed="lower < upper",
            hint="swap them" if lower > upper else "use a constant, or leave it out",
        )
    if log and lower <= 0:
        raise SpaceError(
            f"{name!r}: a log scale cannot start at {lower!r}",
            value=lower,
            allowed="lower > 0 on a log scale",
            hint="raise the lower bound above 0, or use a linear scale",
        )


_NUMBERS = (int, float)  # made once: this is asked for every value of every trial


def is_finite_number(value: object) -> bool:
    """Whether a value is a finite number that a float can hold, too: not a boolean, and not 10**400."""
    if isinstance(value, bool) or not isinstance(value, _NUMBERS):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def violation(space: ConfigurationSpace, config: Mapping[str, Any]) -> str | None:
    """What ConfigSpace's own check says against a configuration, or None if it is valid.

    ConfigSpace 1.2.2 prints to stdout while it checks a `ForbiddenGreaterThanEqualsClause`: kept quiet here.

    Args:
        space: The search space.
        config: Active hyperparameters only.
    """
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            Configuration(space, values=dict(config))
    except ValueError as e:  # every refusal of ConfigSpace's derives from it
        return f"{type(e).__name__}: {e}"
    return None


def held(item: Mapping[str, Any]) -> dict[str, Any]:
    """A hyperparameter in ConfigSpace's form, its range checked and its whole numbers as such.

    Raises:
        SpaceError: If ConfigSpace cannot hold the range.
    """
    if "lower" not in item:
        return dict(item)
    log, whole, made = bool(item.get("log")), item["type"].endswith("_int"), dict(item)
    if whole:
        fields = ("lower", "upper", "default_value")
        made.update((field, int(item[field])) for field in fields if item.get(field) is not None)
    lower, upper = made["lower"], made["upper"]
    check_held(item["name"], lower, upper, log=log, whole=whole)
    if item["type"] == "uniform_int" and made.get("default_value") is None and is_wide(lower, upper):
        made["default_value"] = math.isqrt(lower * upper) if log else (lower + upper) // 2
    return made


def restore(space: ConfigurationSpace, items: Iterable[Mapping[str, Any]]) -> None:
    """Put the bounds back inside that ConfigSpace has rounded to the outside."""
    for item in items:
        if "lower" in item:
            hp: Any = space[item["name"]]
            whole = isinstance(hp, IntegerHyperparameter)
            hp.lower = item["lower"] if whole else max(hp.lower, float(item["lower"]))
            hp.upper = item["upper"] if whole else min(hp.upper, float(item["upper"]))
            hp.default_value = min(max(hp.default_value, hp.lower), hp.upper)
            if whole:
                hp.size = hp.upper - hp.lower + 1


def is_wide(lower: int, upper: int) -> bool:
    """Whether floats cannot tell apart all integers of a range."""
    return max(abs(lower), abs(upper)) > EXACT


def check_held(name: str, lower: float, upper: float, *, log: bool, whole: bool) -> None:
    """Refuse a range that ConfigSpace cannot hold.

    Raises:
        SpaceError: If it is too wide or too fine.
    """
    check = _check_integers if whole else _check_floats
    check(name, lower, upper, log)


def _check_integers(name: str, lower: float, upper: float, log: bool) -> None:
    most = LARGEST_LOG if log else WHOLE
    if not (-WHOLE <= float(lower) and float(upper) < most and float(upper) - float(lower) < WHOLE):
        raise SpaceError(
            f"{name!r}: the range {shown(lower)} to {shown(upper)} is too wide for an integer",
            value=(lower, upper),
            allowed=f"1 to 2**62 - 257 = {LARGEST_LOG - 257} on a log scale"
            if log
            else f"-2**63 to 2**63 - 513 = {WHOLE - 513}, and less than 2**63 from one bound to the other",
            hint="narrow it, or tune a part of the number, such as its exponent, and compute it in the objective",
        )
    if (math.log(lower) >= math.log(upper)) if log else (float(lower) >= float(upper)):
        raise SpaceError(
            f"{name!r}: the bounds {lower} and {upper} are the same number as floats, which scales are made of",
            value=(lower, upper),
            allowed=f"bounds that differ as floats, on a log scale their logarithms; all up to 2**53 = {EXACT} differ",
            hint=f"tune the distance from {lower}, an integer from 0 to {upper - lower}, and add it in the objective",
        )


def _check_floats(name: str, lower: float, upper: float, log: bool) -> None:
    lower, upper = float(lower), float(upper)
    if max(abs(lower), abs(upper)) > LARGEST_FLOAT:
        raise SpaceError(
            f"{name!r}: the range {lower!r} to {upper!r} is too wide",
            value=(lower, upper),
            allowed=f"bounds from {-LARGEST_FLOAT!r} to {LARGEST_FLOAT!r}",
            hint=f"narrow it, or tune the exponent as {_exponent(name, lower, upper)}",
        )
    for bound in (lower, upper):
        change = abs(float(np.round(bound, DECIMALS)) - bound)
        if change > _CHANGE * (bound if log else upper - lower):
            raise SpaceError(
                f"{name!r}: the bound {bound!r} is finer than the {DECIMALS} decimals to which floats are kept",
                value=bound,
                allowed="multiples of 1e-13, or bounds that rounding to one changes by less than a millionth",
                hint=f"tune it in larger units, or its exponent as {_exponent(name, lower, upper)}",
            )


def _exponent(name: str, lower: float, upper: float) -> str:
    """The range's exponents as a hyperparameter, and what to do in the objective."""
    low, high = (math.log10(bound) if bound > 0 else None for bound in (lower, upper))
    low, high = (-20 if low is None else math.floor(low)), (20 if high is None else math.ceil(high))
    return (
        f'{{"log10_{name}": {{"type": "float", "lower": {low}, "upper": {max(high, low + 1)}}}}}, '
        f"and take 10**log10_{name} in the objective"
    )
