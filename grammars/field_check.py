"""What the fields of one hyperparameter in a space file must be, beyond being there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .errors import SpaceError, shown
from .space_check import check_range, is_finite_number

# ConfigSpace compares each choice with each other one.
MOST_CHOICES = 10_000


def check_fields(name: str, kind: str, item: Mapping[str, Any]) -> None:
    """Refuse values that no hyperparameter of the kind can have.

    Args:
        name: What it is called.
        kind: ConfigSpace's name of the kind.
        item: Its fields, those that the kind needs are there.

    Raises:
        SpaceError: Naming the value, what is allowed, and the fix.
    """
    if "lower" in item:
        _check_numbers(name, kind, item)
    for field in ("choices", "sequence"):
        if field in item:
            _check_choices(name, field, item[field], item)


def _check_numbers(name: str, kind: str, item: Mapping[str, Any]) -> None:
    log = item.get("log", False)
    if not isinstance(log, bool):
        raise SpaceError(
            f"{name!r}: log is {log!r}", value=log, allowed="true or false", hint="write true or false"
        )
    check_range(name, item["lower"], item["upper"], log=log)
    default = item.get("default_value")
    if default is not None:
        _finite(name, "default", default)
        if not item["lower"] <= default <= item["upper"]:
            raise SpaceError(
                f"{name!r}: the default {default!r} is outside the bounds",
                value=default,
                allowed=f"{item['lower']!r} to {item['upper']!r}",
                hint="move the default inside, or leave it out",
            )
    if kind.endswith("_int"):
        for field in ("lower", "upper", "default_value"):
            if item.get(field) is not None and item[field] != int(item[field]):
                raise SpaceError(
                    f"{name!r}: {field} is {item[field]!r}",
                    value=item[field],
                    allowed="whole numbers for an integer",
                    hint="round it, or use a float",
                )
    for field in ("mu", "sigma", "alpha", "beta"):
        if field in item:
            _finite(name, field, item[field])
    # The density must be finite, and one that a sum over the range can be taken of.
    for field, least in (("sigma", 1e-13), ("alpha", 1), ("beta", 1), ("mu", 1e-13 if log else -1e290)):
        if field in item and not least <= item[field] <= 1e290:
            raise SpaceError(
                f"{name!r}: {field} is {item[field]!r}",
                value=item[field],
                allowed=f"{least!r} to 1e290",
                hint='use "float" or "int" for a range without a preferred place',
            )


def _check_choices(name: str, field: str, choices: Any, item: Mapping[str, Any]) -> None:
    if not isinstance(choices, list) or not choices:
        raise SpaceError(
            f"{name!r}: {field} is {choices!r}",
            value=choices,
            allowed="a list with at least one choice",
            hint="list the choices",
        )
    if len(choices) > MOST_CHOICES:
        raise SpaceError(
            f"{name!r}: {field} has {len(choices):,} choices",
            value=len(choices),
            allowed=f"at most {MOST_CHOICES:,}",
            hint="tune an integer, and look the choice up by it in the objective",
        )
    again = next((one for i, one in enumerate(choices) if choices.index(one) != i), choices)
    if again is not choices:
        raise SpaceError(
            f"{name!r}: the choice {shown(again)} is given twice",
            value=again,
            allowed="different choices; 1, 1.0 and true are equal",
            hint="remove one, or write one of them as a text",
        )
    default = item.get("default_value")
    if default is not None and default not in choices:
        raise SpaceError(
            f"{name!r}: the default {shown(default)} is none of the {field}",
            value=default,
            allowed=", ".join(map(shown, choices[:20])) + (", ..." if len(choices) > 20 else ""),
            hint="take one of them, or leave the default out",
        )
    weights = item.get("weights")
    if weights is None:
        return
    right = isinstance(weights, list) and len(weights) == len(choices)
    if not right or not all(is_finite_number(w) and w >= 0 for w in weights) or not 0 < sum(weights) < 1e290:
        raise SpaceError(
            f"{name!r}: weights is {shown(weights)}",
            value=weights,
            allowed=f"{len(choices)} numbers, none below 0, not all of them 0",
            hint="give each choice its weight",
        )


def _finite(name: str, field: str, value: Any) -> None:
    if not is_finite_number(value):
        raise SpaceError(
            f"{name!r}: {field} is {shown(value)}",
            value=value,
            allowed="a finite number",
            hint=f"give a number for {field!r}",
        )
