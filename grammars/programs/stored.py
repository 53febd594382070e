"""The rules of a program space as JSON: they go with its search space, into study files and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from .definition import Alternative, Choice, Hole, Levels, Number, Rule, Subset

_KINDS: dict[str, type[Rule]] = {kind.__name__.lower(): kind for kind in (Choice, Subset, Number, Levels)}


def rules_to_json(rules: Sequence[Rule]) -> list[dict[str, Any]]:
    """The rules as JSON-able data, without their places in a file."""
    return [
        {"rule": type(rule).__name__.lower(), **asdict(rule, dict_factory=_without_places)} for rule in rules
    ]


def rules_from_json(data: Sequence[Mapping[str, Any]]) -> tuple[Rule, ...]:
    """The rules that `rules_to_json` made this of."""
    return tuple(_rule(**one) for one in data)


def _without_places(fields: list[tuple[str, Any]]) -> dict[str, Any]:
    return {name: value for name, value in fields if name != "where"}


def _rule(rule: str, **fields: Any) -> Rule:
    if "alternatives" in fields:
        fields["alternatives"] = tuple(
            Alternative(one["label"], tuple(_part(part) for part in one["template"]))
            for one in fields["alternatives"]
        )
    if "values" in fields:
        fields["values"] = tuple(fields["values"])
    return _KINDS[rule](**fields)


def _part(part: str | Mapping[str, Any]) -> str | Hole:
    return part if isinstance(part, str) else Hole(**part)
