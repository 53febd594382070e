"""Tasks to choose designs on, and tasks of the same kinds to report on.

`dev/{algorithm}/{i}`: a real algorithm on a generated data set, by a table that `pocket` was not trained on (every
seventh one of an algorithm's tables); between the table's rows the loss is interpolated.
`dev/function{p}/{i}`: a fresh function of p numbers from pocket's prior (without its plateaus), noise-free.
`unseen/...`: the same, with tables of the algorithms that were held out whole, and with other functions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from ConfigSpace import ConfigurationSpace

from airtune.engine.types import Task
from airtune.models.pocket.training.algorithms import ALGORITHMS, HELD_OUT
from airtune.models.pocket.training.curriculum import split_tables
from airtune.models.pocket.training.functions import fresh_functions
from airtune.models.pocket.training.table_spaces import space_of, values_of
from airtune.models.pocket.training.tables import Table, squared_distances

TABLES = 5  # per algorithm that pocket knows
UNSEEN = 24  # per algorithm that was held out whole
FUNCTIONS = 8  # per number of dimensions
DIMENSIONS = (2, 4, 8)
_SEEDS = {
    "dev": 2**21,
    "unseen": 2**21 + 1,
}  # of the functions; training and scripts/evaluate_pocket.py have others


@lru_cache(maxsize=1)
def _tables() -> dict[str, list[Table]]:
    return split_tables()[1]


@lru_cache(maxsize=len(DIMENSIONS) * len(_SEEDS))
def _functions(family: str, p: int) -> Any:
    return fresh_functions(p, FUNCTIONS, _SEEDS[family])


@dataclass(frozen=True, slots=True)
class TableObjective:
    """The mean loss of the table's rows around a configuration, weighted by inverse squared distance.

    The nearest row alone would reward a search for not going on where it found something good.
    """

    algorithm: str
    index: int

    def __call__(self, config: Mapping[str, Any]) -> float:
        """The loss; see the module's docstring."""
        table = _tables()[self.algorithm][self.index]
        distance = squared_distances(table, values_of(table, config))
        rows = np.argsort(distance, kind="stable")[: len(table.params) + 1]
        return float(np.average(table.loss[rows], weights=1 / (distance[rows] + 1e-12)))


@dataclass(frozen=True, slots=True)
class FunctionObjective:
    """A function's value."""

    family: str
    dimensions: int
    index: int

    def __call__(self, config: Mapping[str, Any]) -> float:
        """The value; see the module's docstring."""
        functions = _functions(self.family, self.dimensions)
        point = np.array([config[name] for name in sorted(config)], dtype=np.float32)
        points = np.broadcast_to(point, (FUNCTIONS, 1, self.dimensions))
        return float(functions(points, np.ones(points.shape, dtype=bool))[self.index, 0])


def development_names(family: str = "dev") -> list[str]:
    """The names of all tasks of "dev" or "unseen"."""
    known, unseen = [a for a in ALGORITHMS if a not in HELD_OUT], list(HELD_OUT)
    algorithms, tables = (known, TABLES) if family == "dev" else (unseen, UNSEEN)
    return [
        *(f"{family}/{a}/{i}" for a in algorithms for i in range(tables)),
        *(f"{family}/function{p}/{i}" for p in DIMENSIONS for i in range(FUNCTIONS)),
    ]


def development_task(name: str) -> Task:
    """The task of that name, of either family."""
    family, kind, index = name.split("/")
    if kind.startswith("function"):
        p = int(kind.removeprefix("function"))
        space = ConfigurationSpace({f"x{i:02d}": (0.0, 1.0) for i in range(p)})
        return Task(name, space, FunctionObjective(family, p, int(index)), "value")
    return Task(name, space_of(_tables()[kind][int(index)].params), TableObjective(kind, int(index)), "error")
