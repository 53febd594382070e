"""HPOBench's search spaces, fidelities and grids.

The spaces and fidelities are those of HPOBench 0.0.10 (Eggensperger et al., arXiv 2109.06716),
`hpobench/benchmarks/ml/{svm,lr,rf,nn,xgboost}_benchmark.py`; the grids those of its published tables: n values per
hyperparameter, evenly spaced over its range (in the logarithm where the space says so), integers rounded. Our tables
hold the whole grid for svm and lr, stated values of it for rf, mlp and xgb; each file says which.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any

from ConfigSpace import ConfigurationSpace, Float, Integer, OrdinalHyperparameter
from ConfigSpace.hyperparameters import Hyperparameter

from airtune.engine.types import TaskError

Value = int | float
Grid = Mapping[str, tuple[Value, ...]]


@dataclass(frozen=True, slots=True)
class Fidelity:
    """What makes an evaluation cheaper: its name in task names, and HPOBench's range of it."""

    name: str
    lowest: int
    full: int


FIDELITIES: Mapping[str, Fidelity | None] = {
    "svm": None,
    "lr": Fidelity("iter", 10, 1000),
    "rf": Fidelity("trees", 16, 512),
    "mlp": Fidelity("epochs", 3, 243),
    "xgb": Fidelity("rounds", 50, 2000),
}


# `max_features` of a random forest is an exponent, see `models.build_rf`.
HYPERPARAMETERS: Mapping[str, tuple[Hyperparameter[Any, Any], ...]] = {
    "svm": (
        Float("C", (2**-10, 2**10), log=True, default=1.0),
        Float("gamma", (2**-10, 2**10), log=True, default=0.1),
    ),
    "lr": (
        Float("alpha", (1e-5, 1.0), log=True, default=1e-3),
        Float("eta0", (1e-5, 1.0), log=True, default=1e-2),
    ),
    "rf": (
        Integer("max_depth", (1, 50), log=True, default=10),
        Integer("min_samples_split", (2, 128), log=True, default=32),
        Float("max_features", (0.0, 1.0), default=0.5),
        Integer("min_samples_leaf", (1, 20), default=1),
    ),
    "mlp": (
        Integer("depth", (1, 3), default=3),
        Integer("width", (16, 1024), log=True, default=64),
        Integer("batch_size", (4, 256), log=True, default=32),
        Float("alpha", (1e-8, 1.0), log=True, default=1e-3),
        Float("learning_rate_init", (1e-5, 1.0), log=True, default=1e-3),
    ),
    "xgb": (
        Float("eta", (2**-10, 1.0), log=True, default=0.3),
        Integer("max_depth", (1, 50), log=True, default=10),
        Float("colsample_bytree", (0.1, 1.0), default=1.0),
        Float("reg_lambda", (2**-10, 2**10), log=True, default=1.0),
    ),
}


def make_space(model: str) -> ConfigurationSpace:
    """The search space of a model: a key of `HYPERPARAMETERS`."""
    space = ConfigurationSpace(name=model)
    space.add(*map(copy, HYPERPARAMETERS[model]))
    return space


SPACES: Mapping[str, Callable[[], ConfigurationSpace]] = {
    model: partial(make_space, model) for model in HYPERPARAMETERS
}


def grid_size(grid: Grid) -> int:
    """How many points the grid has."""
    return math.prod(len(values) for values in grid.values())


def grid_configs(grid: Grid) -> Iterator[dict[str, Value]]:
    """All points of the grid; the last hyperparameter varies fastest."""
    for values in product(*grid.values()):
        yield dict(zip(grid, values, strict=True))


def grid_row(grid: Mapping[str, Sequence[Any]], config: Mapping[str, Any]) -> int:
    """The position of a configuration in the order of `grid_configs`.

    Raises:
        TaskError: If it is not on the grid.
    """
    row = 0
    for name, values in grid.items():
        if config.get(name) not in values:
            raise TaskError(
                f"{name}={config.get(name)!r} is not on the table's grid",
                value=config.get(name),
                allowed=", ".join(map(str, values)),
                hint="propose from the task's own space",
            )
        row = row * len(values) + values.index(config[name])
    return row


def _distance(target: float, value: float) -> float:
    return abs(value - target)


def _log_distance(target: float, value: float) -> float:
    return abs(math.log(value / target))


def grid_default(model: str, grid: Grid) -> dict[str, Value]:
    """The grid point nearest HPOBench's default, per hyperparameter, on its (log) scale; ties go down."""
    space = SPACES[model]()
    default: dict[str, Value] = {}
    for name, values in grid.items():
        distance = _log_distance if getattr(space[name], "log", False) else _distance
        target = float(space[name].default_value)
        default[name] = min(values, key=partial(distance, target))
    return default


def grid_space(model: str, grid: Grid) -> ConfigurationSpace:
    """The grid as a search space of ordinals, whose default is `grid_default`."""
    default = grid_default(model, grid)
    space = ConfigurationSpace(name=f"{model}-grid")
    space.add(
        *(
            OrdinalHyperparameter(name, sequence=list(values), default_value=default[name])
            for name, values in grid.items()
        )
    )
    return space
