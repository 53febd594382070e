"""Settings of a dialect, which are part of its name: "chat+history=turns+names=hidden"."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from airtune.models.types import ModelError

# What each setting can be, its words or its numbers.
Allowed = Mapping[str, tuple[str, ...] | range]


def read_settings(dialect: str, allowed: Allowed, texts: Mapping[str, str]) -> dict[str, Any]:
    """Settings given as texts: numbers where they are numbers.

    Raises:
        ModelError: If the dialect has no such setting.
    """
    values: dict[str, Any] = {}
    for key, text in texts.items():
        if key not in allowed:
            raise ModelError.unknown(f"setting of the {dialect} dialect", key, allowed)
        number = isinstance(allowed[key], range) and text.isascii() and text.isdigit()
        values[key] = int(text) if number else text
    return values


def check_settings(dialect: str, allowed: Allowed, settings: object) -> None:
    """Raise a ModelError if one of the settings, attributes of an object, has a value that it cannot have."""
    for key, values in allowed.items():
        value = getattr(settings, key)
        if value is not None and value not in values:
            known = f"{values[0]} to {values[-1]}" if isinstance(values, range) else ", ".join(values)
            raise ModelError(
                f"the {dialect} dialect's setting {key} cannot be {value!r}", value=value, allowed=known
            )


def full_name(dialect: str, allowed: Allowed, settings: Any) -> str:
    """The dialect and those of its settings, fields of a dataclass, that are not the defaults."""
    given = [(f.name, f.default, getattr(settings, f.name)) for f in fields(settings) if f.name in allowed]
    return dialect + "".join(f"+{key}={value}" for key, default, value in given if value != default)
