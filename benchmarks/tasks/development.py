"""Tasks to choose designs on, and tasks of the same kinds to report on.

`dev/{algorithm}/{i}`: a real algorithm on a generated data set, by a table that `pocket` was not trained on (every
seventh one of an algorithm's tables); between the table's rows the loss is interpolated.
`dev/function{p}/{i}`: a fresh function of p numbers from pocket's prior (without its plateaus), noise-free.
`unseen/...`: the same, with tables of the algorithms that were held out whole, and with other functions.
`unseen/...@seed=N`: the same made anew, other data sets and other functions. Their tables are trained when they are
first asked for (seconds each), and kept in the folder `airtune` of the user's caches (XDG_CACHE_HOME).
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from ConfigSpace import ConfigurationSpace

from airtune.engine.seeds import derive_seed
from airtune.engine.types import Task, TaskError
from airtune.models.pocket.training.algorithms import ALGORITHMS, HELD_OUT
from airtune.models.pocket.training.curriculum import split_tables
from airtune.models.pocket.training.functions import fresh_functions
from airtune.models.pocket.training.table_spaces import space_of, values_of
from airtune.models.pocket.training.tables import Table, squared_distances, table_at

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


@lru_cache(maxsize=128)
def _table(algorithm: str, index: int, seed: int | None) -> Table:
    if seed is None:
        return _tables()[algorithm][index]
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return table_at(algorithm, derive_seed("unseen", seed, index), caches / "airtune" / f"unseen-{seed}")


@lru_cache(maxsize=2 * len(DIMENSIONS) * len(_SEEDS))
def _functions(family: str, p: int, seed: int | None) -> Any:
    drawn = _SEEDS[family] if seed is None else derive_seed("unseen functions", seed)
    return fresh_functions(p, FUNCTIONS, drawn)


def interpolated(table: Table, config: Mapping[str, Any]) -> float:
    """The mean loss of a table's rows around a configuration, weighted by inverse squared distance.

    The nearest row alone would reward a search for not going on where it found something good. Infinite, a failed
    training, where the nearest row failed.
    """
    distance = squared_distances(table, values_of(table, config))
    rows = np.argsort(distance, kind="stable")[: len(table.params) + 1]
    if not math.isfinite(table.loss[rows[0]]):
        return math.inf
    rows = rows[np.isfinite(table.loss[rows])]
    return float(np.average(table.loss[rows], weights=1 / (distance[rows] + 1e-12)))


@dataclass(frozen=True, slots=True)
class TableObjective:
    """The loss that a table's rows tell of a configuration, see `interpolated`."""

    algorithm: str
    index: int
    seed: int | None = None

    def __call__(self, config: Mapping[str, Any]) -> float:
        """The loss; see the module's docstring."""
        return interpolated(_table(self.algorithm, self.index, self.seed), config)


@dataclass(frozen=True, slots=True)
class FunctionObjective:
    """A function's value."""

    family: str
    dimensions: int
    index: int
    seed: int | None = None

    def __call__(self, config: Mapping[str, Any]) -> float:
        """The value; see the module's docstring."""
        functions = _functions(self.family, self.dimensions, self.seed)
        point = np.array([config[name] for name in sorted(config)], dtype=np.float32)
        points = np.broadcast_to(point, (FUNCTIONS, 1, self.dimensions))
        return float(functions(points, np.ones(points.shape, dtype=bool))[self.index, 0])


def development_names(family: str = "dev", seed: int | None = None) -> list[str]:
    """The names of all tasks of "dev" or "unseen"; of "unseen" with a seed, those that are made anew from it."""
    known, unseen = [a for a in ALGORITHMS if a not in HELD_OUT], list(HELD_OUT)
    algorithms, tables = (known, TABLES) if family == "dev" else (unseen, UNSEEN)
    names = [
        *(f"{family}/{a}/{i}" for a in algorithms for i in range(tables)),
        *(f"{family}/function{p}/{i}" for p in DIMENSIONS for i in range(FUNCTIONS)),
    ]
    return names if seed is None else [f"{name}@seed={seed}" for name in names]


def development_task(name: str) -> Task:
    """The task of that name, of either family.

    Raises:
        TaskError: If there is none.
    """
    base, at, option = name.partition("@")
    family = base.partition("/")[0]
    if base not in development_names(family):
        raise TaskError.unknown("task", name, development_names(family))
    seed = seed_of(option) if at else None
    if at and (seed is None or family != "unseen"):
        raise TaskError(
            f"task {name!r}: unknown option {option!r}",
            value=option,
            allowed="seed=N with N from 0 to 4294967295, of unseen/... alone",
            hint=f"for example unseen/{'/'.join(base.split('/')[1:])}@seed=7"
            if family == "unseen"
            else f"use {base!r}",
        )
    _, kind, index = base.split("/")
    if kind.startswith("function"):
        p = int(kind.removeprefix("function"))
        space = ConfigurationSpace({f"x{i:02d}": (0.0, 1.0) for i in range(p)})
        return Task(name, space, FunctionObjective(family, p, int(index), seed), "value")
    objective = TableObjective(kind, int(index), seed)
    return Task(name, space_of(_table(kind, int(index), seed).params), objective, "error")


def seed_of(option: str) -> int | None:
    """The N of "seed=N", below 2**32; None if it is anything else."""
    found = re.fullmatch(r"seed=(0|[1-9][0-9]{0,9})", option)
    return int(found[1]) if found and int(found[1]) < 2**32 else None
