"""Tables as search spaces of ConfigSpace."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ConfigSpace import ConfigurationSpace, InCondition
from ConfigSpace.hyperparameters import (
    CategoricalHyperparameter,
    Hyperparameter,
    OrdinalHyperparameter,
    UniformFloatHyperparameter,
    UniformIntegerHyperparameter,
)

from airtune.models.pocket.training.algorithms import Param
from airtune.models.pocket.training.tables import Table


def space_of(params: Sequence[Param]) -> ConfigurationSpace:
    """The search space of a table's hyperparameters."""

    def one(p: Param) -> Hyperparameter[Any, Any]:
        if p.kind == "C":
            words = [str(c) for c in p.choices]
            return CategoricalHyperparameter(p.role, words, default_value=words[int(p.default)])
        if p.kind == "O":
            return OrdinalHyperparameter(p.role, p.choices, default_value=p.choices[int(p.default)])
        log = p.kind in "LJ"
        if p.kind in "IJ":
            return UniformIntegerHyperparameter(
                p.role, int(p.lower), int(p.upper), log=log, default_value=int(p.default)
            )
        return UniformFloatHyperparameter(p.role, p.lower, p.upper, log=log, default_value=p.default)

    space = ConfigurationSpace(space=[one(p) for p in params])
    for p in params:
        if p.only is not None:
            parent, choices = p.only
            space.add(InCondition(space[p.role], space[parent], [str(c) for c in choices]))
    return space


def values_of(table: Table, config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration of `space_of(table.params)` with the table's own choices."""
    choices = {p.role: {str(c): c for c in p.choices} for p in table.params if p.kind == "C"}
    return {role: choices[role][value] if role in choices else value for role, value in config.items()}
