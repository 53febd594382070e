"""HPOBench's search spaces, fidelities and grids.

The spaces and fidelities are those of HPOBench 0.0.10 (Eggensperger et al., arXiv 2109.06716),
`hpobench/benchmarks/ml/{svm,lr,rf,nn,xgboost}_benchmark.py`; the grids those of its published tables: n values per
hyperparameter, evenly spaced over its range (in the logarithm where the space says so), integers rounded. `GRIDS`
names what our tables hold: the whole grid for svm and lr, stated values of it for rf, mlp and xgb.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import product

from ConfigSpace import ConfigurationSpace, Float, Integer, OrdinalHyperparameter

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


def svm_space() -> ConfigurationSpace:
    """Support vector machine: 2 hyperparameters."""
    space = ConfigurationSpace(name="svm")
    space.add(
        Float("C", (2**-10, 2**10), log=True, default=1.0),
        Float("gamma", (2**-10, 2**10), log=True, default=0.1),
    )
    return space


def lr_space() -> ConfigurationSpace:
    """Logistic regression by stochastic gradient descent: 2 hyperparameters."""
    space = ConfigurationSpace(name="lr")
    space.add(
        Float("alpha", (1e-5, 1.0), log=True, default=1e-3),
        Float("eta0", (1e-5, 1.0), log=True, default=1e-2),
    )
    return space


def rf_space() -> ConfigurationSpace:
    """Random forest: 4 hyperparameters. `max_features` is an exponent, see `models.build_rf`."""
    space = ConfigurationSpace(name="rf")
    space.add(
        Integer("max_depth", (1, 50), log=True, default=10),
        Integer("min_samples_split", (2, 128), log=True, default=32),
        Float("max_features", (0.0, 1.0), default=0.5),
        Integer("min_samples_leaf", (1, 20), default=1),
    )
    return space


def mlp_space() -> ConfigurationSpace:
    """Multilayer perceptron: 5 hyperparameters."""
    space = ConfigurationSpace(name="mlp")
    space.add(
        Integer("depth", (1, 3), default=3),
        Integer("width", (16, 1024), log=True, default=64),
        Integer("batch_size", (4, 256), log=True, default=32),
        Float("alpha", (1e-8, 1.0), log=True, default=1e-3),
        Float("learning_rate_init", (1e-5, 1.0), log=True, default=1e-3),
    )
    return space


def xgb_space() -> ConfigurationSpace:
    """Gradient boosted trees: 4 hyperparameters."""
    space = ConfigurationSpace(name="xgb")
    space.add(
        Float("eta", (2**-10, 1.0), log=True, default=0.3),
        Integer("max_depth", (1, 50), log=True, default=10),
        Float("colsample_bytree", (0.1, 1.0), default=1.0),
        Float("reg_lambda", (2**-10, 2**10), log=True, default=1.0),
    )
    return space


SPACES: Mapping[str, Callable[[], ConfigurationSpace]] = {
    "svm": svm_space,
    "lr": lr_space,
    "rf": rf_space,
    "mlp": mlp_space,
    "xgb": xgb_space,
}


def _log(low: float, high: float, count: int) -> tuple[float, ...]:
    """`count` values from `low` to `high`, evenly spaced in the logarithm, to 6 significant digits."""
    step = math.log(high / low) / (count - 1)
    return tuple(_short(low * math.exp(i * step)) for i in range(count))


def _short(value: float) -> float:
    return float(f"{value:.6g}")


_POWERS = tuple(2.0**k for k in range(-10, 11))

GRIDS: Mapping[str, Grid] = {
    "svm": {"C": _POWERS, "gamma": _POWERS},
    "lr": {"alpha": _log(1e-5, 1.0, 25), "eta0": _log(1e-5, 1.0, 25)},
    "rf": {
        "max_depth": (1, 3, 8, 20, 50),
        "min_samples_split": (2, 8, 32, 128),
        "max_features": tuple(_short(k / 9) for k in (0, 2, 4, 7, 9)),
        "min_samples_leaf": (1, 5, 11, 20),
    },
    "mlp": {
        "depth": (1, 2, 3),
        "width": (16, 64, 161),
        "batch_size": (25, 64, 256),
        "alpha": tuple(_log(1e-8, 1.0, 10)[k] for k in (0, 6, 9)),
        "learning_rate_init": tuple(_log(1e-5, 1.0, 10)[k] for k in (0, 2, 4, 6, 8)),
    },
    "xgb": {
        "eta": tuple(_log(2**-10, 1.0, 10)[k] for k in (0, 2, 4, 6, 8, 9)),
        "max_depth": (1, 3, 8, 20),
        "colsample_bytree": (0.1, 0.4, 0.7, 1.0),
        "reg_lambda": tuple(_log(2**-10, 2**10, 10)[k] for k in (0, 3, 5, 9)),
    },
}


@dataclass(frozen=True, slots=True)
class TableSpec:
    """What is tabulated of a model: at which fidelity (0: it has none), and with how many training seeds.

    The seeds are the first ones of `models.SEEDS`; a table may hold fewer.
    """

    fidelity: int
    seeds: int


# Chosen for about two hours on one core, all data sets and both protocols together; cheapest first.
TABLE_SPECS: Mapping[str, TableSpec] = {
    "svm": TableSpec(0, 3),
    "lr": TableSpec(100, 3),
    "rf": TableSpec(64, 3),
    "mlp": TableSpec(9, 3),
    "xgb": TableSpec(50, 3),
}


def grid_size(grid: Grid) -> int:
    """How many points the grid has."""
    return math.prod(len(values) for values in grid.values())


def grid_configs(grid: Grid) -> Iterator[dict[str, Value]]:
    """All points of the grid; the last hyperparameter varies fastest."""
    for values in product(*grid.values()):
        yield dict(zip(grid, values, strict=True))


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
