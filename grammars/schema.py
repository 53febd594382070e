"""A JSON Schema of a space, for display: conditions and clauses spelled out, bounds as numbers."""

from __future__ import annotations

from typing import Any

from ConfigSpace.conditions import (
    AndConjunction,
    ConditionLike,
    Conjunction,
    EqualsCondition,
    GreaterThanCondition,
    InCondition,
    LessThanCondition,
)
from ConfigSpace.hyperparameters import (
    CategoricalHyperparameter,
    Constant,
    FloatHyperparameter,
    Hyperparameter,
    IntegerHyperparameter,
    OrdinalHyperparameter,
)

from .axes import plain
from .paths import PathLattice
from .rules import effective_conditions

_NOTE = (
    "For display. It does not enforce the language: mask engines ignore or mistreat number bounds, if/then "
    "and not, and the lattice, the clauses below and what was tried are not in it. Use regex, Lark or GBNF."
)


def json_schema(lattice: PathLattice) -> dict[str, Any]:
    """The schema of a lattice's space, draft 2020-12."""
    space = lattice.space
    conditions = effective_conditions(space)
    forbidden = list(space.forbidden_clauses)
    notes = [_NOTE, *(f"Forbidden: {str(f).removeprefix('Forbidden: ')}" for f in forbidden)]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": space.name or "configuration",
        "description": "\n".join(notes),
        "type": "object",
        "properties": {name: _property(space[name]) for name in lattice.names},
        "required": [name for name in lattice.names if name not in conditions],
        "additionalProperties": False,
        "allOf": [
            {
                "if": _condition(conditions[name], space),
                "then": {"required": [name]},
                "else": {"properties": {name: False}},
            }
            for name in lattice.names
            if name in conditions
        ],
    }


def _property(hp: Hyperparameter[Any, Any]) -> dict[str, Any]:
    if isinstance(hp, Constant):
        return {"const": plain(hp.value)}
    if isinstance(hp, CategoricalHyperparameter):
        return {"enum": [plain(choice) for choice in hp.choices], "default": plain(hp.default_value)}
    if isinstance(hp, OrdinalHyperparameter):
        return {
            "enum": [plain(choice) for choice in hp.sequence],
            "default": plain(hp.default_value),
            "description": "in ascending order",
        }
    if isinstance(hp, IntegerHyperparameter | FloatHyperparameter):
        kind = "integer" if isinstance(hp, IntegerHyperparameter) else "number"
        cast = int if kind == "integer" else float
        shown: dict[str, Any] = {
            "type": kind,
            "minimum": cast(hp.lower),
            "maximum": cast(hp.upper),
            "default": cast(hp.default_value),
        }
        return {**shown, "description": "log scale"} if hp.log else shown
    return {"description": str(hp)}


def _condition(one: ConditionLike, space: Any) -> dict[str, Any]:
    if isinstance(one, Conjunction):
        word = "allOf" if isinstance(one, AndConjunction) else "anyOf"
        return {word: [_condition(part, space) for part in one.components]}
    name = one.parent.name
    test: dict[str, Any]
    if isinstance(one, InCondition):
        test = {"enum": [plain(v) for v in one.values]}
    elif isinstance(one, EqualsCondition):
        test = {"const": plain(one.value)}
    elif isinstance(one, LessThanCondition | GreaterThanCondition):
        less = isinstance(one, LessThanCondition)
        if isinstance(one.parent, OrdinalHyperparameter):
            order = list(one.parent.sequence)
            at = order.index(one.value)
            test = {"enum": order[:at] if less else order[at + 1 :]}
        else:
            test = {"exclusiveMaximum" if less else "exclusiveMinimum": plain(one.value)}
    else:  # not equal, which also holds where the parent is absent
        return {"not": {"properties": {name: {"const": plain(one.value)}}, "required": [name]}}
    return {"properties": {name: test}, "required": [name]}
