"""Development tasks, for choosing designs on: real tables and random functions that no report is made of.

`dev/{algorithm}/{i}`: a table of a real algorithm on a generated data set that `pocket` was not trained on (every
seventh one of its tables, and those of three algorithms of which it saw none); a configuration has the loss of the
nearest row, in unit coordinates.
`dev/function{p}/{i}`: a fresh function of p numbers from pocket's prior (without its plateaus), noise-free.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from ConfigSpace import ConfigurationSpace

from airtune.engine.types import Task
from airtune.models.pocket.algorithms import ALGORITHMS, HELD_OUT
from airtune.models.pocket.tables import Table

TABLES = 2  # per algorithm
UNSEEN = 8  # per algorithm that was held out whole
FUNCTIONS = 8  # per number of dimensions
DIMENSIONS = (2, 4, 8)
_SEED = 2**21  # of the functions; training and `models.pocket.evaluate` draw from others


@lru_cache(maxsize=1)
def _tables() -> dict[str, list[Table]]:
    from airtune.models.pocket.train import split_tables  # imports torch

    return split_tables()[1]


@lru_cache(maxsize=len(DIMENSIONS))
def _functions(p: int) -> Any:
    from airtune.models.pocket.evaluate import fresh_functions  # imports torch

    return fresh_functions(p, FUNCTIONS, _SEED)


@dataclass(frozen=True, slots=True)
class TableObjective:
    """The loss of a table's row that is nearest to a configuration."""

    algorithm: str
    index: int

    def __call__(self, config: Mapping[str, Any]) -> float:
        """The loss; see the module's docstring."""
        from airtune.models.pocket.evaluate import row_of  # imports torch

        table = _tables()[self.algorithm][self.index]
        return float(table.loss[row_of(table, config)])


@dataclass(frozen=True, slots=True)
class FunctionObjective:
    """A function's value."""

    dimensions: int
    index: int

    def __call__(self, config: Mapping[str, Any]) -> float:
        """The value; see the module's docstring."""
        functions = _functions(self.dimensions)
        point = np.array([config[name] for name in sorted(config)], dtype=np.float32)
        points = np.broadcast_to(point, (FUNCTIONS, 1, self.dimensions))
        return float(functions(points, np.ones(points.shape, dtype=bool))[self.index, 0])


def development_names() -> list[str]:
    """The names of all development tasks."""
    tables = [f"dev/{a}/{i}" for a in ALGORITHMS for i in range(UNSEEN if a in HELD_OUT else TABLES)]
    return [*tables, *(f"dev/function{p}/{i}" for p in DIMENSIONS for i in range(FUNCTIONS))]


def development_task(name: str) -> Task:
    """The development task of that name."""
    _, kind, index = name.split("/")
    if kind.startswith("function"):
        p = int(kind.removeprefix("function"))
        space = ConfigurationSpace({f"x{i:02d}": (0.0, 1.0) for i in range(p)})
        return Task(name, space, FunctionObjective(p, int(index)), "value")
    from airtune.models.pocket.evaluate import space_of  # imports torch

    return Task(name, space_of(_tables()[kind][int(index)]), TableObjective(kind, int(index)), "error")
