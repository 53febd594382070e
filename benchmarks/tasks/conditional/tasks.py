"""`conditional/{space}/{data set}/{default}`: a space as people write it, on a generated data set.

Boosting with a choice of boosters, of algorithms, of kernels: up to 14 hyperparameters, many of them active for some
choices only; and spaces of two to nine without conditions. A search is told one of three defaults: the `library`'s; the
`middle` of every range and the first of every choice, which ConfigSpace takes where a user names none; or one that was
`drawn`. The last two are no knowledge of anybody's.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from ConfigSpace import ConfigurationSpace, InCondition
from ConfigSpace.hyperparameters import (
    CategoricalHyperparameter,
    Hyperparameter,
    OrdinalHyperparameter,
    UniformFloatHyperparameter,
    UniformIntegerHyperparameter,
)

from airtune.benchmarks.tasks.conditional.forest import Forest, names_of
from airtune.engine.types import Task
from airtune.models.pocket.training.corpus.building import hashed
from airtune.models.pocket.training.corpus.drawing import LEVELS, has_default, value_of
from airtune.models.pocket.training.corpus.notation import Param
from airtune.models.pocket.training.corpus.shards import Table, read

TABLES = Path(__file__).parent / "tables.npz"
LIBRARY, MIDDLE, _ = DEFAULTS = ("library", "middle", "drawn")


@lru_cache(maxsize=1)
def _tables() -> dict[str, Table]:
    return {f"{table.family}/{table.index}": table for table in read(TABLES)}


@lru_cache(maxsize=64)
def _forest(table: str) -> Forest:
    return Forest(_tables()[table])


@dataclass(frozen=True, slots=True)
class ForestObjective:
    """The loss that a table's forest expects."""

    table: str

    def __call__(self, config: Mapping[str, Any]) -> float:
        """The loss; see the module's docstring."""
        return _forest(self.table).loss(config)


def conditional_names() -> list[str]:
    """The names of all tasks: each table with one of the defaults, in turn."""
    return [f"conditional/{name}/{default}" for name, default in _defaults().items()]


def _defaults() -> dict[str, str]:
    kinds = itertools.cycle(DEFAULTS)
    found = {}
    for name, table in _tables().items():
        kind = next(kinds)
        if kind == LIBRARY and not has_default(table.params):  # a part of its ranges lies elsewhere
            kind = next(kinds)
        found[name] = kind
    return found


def conditional_task(name: str) -> Task:
    """The task of that name."""
    table, _, default = name.removeprefix("conditional/").rpartition("/")
    found = _tables()[table]
    space = _space(found.params, default, np.random.default_rng(hashed(name)))
    return Task(name, space, ForestObjective(table), f"validation {found.metric}")


def _space(params: tuple[Param, ...], default: str, rng: np.random.Generator) -> ConfigurationSpace:
    def one(p: Param) -> Hyperparameter[Any, Any]:
        names, log = names_of(p), p.kind in "LJ"
        if default == LIBRARY:
            value = names[int(p.default)] if names else p.default
        elif default == MIDDLE:
            value = (
                (names[0] if p.kind == "C" else names[len(names) // 2]) if names else value_of(p, LEVELS // 2)
            )
        else:
            drawn = value_of(p, int(rng.integers(len(names) or LEVELS + 1)))
            value = str(drawn) if p.kind == "C" else drawn
        if p.kind == "C":
            return CategoricalHyperparameter(p.name, names, default_value=value)
        if p.kind == "O":
            return OrdinalHyperparameter(p.name, names, default_value=value)
        if p.kind in "IJ":
            lower, upper = math.ceil(p.lower), math.floor(p.upper)
            return UniformIntegerHyperparameter(p.name, lower, upper, log=log, default_value=round(value))
        return UniformFloatHyperparameter(p.name, p.lower, p.upper, log=log, default_value=value)

    space = ConfigurationSpace(space=[one(p) for p in params])
    for p in params:
        if p.only is not None:
            parent, choices = p.only
            space.add(InCondition(space[p.name], space[parent], [str(choice) for choice in choices]))
    return space
