"""Ranges with a step, in space files: the ordinals that they mean."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from .errors import SpaceError
from .space_check import is_finite_number

# An ordinal is written out wherever its space is: in the study file, and in prompts.
MOST_LEVELS = 1000


def stepped(name: str, item: Mapping[str, Any]) -> dict[str, Any]:
    """A range in ConfigSpace's form as it is, or as an ordinal if it has a `step` (or `q`, another word for it).

    The levels are lower, lower + step, ... as far as they do not exceed upper, exactly: 0.3 is 0.3. An integer's
    step of 1 is no step, nor is null, which ConfigSpace used to write.

    >>> stepped("x", {"type": "uniform_float", "name": "x", "lower": 0.1, "upper": 0.5, "step": 0.1})["sequence"]
    [0.1, 0.2, 0.3, 0.4, 0.5]

    Args:
        name: What it is called.
        item: Its fields, bounds and default checked.

    Raises:
        SpaceError: If the step is none, makes too many levels, or cannot be along with what else is said.
    """
    rest = {key: value for key, value in item.items() if key not in ("step", "q")}
    steps = [item[word] for word in ("step", "q") if item.get(word) is not None]
    number: type[int] | type[float] = int if item["type"] == "uniform_int" else float
    if not steps or (number is int and steps == [1] and steps[0] is not True):
        return rest
    step, lower, upper = steps[0], item["lower"], item["upper"]
    other = "another" if len(steps) > 1 else "log" if item.get("log") else item["type"]
    if other not in ("uniform_int", "uniform_float"):
        raise SpaceError(
            f"{name!r}: a step cannot be along with {other}",
            value=step,
            allowed="one step, of a float or int on a linear scale",
            hint=f'leave one out, or list the values: {{"{name}": {{"type": "ordinal", "sequence": [1, 2, 4]}}}}',
        )
    if not is_finite_number(step) or not 0 < step <= upper - lower or step != number(step):
        raise SpaceError(
            f"{name!r}: the step is {step!r}",
            value=step,
            allowed=f"a {'whole ' if number is int else ''}number above 0, at most {upper - lower!r}, the whole range",
            hint="give the distance of neighbouring values",
        )
    first, width, end = (_exact(value) for value in (lower, step, upper))
    last = int((end - first) / width)
    if last >= MOST_LEVELS:
        raise SpaceError(
            f"{name!r}: the step {step!r} makes {last + 1:,} levels",
            value=step,
            allowed=f"at most {MOST_LEVELS:,} levels",
            hint=f"leave the step out, take a wider one, or tune the position and take {lower!r} + {step!r} * {name} "
            f'in the objective: {{"{name}": {{"type": "int", "lower": 0, "upper": {last}}}}}',
        )
    levels = [number(first + width * k) for k in range(last + 1)]
    default = rest.get("default_value")
    if default is None:
        default = levels[last // 2]  # as of a range
    if default not in levels:
        near = sorted(sorted(levels, key=lambda level: abs(level - default))[:2])
        raise SpaceError(
            f"{name!r}: the default {default!r} is not on a step",
            value=default,
            allowed=f"{levels[0]!r}, {levels[1]!r}, ..., {levels[-1]!r}",
            hint=f"take {' or '.join(map(repr, near))}, or leave the default out",
        )
    kept: dict[str, Any] = {key: rest[key] for key in ("name", "meta") if key in rest}
    return {**kept, "type": "ordinal", "sequence": levels, "default_value": number(default)}


def _exact(value: float) -> Fraction:
    """The decimal that is written, not the binary fraction nearest to it."""
    return Fraction(repr(value))
