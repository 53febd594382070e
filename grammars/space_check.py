"""What a search space must be before anything is built on it."""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Mapping
from typing import Any

from ConfigSpace import Configuration, ConfigurationSpace

from .errors import SpaceError


def check_space(space: ConfigurationSpace) -> None:
    """Refuse spaces that cannot be searched.

    Raises:
        SpaceError: If it is no ConfigurationSpace, is empty, or has bounds that are not finite or reversed.
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
        lower, upper = getattr(hp, "lower", None), getattr(hp, "upper", None)
        if lower is not None or upper is not None:
            check_range(name, lower, upper, log=bool(getattr(hp, "log", False)))


def check_range(name: str, lower: Any, upper: Any, *, log: bool) -> None:
    """Refuse a range of numbers that is not one.

    Raises:
        SpaceError: If a bound is no finite number, they are reversed or equal, or a log scale reaches 0.
    """
    for which, bound in (("lower", lower), ("upper", upper)):
        if not is_finite_number(bound):
            raise SpaceError(
                f"{name!r}: the {which} bound is {bound!r}",
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
