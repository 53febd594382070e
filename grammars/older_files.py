"""Space files of ConfigSpace before 1.0: their words as today's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_RELATIONS = {"LESS": "LT", "EQUALS": "EQ", "GREATER": "GT"}


def today_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of one hyperparameter, with its type; what is no older word stays as it is.

    A constant could be "unparametrized", weights were "probabilities", and a default that is null is none.

    >>> today_fields({"type": "unparametrized", "value": 3})
    {'type': 'constant', 'value': 3}
    """
    found = dict(fields)
    if found.get("type") == "unparametrized":
        found["type"] = "constant"
    if found.get("type") == "categorical" and "probabilities" in found and found.get("weights") is None:
        found["weights"] = found.pop("probabilities")
    choices = found.get("choices", found.get("sequence"))
    if not (isinstance(choices, list) and None in choices):
        for field in ("default", "default_value"):
            if found.get(field, 0) is None:
                del found[field]
    return found


def today_clause(clause: Any) -> Any:
    """A forbidden clause, whose relations were of LESS, EQUALS or GREATER.

    >>> today_clause({"type": "RELATION", "left": "a", "right": "b", "lambda": "LESS"})["lambda"]
    'LT'
    """
    if not isinstance(clause, Mapping):
        return clause
    found = dict(clause)
    if isinstance(found.get("clauses"), list):
        found["clauses"] = list(map(today_clause, found["clauses"]))
    if found.get("type") == "RELATION" and isinstance(found.get("lambda"), str):
        found["lambda"] = _RELATIONS.get(found["lambda"], found["lambda"])
    return found
